"""Ends sessions whose program was stopped in the middle of a statement, when somebody waits for a lock.

PostgreSQL ends a session that is idle in a transaction (`idle_in_transaction_session_timeout`). But asyncpg describes a
statement before it sends the values, and a program that was stopped in between (a paused machine, a cut link) is not
idle to PostgreSQL: it would hold its locks until it goes on.
"""

import asyncio
import logging
from operator import itemgetter
from typing import Final

import asyncpg

from gql_secrets.domain.errors import Unavailable
from gql_secrets.storage.postgres.pool import ConnectionPool
from gql_secrets.storage.urgency import lock_seconds

_log: Final = logging.getLogger(__name__)
# How much of the time that a transaction may wait for a lock has passed when it is asked who keeps it waiting: of the
# usual 5 seconds, a little more than a session may be stopped.
_LOOK_AFTER: Final = 2 / 3
# A session that has locked rows has a transaction id. Others that use the database with the same role are left alone
# while they copy rows into it.
_END_STOPPED: Final = """
    SELECT pid, pg_terminate_backend(pid) AS is_ended FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND backend_xid IS NOT NULL AND state = 'active'
    AND wait_event = 'ClientRead' AND state_change < clock_timestamp() - interval '3 seconds'
    AND query !~* '^\\s*copy\\M'
"""


class StoppedSessions:
    """Looks for such sessions while a transaction waits for long."""

    def __init__(self, pool: ConnectionPool) -> None:
        """Look over a connection of this pool."""
        self._pool = pool
        self._looking: asyncio.Task[None] | None = None

    def look_later(self) -> asyncio.TimerHandle:
        """Look when a transaction that begins now, in this context, takes too long; cancel this when it ends."""
        return asyncio.get_running_loop().call_later(lock_seconds() * _LOOK_AFTER, self._look)

    def _look(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._end_stopped())

    async def _end_stopped(self) -> None:
        try:
            connection = await self._pool.acquire(for_verification=True)
            try:
                rows = await connection.fetch(_END_STOPPED)
            finally:
                await self._pool.release(connection)
        except (OSError, TimeoutError, Unavailable, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _log.warning("stopped_sessions_unknown", extra={"error": type(error).__name__, "detail": str(error)})
            return
        for row in filter(itemgetter("is_ended"), rows):
            _log.warning("stopped_session_ended", extra={"pid": row["pid"]})

    async def close(self) -> None:
        """Wait for a look in progress."""
        if self._looking is not None:
            await asyncio.wait([self._looking])
