"""The active secrets of a client: as the rules see their rows, and how these are written."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

from gql_secrets.domain.errors import Conflict
from gql_secrets.domain.rotation import ActiveSecrets, CurrentSecret, RetainedSecret, SecretState
from gql_secrets.storage.dialect import Statement
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.models import ClientSecret
from gql_secrets.storage.transaction import Transaction

# A secret, and the fields of it that are written.
SavedSecret = tuple[ClientSecret, tuple[str, ...]]


async def save_active_secret(row: ClientSecret, tx: Transaction, *fields: str) -> None:
    """Write these fields of a secret, but only if it is active: nothing makes an ended secret active again."""
    await save_active_secrets(tx, [(row, fields)])


async def save_active_secrets(tx: Transaction, rows: Sequence[SavedSecret]) -> None:
    """Write fields of secrets, but only if each of them is active.

    Raises:
        Conflict: one of them has ended.
    """
    statements = [saving(saved) for saved in rows]
    if statements and any(count != 1 for count in await tx.count_changed(statements)):
        raise SecretHasEnded


class SecretHasEnded(Conflict):
    """A secret that a change would write has ended."""

    def __init__(self) -> None:
        super().__init__("The secret has ended.")


def saving(saved: SavedSecret) -> Statement:
    """Return the statement that writes fields of a secret, which changes no row if it has ended."""
    row, fields = saved
    return _saving(fields), [*(_stored(getattr(row, name)) for name in fields), row.id]


@lru_cache
def _saving(fields: tuple[str, ...]) -> str:
    assignments = ", ".join(f"{name} = ?" for name in fields)
    return f"UPDATE client_secret SET {assignments} WHERE id = ? AND state IN ('CURRENT', 'RETAINED')"  # noqa: S608  names of our own fields


def _stored(value: object) -> object:
    return to_microseconds(value) if isinstance(value, datetime) else value


def active_secrets_of(rows: Iterable[ClientSecret]) -> ActiveSecrets:
    """Return the rules' view of the active secrets of a client (rule 1: there is always a current one)."""
    by_state = {row.state: row for row in rows}
    retained = by_state.get(SecretState.RETAINED)
    return ActiveSecrets(
        current_secret(by_state[SecretState.CURRENT]), retained_secret(retained) if retained is not None else None
    )


def current_secret(row: ClientSecret) -> CurrentSecret:
    """Return the rules' view of a current secret."""
    return CurrentSecret(
        row.id, row.created_at, row.created_by, row.first_used_at, row.last_used_at, row.created_by_name
    )


def retained_secret(row: ClientSecret) -> RetainedSecret:
    """Return the rules' view of a retained secret.

    Raises:
        ValueError: it has no dates, which a constraint of its table excludes.
    """
    if row.replaced_at is None or row.expires_at is None:
        raise ValueError(f"The retained secret {row.id} has no dates.")
    return RetainedSecret(
        row.id,
        row.created_at,
        row.created_by,
        row.first_used_at,
        row.last_used_at,
        row.created_by_name,
        replaced_at=row.replaced_at,
        expires_at=row.expires_at,
    )
