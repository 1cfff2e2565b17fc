"""From a request to its caller: authenticators, tried in order, one file for each kind of credential.

An authenticator returns None for a request without its kind of credential, returns the Caller for a valid one, and
raises for an invalid one: the request is then refused, and no other authenticator is asked.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web

from gql_secrets.api.authentication.acting_user import act_for_user
from gql_secrets.api.authentication.basic import authenticate_basic, authenticate_header
from gql_secrets.api.authentication.bearer import authenticate_bearer, authenticate_token
from gql_secrets.api.authentication.session_cookie import authenticate_session
from gql_secrets.api.keys import CALLER, REQUEST_ID, SOURCE
from gql_secrets.domain.access import Caller, Surface

Authenticator = Callable[[web.Request, Surface], Awaitable[Caller | None]]

GRAPHQL_AUTHENTICATORS: Final[Sequence[Authenticator]] = (
    authenticate_bearer,  # before Basic, which refuses every other scheme
    authenticate_basic,
    authenticate_session,
)


async def authenticate(
    request: web.Request, surface: Surface, authenticators: Sequence[Authenticator] = GRAPHQL_AUTHENTICATORS
) -> Caller:
    """Return the caller; the anonymous caller where the request has no credentials.

    The request's log line names a caller that is not anonymous.

    Raises:
        BadCredentials: the credentials are not valid, or of an unknown scheme; InvalidToken for an access token;
            TooManyFailures after too many of them.
        Forbidden: they are valid, but not from this address (`reason` is `ADDRESS`), a session's cookie came from a
            page of another site (`ORIGIN`), or the request names a person and must not (`ACTING_USER`).
        Unavailable: the database is unavailable.
    """
    for each in authenticators:
        if (caller := await each(request, surface)) is not None:
            request[CALLER] = caller = act_for_user(request, caller)
            return caller
    anonymous = Caller.anonymous(surface, address=request[SOURCE].address, request_id=request[REQUEST_ID])
    return act_for_user(request, anonymous)


async def authenticate_message(request: web.Request, authorization: str, surface: Surface) -> Caller:
    """Return the caller of the value of an `Authorization` header, which a WebSocket sends in a message.

    Raises:
        BadCredentials, Forbidden, Unavailable: as for a header.
    """
    person = await authenticate_token(request, authorization, surface)
    caller = person if person is not None else await authenticate_header(request, authorization, surface)
    return act_for_user(request, caller)
