"""One connection: what it owes, and when its request is answered."""

import asyncio
import logging
import socket
from collections.abc import Generator
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.http_parser import HttpParser

from gql_secrets.api.web.aiohttp_internals.requests import (
    ArrivedRequest,
    Begin,
    Begun,
    Head,
    LaterAnswer,
    MadeResponse,
    MakeSoon,
    SoonResponse,
    Steps,
    is_plain,
)
from gql_secrets.api.web.aiohttp_internals.responses import HeadResponse, WholeResponse, closing_response
from gql_secrets.api.web.connection_limits import AddressShare
from gql_secrets.graphql_server.disconnects import is_disconnected

if TYPE_CHECKING:
    from gql_secrets.api.web.aiohttp_internals.server import BoundedServer

_log: Final = logging.getLogger(__name__)
# Of a request whose answer is written in one piece.
_NO_WRITER: Final = cast("AbstractStreamWriter", None)
_UNIX: Final = getattr(socket, "AF_UNIX", None)
_USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)


class _Begun(NamedTuple):
    """A request that has arrived, and the rest of its answer: the response, if the connection makes it itself."""

    arrived: ArrivedRequest
    rest: "LaterAnswer | asyncio.Future[MadeResponse | asyncio.Task[MadeResponse]] | asyncio.Task[MadeResponse]"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the response to the request."""
        if isinstance(self.rest, LaterAnswer):
            return await self.rest.answer(request)
        made = await self.rest
        if isinstance(made, asyncio.Task):
            made = await made
        return HeadResponse(made) if isinstance(made, WholeResponse) else made


class BodyTooSlow(web.RequestPayloadError, TimeoutError):  # noqa: N818  named like the rest of the family
    """A body did not arrive in time; raised only where something reads the body."""


class Connection(web.RequestHandler):
    """One connection: it is in the server's queues while it owes a head or a body.

    A request that arrives before aiohttp's task waits for one, because it has just begun or just written a response, is
    withheld from that task until the next run of the event loop, in which it does. Otherwise the task would take it; a
    fast caller would send the next one before the task waits again, and so on.
    """

    __slots__ = ("_begun", "_head_bytes", "_server", "_withheld", "share")

    share: AddressShare["Connection"]

    def __init__(self, server: "BoundedServer", loop: asyncio.AbstractEventLoop, **options: Any) -> None:  # noqa: ANN401
        """Belong to a server; the options are those that aiohttp's own server passes."""
        super().__init__(server, loop=loop, **options)
        self._server = server
        self._head_bytes = 0
        self._begun: _Begun | None = None
        self._withheld: Any = None  # a request as aiohttp keeps it
        self._request_factory = self._make_request

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered, or has arrived."""
        return self._waiter is None or bool(self._messages) or self._withheld is not None

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
        self._give_back()
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
            if waiter is None:
                if self._is_answered_on_arrival():
                    self._withheld = self._messages.popleft()
            elif not waiter.done() and not self._is_answered_on_arrival():
                waiter.set_result(None)
        elif waiter is not None and data and not self._messages:
            # No request is being answered or about to be, and the data completes none: it is a piece of a head.
            self._head_bytes += len(data)
            if self._head_bytes > self._server.limits.head_bytes:
                self._refuse_head()
            elif self not in self._server.heads:
                self._server.heads[self] = self._loop.time() + self._server.limits.head_seconds
                self.share.head_began(self)

    def _is_answered_on_arrival(self) -> bool:
        """Have the request that has arrived answered soon, if it may need no awaiting; return whether it is.

        It is one whole request that leaves the connection open.
        """
        if len(self._messages) != 1:
            return False
        message, body = self._messages[0]
        if not is_plain(message) or not body.is_eof() or (begin := self._server.begin_for(message)) is None:
            return False
        self._server.answer_soon(ArrivedRequest(message, body, self), begin)
        return True

    def answer_arrived(self, arrived: ArrivedRequest, begin: Begin) -> Generator[None] | None:
        """Answer this request, which has arrived, or let aiohttp's task do it; return what does so in steps, if it has.

        While that task waits, no request is being answered, and none has to be answered before this one.
        """
        self._give_back()
        waiter = self._waiter
        if waiter is None or waiter.done() or not self._messages:
            return None
        begun = self._begin(arrived, begin) if self._messages[0][0] is arrived.message else None
        if isinstance(begun, Generator):
            return self._answer_in_steps(arrived, begun, waiter)
        if not self._go_on(arrived, begun):
            waiter.set_result(None)
        return None

    def _answer_in_steps(
        self, arrived: ArrivedRequest, steps: Steps, waiter: "asyncio.Future[None]"
    ) -> Generator[None]:
        begun: Begun | SoonResponse | None = None
        try:
            begun = yield from steps
        except Exception:  # noqa: BLE001  aiohttp's task meets it again, and answers it
            _log.exception("unexpected_error")
        yield
        if not waiter.done() and not self._go_on(arrived, begun):
            waiter.set_result(None)

    def _give_back(self) -> None:
        """Let aiohttp's task see a request that was withheld from it."""
        if self._withheld is not None:
            self._messages.appendleft(self._withheld)
            self._withheld = None

    def _begin(self, arrived: ArrivedRequest, begin: Begin) -> Begun | Steps | None:
        """Begin to answer this request without aiohttp's task; return None if that is not possible."""
        if self.transport is None or self._parser is None or self._task_handler is None or self._has_more_to_do:
            return None
        try:
            return begin(arrived)
        except Exception:  # noqa: BLE001  aiohttp's task meets it again, and answers it
            _log.exception("unexpected_error")
            return None

    def _go_on(self, arrived: ArrivedRequest, begun: Begun | SoonResponse | None) -> bool:
        """Write what was begun, or let a task of the connection make it; return whether aiohttp's task need not."""
        transport, parser = self.transport, self._parser
        if begun is None or transport is None or parser is None:
            return False
        if isinstance(begun, WholeResponse):
            return self._write(transport, parser, begun)
        if isinstance(begun, LaterAnswer):
            self._begun = _Begun(arrived, begun)
            return False
        if isinstance(begun, SoonResponse):
            soon: asyncio.Future[MadeResponse | asyncio.Task[MadeResponse]] = self._loop.create_future()
            self._begun = _Begun(arrived, soon)
            begun.begin(arrived.request, partial(self._make_soon, soon))
            return True
        response = self._loop.create_task(begun.make(arrived.request))
        self._begun = _Begun(arrived, response)
        response.add_done_callback(self._conclude)
        return True

    def _make_soon(self, soon: "asyncio.Future[MadeResponse | asyncio.Task[MadeResponse]]", make: MakeSoon) -> None:
        """Make the response without a task and write it, or go on with the task that makes it."""
        made: MadeResponse | asyncio.Task[MadeResponse] | None = None
        try:
            made = make()
        except Exception as failure:  # noqa: BLE001  aiohttp's task answers it
            if not soon.done():
                soon.set_exception(failure)
        if made is not None and not soon.done():
            soon.set_result(made)
        if not isinstance(made, asyncio.Task):
            self._conclude(soon)
        elif self._begun is not None and self._begun.rest is soon:
            self._begun = self._begun._replace(rest=made)
            made.add_done_callback(self._conclude)

    def _conclude(self, response: "asyncio.Future[Any]") -> None:
        """Write the response that this connection made, or let aiohttp's task do it if anything else came up."""
        self._server.note_activity()
        transport, parser, waiter = self.transport, self._parser, self._waiter
        if self._begun is None or self._begun.rest is not response:
            return
        if transport is None or parser is None:
            self._begun = None
        elif waiter is None or waiter.done():
            return  # aiohttp's task is about to take it
        elif self._has_more_to_do or response.cancelled() or response.exception() is not None:
            self._let_aiohttp_answer()
        elif isinstance(whole := response.result(), WholeResponse) and self._write(transport, parser, whole):
            self._begun = None
        else:
            self._let_aiohttp_answer()

    def _write(
        self, transport: asyncio.WriteTransport, parser: HttpParser[RawRequestMessage], response: WholeResponse
    ) -> bool:
        """Write a response; return False for one that has no bytes: the other requests of this step get theirs."""
        try:
            written = response.written()
        except Exception:  # noqa: BLE001  aiohttp's task meets it again, and ends the request
            _log.exception("unexpected_error")
            return False
        self._messages.clear()
        parser.message_consumed()
        self._server.requests_count += 1
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        transport.write(written)
        return True

    def _process_keepalive(self) -> None:
        self._give_back()
        if self._messages:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def close(self) -> None:
        """Close the connection after the answer to a request that has arrived."""
        self._give_back()
        self._let_aiohttp_answer()
        super().close()

    def _let_aiohttp_answer(self) -> None:
        """Wake aiohttp's task for a request that has arrived, since it would take the connection for idle."""
        if self._messages and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def _has_more_to_do(self) -> bool:
        """Whether there are more requests, earlier responses to write, or the end of the connection to say."""
        is_ending = self._server.is_draining or self._close or self._force_close
        return is_ending or self._paused or len(self._messages) > 1

    def take_begun(self, request: web.BaseRequest) -> LaterAnswer | None:
        """Return the rest of the answer to this request, if it was begun."""
        begun, self._begun = self._begun, None
        return LaterAnswer(begun.answer) if begun is not None and begun.arrived.request is request else None

    def make_request(self, message: RawRequestMessage, body: StreamReader) -> web.Request:
        """Return the request with this head, which has no writer unless aiohttp's task takes it."""
        task = cast("asyncio.Task[None]", self._task_handler)
        return cast("web.Request", self._server.request_factory(message, body, self, _NO_WRITER, task))

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
        if begun is None or begun.arrived.message is not message:
            return self._server.request_factory(message, body, protocol, writer, task)
        request = begun.arrived.request
        request._payload_writer = writer  # noqa: SLF001
        return request

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
        return closing_response(status, "Unexpected error.\n" if is_ours else "Malformed HTTP request.\n")

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ANN401  aiohttp's own
        """Log what failed in this connection; a body that cannot be read is the sender's concern, not a defect."""
        error = kw.get("exc_info")
        if isinstance(error, web.RequestPayloadError | ConnectionError):
            _log.info("body_unreadable", extra={"error": type(error).__name__})
        else:
            super().log_exception(*args, **kw)


def take_begun(request: web.BaseRequest) -> LaterAnswer | None:
    """Return the rest of the answer to this request, if it was begun."""
    connection = request.protocol
    return connection.take_begun(request) if isinstance(connection, Connection) else None


def protect_connection(request: Head) -> None:
    """Let the connection of an authenticated request be closed last when there are too many."""
    if isinstance(request.protocol, Connection):
        request.protocol.protect()
