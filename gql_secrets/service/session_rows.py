"""What the row of a session says: whether it is valid, whose it is, and when it ends; and how long it is kept."""

from datetime import datetime, timedelta
from typing import Final

from tortoise.expressions import Q

from gql_secrets.domain.access import ActorKind, identity_of_link
from gql_secrets.domain.credentials import sha256_of_parts
from gql_secrets.domain.identity import identity_at
from gql_secrets.domain.sessions import (
    MAX_IDLE,
    MAX_ROLE_AGE,
    MAX_SESSION,
    MAX_UNCONFIRMED_ROLE_AGE,
    SessionWay,
    is_role_recent,
    is_session_valid,
    session_expiry,
)
from gql_secrets.storage.change_rows import CallerSession
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.models import Session
from gql_secrets.storage.transaction import Transaction

# How long sessions stay in the database from their beginning, and links from their end, to find out why one failed.
KEPT: Final = timedelta(days=1)


def session_digest(token: str) -> bytes:
    """Return what a session's cookie is stored as: 256 random bits need neither a key nor a slow hash."""
    return sha256_of_parts("session", token)


def is_valid(session: Session | CallerSession, now: datetime) -> bool:
    """Return whether this session is valid at `now`."""
    return _is_role_valid(session, now) and is_valid_but_for_role(session, now)


def is_valid_but_for_role(session: Session | CallerSession, now: datetime) -> bool:
    """Return whether this session is valid at `now` if the identity provider confirms its role."""
    return _is_known_way(session) and is_session_valid(
        created_at=session.created_at, last_seen_at=session.last_seen_at, ended_at=session.ended_at, now=now
    )


def _is_known_way(session: Session | CallerSession) -> bool:
    """Return whether it began with a link or at a provider; one with neither is of an earlier version."""
    return session.link_number is not None or session.looked_at is not None


def _is_role_valid(session: Session | CallerSession, now: datetime) -> bool:
    if session.looked_at is None:
        return True
    return is_role_recent(looked_at=session.looked_at, look_failed_at=session.look_failed_at, now=now)


def valid_at(now: datetime) -> Q:
    """Return the condition of SQL that says the same as `is_valid`."""
    is_role_recent = Q(looked_at__gt=now - MAX_ROLE_AGE) | Q(
        look_failed_at__gt=now - MAX_ROLE_AGE, looked_at__gt=now - MAX_UNCONFIRMED_ROLE_AGE
    )
    return Q(
        Q(ended_at=None, created_at__gt=now - MAX_SESSION, last_seen_at__gt=now - MAX_IDLE),
        Q(link_number__isnull=False) | is_role_recent,
    )


def identity_of(session: Session) -> str:
    """Return what identifies the person of the session, as `Caller.name`."""
    if session.issuer is not None and session.subject is not None:
        return identity_at(session.issuer, session.subject)
    return identity_of_link(session.link_number or 0)


def way_of(session: Session) -> SessionWay:
    """Return how the person of the session signed in."""
    return SessionWay.LINK if session.issuer is None else SessionWay.IDENTITY_PROVIDER


def actor_of(session: Session) -> str:
    """Return the person of the session as the audit log names its actor."""
    return f"{ActorKind.USER.value.lower()}:{identity_of(session)}"


def expiry_of(session: Session) -> datetime:
    """Return when the session ends if it is not used again, and its identity provider does not answer again."""
    end = session_expiry(created_at=session.created_at, last_seen_at=session.last_seen_at)
    if session.looked_at is None:
        return end
    longest = MAX_ROLE_AGE if session.tokens is None else MAX_UNCONFIRMED_ROLE_AGE
    return min(end, session.looked_at + longest)


async def delete_old_sessions(tx: Transaction, now: datetime) -> None:
    """Delete sessions that ended long ago."""
    await tx.execute("DELETE FROM session WHERE created_at < ?", to_microseconds(now - KEPT))
