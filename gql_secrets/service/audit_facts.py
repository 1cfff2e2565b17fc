"""What an audit event may say in addition to who changed what, and when."""

from collections.abc import Iterable
from datetime import datetime
from typing import TypedDict

from gql_secrets.domain.access import ActorKind, Caller
from gql_secrets.domain.audit import AuditAction, AuditEntry, EndedSecret
from gql_secrets.domain.rotation import End
from gql_secrets.domain.sessions import SessionEndReason


class Facts(TypedDict, total=False):
    """The optional facts of an audit event."""

    client_id: str | None
    generation_before: int | None
    generation_after: int | None
    secret_id: int | None
    ended: Iterable[End]
    hours_to_live: int | None
    expires_at: datetime | None
    edited_fields: Iterable[str]
    clamped: bool
    weak_secret: bool
    reason: str | None
    accepted: str | None
    link_number: int | None
    session_number: int
    person_name: str
    person_role: str
    session_end_reason: SessionEndReason
    webhook_number: int
    pepper_key_id: str


def entry_of(facts: Facts, action: AuditAction, *, by: Caller, at: datetime, revision: int) -> AuditEntry:
    """Return the audit entry of a change with these facts."""
    return AuditEntry(
        revision=revision,
        at=at,
        action=action.value,
        actor=by.actor,
        actor_kind=(by.kind or ActorKind.SYSTEM).value,
        surface=by.surface.value,
        request_id=by.request_id,
        address=by.address,
        client_id=facts.get("client_id"),
        generation_before=facts.get("generation_before"),
        generation_after=facts.get("generation_after"),
        secret_id=facts.get("secret_id"),
        ended=tuple(EndedSecret(end.secret.id, end.reason, end.secret.state) for end in facts.get("ended", ())),
        hours_to_live=facts.get("hours_to_live"),
        expires_at=facts.get("expires_at"),
        edited_fields=tuple(facts.get("edited_fields", ())),
        clamped=facts.get("clamped", False),
        weak_secret=facts.get("weak_secret", False),
        reason=facts.get("reason"),
        accepted=facts.get("accepted"),
        actor_name=by.display_name,
        link_number=facts.get("link_number"),
        session_number=facts.get("session_number"),
        person_name=facts.get("person_name"),
        person_role=facts.get("person_role"),
        session_end_reason=facts.get("session_end_reason"),
        webhook_number=facts.get("webhook_number"),
        pepper_key_id=facts.get("pepper_key_id"),
    )
