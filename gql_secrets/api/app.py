"""One place builds the server."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Final

from aiohttp import hdrs, web

from gql_secrets.api.addresses import TrustedProxies
from gql_secrets.api.authentication import CHALLENGE, authenticate
from gql_secrets.api.console import add_console_routes, explorer_page, wants_explorer
from gql_secrets.api.frame import frame
from gql_secrets.api.gateway import add_gateway_routes
from gql_secrets.api.graphql.budget import Limits
from gql_secrets.api.graphql.context import Context
from gql_secrets.api.graphql.errors import HTTP_STATUS, present
from gql_secrets.api.graphql.http import GraphQLEndpoint, refusal
from gql_secrets.api.graphql.masking import UNAUTHENTICATED
from gql_secrets.api.graphql.schema import build_schema
from gql_secrets.api.keys import REQUEST_ID, SERVICES, SETTINGS, TRUSTED_PROXIES
from gql_secrets.domain.access import Surface
from gql_secrets.domain.errors import Failure
from gql_secrets.services import background, open_services
from gql_secrets.settings import Settings

GRAPHQL: Final = web.AppKey("graphql", GraphQLEndpoint)


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

    app = web.Application(middlewares=[frame])
    app[SETTINGS] = settings
    app[TRUSTED_PROXIES] = TrustedProxies.parse(settings.trusted_proxies)
    app[GRAPHQL] = GraphQLEndpoint(
        build_schema(),
        limits=Limits(),
        introspection=lambda context: not context.caller.is_anonymous,
        present=present,
    )
    app.cleanup_ctx.append(services)
    app.router.add_route("*", "/graphql", _graphql)
    app.router.add_get("/healthz", _health)
    add_gateway_routes(app)
    add_console_routes(app, public_url=settings.address_url)
    return app


async def _graphql(request: web.Request) -> web.StreamResponse:
    if wants_explorer(request):
        return explorer_page(request)
    try:
        caller = await authenticate(request, Surface.GRAPHQL)
    except Failure as failure:
        told = present(failure)
        if told is None:
            raise
        challenge: Mapping[str, str] | None = (
            {hdrs.WWW_AUTHENTICATE: CHALLENGE} if told.code == UNAUTHENTICATED else None
        )
        return refusal(request, told, status=HTTP_STATUS[told.code], headers=challenge)
    context = Context(request.app[SERVICES], caller, request[REQUEST_ID])
    return await request.app[GRAPHQL].handle(request, context)


async def _health(request: web.Request) -> web.Response:
    """Answer 200 while the database reads and writes, 503 while it does not."""
    database = request.app[SERVICES].database
    await database.now()
    healthy = database.is_healthy
    return web.json_response({"status": "ok" if healthy else "unhealthy"}, status=200 if healthy else 503)
