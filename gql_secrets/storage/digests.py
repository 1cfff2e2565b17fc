"""Moving secrets to another key of the pepper: their digests under the old key become those under the new one.

Every key of the ring finds a secret, so a move changes no verification. It has no revision, and needs none: what a node
remembers is found by the digest that it was read with, and forgotten by client.
"""

from typing import Final, NamedTuple

from gql_secrets.storage.database import Database
from gql_secrets.storage.transaction import Transaction

_TARGET: Final = """
    SELECT key_id FROM pepper_fingerprint WHERE migration_began_at IS NOT NULL
    ORDER BY migration_began_at DESC LIMIT 1
"""
# Only towards the migration's key, and only a secret that still has the digest that it was found by. A client that had
# the same secret twice keeps both rows as they are.
_IS_MOVED: Final = f"""
    ({_TARGET}) = ? AND NOT EXISTS (SELECT 1 FROM client_secret other WHERE other.digest = {{new}})
"""  # noqa: S608  constants
_MOVE: Final = f"""
    UPDATE client_secret SET digest = ?, pepper_key_id = ? WHERE id = ? AND digest = ? AND {_IS_MOVED.format(new="?")}
"""  # noqa: S608
# A change that has locked a secret is not waited for: the secret's next verification queues it again.
_MOVE_ALL: Final = f"""
    WITH free AS (
        SELECT s.id, t.old, t.new FROM client_secret s
        JOIN unnest(?::bigint[], ?::bytea[], ?::bytea[]) AS t(id, old, new) ON s.id = t.id AND s.digest = t.old
        WHERE {_IS_MOVED.format(new="t.new")} ORDER BY s.id FOR UPDATE OF s SKIP LOCKED
    )
    UPDATE client_secret SET digest = free.new, pepper_key_id = ? FROM free
    WHERE client_secret.id = free.id AND client_secret.digest = free.old
"""  # noqa: S608


class Move(NamedTuple):
    """A secret, the digest that it was found by, and its digest under the new key."""

    secret_id: int
    client_id: str
    old: bytes
    new: bytes


async def find_target(database: Database | Transaction) -> str | None:
    """Return the id of the key that secrets are moved to; None before the first migration."""
    rows = await database.fetch(_TARGET)
    return rows[0]["key_id"] if rows else None


async def move_digests(tx: Transaction, key_id: str, moves: list[Move]) -> None:
    """Move secrets to a key, if they are still under the old digest and the key is still that of the migration.

    Raises:
        IntegrityError: a client is just given the same secret again. Nothing was moved.
    """
    if tx.dialect.name == "sqlite":
        await tx.write([(_MOVE, (each.new, key_id, each.secret_id, each.old, key_id, each.new)) for each in moves])
        return
    ids, old, new = zip(*[(each.secret_id, each.old, each.new) for each in moves], strict=True)
    await tx.fetch_rows(tx.dialect.placeholders(_MOVE_ALL), [list(ids), list(old), list(new), key_id, key_id])
