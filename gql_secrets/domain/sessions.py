"""How long a person stays signed in, and how long a sign-in link works."""

import secrets
from datetime import datetime, timedelta
from typing import Final

from gql_secrets.domain.credentials import PlaintextSecret
from gql_secrets.domain.errors import InvalidName

SIGN_IN_PATH: Final = "/sign-in"
LINK_LIFETIME: Final = timedelta(minutes=15)
MAX_IDLE: Final = timedelta(minutes=30)
MAX_SESSION: Final = timedelta(hours=8)
# How late `last_seen_at` may be: a session in use is written once in this time, not at each request.
SEEN_PRECISION: Final = timedelta(minutes=1)

_TOKEN_BYTES: Final = 32
_MAX_TOKEN: Final = 64
_MAX_NAME: Final = 100


def is_link_good(*, expires_at: datetime, spent_at: datetime | None, now: datetime) -> bool:
    """Whether a sign-in link works at `now`: once, and for 15 minutes."""
    return spent_at is None and now < expires_at


def is_session_good(*, created_at: datetime, last_seen_at: datetime, ended_at: datetime | None, now: datetime) -> bool:
    """Whether a session is good at `now`: the only place that decides it.

    It ends when its person signs out, after 30 minutes without a request, and after 8 hours.
    """
    return ended_at is None and now < last_seen_at + MAX_IDLE and now < created_at + MAX_SESSION


def mint_token() -> PlaintextSecret:
    """Return 256 random bits, written for a URL or a cookie."""
    return PlaintextSecret(secrets.token_urlsafe(_TOKEN_BYTES))


def link_url(public_url: str, token: PlaintextSecret) -> str:
    """Return the URL of a sign-in link; the token leaves here, in the fragment, which browsers do not send."""
    return f"{public_url}{SIGN_IN_PATH}#{token.reveal()}"


def is_token(text: str) -> bool:
    """Whether this can be one of our tokens; what cannot is not looked up."""
    return 1 <= len(text) <= _MAX_TOKEN and text.isascii() and text.isprintable()


def parse_person(text: str) -> str:
    """Return a person's name, as the audit will show it.

    Raises:
        InvalidName: it is empty, longer than 100 characters, or holds control characters.
    """
    name = text.strip()
    if not 1 <= len(name) <= _MAX_NAME or not name.isprintable():
        raise InvalidName(f"A person's name has 1 to {_MAX_NAME} characters, none of them a control character.")
    return name
