"""The connections below the application: how long a head and a body may take, and how many there may be.

aiohttp gives a connection as long for its first head as for lying idle, any number of bytes for it within its limits
per line, and a body for ever. Here every connection that owes something stands in one of two queues, ordered by when
its time is over, and one timer walks their fronts: a request costs two entries in a dict, and no timer of its own.
"""

import asyncio
import logging
import socket
import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from aiohttp import StreamReader, hdrs, web

from gql_secrets.api.gateway import Gateway, is_verification
from gql_secrets.api.keys import SERVER_NAME, SERVICES, TRUSTED_PROXIES
from gql_secrets.graphql_server.disconnects import is_disconnected

_log: Final = logging.getLogger(__name__)
# How many connections are closed at a time: each takes some 50 µs, and others are waiting for their answers.
_MAX_AT_ONCE: Final = 20
_PAUSE: Final = 0.004
_TICK: Final = 0.25
# Files that the process needs beside its connections: the database, the log, what is being listened on.
_OTHER_FILES: Final = 200
_CONTINUE: Final = "100-continue"
_UNIX: Final = getattr(socket, "AF_UNIX", None)
_USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a connection may take, and how many there may be."""

    head_seconds: float = 10.0
    """From a head's first byte, or from the connection, to its end."""
    body_seconds: float = 30.0
    """From the end of a head to the end of its body."""
    idle_seconds: float = 75.0
    """Between an answer and the next request: longer than gateways keep their connections."""
    unread_seconds: float = 60.0
    """How long the other side may leave unread what it was answered (where the system can tell, as Linux can)."""
    linger_seconds: float = 5.0
    """How long the rest of a body is read and thrown away after the answer."""
    head_bytes: int = 32 * 1024
    """Bytes of a head that comes in pieces."""
    line_bytes: int = 8 * 1024
    """Bytes of a request line, or of one field."""
    fields: int = 100
    """Fields of a head."""
    connections: int = 20_000
    """Connections of one process; fewer where the system allows fewer open files."""


class BodyTooSlow(web.RequestPayloadError, TimeoutError):  # noqa: N818  named like the rest of the family
    """A body did not arrive in time. Whoever reads it is told; whoever does not is not concerned."""


class BoundedRunner(web.AppRunner):
    """Runs an application, without an access log, on connections that are bounded."""

    def __init__(
        self, app: web.Application, limits: ConnectionLimits | None = None, *, shutdown_timeout: float = 10.0
    ) -> None:
        """Run it within these limits; answers under way may take so many seconds when it is told to stop."""
        self._limits = limits or ConnectionLimits()
        super().__init__(
            app,
            access_log=None,
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
        return BoundedServer(plain, self._limits, self.app)


class BoundedServer(web.Server):
    """Makes a `Connection` for each connection, and closes those whose time is over."""

    def __init__(self, plain: web.Server, limits: ConnectionLimits, app: web.Application) -> None:
        """Serve what a server of aiohttp would."""
        super().__init__(self._answer, request_factory=plain.request_factory, **plain._kwargs)  # noqa: SLF001
        self._application = plain.request_handler
        self._app = app
        self._gateway: Gateway | None = None
        self.limits = limits
        self.arrivals = 0
        self.heads: dict[Connection, float] = {}
        self.bodies: dict[Connection, tuple[float, StreamReader]] = {}
        self._most = min(limits.connections, _most_connections(limits.connections))
        self._patrol = self._loop.call_soon(self._walk)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        # Routes and middlewares would take a verification longer than its answer does, and have nothing to add to it.
        if is_verification(request.raw_path) and (gateway := self._gateway or self._find_gateway()):
            return await gateway.answer(request, self.arrivals)
        if request.headers.get(hdrs.EXPECT, _CONTINUE).lower() != _CONTINUE:
            # aiohttp would repeat what is expected.
            return _response(HTTPStatus.EXPECTATION_FAILED, "No expectation but 100-continue is met here.\n")
        return await self._application(request)

    def _find_gateway(self) -> Gateway | None:
        if SERVICES in self._app:
            self._gateway = Gateway(self._app[SERVICES], self._app[TRUSTED_PROXIES])
        return self._gateway

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return Connection(self, self._loop, **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection; where there are too many, drop the one that has owed a head longest."""
        super().connection_made(handler, transport)
        if len(self._connections) > self._most:
            # Whoever sends its requests owes nothing for longer than a moment: slow ones drive each other out.
            next(iter(self.heads), handler).force_close()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        if isinstance(handler, Connection):
            self.heads.pop(handler, None)
            self.bodies.pop(handler, None)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  aiohttp's signature
        """Close every connection."""
        self._patrol.cancel()
        await super().shutdown(timeout)

    def _walk(self) -> None:
        now = self._loop.time()
        closed = 0
        while self.heads and closed < _MAX_AT_ONCE:
            handler, due = next(iter(self.heads.items()))
            if due > now:
                break
            del self.heads[handler]
            handler.force_close()
            closed += 1
        while self.bodies and closed < _MAX_AT_ONCE:
            handler, (due, body) = next(iter(self.bodies.items()))
            if due > now:
                break
            del self.bodies[handler]
            if not body.is_eof() and body.exception() is None:
                handler.give_up(body)
                closed += 1
        tick = min(_TICK, self.limits.head_seconds / 4, self.limits.body_seconds / 4)
        self._patrol = self._loop.call_later(_PAUSE if closed == _MAX_AT_ONCE else tick, self._walk)


class Connection(web.RequestHandler):
    """One connection: it is in the server's queues while it owes a head or a body."""

    __slots__ = ("_head_bytes", "_server")

    def __init__(self, server: BoundedServer, loop: asyncio.AbstractEventLoop, **options: Any) -> None:  # noqa: ANN401
        """Belong to a server; the options are those that aiohttp's own server hands over."""
        super().__init__(server, loop=loop, **options)
        self._server = server
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a head."""
        self._server.heads[self] = self._loop.time() + self._server.limits.head_seconds
        super().connection_made(transport)
        own: socket.socket | None = transport.get_extra_info("socket")
        if own is not None and own.family != _UNIX and _USER_TIMEOUT is not None:
            own.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, int(self._server.limits.unread_seconds * 1000))

    def data_received(self, data: bytes) -> None:
        """Take what arrived; look whether a head has ended or begun."""
        self._server.arrivals += 1
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            self._server.heads.pop(self, None)
            self._head_bytes = 0
            if self._messages:
                self._expect_body(self._messages[-1][1])
        elif self._waiter is not None and data:
            # Nobody answers a request here, and what came completes none: it is a piece of a head.
            self._head_bytes += len(data)
            if self._head_bytes > self._server.limits.head_bytes:
                self._refuse_head()
            elif self not in self._server.heads:
                self._server.heads[self] = self._loop.time() + self._server.limits.head_seconds

    def _expect_body(self, body: StreamReader) -> None:
        self._server.bodies.pop(self, None)
        if not body.is_eof():
            self._server.bodies[self] = (self._loop.time() + self._server.limits.body_seconds, body)

    def give_up(self, body: StreamReader) -> None:
        """Tell whoever reads the body that it will not come, and take no other request here."""
        body.set_exception(BodyTooSlow("The body took too long to arrive."))
        self.close()

    def _refuse_head(self) -> None:
        if self.transport is not None:
            self.transport.write(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no request, or what failed below the application, and repeat nothing of it.

        aiohttp would quote the line that it could not read, and write the head to the log.
        """
        del message
        is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        if isinstance(exc, ConnectionError) and is_disconnected(request):
            _log.info("client_disconnected", extra={"error": type(exc).__name__})
        elif is_ours:
            _log.error("unexpected_error", exc_info=exc)
        else:
            _log.info("malformed_request", extra={"status": status, "error": type(exc).__name__})
        if request.writer.output_size > 0:
            raise ConnectionError("An answer was begun already.")
        return _response(
            status, "Unexpected error.\n" if is_ours else "This is no HTTP request that can be read here.\n"
        )

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ANN401  aiohttp's own
        """Write what failed in this connection to the log; a body that cannot be read is its sender's business."""
        error = kw.get("exc_info")
        if isinstance(error, web.RequestPayloadError | ConnectionError):
            _log.info("body_unreadable", extra={"error": type(error).__name__})
        else:
            super().log_exception(*args, **kw)


def _response(status: int, text: str) -> web.Response:
    """Return an answer of this floor, after which the connection ends."""
    response = web.Response(
        status=status,
        text=text,
        headers={
            hdrs.CACHE_CONTROL: "no-store",
            hdrs.SERVER: SERVER_NAME,
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
        },
    )
    response.force_close()
    return response


def _most_connections(wanted: int) -> int:
    """Return how many connections the limit of open files leaves room for, after raising it as far as may be."""
    if sys.platform == "win32":
        return wanted
    import resource  # noqa: PLC0415  no such module on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (ValueError, OSError):
            soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - _OTHER_FILES))
