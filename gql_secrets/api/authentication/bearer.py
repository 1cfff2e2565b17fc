"""People sign in with an access token of their identity provider: RFC 6750, the Bearer scheme."""

from typing import Final

from aiohttp import hdrs, web

from gql_secrets.api.authentication.access_tokens import ACCESS_TOKENS
from gql_secrets.api.authentication.refusal import refuse_credentials
from gql_secrets.api.keys import REQUEST_ID, SERVICES, SOURCE
from gql_secrets.api.web.aiohttp_internals.connection import protect_connection
from gql_secrets.domain.access import ActorKind, Caller, Surface
from gql_secrets.domain.errors import InvalidToken, TooManyFailures

INVALID_TOKEN_CHALLENGE: Final = 'Bearer error="invalid_token"'  # noqa: S105  a challenge
_SCHEME: Final = "bearer"
# Refusals of tokens that nobody signed: they count as failed attempts, as wrong secrets do. A token that was valid and
# has expired does not, because many people may share one address.
_FORGED: Final = frozenset(("MALFORMED", "TOO_LONG", "ISSUER", "ALGORITHM", "KEY", "SIGNATURE"))


async def authenticate_bearer(request: web.Request, surface: Surface) -> Caller | None:
    """Return the person of the access token in the `Authorization` header; None where there is no such token.

    Raises:
        InvalidToken: it is not valid; TooManyFailures after too many that nobody signed.
        Unavailable: the database, or the identity provider, does not answer.
    """
    headers = request.headers.getall(hdrs.AUTHORIZATION, ())
    return await authenticate_token(request, headers[0], surface) if len(headers) == 1 else None


async def authenticate_token(request: web.Request, header: str, surface: Surface) -> Caller | None:
    """Return the person of the value of an `Authorization` header; None where it holds no bearer token.

    Without an identity provider every token is of an unknown scheme, which the next authenticator refuses.

    Raises:
        InvalidToken: it is not valid; TooManyFailures after too many that nobody signed.
        Unavailable: the database, or the identity provider, does not answer.
    """
    tokens = request.app[ACCESS_TOKENS]
    scheme, _, token = header.partition(" ")
    if scheme.lower() != _SCHEME or not tokens.providers:
        return None
    try:
        person = await tokens.check(token.strip(" "), await request.app[SERVICES].database.now())
    except InvalidToken as invalid:
        if invalid.reason in _FORGED and isinstance(refusal := refuse_credentials(request), TooManyFailures):
            raise refusal from None
        raise
    protect_connection(request)
    return Caller(
        name=person.name,
        kind=ActorKind.USER,
        role=person.role,
        surface=surface,
        address=request[SOURCE].address,
        request_id=request[REQUEST_ID],
        expires_at=person.expires_at,
        display_name=person.display_name,
    )
