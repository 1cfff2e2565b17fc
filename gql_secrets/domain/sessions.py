"""How long a person stays signed in, and how long a sign-in link is valid."""

import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from gql_secrets.domain.credentials import PlaintextSecret
from gql_secrets.domain.error_codes import ErrorCode
from gql_secrets.domain.errors import InvalidName, Refusal
from gql_secrets.domain.texts import is_visible

SIGN_IN_PATH: Final = "/sign-in"
LINK_LIFETIME: Final = timedelta(minutes=15)
MAX_IDLE: Final = timedelta(minutes=30)
MAX_SESSION: Final = timedelta(hours=8)
# How long a role counts that an identity provider gave: after the last look at it, and where the provider has not
# answered since.
MAX_ROLE_AGE: Final = timedelta(minutes=10)
MAX_UNCONFIRMED_ROLE_AGE: Final = timedelta(minutes=60)
# The precision of `last_seen_at`: a session in use is written once in this time, not with each request.
SEEN_PRECISION: Final = timedelta(minutes=1)

_TOKEN_BYTES: Final = 32
_MAX_TOKEN: Final = 64
_MAX_NAME: Final = 100


class SessionEndReason(StrEnum):
    """Why a session ended before its time."""

    SIGNED_OUT = "SIGNED_OUT"
    REPLACED = "REPLACED"
    ENDED_BY_ADMIN = "ENDED_BY_ADMIN"
    ROLE_LOST = "ROLE_LOST"
    MAKER_ENDED = "MAKER_ENDED"
    PROVIDER_ENDED = "PROVIDER_ENDED"


class SessionWay(StrEnum):
    """How a person signed in."""

    LINK = "LINK"
    IDENTITY_PROVIDER = "IDENTITY_PROVIDER"


class SessionNotFound(Refusal):
    """No session has this id, or it ended so long ago that it was deleted."""

    code = ErrorCode.SESSION_NOT_FOUND
    argument = "session_id"

    def __init__(self) -> None:
        super().__init__("There is no session with this id.")


def is_link_valid(
    *, expires_at: datetime, spent_at: datetime | None, voided_at: datetime | None, now: datetime
) -> bool:
    """Return whether a sign-in link is valid at `now`: once, for 15 minutes, and unless it was voided."""
    return spent_at is None and voided_at is None and now < expires_at


def is_session_valid(*, created_at: datetime, last_seen_at: datetime, ended_at: datetime | None, now: datetime) -> bool:
    """Return whether a session is valid at `now`; nothing else decides it.

    A session ends when it is ended (as by a sign-out), after 30 minutes without a request, and after 8 hours.
    """
    return ended_at is None and now < last_seen_at + MAX_IDLE and now < created_at + MAX_SESSION


def is_role_recent(*, looked_at: datetime, look_failed_at: datetime | None, now: datetime) -> bool:
    """Return whether the role that an identity provider gave counts at `now`.

    Args:
        looked_at: when the provider last confirmed it.
        look_failed_at: when the provider last did not answer; None if it has answered since.
        now: the current time.
    """
    if now < looked_at + MAX_ROLE_AGE:
        return True
    is_tried = look_failed_at is not None and now < look_failed_at + MAX_ROLE_AGE
    return is_tried and now < looked_at + MAX_UNCONFIRMED_ROLE_AGE


def session_expiry(*, created_at: datetime, last_seen_at: datetime) -> datetime:
    """Return when a session ends that is not used again."""
    return min(last_seen_at + MAX_IDLE, created_at + MAX_SESSION)


def mint_token() -> PlaintextSecret:
    """Return 256 random bits as text for a URL or a cookie."""
    return PlaintextSecret(secrets.token_urlsafe(_TOKEN_BYTES))


def link_url(public_url: str, token: PlaintextSecret) -> str:
    """Return the URL of a sign-in link; the token is in the fragment, which browsers do not send."""
    return f"{public_url}{SIGN_IN_PATH}#{token.reveal()}"


def is_token(text: str) -> bool:
    """Return whether the text can be a token; one that cannot is not looked up."""
    return 1 <= len(text) <= _MAX_TOKEN and text.isascii() and text.isprintable()


def parse_person(text: str) -> str:
    """Return the name of a person, as the audit log shows it.

    Raises:
        InvalidName: it is over 100 characters, has control characters, or has no visible character.
    """
    name = text.strip()
    if not 1 <= len(name) <= _MAX_NAME or not name.isprintable() or not is_visible(name):
        raise InvalidName(f"The name of a person must have 1 to {_MAX_NAME} characters and no control characters.")
    return name
