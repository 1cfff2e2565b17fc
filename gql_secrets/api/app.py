"""The HTTP application: routes and middlewares, put together in one place."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import TYPE_CHECKING

from aiohttp import web

from gql_secrets.api.authentication.access_tokens import add_access_tokens
from gql_secrets.api.clients_api import add_clients_api_routes
from gql_secrets.api.console import (
    add_console_routes,
    read_ionapi_template,
)
from gql_secrets.api.gateway import add_gateway_routes
from gql_secrets.api.graphql.entry import add_graphql_routes
from gql_secrets.api.health import add_health_routes
from gql_secrets.api.keys import (
    COUNTERS,
    OWN_ORIGIN,
    SERVICES,
    SESSION_COOKIE,
    SETTINGS,
    TRUSTED_PROXIES,
)
from gql_secrets.api.metrics.counters import Counters
from gql_secrets.api.sign_in.cookie import SessionCookie
from gql_secrets.api.sign_in.links import add_session_routes
from gql_secrets.api.sign_in.provider import add_provider_routes
from gql_secrets.api.web.client_address import TrustedProxies
from gql_secrets.api.web.middleware import refuse_encoded_body, surround_request
from gql_secrets.api.web.origin import OwnOrigin
from gql_secrets.api.web.own_host import require_own_host
from gql_secrets.api.web.security_headers import add_security_headers
from gql_secrets.api.webhook_sender import WebhookSender
from gql_secrets.service.new_clients import Registration
from gql_secrets.settings import Settings
from gql_secrets.wiring import background, open_services

if TYPE_CHECKING:
    from gql_secrets.api.tracing.spans import Tracing


def build_app(
    settings: Settings,
    *,
    adjust_clock: Callable[[datetime], datetime] | None = None,
    on_first_owner: Callable[[Registration], None] = lambda _owner: None,
    tracing: "Tracing | None" = None,
) -> web.Application:
    """Return the application for these settings; it opens the database when it starts.

    Args:
        settings: the operator's settings.
        adjust_clock: changes the database's time, for tests.
        on_first_owner: is called with the owner that a first start creates, as soon as it is created.
        tracing: makes the traces, None for none.

    Raises:
        SetupError: a setting is invalid.
    """

    async def services(app: web.Application) -> AsyncIterator[None]:
        app[SERVICES] = await open_services(settings, on_first_owner=on_first_owner, adjust_clock=adjust_clock)
        if tracing is not None:
            database = app[SERVICES].database
            database.observe = tracing.database_observer(database.dialect.name)
        try:
            async with background(app[SERVICES], WebhookSender(settings.allowed_webhook_networks).send):
                yield
        finally:
            await app[SERVICES].close()

    async def traces(_app: web.Application) -> AsyncIterator[None]:
        yield
        if tracing is not None:
            await tracing.close()

    app = web.Application(middlewares=[surround_request, refuse_encoded_body, require_own_host])
    if tracing is not None:
        tracing.surround_requests(app)
    add_security_headers(app)
    app[SETTINGS] = settings
    app[COUNTERS] = Counters()
    app[TRUSTED_PROXIES] = TrustedProxies.parse(settings.trusted_proxies)
    app[OWN_ORIGIN] = OwnOrigin.of(settings)
    app[SESSION_COOKIE] = SessionCookie(app[OWN_ORIGIN].public)
    app.cleanup_ctx.append(traces)  # ended after the services
    app.cleanup_ctx.append(services)
    add_access_tokens(app, settings.issuers)
    add_graphql_routes(app, settings, tracing)
    add_health_routes(app)
    add_gateway_routes(app, tracing)
    add_clients_api_routes(app)
    add_provider_routes(app, settings.issuers)
    add_session_routes(app)
    template = read_ionapi_template(settings.ionapi_template)
    add_console_routes(app, public_url=settings.address_url, ionapi_template=template)
    return app
