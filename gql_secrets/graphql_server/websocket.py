"""GraphQL over a WebSocket: the protocol graphql-transport-ws, for every kind of operation.

Each operation is prepared and executed as over HTTP, by the same engine within the same budget. A socket outlives the
request that opened it, so its caller is evaluated again before each operation; streams evaluate theirs continuously.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Mapping
from contextlib import aclosing
from typing import Final

import orjson
from aiohttp import WSMessage, WSMsgType, hdrs, web
from graphql import OperationType

from gql_secrets.graphql_server.engine import Engine
from gql_secrets.graphql_server.errors import (
    BAD_REQUEST,
    FORBIDDEN,
    INTERNAL,
    RATE_LIMITED,
    RESYNC_REQUIRED,
    UNAUTHENTICATED,
    DocumentRefused,
    code_of,
    error_entry,
    internal_entry,
)
from gql_secrets.graphql_server.operations import PreparedOperation
from gql_secrets.graphql_server.protocols import RequestContext, SocketHooks
from gql_secrets.graphql_server.requests import GraphQLRequest, MalformedRequest
from gql_secrets.graphql_server.socket_limits import MessageRate, SocketLimits
from gql_secrets.graphql_server.socket_places import GivingWay, NoPlace, SocketPlaces

_log: Final = logging.getLogger(__name__)

PROTOCOL: Final = "graphql-transport-ws"
_HANDSHAKE_HEADERS: Final = (
    hdrs.CONNECTION,
    hdrs.UPGRADE,
    hdrs.SEC_WEBSOCKET_KEY,
    hdrs.SEC_WEBSOCKET_VERSION,
    hdrs.SEC_WEBSOCKET_PROTOCOL,
)
# The close codes of WebSockets and of this protocol.
GOING_AWAY: Final = 1001
TRY_AGAIN_LATER: Final = 1013
INVALID_MESSAGE: Final = 4400
UNAUTHORIZED: Final = 4401
NOT_ALLOWED: Final = 4403
INITIALISATION_TIMEOUT: Final = 4408
SUBSCRIBER_EXISTS: Final = 4409
# The same code, because clients do not retry after it: they would ask for the same events again.
RESYNC: Final = SUBSCRIBER_EXISTS
TOO_MANY_INITIALISATIONS: Final = 4429
# A close frame has room for this many bytes of text.
_MAX_REASON_BYTES: Final = 123
# How long a socket that gives way may take to close.
_GIVE_WAY_SECONDS: Final = 1.0


class Sockets:
    """The open sockets of one process."""

    def __init__(self, engine: Engine, limits: SocketLimits | None = None) -> None:
        self._engine = engine
        self._limits = limits or SocketLimits()
        self._places: SocketPlaces[_Conversation] = SocketPlaces(self._limits.sockets, self._limits.reserved_sockets)
        self._giving_way: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._places)

    async def serve(self, request: web.Request, hooks: SocketHooks) -> web.StreamResponse:
        """Answer the request that asks for a socket, and serve it until it is closed."""
        offered = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")
        if PROTOCOL not in (name.strip() for name in offered):
            # Before aiohttp looks: it would write what was offered to the log, and some clients put a token there.
            return web.Response(status=400, text=f"The only WebSocket protocol here is {PROTOCOL}.\n")
        socket = web.WebSocketResponse(
            protocols=(PROTOCOL,),
            heartbeat=self._limits.heartbeat_seconds,
            max_msg_size=self._limits.message_bytes,
            compress=False,
            timeout=self._limits.send_seconds,
        )
        # aiohttp refuses a malformed handshake, but fails on one that is not ASCII.
        values = (value for name in _HANDSHAKE_HEADERS for value in request.headers.getall(name, ()))
        if not all(value.isascii() for value in values) or not socket.can_prepare(request):
            return web.Response(status=400, text="Invalid WebSocket handshake.\n")
        conversation = _Conversation(self._engine, self._limits, request, socket, hooks, self._count_sign_in)
        try:
            giving_way = self._places.take(conversation, hooks.share, is_anonymous=hooks.is_anonymous)
        except NoPlace:
            return web.Response(status=503, text="Too many WebSockets are open. Try again later.\n")
        try:
            self._close_for_another(giving_way)
            await socket.prepare(request)
            await conversation.run()
        finally:
            self._places.leave(conversation)
        return socket

    def _count_sign_in(self, conversation: "_Conversation", share: Hashable) -> None:
        self._close_for_another(self._places.sign_in(conversation, share))

    def _close_for_another(self, giving_way: "GivingWay[_Conversation] | None") -> None:
        if giving_way is not None:
            _log.warning("websocket_gives_way", extra={"reason": giving_way.reason, "sockets": len(self._places)})
            task = asyncio.create_task(giving_way.socket.give_way())
            self._giving_way.add(task)
            task.add_done_callback(self._giving_way.discard)

    async def close(self) -> None:
        """Close every socket, because the server shuts down."""
        closing = (conversation.close(GOING_AWAY, "Server shutting down") for conversation in self._places)
        await asyncio.gather(*closing, *self._giving_way, return_exceptions=True)


class _Closed(Exception):  # noqa: N818  a signal to the operations of a socket
    """The socket is closed, or its reader is too slow."""


class _Conversation:
    """One socket from its first message to its last."""

    def __init__(
        self,
        engine: Engine,
        limits: SocketLimits,
        request: web.Request,
        socket: web.WebSocketResponse,
        hooks: SocketHooks,
        count_sign_in: Callable[["_Conversation", Hashable], None],
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._request = request
        self._socket = socket
        self._hooks = hooks
        self._count_sign_in = count_sign_in
        self._is_initialised = False
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened_at = asyncio.get_running_loop().time()
        self._rate = MessageRate(limits.messages_per_second, limits.message_burst)

    async def run(self) -> None:
        """Read messages until either side closes the socket."""
        try:
            while not self._socket.closed:
                message = await self._receive()
                if message is None:
                    return
                if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                    return
                if message.type is not WSMsgType.TEXT:
                    await self.close(INVALID_MESSAGE, "Messages are JSON text")
                    return
                await self._read(message.data)
                # A message that has already arrived is received without a pause: others run in between.
                await asyncio.sleep(self._rate.count())
        except _Closed:
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self, code: int, reason: str) -> None:
        """Close the socket and wait until the other side has closed it too."""
        # A character that does not fit is left out whole: the other side would refuse a part of it, and lose the code.
        cut = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        await self._socket.close(code=code, message=cut.encode())

    async def give_way(self) -> None:
        """Close the socket for another one, without waiting long for the other side."""
        try:
            async with asyncio.timeout(_GIVE_WAY_SECONDS):
                await self.close(TRY_AGAIN_LATER, "Too many WebSockets are open")
        except (TimeoutError, ConnectionError, RuntimeError):  # RuntimeError: the handshake is not complete
            if self._request.transport is not None:
                self._request.transport.abort()

    async def _receive(self) -> WSMessage | None:
        """Return the next message, or None after closing a socket on which nobody signed in for too long."""
        if self._is_initialised and not self._hooks.is_anonymous:
            return await self._socket.receive()
        limit = self._limits.anonymous_seconds if self._is_initialised else self._limits.init_seconds
        try:
            async with asyncio.timeout_at(self._opened_at + limit):
                return await self._socket.receive()
        except TimeoutError:
            if self._is_initialised:
                await self.close(NOT_ALLOWED, "Not signed in")
            else:
                await self.close(INITIALISATION_TIMEOUT, "Connection initialisation timeout")
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
                await self.close(INVALID_MESSAGE, "Invalid message")

    async def _initialise(self, payload: object) -> None:
        if self._is_initialised:
            await self.close(TOO_MANY_INITIALISATIONS, "Too many initialisation requests")
            return
        given = _authorizations_of(payload) if isinstance(payload, dict) else []
        if not isinstance(payload, dict | None) or len(given) > 1 or not all(isinstance(each, str) for each in given):
            await self.close(INVALID_MESSAGE, "Invalid message")
            return
        for authorization in given:
            if not await self._sign_in(str(authorization)):
                return
        self._is_initialised = True
        await self._send({"type": "connection_ack"})

    async def _sign_in(self, authorization: str) -> bool:
        """Sign in; return False after closing a socket whose caller is refused."""
        try:
            await self._hooks.sign_in(authorization)
            if not self._hooks.is_anonymous:
                self._count_sign_in(self, self._hooks.share)
        except NoPlace:
            await self.close(TRY_AGAIN_LATER, "Too many WebSockets are open")
        except Exception as failure:  # noqa: BLE001  the last place before the caller
            refused = self._engine.mask.refusal_of(failure)
            if refused is None:
                _log.exception("websocket_sign_in_failed")
                await self.close(TRY_AGAIN_LATER, "Unexpected error.")
            else:
                is_final = refused.code in (UNAUTHENTICATED, FORBIDDEN)
                await self.close(NOT_ALLOWED if is_final else TRY_AGAIN_LATER, refused.message)
        else:
            return True
        return False

    async def _subscribe(self, id_: str, payload: dict[str, object]) -> None:
        if not self._is_initialised:
            await self.close(UNAUTHORIZED, "Unauthorized")
        elif id_ in self._operations:
            await self.close(SUBSCRIBER_EXISTS, f"Subscriber for {id_} already exists")
        elif len(self._operations) >= self._limits.operations:
            sentence = f"At most {self._limits.operations} operations may run at the same time on a WebSocket."
            await self._send({"type": "error", "id": id_, "payload": [error_entry(sentence, RATE_LIMITED)]})
        else:
            task = self._operations[id_] = asyncio.create_task(self._run(id_, payload))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, id_: str, payload: dict[str, object]) -> None:
        """Run one operation to its last message; then its id is free again."""
        closing: tuple[int, str] | None = None
        try:
            errors = await self._send_results(id_, payload)
            self._forget(id_)
            if errors is None:
                await self._send({"type": "complete", "id": id_})
            else:
                await self._send({"type": "error", "id": id_, "payload": errors})
                code = code_of(errors)
                if code == RESYNC_REQUIRED:
                    closing = (RESYNC, "Resync required")
                elif code == UNAUTHENTICATED and not self._hooks.is_anonymous:
                    # A client that has signed in again since then reconnects with the new sign-in.
                    closing = (NOT_ALLOWED, "The sign-in has ended")
        except _Closed:
            pass
        finally:
            self._forget(id_)
        if closing is not None:
            await self.close(*closing)

    def _forget(self, id_: str) -> None:
        if self._operations.get(id_) is asyncio.current_task():
            del self._operations[id_]

    async def _send_results(self, id_: str, payload: dict[str, object]) -> list[dict[str, object]] | None:
        """Send the operation's results; return the errors that end it, or None where it completed."""
        prepared: PreparedOperation | None = None
        context: RequestContext | None = None
        try:
            async with self._engine.turns.take(self._hooks.turn_key):
                context = await self._hooks.begin_operation()
                prepared = await self._engine.prepare(GraphQLRequest.from_body(payload), context)
                is_stream = prepared.kind is OperationType.SUBSCRIPTION
                if is_stream:
                    events = await self._engine.subscribe(prepared, context)
                else:
                    result = await self._engine.execute(prepared, context)
            if not is_stream:
                await self._send_next(id_, result.content())
                return None
            async with aclosing(events) as results:
                async for result in results:
                    if result.data is None:
                        return result.errors
                    await self._send_next(id_, result.content())
        except _Closed:
            raise
        except MalformedRequest as malformed:
            return [error_entry(malformed.message, BAD_REQUEST)]
        except DocumentRefused as refused:
            return refused.errors
        except Exception as failure:  # noqa: BLE001  the last place before the caller
            return [self._entry(failure, context, prepared)]
        return None

    def _entry(
        self, failure: Exception, context: RequestContext | None, prepared: PreparedOperation | None
    ) -> dict[str, object]:
        refused = self._engine.mask.refusal_of(failure)
        if refused is not None:
            return self._engine.mask.refused_entry(refused)
        if context is None:
            _log.error("websocket_caller_not_evaluated", exc_info=failure)
            return error_entry("Unexpected error.", INTERNAL)
        self._engine.mask.log(failure, context, "", self._engine.hidden_values(prepared))
        return internal_entry(context)

    async def _send_next(self, id_: str, content: Mapping[str, object]) -> None:
        await self._send({"type": "next", "id": id_, "payload": content})

    async def _send(self, message: Mapping[str, object]) -> None:
        if self._socket.closed:
            raise _Closed
        try:
            async with asyncio.timeout(self._limits.send_seconds):
                await self._socket.send_str(orjson.dumps(message).decode())
        except TimeoutError:
            _log.info("websocket_reader_too_slow")
            if self._request.transport is not None:
                self._request.transport.abort()
            raise _Closed from None
        except ConnectionError:
            raise _Closed from None


def _authorizations_of(payload: Mapping[str, object]) -> list[object]:
    """Return what `connection_init` gives as `Authorization`, in any case, and in `headers` as some clients do."""
    headers = payload.get("headers")
    places = (payload, headers) if isinstance(headers, dict) else (payload,)
    found = [value for place in places for name, value in place.items() if name.lower() == "authorization"]
    # Without the absent ones, and the same value once: values may be unhashable.
    return [value for at, value in enumerate(found) if value is not None and value not in found[:at]]
