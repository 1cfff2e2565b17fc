"""The events that subscribers receive: an audit event as the things that happened to a client."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from gql_secrets.domain.audit import AuditAction, AuditEntry
from gql_secrets.domain.rotation import SecretEndReason, SecretState


class ClientEventKind(StrEnum):
    """The kinds of events of a client."""

    CREATED = "CREATED"
    EDITED = "EDITED"
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    DELETED = "DELETED"
    RESET = "RESET"
    REVOKED = "REVOKED"
    WITHDRAWN = "WITHDRAWN"
    DISPLACED = "DISPLACED"
    RETENTION_CHANGED = "RETENTION_CHANGED"
    CANCELLED = "CANCELLED"
    FIRST_USED = "FIRST_USED"
    EXPIRED = "EXPIRED"
    REFUSED_ATTEMPT = "REFUSED_ATTEMPT"


@dataclass(frozen=True, slots=True)
class ClientEvent:
    """One thing that happened to a client; it never contains a secret.

    Attributes:
        kind: what happened.
        at: when it happened, by the clock of the database.
        client_id: the client.
        revision: the revision of the change; None for a use, which is not a change.
        secret_id: the secret that the event is about, if any.
        actor: the actor of the change, as in the audit log; None for a use.
        actor_name: the display name of an actor who is a person.
        is_last_of_revision: whether no other event of the same revision follows.
    """

    kind: ClientEventKind
    at: datetime
    client_id: str
    revision: int | None = None
    secret_id: int | None = None
    actor: str | None = None
    actor_name: str | None = None
    is_last_of_revision: bool = False


_KINDS: Final = {
    AuditAction.CLIENT_CREATED: ClientEventKind.CREATED,
    AuditAction.CLIENT_IMPORTED: ClientEventKind.CREATED,
    AuditAction.CLIENT_UPDATED: ClientEventKind.EDITED,
    AuditAction.CLIENT_ENABLED: ClientEventKind.ENABLED,
    AuditAction.CLIENT_DISABLED: ClientEventKind.DISABLED,
    AuditAction.CLIENT_DELETED: ClientEventKind.DELETED,
    AuditAction.SECRET_RESET: ClientEventKind.RESET,
    AuditAction.OLD_SECRET_REVOKED: ClientEventKind.REVOKED,
    AuditAction.OLD_SECRET_EXPIRED: ClientEventKind.EXPIRED,
    AuditAction.RETENTION_CHANGED: ClientEventKind.RETENTION_CHANGED,
    AuditAction.ROLLOVER_CANCELLED: ClientEventKind.CANCELLED,
}


def events_of(entry: AuditEntry) -> Iterator[ClientEvent]:
    """Yield the event of the change itself, then one for each secret that it withdrew or displaced."""
    events = list(_events_of(entry))
    for place, event in enumerate(events, start=1):
        yield replace(event, is_last_of_revision=place == len(events))


def _events_of(entry: AuditEntry) -> Iterator[ClientEvent]:
    if entry.client_id is None or (kind := _KINDS.get(AuditAction(entry.action))) is None:
        return
    yield _event(kind, entry, entry.secret_id)
    for ended in entry.ended:
        if ended.reason in (SecretEndReason.WITHDRAWN, SecretEndReason.CANCELLED):
            yield _event(ClientEventKind.WITHDRAWN, entry, ended.secret_id)
        elif ended.reason is SecretEndReason.DISPLACED or (
            # A hard reset always ends the current secret; an old one that it ends too was displaced.
            ended.reason is SecretEndReason.HARD_RESET and ended.state_before is SecretState.RETAINED
        ):
            yield _event(ClientEventKind.DISPLACED, entry, ended.secret_id)


def _event(kind: ClientEventKind, entry: AuditEntry, secret_id: int | None) -> ClientEvent:
    return ClientEvent(kind, entry.at, entry.client_id or "", entry.revision, secret_id, entry.actor, entry.actor_name)
