"""How a person signs in: the page that a link opens, its one button, the cookie, and signing out.

The link's token is in the URL's fragment, which browsers do not send: it is in no request line, log or `Referer`.
Opening the page does not spend the link, so a preview of it does no harm; the button does, by a POST from the page.
"""

from typing import Final

import orjson
from aiohttp import hdrs, web

from gql_secrets.api.authentication.session_cookie import caller_of
from gql_secrets.api.keys import OWN_ORIGIN, REQUEST_ID, SERVICES, SESSION_COOKIE, SOURCE
from gql_secrets.api.sign_in import page
from gql_secrets.api.sign_in.provider import PROVIDER_CLIENTS
from gql_secrets.domain.access import Surface
from gql_secrets.domain.errors import Conflict, Failure, Forbidden, SignInLinkEnded, TooManySignIns, Unavailable
from gql_secrets.domain.sessions import SIGN_IN_PATH

SIGN_OUT_PATH: Final = "/sign-out"
_MAX_BODY: Final = 1024


def add_session_routes(app: web.Application) -> None:
    """Serve the sign-in page, signing in and signing out."""
    app.router.add_get(SIGN_IN_PATH, _sign_in_page)
    app.router.add_post(SIGN_IN_PATH, _sign_in)
    app.router.add_post(SIGN_OUT_PATH, _sign_out)


async def _sign_in_page(request: web.Request) -> web.Response:
    providers = [(client.name, issuer) for issuer, client in request.app[PROVIDER_CLIENTS].items()]
    text = page.render(providers, request.query.get("problem", ""))
    return web.Response(text=text, content_type="text/html", headers=page.HEADERS)


async def _sign_in(request: web.Request) -> web.Response:
    """Spend the link's token, and answer 204 with the cookie."""
    cookie = request.app[SESSION_COOKIE]
    try:
        request.app[OWN_ORIGIN].require_own_page(request)
        token = _token_in(await _body_of(request))
        signed_in = await request.app[SERVICES].sessions.sign_in(
            token,
            instead_of=cookie.read(request),
            address=request[SOURCE].address,
            request_id=request[REQUEST_ID],
        )
    except SignInLinkEnded as ended:
        wait = request.app[SERVICES].limits.sign_in_failed(request[SOURCE].address)
        return _refused(TooManySignIns(wait) if wait else ended)
    except Failure as failure:
        return _refused(failure)
    response = web.Response(status=204)
    cookie.write(response, signed_in.token.reveal())
    return response


async def _sign_out(request: web.Request) -> web.Response:
    """End the session, and delete the cookie.

    The answer is 204; or 200 with where the browser goes to sign out at the identity provider too.
    """
    cookie = request.app[SESSION_COOKIE]
    token, location = cookie.read(request), None
    try:
        if token is not None:
            request.app[OWN_ORIGIN].require_own_page(request)
            session_id = await _end_session(request, token)
            location = None if session_id is None else await _sign_out_url(request, session_id)
    except Failure as failure:
        return _refused(failure)
    response = web.json_response({"location": location}) if location else web.Response(status=204)
    cookie.delete(response)
    return response


async def _end_session(request: web.Request, token: str) -> int | None:
    """End the session with this cookie, and return its number; None if it has ended."""
    services = request.app[SERVICES]
    person = await services.sessions.find(token)
    if person is None:
        return await services.provider_sessions.sign_out_unconfirmed(token)
    await services.sessions.sign_out(caller_of(request, person, Surface.SIGN_IN))
    return person.session_id


async def _sign_out_url(request: web.Request, session_id: int) -> str | None:
    issuer = await request.app[SERVICES].provider_sessions.issuer_of(session_id)
    client = request.app[PROVIDER_CLIENTS].get(issuer or "")
    return await client.sign_out_url(f"{request.app[OWN_ORIGIN].public}/") if client else None


async def _body_of(request: web.Request) -> bytes:
    if request.content_type != "application/json" or (request.content_length or 0) > _MAX_BODY:
        raise SignInLinkEnded
    return await request.read()


def _token_in(body: bytes) -> str:
    try:
        token = orjson.loads(body)["token"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        token = None
    if not isinstance(token, str):
        raise SignInLinkEnded
    return token


def _refused(failure: Failure) -> web.Response:
    match failure:
        case Forbidden():
            status = 403
        case Conflict() | Unavailable():
            status = 503
        case TooManySignIns():
            status = 429
        case SignInLinkEnded():
            status = 401
        case _:
            raise failure
    # Without `WWW-Authenticate`: browsers would open their password dialog.
    headers = {} if failure.retry_after is None else {hdrs.RETRY_AFTER: str(failure.retry_after)}
    return web.json_response({"message": str(failure)}, status=status, headers=headers)
