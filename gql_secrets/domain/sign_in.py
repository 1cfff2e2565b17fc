"""Signing in at an identity provider: OpenID Connect's authorization code flow with PKCE (RFC 7636)."""

import hashlib
import json
import re
import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from gql_secrets.domain import base64url
from gql_secrets.domain.access import Role
from gql_secrets.domain.credentials import sha256_of_parts
from gql_secrets.domain.errors import Failure

# How long a person may take at the provider.
MAX_AUTHORIZATION: Final = timedelta(minutes=10)
_RANDOM_BYTES: Final = 32
_MAX_RETURN_PATH: Final = 512
# The console and the explorer; their own places are in the fragment. Nothing in it can name another site.
_RETURN_PATH: Final = re.compile(r"/(?:graphql)?(?:#[!-\[\]-~]*)?")


class SignInProblem(StrEnum):
    """Why a sign-in at an identity provider did not work."""

    STATE = "state"
    EXPIRED = "expired"
    ISSUER = "issuer"
    DENIED = "denied"
    TOKEN = "token"  # noqa: S105  a problem, not a token
    REPLAYED = "replayed"
    ROLE = "role"
    LOGGED_OUT = "logged_out"
    UNAVAILABLE = "unavailable"
    BUSY = "busy"
    TOO_MANY = "too_many"


class SignInRefused(Failure):
    """A sign-in at an identity provider did not work."""

    def __init__(self, problem: SignInProblem) -> None:
        super().__init__(f"The sign-in did not work: {problem}.")
        self.problem = problem


class RoleSource(StrEnum):
    """Where the role of a person was found."""

    USER_INFO = "userinfo"
    ACCESS_TOKEN = "access_token"  # noqa: S105  a place, not a token
    ID_TOKEN = "id_token"  # noqa: S105  the same


@dataclass(frozen=True, slots=True)
class ProviderTokens:
    """The tokens with which the role is read again. No repr shows them.

    Attributes:
        access: the access token.
        refresh: the refresh token; None without one: then `role_source` is the user info.
        role_source: where the role was found.
    """

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    role_source: RoleSource


@dataclass(frozen=True, slots=True)
class ProviderPerson:
    """A person as an identity provider knows them at this moment.

    Attributes:
        issuer: the provider.
        subject: who it is there.
        display_name: how people know the person; None if the provider gives no name.
        role: the most powerful role that it gives, or None.
        provider_session: the provider's own session (`sid`), which its log-outs name; None if it names none.
        tokens: the tokens with which the role is read again; None if there are none.
    """

    issuer: str
    subject: str
    display_name: str | None
    role: Role | None
    provider_session: str | None
    tokens: ProviderTokens | None


@dataclass(frozen=True, slots=True)
class Authorization:
    """A sign-in that somebody began in one browser, which keeps this in an encrypted cookie.

    Attributes:
        issuer: the identity provider.
        return_path: where the browser goes afterwards.
        session_id: the session that the browser has; it is replaced, or renewed by a silent sign-in.
        is_silent: whether the provider may not ask the person anything (`prompt=none`).
        started_at: when it began.
        state: what the provider returns to the same browser.
        nonce: what the ID token must hold.
        verifier: what the code is redeemed with.
    """

    issuer: str
    return_path: str
    session_id: int | None
    is_silent: bool
    started_at: datetime
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)

    @classmethod
    def begin(
        cls, issuer: str, *, return_path: str, session_id: int | None, is_silent: bool, started_at: datetime
    ) -> Self:
        """Return a new one, with a state, a nonce and a verifier of 256 random bits each."""
        state, nonce, verifier = (secrets.token_urlsafe(_RANDOM_BYTES) for _ in range(3))
        return cls(issuer, return_path, session_id, is_silent, started_at, state, nonce, verifier)

    @property
    def challenge(self) -> str:
        """What the provider checks the verifier against (S256)."""
        return base64url.encode(hashlib.sha256(self.verifier.encode()).digest())

    @property
    def state_digest(self) -> bytes:
        """The digest by which the session that it began is recognized."""
        return sha256_of_parts("sign-in state", self.state)

    def has_expired(self, now: datetime) -> bool:
        """Return whether the person took too long."""
        return not self.started_at <= now < self.started_at + MAX_AUTHORIZATION

    def to_bytes(self) -> bytes:
        """Return it as the cookie holds it, encrypted."""
        return json.dumps(asdict(self) | {"started_at": self.started_at.timestamp()}).encode()

    @classmethod
    def of_bytes(cls, raw: bytes) -> Self:
        """Return what `to_bytes` wrote."""
        values = json.loads(raw)
        return cls(**values | {"started_at": datetime.fromtimestamp(values["started_at"], UTC)})


def parse_return_path(text: str) -> str:
    """Return where the browser goes after the sign-in: a place in the console or the explorer.

    Anything else, such as an address of another site, becomes the console's first page.
    """
    return text if len(text) <= _MAX_RETURN_PATH and _RETURN_PATH.fullmatch(text) else "/"
