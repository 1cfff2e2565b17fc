"""The limits of WebSockets, and the rate of their messages."""

import asyncio
from dataclasses import dataclass

from gql_secrets.graphql_server.sse import SEND_SECONDS


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """The limits of WebSockets.

    Attributes:
        sockets: the sockets of one process.
        reserved_sockets: those of them that signed-in callers cannot take, so that a new socket can always sign in.
        message_bytes: the bytes of a message: as many as of a request's body.
        messages_per_second: the messages that a socket may send, on average; more are read later.
        message_burst: the messages that it may send without a pause.
        operations: the operations that run at the same time on one socket.
        id_characters: the characters of an operation's id.
        init_seconds: how long the client may take to send `connection_init`.
        anonymous_seconds: how long a socket may stay open on which nobody signed in.
        send_seconds: how long a reader may take to make room for the next message.
        heartbeat_seconds: how often the other side must show that it is connected.
    """

    sockets: int = 1_000
    reserved_sockets: int = 50
    message_bytes: int = 131_072
    messages_per_second: float = 50.0
    message_burst: int = 100
    operations: int = 20
    id_characters: int = 256
    init_seconds: float = 5.0
    anonymous_seconds: float = 60.0
    send_seconds: float = SEND_SECONDS
    heartbeat_seconds: float = 20.0


class MessageRate:
    """How fast the messages of one socket may come: a bucket that refills."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = float(burst)
        self._counted_at = asyncio.get_running_loop().time()

    def count(self) -> float:
        """Count a message; return for how many seconds the next one must wait."""
        now = asyncio.get_running_loop().time()
        self._left = min(self._burst, self._left + (now - self._counted_at) * self._per_second) - 1
        self._counted_at = now
        return max(0.0, -self._left / self._per_second)
