"""WebSockets and event streams of the product: what outlives the request that opened it."""

import logging
from collections.abc import Hashable
from dataclasses import replace
from typing import Final

from aiohttp import hdrs, web

from gql_secrets.api.authentication import authenticate_message
from gql_secrets.api.graphql.context import Context, turn_key_of
from gql_secrets.api.keys import OWN_ORIGIN, REQUEST_ID, SERVICES, SOCKETS, SOURCE
from gql_secrets.api.web.request_id import make_request_id
from gql_secrets.domain.access import Caller, Surface
from gql_secrets.domain.networks import address_block, normalised

_log: Final = logging.getLogger(__name__)


def wants_socket(request: web.Request) -> bool:
    """Return whether the request asks for a WebSocket."""
    return request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"


def check_socket_origin(request: web.Request, caller: Caller) -> None:
    """Pass if an allowed page asks for the WebSocket, or no page; with a session's cookie only if the origin is proven.

    A browser does not ask the server before it opens a WebSocket to another site, and it sends the cookies along.

    Raises:
        CrossOriginRefused: another site's page asks, or a cookie came without proof of its origin.
    """
    if caller.session_id is None:
        request.app[OWN_ORIGIN].require_allowed_origin(request)
    else:
        request.app[OWN_ORIGIN].require_own_page(request)


async def serve_socket(request: web.Request, caller: Caller) -> web.StreamResponse:
    """Serve a WebSocket, opened by this caller, until it is closed."""
    return await request.app[SOCKETS].serve(request, _CallerOfSocket(request, caller))


class _CallerOfSocket:
    """Who is calling on one WebSocket: the caller of the handshake, then the one who signed in with a message."""

    def __init__(self, request: web.Request, caller: Caller) -> None:
        self._request = request
        self._caller = caller

    @property
    def is_anonymous(self) -> bool:
        """Whether the caller is anonymous."""
        return self._caller.is_anonymous

    @property
    def share(self) -> Hashable:
        """Whose share of the sockets this one counts for."""
        return _forwarded_address(self._request) if self.is_anonymous else self._caller.actor

    @property
    def turn_key(self) -> Hashable:
        """Whose operations run one at a time."""
        return turn_key_of(self._caller)

    async def sign_in(self, authorization: str) -> None:
        """Sign in with the `Authorization` of `connection_init`."""
        self._caller = await authenticate_message(self._request, authorization, Surface.GRAPHQL)

    async def begin_operation(self) -> Context:
        """Return the context of one operation, its caller evaluated at this moment."""
        services = self._request.app[SERVICES]
        # Each operation has an id of its own, as each request has: errors, log and audit show it.
        request_id = make_request_id()
        caller = await services.sessions.renew(replace(self._caller, request_id=request_id))
        _log.info(
            "socket_operation",
            extra={
                "socket": self._request[REQUEST_ID],
                "request_id": request_id,
                "caller": None if caller.is_anonymous else caller.actor,
                "address": self._request[SOURCE].address,
            },
        )
        if caller.secret_id is not None:
            source = self._request[SOURCE].source
            services.usage.used(caller.secret_id, source, await services.database.now())
        return Context(services, caller, request_id)


def _forwarded_address(request: web.Request) -> str | None:
    """Return the address (of IPv6, the /64) that a trusted proxy forwarded.

    None where none did: many people may be behind the address of the connection.
    """
    address = request[SOURCE].source.address
    peer = normalised(request.remote) if request.remote else None
    return None if address is None or address == peer else address_block(address)


async def end_streams(app: web.Application) -> None:
    """End every stream and socket: the server shuts down, and would wait for them."""
    await app[SERVICES].feed.close()
    await app[SOCKETS].close()
