"""GraphQL over a WebSocket: the protocol graphql-transport-ws, for every kind of operation.

Each operation is admitted and executed as over HTTP, by the same engine within the same budget. A socket outlives the
request that opened it, so its caller is judged again before each operation; streams judge theirs by themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import orjson
from aiohttp import WSMessage, WSMsgType, hdrs, web
from graphql import OperationType

from gql_secrets.graphql_server.engine import Admitted, Engine, RequestContext
from gql_secrets.graphql_server.errors import (
    BAD_REQUEST,
    FORBIDDEN,
    INTERNAL,
    RATE_LIMITED,
    UNAUTHENTICATED,
    Present,
    RequestRefused,
    error_entry,
    internal_entry,
    refused_entry,
)
from gql_secrets.graphql_server.http import Malformed, call_from
from gql_secrets.graphql_server.parsing import DocumentRefused
from gql_secrets.graphql_server.sse import SEND_SECONDS, content_of

PROTOCOL = "graphql-transport-ws"

log = logging.getLogger(__name__)

_HANDSHAKE: Final = (
    hdrs.CONNECTION,
    hdrs.UPGRADE,
    hdrs.SEC_WEBSOCKET_KEY,
    hdrs.SEC_WEBSOCKET_VERSION,
    hdrs.SEC_WEBSOCKET_PROTOCOL,
)
# The codes for closing, of WebSockets and of this protocol.
GOING_AWAY = 1001
TRY_AGAIN_LATER = 1013
INVALID_MESSAGE = 4400
UNAUTHORIZED = 4401
NOT_ALLOWED = 4403
INITIALISATION_TIMEOUT = 4408
SUBSCRIBER_EXISTS = 4409
TOO_MANY_INITIALISATIONS = 4429


class SomeCaller(Protocol):
    """Who is calling, as far as a socket asks."""

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody signed in."""
        ...


CallerType = TypeVar("CallerType", bound=SomeCaller)


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What a socket may take."""

    sockets: int = 1_000
    """Sockets of one process."""
    message_bytes: int = 131_072
    """Bytes of a message: as much as of a request's body."""
    operations: int = 20
    """Operations under way at once."""
    id_characters: int = 256
    """Characters of an operation's id."""
    init_seconds: float = 5.0
    """How long the client may take to say `connection_init`."""
    anonymous_seconds: float = 60.0
    """How long a socket may stay on which nobody signed in."""
    send_seconds: float = SEND_SECONDS
    """How long a reader may take to make room for the next message."""
    heartbeat_seconds: float = 20.0
    """How often the other side must show that it is there."""


@dataclass(frozen=True, slots=True)
class Host(Generic[CallerType]):
    """What a socket asks of the server around it. Failures that `present` knows are told, others are masked.

    Attributes:
        sign_in: from the `Authorization` of `connection_init` to a caller.
        begin: the context of one operation, whose caller was judged at this moment.
        present: the table from a failure to what a caller is told.
    """

    sign_in: Callable[[str], Awaitable[CallerType]]
    begin: Callable[[CallerType], Awaitable[RequestContext]]
    present: Present


class Sockets:
    """The open sockets of one process."""

    def __init__(self, engine: Engine, limits: SocketLimits | None = None) -> None:
        self._engine = engine
        self._limits = limits or SocketLimits()
        self._open: set[web.WebSocketResponse] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def serve(self, request: web.Request, caller: CallerType, host: Host[CallerType]) -> web.StreamResponse:
        """Answer the request that asks for a socket, and serve it until it is closed."""
        offered = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")
        if PROTOCOL not in (name.strip() for name in offered):
            # Before aiohttp looks: it would write what was offered to the log, and some clients put a token there.
            return web.Response(status=400, text=f"The only WebSocket protocol here is {PROTOCOL}.\n")
        if len(self._open) >= self._limits.sockets:
            return web.Response(status=503, text="Too many WebSockets are open. Try again later.\n")
        socket = web.WebSocketResponse(
            protocols=(PROTOCOL,),
            heartbeat=self._limits.heartbeat_seconds,
            max_msg_size=self._limits.message_bytes,
            compress=False,
            timeout=self._limits.send_seconds,
        )
        # A head that is no handshake is refused by aiohttp, one that is no ASCII is its undoing.
        said = (value for name in _HANDSHAKE for value in request.headers.getall(name, ()))
        if not all(value.isascii() for value in said) or not socket.can_prepare(request):
            return web.Response(status=400, text="This is no WebSocket handshake that is known here.\n")
        await socket.prepare(request)
        self._open.add(socket)
        try:
            await _Conversation(self._engine, self._limits, request, socket, caller, host).hold()
        finally:
            self._open.discard(socket)
        return socket

    async def close(self) -> None:
        """Close every socket: the server stops."""
        closing = (socket.close(code=GOING_AWAY, message=b"The server stops") for socket in list(self._open))
        await asyncio.gather(*closing, return_exceptions=True)


class _Closed(Exception):  # noqa: N818  a signal to the operations of a socket
    """The socket is closed, or its reader is too slow."""


class _Conversation(Generic[CallerType]):
    """One socket from its first message to its last."""

    def __init__(
        self,
        engine: Engine,
        limits: SocketLimits,
        request: web.Request,
        socket: web.WebSocketResponse,
        caller: CallerType,
        host: Host[CallerType],
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._request = request
        self._socket = socket
        self._caller = caller
        self._host = host
        self._is_initialised = False
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._began_at = asyncio.get_running_loop().time()

    async def hold(self) -> None:
        """Read messages until somebody closes."""
        try:
            while not self._socket.closed:
                message = await self._receive()
                if message is None:
                    return
                if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                    return
                if message.type is not WSMsgType.TEXT:
                    await self._close(INVALID_MESSAGE, "Messages are JSON text")
                    return
                await self._read(message.data)
        except _Closed:
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _receive(self) -> WSMessage | None:
        """Return the next message, or None after closing a socket on which nobody signed in for too long."""
        if self._is_initialised and not self._caller.is_anonymous:
            return await self._socket.receive()
        limit = self._limits.anonymous_seconds if self._is_initialised else self._limits.init_seconds
        try:
            async with asyncio.timeout_at(self._began_at + limit):
                return await self._socket.receive()
        except TimeoutError:
            if self._is_initialised:
                await self._close(NOT_ALLOWED, "Nobody signed in")
            else:
                await self._close(INITIALISATION_TIMEOUT, "Connection initialisation timeout")
            return None

    async def _read(self, text: str) -> None:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            message = None
        match message:
            case {"type": "connection_init"}:
                await self._initialise(message.get("payload"))
            case {"type": "ping"}:
                await self._send({"type": "pong"})
            case {"type": "pong"}:
                pass
            case {"type": "subscribe", "id": str(id_), "payload": dict(payload)} if (
                0 < len(id_) <= self._limits.id_characters
            ):
                await self._subscribe(id_, payload)
            case {"type": "complete", "id": str(id_)}:
                if (task := self._operations.pop(id_, None)) is not None:
                    task.cancel()
            case _:
                await self._close(INVALID_MESSAGE, "Invalid message")

    async def _initialise(self, payload: object) -> None:
        if self._is_initialised:
            await self._close(TOO_MANY_INITIALISATIONS, "Too many initialisation requests")
            return
        authorization = payload.get("Authorization") if isinstance(payload, dict) else None
        if not isinstance(payload, dict | None) or not isinstance(authorization, str | None):
            await self._close(INVALID_MESSAGE, "Invalid message")
            return
        if authorization is not None:
            try:
                self._caller = await self._host.sign_in(authorization)
            except Exception as failure:
                told = self._host.present(failure)
                if told is None:
                    log.exception("a sign-in over a WebSocket failed")
                is_refused = told is not None and told.code in (UNAUTHENTICATED, FORBIDDEN)
                await self._close(
                    NOT_ALLOWED if is_refused else TRY_AGAIN_LATER, told.message if told else "Unexpected error."
                )
                return
        self._is_initialised = True
        await self._send({"type": "connection_ack"})

    async def _subscribe(self, id_: str, payload: dict[str, object]) -> None:
        if not self._is_initialised:
            await self._close(UNAUTHORIZED, "Unauthorized")
        elif id_ in self._operations:
            await self._close(SUBSCRIBER_EXISTS, f"Subscriber for {id_} already exists")
        elif len(self._operations) >= self._limits.operations:
            sentence = f"At most {self._limits.operations} operations run at once on a WebSocket."
            await self._send({"type": "error", "id": id_, "payload": [error_entry(sentence, RATE_LIMITED)]})
        else:
            task = self._operations[id_] = asyncio.create_task(self._operate(id_, payload))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _operate(self, id_: str, payload: dict[str, object]) -> None:
        """Run one operation to its last message; then its id is free again."""
        has_ended = False
        try:
            errors = await self._run(id_, payload)
            self._forget(id_)
            if errors is None:
                await self._send({"type": "complete", "id": id_})
            else:
                await self._send({"type": "error", "id": id_, "payload": errors})
                has_ended = not self._caller.is_anonymous and _code_of(errors) == UNAUTHENTICATED
        except _Closed:
            pass
        finally:
            self._forget(id_)
        if has_ended:
            # Whoever signed in anew since comes back with the new sign-in.
            await self._close(NOT_ALLOWED, "The sign-in has ended")

    def _forget(self, id_: str) -> None:
        if self._operations.get(id_) is asyncio.current_task():
            del self._operations[id_]

    async def _run(self, id_: str, payload: dict[str, object]) -> list[dict[str, object]] | None:
        """Send the operation's results; return the errors that end it, or None where it came to its end."""
        admitted: Admitted | None = None
        context: RequestContext | None = None
        try:
            context = await self._host.begin(self._caller)
            admitted = self._engine.admit(call_from(payload), context)
            if admitted.kind is not OperationType.SUBSCRIPTION:
                await self._next(id_, content_of(await self._engine.execute(admitted, context)))
                return None
            async with aclosing(await self._engine.subscribe(admitted, context)) as answers:
                async for answer in answers:
                    if answer.data is None:
                        return answer.errors
                    await self._next(id_, content_of(answer))
        except _Closed:
            raise
        except Malformed as malformed:
            return [error_entry(malformed.message, BAD_REQUEST)]
        except DocumentRefused as refused:
            return refused.errors
        except Exception as failure:  # noqa: BLE001  the last door before the caller
            return [self._told(failure, context, admitted)]
        return None

    def _told(self, failure: Exception, context: RequestContext | None, admitted: Admitted | None) -> dict[str, object]:
        told = failure if isinstance(failure, RequestRefused) else self._host.present(failure)
        if told is not None:
            return refused_entry(told)
        if context is None:
            log.error("a caller cannot be judged", exc_info=failure)
            return error_entry("Unexpected error.", INTERNAL)
        self._engine.mask.record(failure, context, "", self._engine.hidden(admitted))
        return internal_entry(context)

    async def _next(self, id_: str, content: Mapping[str, object]) -> None:
        await self._send({"type": "next", "id": id_, "payload": content})

    async def _send(self, message: Mapping[str, object]) -> None:
        if self._socket.closed:
            raise _Closed
        try:
            async with asyncio.timeout(self._limits.send_seconds):
                await self._socket.send_str(orjson.dumps(message).decode())
        except TimeoutError:
            log.info("a WebSocket is cut: its reader is too slow")
            if self._request.transport is not None:
                self._request.transport.abort()
            raise _Closed from None
        except ConnectionError:
            raise _Closed from None

    async def _close(self, code: int, reason: str) -> None:
        # A close frame has room for 123 bytes.
        await self._socket.close(code=code, message=reason.encode()[:123])


def _code_of(errors: list[dict[str, object]]) -> object:
    extensions = errors[0].get("extensions") if errors else None
    return extensions.get("code") if isinstance(extensions, dict) else None
