"""Signing in at an identity provider: where it begins, where the provider sends the browser back, and its log-outs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final

from aiohttp import hdrs, web

from gql_secrets.api.authentication.access_tokens import ACCESS_TOKENS
from gql_secrets.api.keys import LOOK_AT_ROLE, OWN_ORIGIN, REQUEST_ID, SERVICES, SESSION_COOKIE, SOURCE
from gql_secrets.api.sign_in.authorization_cookie import AuthorizationCookie
from gql_secrets.api.sign_in.id_tokens import name_issuer, read_logout_token
from gql_secrets.api.sign_in.provider_client import ProviderClient
from gql_secrets.api.sign_in.role_looks import RoleLooks
from gql_secrets.domain.errors import Conflict, Forbidden, InvalidToken, Unavailable
from gql_secrets.domain.identity import Issuer
from gql_secrets.domain.sessions import SIGN_IN_PATH
from gql_secrets.domain.sign_in import (
    Authorization,
    ProviderPerson,
    SignInProblem,
    SignInRefused,
    parse_return_path,
)
from gql_secrets.service.background import repeat

START_PATH: Final = f"{SIGN_IN_PATH}/start"
CALLBACK_PATH: Final = f"{SIGN_IN_PATH}/callback"
RENEWAL_PATH: Final = f"{SIGN_IN_PATH}/renewal"
BACK_CHANNEL_PATH: Final = f"{SIGN_IN_PATH}/back-channel-logout"
_MAX_CODE: Final = 4096
_MAX_LOGOUT: Final = 20 * 1024
# After a silent sign-in that ends so, the console asks the person to sign in.
_ASK_AGAIN: Final = (SignInProblem.DENIED, SignInProblem.EXPIRED, SignInProblem.LOGGED_OUT)
_log: Final = logging.getLogger(__name__)

Clients = dict[str, ProviderClient]
PROVIDER_CLIENTS: Final = web.AppKey("provider_clients", Clients)
_COOKIE: Final = web.AppKey("authorization_cookie", AuthorizationCookie)


def add_provider_routes(app: web.Application, issuers: Iterable[Issuer]) -> None:
    """Let people sign in at those of these issuers where the console has a client id."""
    tokens = app[ACCESS_TOKENS]
    redirect_uri = f"{app[OWN_ORIGIN].public}{CALLBACK_PATH}"
    app[PROVIDER_CLIENTS] = {
        issuer.url: ProviderClient(tokens.providers[issuer.url], tokens, redirect_uri)
        for issuer in issuers
        if issuer.client_id
    }
    app[_COOKIE] = AuthorizationCookie(is_secure=app[SESSION_COOKIE].is_secure)
    app.router.add_get(START_PATH, _start, allow_head=False)
    app.router.add_get(CALLBACK_PATH, _callback, allow_head=False)
    app.router.add_get(RENEWAL_PATH, _renewal, allow_head=False)
    app.router.add_post(BACK_CHANNEL_PATH, _back_channel_logout)
    app.cleanup_ctx.append(_look_at_roles)


async def _look_at_roles(app: web.Application) -> AsyncIterator[None]:
    clients = app[PROVIDER_CLIENTS]
    looks = RoleLooks(app[SERVICES], clients)
    app[LOOK_AT_ROLE] = looks.look_now
    if not clients:
        yield
        return
    stop = asyncio.Event()
    task = asyncio.create_task(repeat(looks.run, stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def _start(request: web.Request) -> web.StreamResponse:
    """Send the browser to the provider."""
    try:
        request.app[OWN_ORIGIN].refuse_cross_site(request)
    except Forbidden:
        return _problem(SignInProblem.STATE)
    client = request.app[PROVIDER_CLIENTS].get(request.query.get("issuer", ""))
    if client is None:
        raise web.HTTPNotFound
    token = request.app[SESSION_COOKIE].read(request)
    services, is_silent, session_id = request.app[SERVICES], False, None
    if token is not None:
        renewable = await services.provider_sessions.find_renewable(token)
        person = await services.sessions.find(token)
        if "silent" in request.query and renewable is not None and renewable[1] == client.issuer.url:
            is_silent, session_id = True, renewable[0]
        elif person is not None:
            session_id = person.session_id
    authorization = Authorization.begin(
        client.issuer.url,
        return_path=parse_return_path(request.query.get("return_to", "/")),
        session_id=session_id,
        is_silent=is_silent,
        started_at=await services.database.now(),
    )
    try:
        location = await client.authorization_url(authorization)
    except Unavailable:
        return _problem(SignInProblem.UNAVAILABLE)
    response = _redirect(location)
    request.app[_COOKIE].write(request, response, authorization)
    return response


async def _renewal(request: web.Request) -> web.StreamResponse:
    """Say where a silent sign-in begins that renews the session of this browser; 204 if none can."""
    token = request.app[SESSION_COOKIE].read(request)
    if token is None or not request.app[OWN_ORIGIN].is_from_own_page(request):
        return web.Response(status=204)
    found = await request.app[SERVICES].provider_sessions.find_renewable(token)
    if found is None or found[1] not in request.app[PROVIDER_CLIENTS]:
        return web.Response(status=204)
    return web.json_response({"issuer": found[1]})


async def _callback(request: web.Request) -> web.StreamResponse:
    """Redeem the provider's code, begin or renew the session, and send the browser where it was."""
    state = _only(request, "state")
    authorization = request.app[_COOKIE].read(request, state) if state else None
    if state is None or authorization is None:
        # Another site's page sent the browser here, or this is another browser than the one that began.
        return _refused(request, SignInProblem.STATE)
    response: web.StreamResponse
    try:
        response = await _finish(request, authorization)
    except SignInRefused as refused:
        if authorization.is_silent and refused.problem in _ASK_AGAIN:
            response = _redirect(authorization.return_path)
        else:
            response = _refused(request, refused.problem)
    except Unavailable:
        response = _problem(SignInProblem.UNAVAILABLE)
    except Conflict:
        response = _problem(SignInProblem.BUSY)
    request.app[_COOKIE].delete(response, state)
    return response


async def _finish(request: web.Request, authorization: Authorization) -> web.Response:
    clients, services = request.app[PROVIDER_CLIENTS], request.app[SERVICES]
    now = await services.database.now()
    client = clients.get(authorization.issuer)
    if client is None or authorization.has_expired(now):
        raise SignInRefused(SignInProblem.EXPIRED)
    await client.require_issuer(_only(request, "iss"), is_only_one=len(clients) == 1)
    code = _only(request, "code")
    if code is None or len(code) > _MAX_CODE or "error" in request.query:
        raise SignInRefused(SignInProblem.DENIED)
    address = request[SOURCE].address
    if services.limits.code_came(address):
        # Anybody can begin a sign-in and send codes of their own: the provider is not asked about each of them.
        raise SignInRefused(SignInProblem.TOO_MANY)
    person = await client.redeem(code, authorization, now)
    services.limits.code_was_valid(address)
    response = _redirect(authorization.return_path)
    if authorization.is_silent and authorization.session_id is not None:
        await services.provider_sessions.renew(
            person, session_id=authorization.session_id, state_digest=authorization.state_digest
        )
    else:
        await _begin(request, person, authorization, response)
    return response


async def _begin(
    request: web.Request, person: ProviderPerson, authorization: Authorization, response: web.Response
) -> None:
    session = await request.app[SERVICES].provider_sessions.begin(
        person,
        state_digest=authorization.state_digest,
        started_at=authorization.started_at,
        instead_of=authorization.session_id,
        address=request[SOURCE].address,
        request_id=request[REQUEST_ID],
    )
    request.app[SESSION_COOKIE].write(response, session.token.reveal())


async def _back_channel_logout(request: web.Request) -> web.Response:
    """End the sessions that the provider's logout token names (OpenID Connect Back-Channel Logout 1.0)."""
    try:
        token = await _logout_token(request)
        services, issuer = request.app[SERVICES], name_issuer(token) if request.app[PROVIDER_CLIENTS] else None
        if issuer is None or issuer not in request.app[PROVIDER_CLIENTS]:
            raise InvalidToken("The logout token is from another issuer.", reason="ISSUER")
        provider = request.app[ACCESS_TOKENS].providers[issuer]
        claims, issued_at = await read_logout_token(token, provider, await services.database.now())
        ended = await services.provider_sessions.end_at_provider(
            issuer,
            subject=_text(claims, "sub"),
            provider_session=_text(claims, "sid"),
            issued_at=issued_at,
        )
    except InvalidToken as invalid:
        wait = request.app[SERVICES].limits.sign_in_failed(request[SOURCE].address)
        _log.warning("logout_token_refused", extra={"reason": invalid.reason})
        headers = {hdrs.RETRY_AFTER: str(wait)} if wait else {}
        body = {"error": "invalid_request", "error_description": str(invalid)}
        return web.json_response(body, status=429 if wait else 400, headers=headers)
    except (Unavailable, Conflict):
        return web.json_response({"error": "temporarily_unavailable"}, status=503)
    _log.info("logged_out_by_provider", extra={"issuer": issuer, "sessions": ended})
    return web.Response(status=200)


async def _logout_token(request: web.Request) -> str:
    unreadable = InvalidToken("Send the logout token in a form.", reason="MALFORMED")
    is_form = request.content_type == "application/x-www-form-urlencoded"
    if not is_form or (request.content_length or 0) > _MAX_LOGOUT:
        raise unreadable
    try:
        token = (await request.post()).get("logout_token")
    except (ValueError, LookupError):  # not in the charset that it names, or that is unknown
        raise unreadable from None
    if not isinstance(token, str):
        raise unreadable
    return token


def _text(claims: Mapping[str, object], name: str) -> str | None:
    value = claims.get(name)
    return value if isinstance(value, str) else None


def _only(request: web.Request, name: str) -> str | None:
    """Return a parameter that is there once; None for a missing, empty or repeated one."""
    values = request.query.getall(name, [])
    return values[0] if len(values) == 1 and values[0] else None


def _refused(request: web.Request, problem: SignInProblem) -> web.Response:
    """Count a sign-in that did not work, and send the browser to the page that says why."""
    request.app[SERVICES].limits.sign_in_failed(request[SOURCE].address)
    return _problem(problem)


def _problem(problem: SignInProblem) -> web.Response:
    return _redirect(f"{SIGN_IN_PATH}?problem={problem}")


def _redirect(location: str) -> web.Response:
    return web.Response(status=303, headers={hdrs.LOCATION: location})
