"""Tortoise's SQLite backend, with what several processes on one file need.

The short statements of a change run on the event loop: handing one to the connection's thread and back takes several
times as long as the statement. What may take longer is left to the thread: a commit, which waits for the disk, waiting
for another process's lock, and everything that goes through Tortoise.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, cast

import aiosqlite
from tortoise.backends.base.client import TransactionalDBClient, TransactionContext
from tortoise.backends.sqlite.client import (
    SqliteClient,
    SqliteTransactionContext,
    SqliteTransactionWrapper,
    translate_exceptions,
)
from tortoise.connection import get_connections
from tortoise.exceptions import OperationalError

from gql_secrets.domain.errors import Conflict
from gql_secrets.storage.dialect import Statement
from gql_secrets.storage.errors import is_busy
from gql_secrets.storage.sqlite.groups import ChangeQueue, rolled_back
from gql_secrets.storage.urgency import lock_seconds

_log: Final = logging.getLogger(__name__)

# SQLite itself waits this long for the write lock each time; between its tries the event loop looks at the time.
TRY_SECONDS: Final = 0.1
# A wait this long is logged: other processes hold the lock for milliseconds.
_WORTH_A_LINE: Final = 0.5
_DO_NOT_WAIT: Final = "PRAGMA busy_timeout = 0"
_WAIT: Final = f"PRAGMA busy_timeout = {int(TRY_SECONDS * 1000)}"


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
        if self._begin_now():
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        is_reported = False
        while True:
            try:
                await self._connection._execute(self._begin_waiting)  # type: ignore[no-untyped-call]  # noqa: SLF001  one step
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

    def _begin_now(self) -> bool:
        """Take the write lock if no other process has it; return whether it was taken."""
        try:
            self._own_client.let_not_wait()
            self.run_now("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise OperationalError(error) from error
            return False
        return True

    def _begin_waiting(self) -> None:
        """Take the write lock, on the connection's thread, which SQLite lets wait for a moment."""
        connection = self._connection._conn  # noqa: SLF001
        connection.execute(_WAIT)
        try:
            connection.execute("BEGIN IMMEDIATE")
        finally:
            connection.execute(_DO_NOT_WAIT)

    @property
    def _own_client(self) -> "ImmediateSqliteClient":
        return cast(ImmediateSqliteClient, self._parent)

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

    def run_now(self, statement: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Run a short statement on the event loop, and return its rows."""
        return self._connection._conn.execute(statement, values).fetchall()  # noqa: SLF001  aiosqlite only has a thread

    def count_now(self, statement: str, values: Sequence[object]) -> int:
        """Run a short statement on the event loop, and return how many rows it changed."""
        return self._connection._conn.execute(statement, values).rowcount  # noqa: SLF001

    @translate_exceptions
    async def run_all(self, statements: Sequence[Statement]) -> list[Sequence[sqlite3.Row]]:
        """Run statements on the connection's thread, one after the other, and return the rows of each.

        The event loop does not wait for them.

        Raises:
            OperationalError: SQLite rolled back the transaction itself: a statement outside it would be committed.
        """

        def run(connection: sqlite3.Connection) -> list[Sequence[sqlite3.Row]]:
            rows: list[Sequence[sqlite3.Row]] = []
            for statement, values in statements:
                if not connection.in_transaction:
                    raise sqlite3.OperationalError("the transaction was rolled back")
                rows.append(connection.execute(statement, values).fetchall())
            return rows

        rows = await self._connection._execute(run, self._connection._conn)  # type: ignore[no-untyped-call]  # noqa: SLF001  it has one statement at a time
        return cast("list[Sequence[sqlite3.Row]]", rows)

    def begin_commit(self, then: Callable[[BaseException | None], object]) -> None:
        """Commit on the connection's thread, which waits for the disk; `then` is called with how it failed, if so.

        A coroutine of aiosqlite would take three more turns of the event loop, which a single change waits for.
        """
        loop, connection = asyncio.get_running_loop(), self._connection._conn  # noqa: SLF001

        def commit() -> None:
            failure = None
            try:
                connection.commit()
            except BaseException as error:  # noqa: BLE001  those that wait for the commit raise it
                failure = error
            loop.call_soon_threadsafe(then, failure)

        self._connection._tx.put_nowait((None, commit))  # noqa: SLF001


class ImmediateContext(SqliteTransactionContext):
    """A transaction context that waits at most `lock_seconds` for all its locks, and commits together with others."""

    def __init__(self, connection: ImmediateTransaction, queue: ChangeQueue) -> None:
        super().__init__(connection, queue)
        self._queue = queue
        self._is_first = True

    async def __aenter__(self) -> TransactionalDBClient:
        deadline = asyncio.get_running_loop().time() + lock_seconds()
        try:
            await self._queue.acquire(for_change=True, until=deadline)
        except TimeoutError as error:
            raise Conflict("Another change holds the lock. Try again.") from error
        try:
            await self.ensure_connection()
            await self._join(deadline)
            self._connections = get_connections()
            self.token = self._connections.set(self.connection_name, self.connection)
        except BaseException:
            self._queue.release()
            raise
        return cast(TransactionalDBClient, self.connection)

    async def __aexit__(self, exc_type: object, exc_val: object, exc_tb: object) -> None:
        end = None
        try:
            if exc_type is None:
                end = await self._keep()
            else:
                end = await self._undo(exc_val)
        finally:
            self._connections.reset(self.token)
            self._queue.release()
        if end is not None and (failure := await end) is not None:
            raise OperationalError(*failure.args) from failure

    async def _join(self, deadline: float) -> None:
        """Begin a transaction, or a savepoint in the one of the changes before, which is not committed yet."""
        self._is_first = self._queue.group is None
        if self._is_first:
            await self.connection.begin_until(deadline)
            self._queue.open_group(self.connection)
        else:
            self.connection.run_now("SAVEPOINT change")

    async def _keep(self) -> "asyncio.Future[OperationalError | None]":
        """Return a future of the commit: the disk may be full or broken, and then nothing was written.

        Raises:
            OperationalError: the change could not be kept, and was undone.
        """
        if not self._is_first:
            try:
                self.connection.run_now("RELEASE change")
            except sqlite3.Error as error:
                await self._undo(error)
                raise OperationalError(error) from error
        return self._queue.keep()

    async def _undo(self, failure: object) -> "asyncio.Future[OperationalError | None] | None":
        """Roll back this change, and only this one. The thread may be in the middle of one of its statements.

        Return a future of the commit of the changes before it, where there are some: a refusal was decided on what they
        wrote, so it is not answered earlier, nor at all if they are not committed.
        """
        if not self.connection.is_open:
            # SQLite rolled back everything: the changes before this one, which still wait for the commit, too. They
            # end with the same error, so that those that end something can be repeated from the reserve.
            self._queue.end_group(rolled_back(failure))
        elif self._is_first:
            await self.connection.run("ROLLBACK")
            self._queue.end_group()
        else:
            await self.connection.run("ROLLBACK TO change")
            await self.connection.run("RELEASE change")
            return self._queue.keep() if isinstance(failure, Exception) else None
        return None


class ImmediateSqliteClient(SqliteClient):
    """A SQLite client whose transactions begin IMMEDIATE, and whose connection the event loop may use too."""

    def __init__(self, file_path: str, **options: object) -> None:
        super().__init__(file_path, **options)
        self._queue = ChangeQueue()
        self._lock = self._queue
        # Whether SQLite waits for a lock wherever this connection needs one.
        self._may_wait = True

    async def create_connection(self, with_db: bool) -> None:  # noqa: ARG002  Tortoise's signature
        """Connect, as Tortoise does, but for any thread: the event loop and the connection's own take turns."""
        if self._connection:
            return
        connection = await aiosqlite.connect(self.filename, isolation_level=None, check_same_thread=False)
        self._connection, self._may_wait = connection, True
        connection.row_factory = sqlite3.Row
        for pragma, value in self.pragmas.items():
            await connection.execute_fetchall(f"PRAGMA {pragma}={value}")
        await self._post_connect()

    def let_not_wait(self) -> None:
        """Let SQLite not wait for locks from now on: the event loop uses this connection.

        The statement is compiled each time, so it is run once, by the first change. Until then, while a start migrates
        the database outside a transaction, SQLite waits.
        """
        connection = self._connection
        if self._may_wait and connection is not None:
            connection._conn.execute(_DO_NOT_WAIT)  # noqa: SLF001
            self._may_wait = False

    def _in_transaction(self) -> TransactionContext:
        return ImmediateContext(ImmediateTransaction(self), self._queue)


client_class = ImmediateSqliteClient
