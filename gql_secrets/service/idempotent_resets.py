"""The resets that a repeated request returns again (docs/rules.md, rule 9). Nothing reversible is stored."""

import secrets
from dataclasses import dataclass
from typing import Final, Self

from gql_secrets.domain.credentials import PlaintextSecret, sha256_of_parts
from gql_secrets.domain.errors import IdempotencyKeyReused, IdempotencyResultEnded
from gql_secrets.domain.idempotency import REPLAY_WINDOW, parse_idempotency_key
from gql_secrets.domain.rotation import Retention, SecretState, SecretStatus, evaluate
from gql_secrets.service.changes import ClientChange
from gql_secrets.service.secret_store import store_secret
from gql_secrets.storage.models import ClientSecret, IdempotentReset
from gql_secrets.storage.transaction import insertion

_NONCE_BYTES: Final = 32
# An earlier reset with the same key can no longer be replayed.
_REPLACE: Final = "ON CONFLICT (actor, key_hash) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}"
    for name in ("arguments_hash", "nonce", "pepper_key_id", "secret_id", "created_at", "is_self_reset")
)


@dataclass(frozen=True, slots=True)
class ResetRequest:
    """An idempotent reset, as the row of its key stores it."""

    key: str
    key_hash: bytes
    arguments_hash: bytes

    @classmethod
    def of(
        cls,
        key: str | None,
        client_id: str,
        retention: Retention,
        end_active_rollover: bool,
        if_generation: int | None,
        reason: str | None,
    ) -> Self | None:
        """Return the request; None if it has no idempotency key.

        Raises:
            InvalidIdempotencyKey: the key is not 16 to 255 printable ASCII characters.
        """
        if key is None:
            return None
        parse_idempotency_key(key)
        arguments = sha256_of_parts(
            client_id, str(retention.hours), str(end_active_rollover), str(if_generation), *([reason] if reason else [])
        )
        return cls(key, sha256_of_parts("idempotency key", key), arguments)


@dataclass(frozen=True, slots=True)
class Replay:
    """The result of an earlier reset, returned again."""

    new_secret: PlaintextSecret
    old_secret: ClientSecret | None


async def mint_secret(change: ClientChange, request: ResetRequest | None) -> tuple[PlaintextSecret, ClientSecret]:
    """Create the client's new secret: derived from the idempotency key if there is one, else random."""
    if request is None:
        plaintext = PlaintextSecret.mint()
        return plaintext, await store_secret(change, change.client, plaintext)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    plaintext = change.pepper.first.derive_secret(request.key, nonce)
    row = await store_secret(change, change.client, plaintext)
    statement, values = insertion(
        IdempotentReset,
        {
            "actor": change.caller.actor,
            "key_hash": request.key_hash,
            "arguments_hash": request.arguments_hash,
            "nonce": nonce,
            "pepper_key_id": change.pepper.first.key_id,
            "secret_id": row.id,
            "created_at": change.now,
            "is_self_reset": change.caller.may_reset_itself(change.client.client_id),
        },
    )
    change.unwritten.others.append((f"{statement} {_REPLACE}", values))
    return plaintext, row


async def find_replay(change: ClientChange, request: ResetRequest) -> Replay | None:
    """Return the result of an earlier reset with the same key, or None.

    It is kept for ten minutes, and that of a self-reset until the new secret is first used or the old one ends.

    Raises:
        IdempotencyKeyReused: the earlier reset had other arguments.
        IdempotencyResultEnded: its secret has ended, or the client that reset itself has used it.
    """
    remembered = (
        await IdempotentReset.filter(actor=change.caller.actor, key_hash=request.key_hash)
        .using_db(change.connection)
        .first()
    )
    if remembered is None:
        return None
    # The answer to a self-reset has not arrived until its secret is used; until then, only the old secret can ask.
    is_awaited = remembered.is_self_reset and _is_unused_in_rollover(change, remembered.secret_id)
    if remembered.created_at <= change.now - REPLAY_WINDOW and not is_awaited:
        return None
    if remembered.arguments_hash != request.arguments_hash:
        raise IdempotencyKeyReused
    row = await ClientSecret.get(id=remembered.secret_id, using_db=change.connection)
    # The secret may have been moved to another key since.
    own_key, present_key = change.pepper.key(remembered.pepper_key_id), change.pepper.key(row.pepper_key_id)
    # `enabled=True`: a replay is answered while its client is disabled.
    verdict = evaluate(SecretState(row.state), row.expires_at, enabled=True, now=change.now)
    if verdict is not SecretStatus.VALID or own_key is None or present_key is None:
        raise IdempotencyResultEnded
    if remembered.is_self_reset and not is_awaited:
        raise IdempotencyResultEnded(is_in_use=row.first_used_at is not None)
    plaintext = own_key.derive_secret(request.key, remembered.nonce)
    if present_key.digest(change.client.client_id, plaintext.reveal()) != row.digest:
        raise IdempotencyResultEnded
    retained = change.active.retained
    return Replay(plaintext, change.secrets[retained.id] if retained and retained.id != row.id else None)


def _is_unused_in_rollover(change: ClientChange, secret_id: int) -> bool:
    """Return whether this is the current secret of the client, nobody has used it, and the old one is valid."""
    current, retained = change.active.current, change.active.retained
    return retained is not None and current.id == secret_id and current.first_used_at is None
