"""The connections of one process to PostgreSQL, shared by verification and everything else.

asyncpg's own pool fails a request if the server refuses one more connection, though others are about to be free,
and it hands out connections that died silently. This one waits, and asks a connection that was idle whether it is still
there. It always connects to a primary: a standby may not have a revoke yet.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import asyncpg
from asyncpg.protocol import NO_TIMEOUT

from gql_secrets.storage.postgres.connection import PooledConnection

_log: Final = logging.getLogger(__name__)
_now: Final = time.monotonic
# A connection that was idle for this long is asked whether it is still there, before it is used.
_IDLE_SECONDS: Final = 0.25
# How long its answer may take. A connection that takes longer is closed, and a new one is made.
_PING_SECONDS: Final = 0.3
_CLOSE_SECONDS: Final = 2.0
# How long a caller waits for a connection that others use.
_WAIT_SECONDS: Final = 10.0
# How long no new connection is tried after the server refused one because it has too many.
_REFUSED_SECONDS: Final = 1.0
# How long the number that it allowed then is taken for what it allows.
_SHORT_SECONDS: Final = 60.0


class ConnectionPool:
    """At most `size` connections. Where none is free, and no other may be made, a caller waits for one.

    Verification may use all of them; everything else leaves some of them free for it.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[PooledConnection]], size: int, *, answer_seconds: float | None = None
    ) -> None:
        """Make it; the first connection is made when it is needed.

        Args:
            connect: makes a connection.
            size: how many connections there are at most.
            answer_seconds: how long the server may take to answer a `read`; None for any time.
        """
        self._connect = connect
        self._size = size
        self._reserved = size // 4 if size > 1 else 0
        self._in_use = 0
        self._opening = 0
        # The one that was used last is used next: the others stay idle, and are known to be.
        self._idle: list[tuple[PooledConnection, float]] = []
        self._waiters: tuple[deque[asyncio.Future[None]], deque[asyncio.Future[None]]] = (deque(), deque())
        self._refused_until = 0.0
        self._allowed = size
        self._short_until = 0.0
        self._suspected_at = 0.0
        self._is_closed = False
        self._closing: set[asyncio.Task[None]] = set()
        self._answer_seconds = answer_seconds
        # The connections of the reads in progress, each with the time of its beginning, the oldest first.
        self._reading: dict[PooledConnection, float] = {}
        self._watch: asyncio.TimerHandle | None = None

    @property
    def capacity(self) -> int:
        """How many connections there can be: the server may have refused some of them within the last minute."""
        return self._allowed if _now() < self._short_until else self._size

    @property
    def in_use(self) -> int:
        """How many connections callers have at the moment; one that is being made counts too."""
        return self._in_use

    @property
    def idle(self) -> int:
        """How many connections are open and wait for a caller."""
        return len(self._idle)

    async def acquire(self, *, for_verification: bool = False) -> PooledConnection:
        """Return a connection to a primary; give it back with `release`.

        Raises:
            Unavailable: no host is a primary.
            asyncpg.PostgresError, OSError, TimeoutError: it cannot be connected to.
        """
        if (idle := self.take_idle(for_verification=for_verification)) is not None:
            return idle
        limit = self._size if for_verification else self._size - self._reserved
        has_waited = False
        deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
        while not self._is_closed:
            if self._in_use < limit:
                self._in_use += 1
                try:
                    connection = await self._take()
                except BaseException:
                    self._give_back_place()
                    raise
                if connection is not None:
                    return connection
                self._in_use -= 1
                if self._idle:  # one was given back in the meantime
                    continue
            async with asyncio.timeout_at(deadline):
                await self._wait(self._waiters[0 if for_verification else 1], is_first=has_waited)
            has_waited = True
        raise asyncpg.InterfaceError("the pool is closed")

    def take_idle(self, *, for_verification: bool = False) -> PooledConnection | None:
        """Return a connection that was used a moment ago, as `acquire` does; None where that has to be called."""
        if not self.has_idle(for_verification=for_verification):
            return None
        connection, _ = self._idle.pop()
        self._in_use += 1
        return connection

    def has_idle(self, *, for_verification: bool = False) -> bool:
        """Return whether there is a connection that was used a moment ago, so that `read` waits for none."""
        limit = self._size if for_verification else self._size - self._reserved
        if self._is_closed or not self._idle or self._in_use >= limit:
            return False
        connection, idle_since = self._idle[-1]
        return idle_since > max(_now() - _IDLE_SECONDS, self._suspected_at) and not connection.is_closed()

    async def read(self, statement: str, values: Sequence[object]) -> Sequence[asyncpg.Record]:
        """Return the rows of a short read, over any connection.

        One timer watches over all of these reads, since one for each takes longer than what the pool does for it.

        Raises:
            TimeoutError: the server did not answer in time; the connection was ended.
            Exception: no connection could be made, or what asyncpg raises.
        """
        connection = self.take_idle() or await self.acquire()
        began = self._reading[connection] = _now()
        if self._watch is None:
            self._watch_from(began)
        try:
            rows = await connection.fetch(statement, *values, timeout=NO_TIMEOUT)
        except BaseException as error:
            was_ended = self._reading.pop(connection, None) is None
            await self.release(connection)
            if was_ended and isinstance(error, Exception):
                raise TimeoutError from error
            raise
        self._reading.pop(connection, None)
        # It answered, so it is ready for the next caller.
        self._put_back(connection)
        return rows

    def _watch_from(self, began: float) -> None:
        """Look for connections that are silent when a read that began then would be late."""
        if self._answer_seconds is not None:
            seconds = began + self._answer_seconds - _now()
            self._watch = asyncio.get_running_loop().call_later(seconds, self._end_silent, self._answer_seconds)

    def _end_silent(self, seconds: float) -> None:
        """End the connections whose server did not answer a read within these seconds."""
        self._watch = None
        for connection, began in list(self._reading.items()):
            if began + seconds > _now():
                self._watch_from(began)
                return
            del self._reading[connection]
            connection.terminate()

    async def release(self, connection: PooledConnection) -> None:
        """Take a connection back. One that is not ready for the next caller is closed."""
        if connection.is_closed() or connection.is_in_transaction() or connection.is_cancelling:
            self.suspect()
            connection.terminate()
            self._give_back_place()
        else:
            self._put_back(connection)

    def _put_back(self, connection: PooledConnection) -> None:
        if self._is_closed:
            connection.terminate()
        else:
            self._idle.append((connection, _now()))
        self._give_back_place()

    def suspect(self) -> None:
        """Ask each idle connection whether it is still there before it is used: another one of them is not."""
        self._suspected_at = _now()

    async def close(self) -> None:
        """Close every connection, gracefully if the server responds in time."""
        self._is_closed = True
        for waiters in self._waiters:
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
        idle = [connection for connection, _ in self._idle]
        self._idle.clear()
        await asyncio.gather(*map(_close, idle), *self._closing)

    async def _take(self) -> PooledConnection | None:
        """Return a connection, or None where the server has no more than those that others use at the moment."""
        while self._idle:
            connection, idle_since = self._idle.pop()
            if connection.is_closed():
                continue
            now = _now()
            if idle_since > max(now - _IDLE_SECONDS, self._suspected_at):
                return connection
            if await _is_alive(connection):
                return connection
            # The others were idle for as long or longer: they went the same way.
            self._drop_idle()
        if _now() < self._refused_until and self._in_use > 1:
            return None
        self._opening += 1
        try:
            return await self._connect()
        except asyncpg.TooManyConnectionsError as error:
            self._allowed, self._short_until = self._in_use - self._opening, _now() + _SHORT_SECONDS
            if self._allowed < 1:
                raise  # there is none to wait for
            self._refused_until = _now() + _REFUSED_SECONDS
            _log.warning("connection_refused_by_limit", extra={"in_use": self._in_use, "detail": str(error)})
            return None
        finally:
            self._opening -= 1

    def _drop_idle(self) -> None:
        for connection, _ in self._idle:
            connection.terminate()
        self._idle.clear()

    async def _wait(self, waiters: deque[asyncio.Future[None]], *, is_first: bool) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if is_first:
            waiters.appendleft(waiter)
        else:
            waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake()  # it was this one's turn
            raise
        finally:
            with contextlib.suppress(ValueError):
                waiters.remove(waiter)

    def _give_back_place(self) -> None:
        self._in_use -= 1
        self._wake()

    def _wake(self) -> None:
        """Let the next one try: verification first."""
        verifications, others = self._waiters
        for waiters, limit in ((verifications, self._size), (others, self._size - self._reserved)):
            if self._in_use < limit:
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(None)
                        return


async def _is_alive(connection: PooledConnection) -> bool:
    try:
        async with asyncio.timeout(_PING_SECONDS):
            await connection.execute("SELECT")
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        _log.warning("connection_lost", extra={"error": type(error).__name__, "detail": str(error)})
        connection.terminate()
        return False
    except BaseException:
        connection.terminate()
        raise
    return True


async def _close(connection: PooledConnection) -> None:
    with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        await connection.close(timeout=_CLOSE_SECONDS)
