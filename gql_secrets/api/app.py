"""One place builds the server."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web
from graphql import OperationType

from gql_secrets.api.authentication import CHALLENGE, authenticate
from gql_secrets.api.clients_api import add_clients_api_routes
from gql_secrets.api.console import (
    add_console_routes,
    console_documents,
    explorer_page,
    read_ionapi_template,
    wants_explorer,
)
from gql_secrets.api.gateway import add_gateway_routes
from gql_secrets.api.graphql.context import Context
from gql_secrets.api.graphql.errors import HTTP_STATUS, present
from gql_secrets.api.graphql.schema import build_schema
from gql_secrets.api.graphql.streaming import (
    check_socket_origin,
    end_streams,
    serve_event_stream,
    serve_socket,
    wants_socket,
)
from gql_secrets.api.keys import (
    GRAPHQL,
    OWN_ORIGIN,
    REQUEST_ID,
    SERVICES,
    SESSION_COOKIE,
    SETTINGS,
    SOCKETS,
    TRUSTED_PROXIES,
)
from gql_secrets.api.sign_in.cookie import SessionCookie
from gql_secrets.api.sign_in.links import add_session_routes
from gql_secrets.api.web.client_address import TrustedProxies
from gql_secrets.api.web.cors import GRAPHQL_PATH, preflight
from gql_secrets.api.web.middleware import frame
from gql_secrets.api.web.origin import ForeignOrigin, OwnOrigin
from gql_secrets.api.web.own_host import require_own_host
from gql_secrets.api.web.security_headers import add_headers
from gql_secrets.domain.access import Surface
from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.graphql_server.cost import Limits
from gql_secrets.graphql_server.documents import TrustedDocuments
from gql_secrets.graphql_server.engine import RequestContext
from gql_secrets.graphql_server.errors import FORBIDDEN, UNAUTHENTICATED, RequestRefused
from gql_secrets.graphql_server.http import GraphQLEndpoint, refusal
from gql_secrets.graphql_server.websocket import Sockets
from gql_secrets.settings import Settings
from gql_secrets.wiring import background, open_services

# Who sees the schema, by what the setting says.
_SHOWN_TO: Final[Mapping[str, Callable[[RequestContext], bool]]] = {
    "everyone": lambda _: True,
    "nobody": lambda _: False,
    "signed-in": lambda context: not context.caller.is_anonymous,
}


def build_app(settings: Settings, *, adjust_clock: Callable[[datetime], datetime] | None = None) -> web.Application:
    """Return the server that these settings describe; it opens the database when it starts.

    Args:
        settings: what the operator decided.
        adjust_clock: what tests make of the database's clock.

    Raises:
        SetupError: a setting cannot be.
    """

    async def services(app: web.Application) -> AsyncIterator[None]:
        app[SERVICES] = await open_services(settings, adjust_clock=adjust_clock)
        async with background(app[SERVICES]):
            yield
        await app[SERVICES].close()

    app = web.Application(middlewares=[frame, require_own_host])
    add_headers(app)
    app[SETTINGS] = settings
    app[TRUSTED_PROXIES] = TrustedProxies.parse(settings.trusted_proxies)
    app[OWN_ORIGIN] = OwnOrigin.of(settings)
    app[SESSION_COOKIE] = SessionCookie(settings.address_url)
    app[GRAPHQL] = _endpoint(settings)
    app[SOCKETS] = Sockets(app[GRAPHQL].engine)
    app.cleanup_ctx.append(services)
    app.on_shutdown.append(end_streams)
    app.router.add_route("*", GRAPHQL_PATH, _graphql)
    app.router.add_get("/healthz", _health)
    add_gateway_routes(app)
    add_clients_api_routes(app)
    add_session_routes(app)
    template = read_ionapi_template(settings.ionapi_template)
    add_console_routes(app, public_url=settings.address_url, ionapi_template=template)
    return app


def _endpoint(settings: Settings) -> GraphQLEndpoint:
    try:
        trusted = (
            TrustedDocuments.load(Path(settings.trusted_documents), besides=console_documents())
            if settings.trusted_documents
            else None
        )
        return GraphQLEndpoint(
            build_schema(),
            limits=Limits(),
            introspection=_SHOWN_TO[settings.introspection],
            present=present,
            trusted_documents=trusted,
            stream=serve_event_stream,
            permit=_permit,
        )
    except OSError as error:
        raise SetupError(
            f"GQL_SECRETS_TRUSTED_DOCUMENTS: {settings.trusted_documents} cannot be read: {error.strerror}."
        ) from error
    except ValueError as error:
        raise SetupError(f"GQL_SECRETS_TRUSTED_DOCUMENTS: {error}") from error


async def _graphql(request: web.Request) -> web.StreamResponse:
    if (answer := preflight(request)) is not None:
        return answer
    if wants_explorer(request):
        return explorer_page(request)
    try:
        caller = await authenticate(request, Surface.GRAPHQL)
        if wants_socket(request):
            check_socket_origin(request, caller)
    except Failure as failure:
        told = present(failure)
        if told is None:
            raise
        challenge: Mapping[str, str] | None = (
            {hdrs.WWW_AUTHENTICATE: CHALLENGE} if told.code == UNAUTHENTICATED else None
        )
        return refusal(request, told, status=HTTP_STATUS[told.code], headers=challenge)
    if wants_socket(request):
        return await serve_socket(request, caller)
    context = Context(request.app[SERVICES], caller, request[REQUEST_ID])
    return await request.app[GRAPHQL].handle(request, context)


def _permit(request: web.Request, kind: OperationType, context: RequestContext) -> None:
    """Let nobody change anything from a page of another site, nor by a cookie without proof of ours.

    Raises:
        RequestRefused: that is what was asked.
    """
    if kind is not OperationType.MUTATION:
        return
    own = request.app[OWN_ORIGIN]
    try:
        if isinstance(context, Context) and context.caller.session_id is not None:
            own.require_proof(request)
        else:
            own.require_allowed_origin(request)
    except ForeignOrigin as foreign:
        raise RequestRefused(FORBIDDEN, str(foreign), {"reason": foreign.reason}) from None


async def _health(request: web.Request) -> web.Response:
    """Answer 200 while the database reads and writes, 503 while it does not."""
    database = request.app[SERVICES].database
    await database.now()
    healthy = database.is_healthy
    return web.json_response({"status": "ok" if healthy else "unhealthy"}, status=200 if healthy else 503)
