"""Connections, and everything else that uses private parts of aiohttp.

aiohttp gives a connection as much time for its first head as for being idle, any number of bytes for a head within its
limits per line, and unlimited time for a body. Here, each connection that owes a head or a body is in a queue ordered
by its deadline, and one timer looks at the front of both queues: a request costs two entries in a dict, and no timer.

aiohttp answers each request in a task, for which it wakes another one. An answer that needs no awaiting is written
without either (`Connection.answer_arrived`), if the connection has nothing else to do. That is done once in each run of
the event loop, for all requests that have arrived by then, so that they can share one look at the database.

The private attributes, all in this file, because a minor release of aiohttp may change them (`pyproject.toml` has the
bound, `tests/api/web/test_aiohttp_internals.py` the list):

- `web.AppRunner._make_server`
- `web.Server`: `_kwargs`, `_loop`
- `web.RequestHandler`: `_close`, `_force_close`, `_keepalive_timeout`, `_messages`, `_next_keepalive_close_time`,
  `_request_count`, `_request_factory`, `_task_handler`, `_waiter`, and of its base class `_drain_helper`, `_loop`,
  `_parser`, `_paused`, `_reading_paused`
- `web.Request`: `_match_info`, `_payload_writer`
- `StreamReader`: `_buffer`
- `web.StreamResponse`: `_eof_sent`, `_keep_alive`
- `aiohttp.helpers.rfc822_formatted_time`
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeGuard, cast

from aiohttp import HttpVersion10, HttpVersion11, StreamReader, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EmptyStreamReader

from gql_secrets.api.keys import DRAINING, SERVER_NAME, TRUSTED_PROXIES
from gql_secrets.api.web.client_address import TrustedProxies
from gql_secrets.api.web.connection_limits import AddressShare, ConnectionLimits, ConnectionTable, max_connections
from gql_secrets.domain.networks import address_block
from gql_secrets.graphql_server.disconnects import is_disconnected

_log: Final = logging.getLogger(__name__)
# How many connections are closed in one go: each takes some 50 µs while others wait for their responses.
_MAX_CLOSED: Final = 20
_PAUSE: Final = 0.004
_TICK: Final = 0.25
_SECONDS_BETWEEN_WARNINGS: Final = 10.0
_CONTINUE: Final = "100-continue"
# Of a request whose answer is written in one piece.
_NO_WRITER: Final = cast("AbstractStreamWriter", None)
_VERSIONS: Final = (HttpVersion10, HttpVersion11)
_UNIX_ADDRESS: Final = "unix"
_UNIX: Final = getattr(socket, "AF_UNIX", None)
_USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)


class LaterAnswer(NamedTuple):
    """The rest of an answer that was begun."""

    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Begun(NamedTuple):
    """A request that has arrived, and the rest of its answer."""

    message: object
    request: web.BaseRequest
    rest: LaterAnswer


class FastPath(NamedTuple):
    """Requests that are answered without routes and middlewares, which would cost more than the answer.

    Attributes:
        matches: whether a path, as it is in the request line, belongs to it.
        begin: answers such a request without awaiting; where that is not possible, returns what answers it.
        on_activity: called when bytes have arrived on any connection, and when any other request has been handled.
    """

    matches: Callable[[str], bool]
    begin: Callable[[web.BaseRequest], "WholeResponse | LaterAnswer"]
    on_activity: Callable[[], None]


class DirectRoute(NamedTuple):
    """Answers requests for exactly this path without a search for their route.

    Attributes:
        path: the path.
        answer: answers such a request.
        begin: answers such a request without awaiting; where that is not possible, returns what answers it. None where
            that is never possible.
    """

    path: str
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    begin: Callable[[web.Request], "WholeResponse | LaterAnswer"] | None = None


FAST_PATH: Final = web.AppKey("fast_path", FastPath)
DIRECT_ROUTE: Final = web.AppKey("direct_route", DirectRoute)


class BodyTooSlow(web.RequestPayloadError, TimeoutError):  # noqa: N818  named like the rest of the family
    """A body did not arrive in time; raised only where something reads the body."""


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
        self._arrived: list[Connection] = []
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
            begun = _take_begun(request) or fast_path.begin(request)
            return await begun.answer(request) if isinstance(begun, LaterAnswer) else HeadResponse(begun)
        expected = request.headers.get(hdrs.EXPECT)
        if expected is not None and expected.lower() != _CONTINUE:
            # aiohttp would repeat the header's value.
            return _response(HTTPStatus.EXPECTATION_FAILED, "Unsupported Expect header.\n")
        try:
            direct = self.direct_route
            if direct is not None and request.raw_path == direct.path and expected is None:
                rest = _take_begun(request)
                return await (rest.answer if rest else direct.answer)(request)
            return await self._application(request)
        finally:
            self.note_activity()

    def begin_for(self, message: RawRequestMessage) -> "Callable[[web.Request], WholeResponse | LaterAnswer] | None":
        """Return what answers a request with this head without awaiting, where it can; None where nothing does."""
        fast_path, direct = self.fast_path, self.direct_route
        if fast_path is not None and fast_path.matches(message.path):
            return fast_path.begin
        is_direct = direct is not None and message.path == direct.path and hdrs.EXPECT not in message.headers
        return direct.begin if direct is not None and is_direct else None

    def answer_soon(self, connection: "Connection") -> None:
        """Answer the request that has arrived, with all others that arrive in this run of the event loop."""
        if not self._arrived:
            self._loop.call_soon(self._answer_arrived)
        self._arrived.append(connection)

    def _answer_arrived(self) -> None:
        arrived, self._arrived = self._arrived, []
        for connection in arrived:
            connection.answer_arrived()

    def note_activity(self) -> None:
        """Let the fast path know that the database may have changed."""
        if self.fast_path is not None:
            self.fast_path.on_activity()

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return Connection(self, self._loop, **self._kwargs)

    def admit(self, connection: "Connection", peer: str) -> AddressShare["Connection"]:
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


class Connection(web.RequestHandler):
    """One connection: it is in the server's queues while it owes a head or a body."""

    __slots__ = ("_begun", "_head_bytes", "_server", "share")

    share: AddressShare["Connection"]

    def __init__(self, server: BoundedServer, loop: asyncio.AbstractEventLoop, **options: Any) -> None:  # noqa: ANN401
        """Belong to a server; the options are those that aiohttp's own server passes."""
        super().__init__(server, loop=loop, **options)
        self._server = server
        self._head_bytes = 0
        self._begun: _Begun | None = None
        self._request_factory = self._make_request

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self._waiter is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a head."""
        peer = transport.get_extra_info("peername")
        self.share = self._server.admit(self, str(peer[0]) if isinstance(peer, tuple) else "")
        super().connection_made(transport)
        own: socket.socket | None = transport.get_extra_info("socket")
        if own is not None and own.family != _UNIX and _USER_TIMEOUT is not None:
            own.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, int(self._server.limits.unread_seconds * 1000))

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and note whether a head has ended or begun."""
        self._server.note_activity()
        before, waiter = self._request_count, self._waiter
        self._waiter = None  # aiohttp's task is not to be woken yet
        try:
            super().data_received(data)
        finally:
            self._waiter = waiter
        if self._request_count != before:
            self._server.heads.pop(self, None)
            self.share.head_arrived(self)
            self._head_bytes = 0
            if self._messages:
                self._expect_body(self._messages[-1][1])
            if waiter is not None and not waiter.done():
                if self._may_be_answered_now():
                    self._server.answer_soon(self)
                else:
                    waiter.set_result(None)
        elif waiter is not None and data and not self._messages:
            # No request is being answered or about to be, and the data completes none: it is a piece of a head.
            self._head_bytes += len(data)
            if self._head_bytes > self._server.limits.head_bytes:
                self._refuse_head()
            elif self not in self._server.heads:
                self._server.heads[self] = self._loop.time() + self._server.limits.head_seconds
                self.share.head_began(self)

    def _may_be_answered_now(self) -> bool:
        """Whether one whole request has arrived that may need no awaiting, and leaves the connection open."""
        if len(self._messages) != 1:
            return False
        message, body = self._messages[0]
        return _is_plain(message) and body.is_eof() and self._server.begin_for(message) is not None

    def answer_arrived(self) -> None:
        """Answer the request that has arrived, or let aiohttp's task do it.

        While that task waits, no request is being answered, and none has to be answered before this one.
        """
        waiter = self._waiter
        if waiter is not None and not waiter.done() and self._messages and not self._answer_now():
            waiter.set_result(None)

    def _answer_now(self) -> bool:
        """Answer the request that has arrived, if that needs no awaiting; return whether it was answered."""
        transport, parser, task = self.transport, self._parser, self._task_handler
        if transport is None or parser is None or task is None or self._has_more_to_do:
            return False
        message, body = self._messages[0]
        if not _is_plain(message) or (begin := self._server.begin_for(message)) is None:
            return False
        request = cast("web.Request", self._server.request_factory(message, body, self, _NO_WRITER, task))
        try:
            begun = begin(request)
        except Exception:  # noqa: BLE001  aiohttp's task meets it again, and answers it
            _log.exception("unexpected_error")
            return False
        if isinstance(begun, LaterAnswer):
            self._begun = _Begun(message, request, begun)
            return False
        self._messages.clear()
        parser.message_consumed()
        self._server.requests_count += 1
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        transport.write(begun.written())
        return True

    @property
    def _has_more_to_do(self) -> bool:
        """Whether there are more requests, earlier responses to write, or the end of the connection to say."""
        is_ending = self._server.is_draining or self._close or self._force_close
        return is_ending or self._paused or len(self._messages) > 1

    def take_begun(self, request: web.BaseRequest) -> LaterAnswer | None:
        """Return the rest of the answer to this request, if it was begun."""
        begun, self._begun = self._begun, None
        return begun.rest if begun is not None and begun.request is request else None

    def _make_request(
        self,
        message: RawRequestMessage,
        body: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        """Return the request with this head: the same object, where its answer was begun."""
        begun = self._begun
        if begun is None or begun.message is not message:
            return self._server.request_factory(message, body, protocol, writer, task)
        begun.request._payload_writer = writer  # noqa: SLF001
        return begun.request

    def protect(self) -> None:
        """Let this connection be closed last when there are too many."""
        self.share = self._server.table.protect(self, self.share)

    def _expect_body(self, body: StreamReader) -> None:
        self._server.bodies.pop(self, None)
        if not body.is_eof():
            self._server.bodies[self] = (self._loop.time() + self._server.limits.body_seconds, body)

    def abort_body(self, body: StreamReader) -> None:
        """Raise BodyTooSlow where the body is read, and take no other request on this connection."""
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
        """Answer a malformed request, or a failure outside the application, without repeating any of the request.

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
            raise ConnectionError("A response has already begun.")
        return _response(status, "Unexpected error.\n" if is_ours else "Malformed HTTP request.\n")

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ANN401  aiohttp's own
        """Log what failed in this connection; a body that cannot be read is the sender's concern, not a defect."""
        error = kw.get("exc_info")
        if isinstance(error, web.RequestPayloadError | ConnectionError):
            _log.info("body_unreadable", extra={"error": type(error).__name__})
        else:
            super().log_exception(*args, **kw)


class WholeResponse(NamedTuple):
    """A response that is written in one piece: aiohttp's way with headers costs more than a verification.

    It has no headers but those given: no security headers, and no CORS headers.

    Attributes:
        head: what `make_head` returned.
        more: more header lines, each with its line end.
        body: the body.
    """

    head: tuple[HTTPStatus, str]
    more: str = ""
    body: bytes = b""

    def written(self, connection: str = "") -> bytes:
        """Return its bytes, with the header line that says what becomes of the connection."""
        (_, head), more, body = self
        date = rfc822_formatted_time()
        return f"{head}Content-Length: {len(body)}\r\nDate: {date}\r\n{more}{connection}\r\n".encode() + body


class HeadResponse(web.StreamResponse):
    """Writes a `WholeResponse` where aiohttp expects a response of its own."""

    def __init__(self, whole: WholeResponse) -> None:
        """Make it of the response to write."""
        super().__init__(status=whole.head[0])
        self.whole = whole

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write it, and wait while the peer reads more slowly than responses are written.

        Raises:
            ConnectionResetError: the connection is closed.
        """
        if self._eof_sent:
            return
        protocol = request.protocol
        if request.transport is None:
            raise ConnectionResetError("The connection is closed.")
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        connection = ""
        if not self._keep_alive:
            connection = "Connection: close\r\n"
        elif request.version < HttpVersion11:
            connection = "Connection: keep-alive\r\n"
        request.transport.write(self.whole.written(connection))
        self._eof_sent = True
        await protocol._drain_helper()  # noqa: SLF001


def make_head(status: HTTPStatus, *lines: str) -> tuple[HTTPStatus, str]:
    """Return the status line and the headers that all responses of a kind begin with."""
    return status, "".join(
        f"{line}\r\n"
        for line in (
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Server: {SERVER_NAME}",
            "Cache-Control: no-store",
            *lines,
        )
    )


_VERSION_NOT_SUPPORTED: Final = make_head(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)


def _is_plain(message: object) -> TypeGuard[RawRequestMessage]:
    """Whether a head is that of an HTTP/1.1 request after which the connection goes on as it is."""
    return (
        isinstance(message, RawRequestMessage)
        and message.version == HttpVersion11
        and not message.should_close
        and not message.upgrade
    )


def _take_begun(request: web.BaseRequest) -> LaterAnswer | None:
    """Return the rest of the answer to this request, if it was begun."""
    connection = request.protocol
    return connection.take_begun(request) if isinstance(connection, Connection) else None


def protect_connection(request: web.BaseRequest) -> None:
    """Let the connection of an authenticated request be closed last when there are too many."""
    if isinstance(request.protocol, Connection):
        request.protocol.protect()


def arrived_body(request: web.BaseRequest) -> bytes | None:
    """Return the body of a request that arrived whole; None where it must be read in aiohttp's way.

    That way, which lets the parser go on, takes longer than to parse the body. Here the body is not taken away.
    """
    content = request.content
    if not content.is_eof() or request.protocol._reading_paused or content.exception() is not None:  # noqa: SLF001
        return None
    return b"" if isinstance(content, EmptyStreamReader) else b"".join(content._buffer)  # noqa: SLF001


def set_route(request: web.BaseRequest, found: web.UrlMappingMatchInfo) -> web.Request:
    """Set the route of an application's request."""
    own = cast("web.Request", request)
    own._match_info = found  # noqa: SLF001
    return own


def _response(status: int, text: str) -> web.Response:
    """Return a response from outside the application, after which the connection ends."""
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
