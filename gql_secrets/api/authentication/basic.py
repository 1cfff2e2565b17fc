"""API clients sign in with their client id and secret: RFC 7617, the Basic scheme."""

import binascii
from functools import lru_cache
from typing import Final, NamedTuple

from aiohttp import hdrs, web

from gql_secrets.api.authentication.refusal import refuse_credentials
from gql_secrets.api.keys import REQUEST_ID, SERVICES, SOURCE
from gql_secrets.api.web.aiohttp_internals.connection import protect_connection
from gql_secrets.domain.access import ActorKind, Caller, Feature, Role, Surface, parse_features, role_of
from gql_secrets.domain.errors import Forbidden
from gql_secrets.service.verification import Accepted, RefusalReason, Verdict

CHALLENGE: Final = 'Basic realm="gql-secrets", charset="UTF-8"'
_SEC_FETCH_MODE: Final = "Sec-Fetch-Mode"
_NAVIGATE: Final = "navigate"
_MAX_HEADER: Final = 8192
_SCHEME: Final = "basic "


class Credentials(NamedTuple):
    """A client id and a secret."""

    client_id: str
    secret: str

    def __repr__(self) -> str:
        return f"Credentials({self.client_id!r}, …)"


def parse_basic(header: str) -> Credentials | None:
    """Return the credentials of an `Authorization: Basic` header, or None where it has none.

    Split at the first colon, UTF-8, no percent-decoding.
    """
    if header[: len(_SCHEME)].lower() != _SCHEME or len(header) > _MAX_HEADER:
        return None
    try:
        pair = binascii.a2b_base64(header[len(_SCHEME) :].strip(" "), strict_mode=True).decode()
    except ValueError:
        return None
    client_id, colon, secret = pair.partition(":")
    return Credentials(client_id, secret) if colon else None


def basic_challenges(request: web.Request) -> tuple[str, ...]:
    """Return the challenge of a 401; none for the script of a page.

    A browser opens its own password dialog for it, over the page whose script sent the request.
    """
    is_script = request.headers.get(_SEC_FETCH_MODE, _NAVIGATE) != _NAVIGATE
    return () if is_script else (CHALLENGE,)


class KnownVerdict(NamedTuple):
    """What the verifier said about the credentials of a request, which it counted."""

    credentials: Credentials
    verdict: Verdict


# The verdict on the credentials in the head of this request, if there was one before the authenticators are asked.
KNOWN_VERDICT: Final = web.RequestKey("known_verdict", KnownVerdict)


async def authenticate_basic(request: web.Request, surface: Surface) -> Caller | None:
    """Return the API client of the `Authorization` header; None where there is no such header.

    Raises:
        BadCredentials: the credentials are not valid, or of an unknown scheme, or there are two.
        Forbidden: they are valid, but not from this address.
        Unavailable: the database is unavailable.
    """
    headers = request.headers.getall(hdrs.AUTHORIZATION, ())
    if not headers:
        return None
    if len(headers) > 1:
        raise refuse_credentials(request)
    return await authenticate_header(request, headers[0], surface)


async def authenticate_header(request: web.Request, header: str, surface: Surface) -> Caller:
    """Return the API client of the value of an `Authorization` header, which a WebSocket sends in a message.

    Raises:
        BadCredentials: the credentials are not valid, or of an unknown scheme.
        Forbidden: they are valid, but not from this address.
        Unavailable: the database is unavailable.
    """
    credentials = parse_basic(header)
    if credentials is None:
        raise refuse_credentials(request)
    return await authenticate_client(request, credentials, surface)


async def authenticate_client(request: web.Request, credentials: Credentials, surface: Surface) -> Caller:
    """Return the API client with these credentials.

    Raises:
        BadCredentials: they are not valid.
        Forbidden: they are valid, but not from this address.
        Unavailable: the database is unavailable.
    """
    known = request.get(KNOWN_VERDICT)
    if known is not None and known.credentials == credentials:
        verdict = known.verdict
    else:
        source = request[SOURCE].source
        verdict = await request.app[SERVICES].verifier.verify(credentials.client_id, credentials.secret, source)
    return caller_of(request, credentials, verdict, surface)


def caller_of(request: web.Request, credentials: Credentials, verdict: Verdict, surface: Surface) -> Caller:
    """Return the API client that the verdict on the credentials of a request accepts.

    Raises:
        BadCredentials: it does not accept them.
        Forbidden: they are valid, but not from this address.
    """
    source, unclear = request[SOURCE]
    if not isinstance(verdict, Accepted):
        if verdict.reason is RefusalReason.ADDRESS:
            raise unclear or Forbidden("This client may not call from this address.", reason="ADDRESS")
        raise refuse_credentials(request, credentials.client_id)
    if unclear is not None:
        raise unclear
    protect_connection(request)
    role, acts_for_users = _rights_of(verdict.features)
    return Caller(
        name=verdict.client_id,
        kind=ActorKind.API_CLIENT,
        role=role,
        surface=surface,
        address=source.address,
        request_id=request[REQUEST_ID],
        secret_id=verdict.secret_id,
        secret_state=verdict.state,
        self_reset=verdict.self_reset,
        acts_for_users=acts_for_users,
    )


@lru_cache(maxsize=512)
def _rights_of(features: tuple[str, ...]) -> tuple[Role | None, bool]:
    """Return the role of a client with these features, and whether it acts for users. Few combinations are in use."""
    parsed = parse_features(features)
    return role_of(parsed), Feature.ACTS_FOR_USERS in parsed
