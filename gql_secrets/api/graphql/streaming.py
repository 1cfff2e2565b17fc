"""What outlives a request: WebSockets and event streams, as the product serves them."""

import logging
from dataclasses import replace
from typing import Final

from aiohttp import hdrs, web

from gql_secrets.api.authentication.basic import authenticate_header
from gql_secrets.api.graphql.context import Context
from gql_secrets.api.graphql.errors import present
from gql_secrets.api.keys import GRAPHQL, OWN_ORIGIN, REQUEST_ID, SERVICES, SOCKETS, SOURCE
from gql_secrets.api.web.request_id import make_request_id
from gql_secrets.domain.access import Caller, Surface
from gql_secrets.graphql_server.engine import Admitted, RequestContext
from gql_secrets.graphql_server.sse import stream_events
from gql_secrets.graphql_server.websocket import Host

_log: Final = logging.getLogger(__name__)


def wants_socket(request: web.Request) -> bool:
    """Tell a request for a WebSocket from all others."""
    return request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"


def check_socket_origin(request: web.Request, caller: Caller) -> None:
    """Pass if our page asks for a WebSocket; without a cookie also if an allowed frontend's or no page at all does.

    No browser asks the server before it opens a WebSocket to another site, and it sends the cookies along.

    Raises:
        CrossOriginRefused: another site's page asks, or a cookie came without proof that a page of ours does.
    """
    if caller.session_id is None:
        request.app[OWN_ORIGIN].require_allowed_origin(request)
    else:
        request.app[OWN_ORIGIN].require_own_page(request)


async def serve_socket(request: web.Request, caller: Caller) -> web.StreamResponse:
    """Serve a WebSocket, opened by this caller, until it is closed."""
    services = request.app[SERVICES]

    async def sign_in(authorization: str) -> Caller:
        return await authenticate_header(request, authorization, Surface.GRAPHQL)

    async def begin(caller: Caller) -> Context:
        # Each operation has an id of its own, as each request has: it stands in errors, log and audit.
        request_id = make_request_id()
        _log.info("operation socket=%s request_id=%s", request[REQUEST_ID], request_id)
        caller = await services.sessions.renew(replace(caller, request_id=request_id))
        if caller.secret_id is not None:
            services.usage.used(caller.secret_id, request[SOURCE].source, await services.database.now())
        return Context(services, caller, request_id)

    return await request.app[SOCKETS].serve(request, caller, Host(sign_in, begin, present))


async def serve_event_stream(request: web.Request, admitted: Admitted, context: RequestContext) -> web.StreamResponse:
    """Answer a subscription as an event stream."""
    return await stream_events(request.app[GRAPHQL].engine, request, admitted, context)


async def end_streams(app: web.Application) -> None:
    """End every stream and socket: the server stops, and would wait for them."""
    await app[SERVICES].feed.close()
    await app[SOCKETS].close()
