"""The server: its connections, and which of them are closed."""

import logging
from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion10, HttpVersion11, StreamReader, hdrs, web
from aiohttp.http import RawRequestMessage

from gql_secrets.api.keys import DRAINING, TRUSTED_PROXIES
from gql_secrets.api.web.aiohttp_internals.connection import Connection, take_begun
from gql_secrets.api.web.aiohttp_internals.requests import (
    DIRECT_ROUTE,
    FAST_PATH,
    ArrivedRequest,
    Begin,
    Begun,
    DirectRoute,
    FastPath,
    LaterAnswer,
    LaterResponse,
)
from gql_secrets.api.web.aiohttp_internals.responses import HeadResponse, WholeResponse, closing_response, make_head
from gql_secrets.api.web.client_address import TrustedProxies
from gql_secrets.api.web.connection_limits import AddressShare, ConnectionLimits, ConnectionTable, max_connections
from gql_secrets.domain.networks import address_block

_log: Final = logging.getLogger(__name__)
# How many connections are closed in one go: each takes some 50 µs while others wait for their responses.
_MAX_CLOSED: Final = 20
_PAUSE: Final = 0.004
_TICK: Final = 0.25
_SECONDS_BETWEEN_WARNINGS: Final = 10.0
_CONTINUE: Final = "100-continue"
_VERSIONS: Final = (HttpVersion10, HttpVersion11)
_VERSION_NOT_SUPPORTED: Final = make_head(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
_UNIX_ADDRESS: Final = "unix"
_ANSWERED: Final = object()


class BoundedRunner(web.AppRunner):
    """Runs an application on limited connections, without an access log."""

    def __init__(
        self, app: web.Application, limits: ConnectionLimits | None = None, *, shutdown_timeout: float = 10.0
    ) -> None:
        """Run it within these limits; at the end, requests in progress may take `shutdown_timeout` seconds."""
        self._limits = limits or ConnectionLimits()
        self._bounded: BoundedServer | None = None
        super().__init__(
            app,
            access_log=None,
            auto_decompress=False,
            logger=_log,
            keepalive_timeout=self._limits.idle_seconds,
            lingering_time=self._limits.linger_seconds,
            max_line_size=self._limits.line_bytes,
            max_field_size=self._limits.line_bytes,
            max_headers=self._limits.fields,
            shutdown_timeout=shutdown_timeout,
        )

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        server = BoundedServer(plain, self._limits, self.app.get(TRUSTED_PROXIES, TrustedProxies()))
        server.fast_path, server.direct_route = self.app.get(FAST_PATH), self.app.get(DIRECT_ROUTE)
        self._bounded = server
        return server

    def drain(self) -> None:
        """Say in every response that its connection ends with it, and be unready, until the server stops."""
        if self._bounded is not None:
            self._bounded.is_draining = True
        if (draining := self.app.get(DRAINING)) is not None:
            draining.set()


class BoundedServer(web.Server):
    """Makes a `Connection` for each connection, and closes those that exceed their time or their number."""

    def __init__(self, plain: web.Server, limits: ConnectionLimits, trusted_proxies: TrustedProxies) -> None:
        """Serve the application of this aiohttp server."""
        super().__init__(self._answer, request_factory=plain.request_factory, **plain._kwargs)  # noqa: SLF001
        self.fast_path: FastPath | None = None
        self.direct_route: DirectRoute | None = None
        self.is_draining = False
        self.limits = limits
        self.heads: dict[Connection, float] = {}
        self.bodies: dict[Connection, tuple[float, StreamReader]] = {}
        self.table: ConnectionTable[Connection] = ConnectionTable()
        self._arrived: list[tuple[ArrivedRequest, Begin]] = []
        self._application = plain.request_handler
        self._trusted_proxies = trusted_proxies
        self._max_connections = max_connections(limits.connections)
        self._warned_at = -_SECONDS_BETWEEN_WARNINGS
        self._reaper = self._loop.call_soon(self._reap)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await self._respond(request)
        if self.is_draining:
            response.force_close()
        return response

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.version not in _VERSIONS:
            # Not aiohttp's response, whose status line would repeat the version.
            refusal = HeadResponse(WholeResponse(_VERSION_NOT_SUPPORTED))
            refusal.force_close()
            return refusal
        fast_path = self.fast_path
        if fast_path is not None and fast_path.matches(request.raw_path):
            begun: Begun | None = take_begun(request)
            if begun is None:
                fast_path.on_activity()
                begun = fast_path.begin(request)
            if isinstance(begun, LaterAnswer):
                return await begun.answer(request)
            made = await begun.make(request) if isinstance(begun, LaterResponse) else begun
            return HeadResponse(made) if isinstance(made, WholeResponse) else made
        expected = request.headers.get(hdrs.EXPECT)
        if expected is not None and expected.lower() != _CONTINUE:
            # aiohttp would repeat the header's value.
            return closing_response(HTTPStatus.EXPECTATION_FAILED, "Unsupported Expect header.\n")
        try:
            direct = self.direct_route
            if direct is not None and request.raw_path == direct.path and expected is None:
                rest = take_begun(request)
                return await (rest.answer if rest else direct.answer)(request)
            return await self._application(request)
        finally:
            self.note_activity()

    def begin_for(self, message: RawRequestMessage) -> Begin | None:
        """Return what begins to answer a request with this head without aiohttp's task; None where nothing does."""
        fast_path, direct = self.fast_path, self.direct_route
        if fast_path is not None and fast_path.matches(message.path):
            return fast_path.begin
        is_direct = direct is not None and message.path == direct.path and hdrs.EXPECT not in message.headers
        return direct.begin if direct is not None and is_direct else None

    def answer_soon(self, arrived: ArrivedRequest, begin: Begin) -> None:
        """Answer a request that has arrived, with all others that arrive in this run of the event loop."""
        if not self._arrived:
            self._loop.call_soon(self._answer_arrived)
        self._arrived.append((arrived, begin))

    def _answer_arrived(self) -> None:
        all_arrived, self._arrived = self._arrived, []
        self.note_activity()
        in_steps = [
            steps
            for arrived, begin in all_arrived
            if (steps := arrived.protocol.answer_arrived(arrived, begin)) is not None
        ]
        while in_steps:
            in_steps = [steps for steps in in_steps if next(steps, _ANSWERED) is not _ANSWERED]

    def note_activity(self) -> None:
        """Let the fast path know that the database may have changed."""
        if self.fast_path is not None:
            self.fast_path.on_activity()

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return Connection(self, self._loop, **self._kwargs)

    def admit(self, connection: Connection, peer: str) -> AddressShare[Connection]:
        """Add a new connection; if there is one too many, close the one that has to give way."""
        address = address_block(peer) if peer else _UNIX_ADDRESS
        is_trusted = self._trusted_proxies.trusts(peer) if peer else self._trusted_proxies.unix
        self.heads[connection] = self._loop.time() + self.limits.head_seconds
        share = self.table.add(connection, address, is_protected=is_trusted)
        if len(self.table) > self._max_connections:
            self._warn(address)
            chosen = self.table.choose_to_close(connection, lambda each: each.is_busy)
            self.table.remove(chosen, share if chosen is connection else chosen.share)
            # After `connection_made` of the newcomer, which may be the one.
            self._loop.call_soon(chosen.force_close)
        return share

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Remove a connection."""
        super().connection_lost(handler, exc)
        if isinstance(handler, Connection):
            self.table.remove(handler, handler.share)
            self.heads.pop(handler, None)
            self.bodies.pop(handler, None)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  aiohttp's signature
        """Close every connection."""
        self._reaper.cancel()
        await super().shutdown(timeout)

    def _warn(self, address: str) -> None:
        now = self._loop.time()
        if now - self._warned_at >= _SECONDS_BETWEEN_WARNINGS:
            self._warned_at = now
            _log.warning("connection_limit_reached", extra={"limit": self._max_connections, "address": address})

    def _reap(self) -> None:
        now = self._loop.time()
        closed = 0
        while self.heads and closed < _MAX_CLOSED:
            connection, due = next(iter(self.heads.items()))
            if due > now:
                break
            del self.heads[connection]
            connection.force_close()
            closed += 1
        while self.bodies and closed < _MAX_CLOSED:
            connection, (due, body) = next(iter(self.bodies.items()))
            if due > now:
                break
            del self.bodies[connection]
            if not body.is_eof() and body.exception() is None:
                connection.abort_body(body)
                closed += 1
        tick = min(_TICK, self.limits.head_seconds / 4, self.limits.body_seconds / 4)
        self._reaper = self._loop.call_later(_PAUSE if closed == _MAX_CLOSED else tick, self._reap)
