"""Events of the audit log as the database has them, and the signature of its head."""

import hashlib
import hmac
import json
from functools import lru_cache
from typing import Any, Final

from gql_secrets.domain.audit import AuditEntry, EndedSecret, FirstFormatEntry
from gql_secrets.domain.credentials import Pepper, PepperKey
from gql_secrets.domain.rotation import SecretEndReason, SecretState
from gql_secrets.storage.models import AuditEvent, Installation

# The columns that hold a field of an entry as it is.
SAME_FIELDS: Final = tuple(name for name in AuditEntry.__slots__ if name not in ("ended", "edited_fields"))
# The facts about people, whose columns were added last; no event of format 1 fills them.
_PEOPLE: Final = (
    "actor_name",
    "link_number",
    "session_number",
    "person_name",
    "person_role",
    "session_end_reason",
    "webhook_number",
    "pepper_key_id",
)


def sign_head(pepper: Pepper, revision: int, head: bytes) -> bytes:
    """Return the MAC of the chain's head under a key derived from the pepper's first key."""
    return _sign(pepper.first, revision, head)


@lru_cache(maxsize=16)
def _sign(key: PepperKey, revision: int, head: bytes) -> bytes:
    """Return the MAC, which depends on nothing else: a change checks the head that the change before it signed."""
    return hmac.digest(key.subkey("audit head"), revision.to_bytes(8, "big") + head, "sha256")


def is_head_signed(head: Installation, pepper: Pepper) -> bool:
    """Return whether the head of the audit log has a valid signature by one of the pepper's keys."""
    key = pepper.key(head.audit_key_id)
    return key is not None and hmac.compare_digest(_sign(key, head.revision, head.audit_head), head.audit_mac)


def add_content(content: "hashlib._Hash", event: AuditEvent) -> None:
    """Add everything that is stored of an event, edited or not, to a digest."""
    names = sorted(event._meta.db_fields)  # noqa: SLF001  Tortoise's own list
    columns = [str(getattr(event, name)) for name in names if name not in _PEOPLE]
    # An event without these has the digest that it had before there were such columns.
    columns += [f"{name}={value}" for name in _PEOPLE if (value := getattr(event, name)) is not None]
    ended = sorted(f"{row.secret_id} {row.reason} {row.state_before}" for row in event.ended_secrets)
    content.update(json.dumps([columns, ended]).encode())


def entry_of(event: AuditEvent) -> AuditEntry:
    """Return the entry of an event, which was read together with its `ended_secrets`.

    Raises:
        ValueError: the row was edited, or a newer version wrote it.
    """
    stored = _stored_entry(event)
    return stored.to_entry() if isinstance(stored, FirstFormatEntry) else stored


def _stored_entry(event: AuditEvent) -> AuditEntry | FirstFormatEntry:
    edited_fields = tuple(event.edited_fields.split(",")) if event.edited_fields is not None else ()
    ended = tuple(
        EndedSecret(row.secret_id, SecretEndReason(row.reason), SecretState(row.state_before))
        for row in event.ended_secrets
    )
    if event.format == AuditEntry.FORMAT and not event.ended_secret_ids:
        values: dict[str, Any] = {field: getattr(event, field) for field in SAME_FIELDS}
        return AuditEntry(**values, ended=ended, edited_fields=edited_fields)
    if event.format == FirstFormatEntry.FORMAT and not (
        ended
        or edited_fields
        or event.clamped
        or event.weak_secret
        or event.accepted
        or any(getattr(event, name) is not None for name in _PEOPLE)
    ):
        return FirstFormatEntry(**{field: getattr(event, field) for field in FirstFormatEntry.__slots__})
    raise ValueError("unknown format, or fields that this format does not have")


def follows(event: AuditEvent, previous: bytes) -> bool:
    """Return whether the event's hash is that of the event as it is now, after the previous hash."""
    try:
        return _stored_entry(event).hash_after(previous) == event.hash
    except (TypeError, ValueError, AttributeError, OverflowError):  # an edited column with a value of another type
        return False
