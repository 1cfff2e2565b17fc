"""Tortoise's SQLite backend, with what several processes on one file need."""

import asyncio
import logging
import sqlite3
from collections import deque
from dataclasses import dataclass
from typing import Final, cast

from tortoise.backends.base.client import TransactionalDBClient, TransactionContext
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionContext, SqliteTransactionWrapper
from tortoise.connection import get_connections
from tortoise.exceptions import OperationalError

from gql_secrets.domain.errors import Conflict
from gql_secrets.storage.errors import is_busy
from gql_secrets.storage.urgency import lock_seconds

_log: Final = logging.getLogger(__name__)

# SQLite itself waits this long for the write lock each time; between its tries the event loop looks at the time.
TRY_SECONDS: Final = 0.1
# A wait this long is logged: other processes hold the lock for milliseconds.
_WORTH_A_LINE: Final = 0.5


class ImmediateTransaction(SqliteTransactionWrapper):
    """A transaction that takes the write lock when it begins.

    SQLite's own default takes it at the first write. A transaction that has read before then fails immediately with
    "database is locked", regardless of the busy timeout (measured: 64 of 150 resets from three processes).
    """

    async def begin_until(self, deadline: float) -> None:
        """Wait for the write lock, until this instant of the event loop's clock.

        Raises:
            Conflict: another process held the lock.
            OperationalError: the file cannot be used.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        is_reported = False
        while True:
            try:
                await self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise OperationalError(error) from error
                now = loop.time()
                if not is_reported and now - began >= _WORTH_A_LINE:
                    is_reported = True
                    _log.warning("waiting_for_write_lock")
                if now >= deadline:
                    raise Conflict("Another process holds the database's write lock. Try again.") from error
            else:
                return

    async def execute_script(self, query: str) -> None:
        """Run one statement: sqlite3's own `executescript` would commit what the transaction did so far."""
        await self.execute_query(query)

    @property
    def is_open(self) -> bool:
        """Whether SQLite is in a transaction: it rolls one back itself where a disk is full or broken."""
        return self._connection.in_transaction

    async def run(self, statement: str) -> None:
        """Run a statement that controls the transaction."""
        await self._connection.execute_fetchall(statement)

    async def write_out(self) -> None:
        """Commit, and wait for the disk."""
        await self._connection.commit()


@dataclass(slots=True)
class Group:
    """Changes that are committed together, each in a savepoint of its own, so that the disk is waited for once.

    A change that is done lets those that already wait for the lock go first, and queues for the lock again behind them.
    The first one that comes back commits for all. No change is answered before that, so none is lost that was answered.
    """

    is_finished: bool = False
    failure: OperationalError | None = None

    def finish(self, failure: OperationalError | None = None) -> None:
        """Record how it ended."""
        self.is_finished, self.failure = True, failure


class ImmediateContext(SqliteTransactionContext):
    """A transaction context that waits at most `lock_seconds` for all its locks, and commits together with others."""

    def __init__(self, connection: ImmediateTransaction, client: "ImmediateSqliteClient", lock: "ChangeLock") -> None:
        super().__init__(connection, lock)
        self._client = client
        self._lock = lock
        self._has_lock = False
        self._group = Group()
        self._is_first = True

    async def __aenter__(self) -> TransactionalDBClient:
        deadline = asyncio.get_running_loop().time() + lock_seconds()
        try:
            async with asyncio.timeout_at(deadline):
                await self._acquire()
        except TimeoutError as error:
            raise Conflict("Another change holds the lock. Try again.") from error
        try:
            await self.ensure_connection()
            await self._join(deadline)
            self.token = get_connections().set(self.connection_name, self.connection)
        except BaseException:
            self._release()
            raise
        return cast(TransactionalDBClient, self.connection)

    async def __aexit__(self, exc_type: object, exc_val: object, exc_tb: object) -> None:
        try:
            if exc_type is None:
                await self._keep()
            else:
                await self._undo()
        finally:
            get_connections().reset(self.token)
            self._release()

    async def _acquire(self) -> None:
        await self._lock.acquire()
        self._has_lock = True

    def _release(self) -> None:
        if self._has_lock:
            self._has_lock = False
            self._lock.release()

    async def _join(self, deadline: float) -> None:
        group = self._client.group
        self._is_first = group.is_finished
        if not self._is_first:
            self._group = group
            await self.connection.run("SAVEPOINT change")
            return
        await self.connection.begin_until(deadline)
        self._client.group = self._group

    async def _keep(self) -> None:
        """Return when the change is committed.

        Raises:
            OperationalError: the disk is full or broken; nothing was written.
        """
        group = self._group
        if not self._is_first:
            await self.connection.run("RELEASE change")
        if self._lock.is_contended:
            self._release()
            await self._acquire()
        if not group.is_finished:
            await self._commit()
        if group.failure is not None:
            raise OperationalError(*group.failure.args) from group.failure

    async def _undo(self) -> None:
        """Roll back this change, and only this one."""
        group = self._group
        if not self.connection.is_open:
            # SQLite rolled back everything: the changes before this one, which still wait for the commit, too.
            group.finish(OperationalError("the transaction was rolled back"))
        elif self._is_first:
            await self.connection.run("ROLLBACK")
            group.finish()
        else:
            await self.connection.run("ROLLBACK TO change")
            await self.connection.run("RELEASE change")

    async def _commit(self) -> None:
        try:
            if not self.connection.is_open:
                raise sqlite3.OperationalError("the transaction was rolled back")
            await self.connection.write_out()
        except sqlite3.OperationalError as error:
            # A commit that fails is rolled back, so that the next transaction can begin.
            if self.connection.is_open:
                await self.connection.run("ROLLBACK")
            self._group.finish(OperationalError(error))
        else:
            self._group.finish()


class ChangeLock(asyncio.Lock):
    """A lock that knows whether somebody waits for it. asyncio hands it out in the order of asking."""

    _waiters: "deque[asyncio.Future[bool]] | None"

    @property
    def is_contended(self) -> bool:
        """Whether somebody waits for it."""
        return bool(self._waiters)


class ImmediateSqliteClient(SqliteClient):
    """A SQLite client whose transactions begin IMMEDIATE."""

    def __init__(self, file_path: str, **options: object) -> None:
        super().__init__(file_path, **options)
        self._change_lock = ChangeLock()
        self._lock = self._change_lock
        # No transaction is open.
        self.group = Group(is_finished=True)

    def _in_transaction(self) -> TransactionContext:
        return ImmediateContext(ImmediateTransaction(self), self, self._change_lock)


client_class = ImmediateSqliteClient
