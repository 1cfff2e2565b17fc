"""What an audit event may say in addition to who changed what, and when."""

from collections.abc import Iterable
from datetime import datetime
from typing import TypedDict

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
