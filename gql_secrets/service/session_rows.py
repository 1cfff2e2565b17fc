"""What the row of a session says: whether it is valid, whose it is, and when it ends."""

from datetime import datetime

from tortoise.expressions import Q

from gql_secrets.domain.access import ActorKind, identity_of_link
from gql_secrets.domain.sessions import MAX_IDLE, MAX_SESSION, is_session_valid, session_expiry
from gql_secrets.storage.change_rows import CallerSession
from gql_secrets.storage.models import Session


def is_valid(session: Session | CallerSession, now: datetime) -> bool:
    """Return whether this session is valid at `now`. One without the number of a link is of an earlier version."""
    return session.link_number is not None and is_session_valid(
        created_at=session.created_at, last_seen_at=session.last_seen_at, ended_at=session.ended_at, now=now
    )


def valid_at(now: datetime) -> Q:
    """Return the condition of SQL that says the same as `is_valid`."""
    return Q(
        ended_at=None,
        link_number__isnull=False,
        created_at__gt=now - MAX_SESSION,
        last_seen_at__gt=now - MAX_IDLE,
    )


def identity_of(session: Session) -> str:
    """Return what identifies the person of the session, as `Caller.name`."""
    return identity_of_link(session.link_number or 0)


def actor_of(session: Session) -> str:
    """Return the person of the session as the audit log names its actor."""
    return f"{ActorKind.USER.value.lower()}:{identity_of(session)}"


def expiry_of(session: Session) -> datetime:
    """Return when the session ends if it is not used again."""
    return session_expiry(created_at=session.created_at, last_seen_at=session.last_seen_at)
