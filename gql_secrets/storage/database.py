"""The database of one process: its connections, its clock, and the one way to run a transaction."""

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final, TypeVar

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.context import TortoiseContext
from tortoise.transactions import in_transaction

from gql_secrets.domain.changes_pause import ChangesPaused
from gql_secrets.domain.errors import Failure, Unavailable
from gql_secrets.domain.journal import JournaledChange
from gql_secrets.pauses import current_slice, make_all
from gql_secrets.storage.address import DatabaseAddress, PoolSettings
from gql_secrets.storage.changes_probe import ChangesProbe
from gql_secrets.storage.dialect import Dialect, MustAwait, tortoise_config
from gql_secrets.storage.errors import is_outdated_statement, retried, translate_start, translated, translated_read
from gql_secrets.storage.fields import from_microseconds
from gql_secrets.storage.postgres.dialect import PostgresDialect
from gql_secrets.storage.sqlite.dialect import SqliteDialect
from gql_secrets.storage.transaction import Transaction
from gql_secrets.storage.urgency import CLIENT_TO_LOCK, IS_BRIEF, IS_ENDING, IS_URGENT, LOCK_SECONDS

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)
_SECONDS_TO_CLOSE: Final = 10.0
_BETWEEN_TRIES: Final = 0.1
_NOTHING: Final = contextlib.nullcontext()


class Database:
    """An open database. Each process and each test has its own; nothing about it is global."""

    def __init__(
        self,
        address: DatabaseAddress,
        pool: PoolSettings | None = None,
        *,
        adjust_clock: Callable[[datetime], datetime] | None = None,
        is_patient: bool = False,
    ) -> None:
        """Prepare it; `open` connects.

        Args:
            address: where it is.
            pool: how many connections to PostgreSQL.
            adjust_clock: replaces the database's clock in tests; None leaves it alone.
            is_patient: PostgreSQL statements have no time limit (otherwise 15 seconds).
        """
        self.address = address
        self.pool = pool or PoolSettings()
        self.dialect: Dialect = (
            SqliteDialect(address.path)
            if address.path is not None
            else PostgresDialect(address, self.pool, is_patient=is_patient)
        )
        self.adjust_clock = adjust_clock or _unadjusted
        # Whether the last read and the last write succeeded.
        self.can_read = self.can_write = True
        # When this process last committed something, by `time.monotonic`.
        self.committed_at = 0.0
        # The last change that is in the journal of this process: a database with a lower revision lost it.
        self.known_revision = 0
        # How many reads and writes of this process failed because the database was unavailable.
        self.failed_reads = self.failed_writes = 0
        # Called after each commit of this process.
        self.after_commit: list[Callable[[], None]] = []
        # Called in this order with the changes of a commit, before they are answered.
        self.on_changes: list[Callable[[Sequence[JournaledChange]], None]] = []
        # Surrounds each transaction and each read, by this name; by default with nothing.
        self.observe: Callable[[str], AbstractContextManager[object]] = _unobserved
        self._tortoise = TortoiseContext()
        self._context: contextvars.Context | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self._reader: BaseDBAsyncClient | None = None
        self._probe = ChangesProbe(self.dialect, self._start)

    @property
    def context(self) -> contextvars.Context:
        """A copy of the context in which Tortoise knows this database's connections."""
        if self._context is None:
            raise Unavailable
        return self._context.copy()

    async def open(self) -> None:
        """Connect.

        Raises:
            Unavailable: the database does not answer.
            SetupError: the address is wrong, it is not a database, or it does not keep what it commits.
        """
        self._context = contextvars.copy_context()
        try:
            await self.dialect.prepare()
            await asyncio.get_running_loop().create_task(self._open(), context=self._context)
        except BaseException as error:
            await self.close()  # a connection left open would hang the process
            failure = translate_start(error, self.address) if isinstance(error, Exception) else None
            if failure is None:
                raise
            raise failure from error

    async def _open(self) -> None:
        self._tortoise.__enter__()  # stays current in this context, which every transaction copies
        await self._tortoise.init(config=self.tortoise_config())
        writer = self._tortoise.connections.get(self.dialect.writer)
        await writer.create_connection(with_db=True)
        reader = writer
        if self.dialect.reader != self.dialect.writer:
            reader = self._tortoise.connections.get(self.dialect.reader)
            await reader.create_connection(with_db=True)
        await self.dialect.require_durability(writer)
        self._reader = reader

    def tortoise_config(self) -> dict[str, Any]:
        """Return Tortoise's configuration."""
        return tortoise_config(self.dialect)

    async def close(self) -> None:
        """Wait for running work, then close every connection (an open one would hang the process).

        Work that begins from now on is refused: Tortoise would open a connection for it again.
        """
        context, self._context, self._reader = self._context, None, None
        if self._running:
            await asyncio.wait(self._running, timeout=_SECONDS_TO_CLOSE)
        if context is not None:
            await asyncio.get_running_loop().create_task(self._tortoise.close_connections(), context=context)
        await self.dialect.close()

    @contextlib.asynccontextmanager
    async def patient(self) -> AsyncIterator["Database"]:
        """Open the same database again, without a limit on how long a statement may take.

        Raises:
            Unavailable, SetupError: as `open` does.
        """
        other = Database(self.address, self.pool, adjust_clock=self.adjust_clock, is_patient=True)
        await other.open()
        try:
            yield other
        finally:
            await other.close()

    async def run_tx(
        self, work: Callable[[Transaction], Awaitable[T]], *, is_urgent: bool = False, for_client: str | None = None
    ) -> T:
        """Run `work` in one transaction: committed when it returns, rolled back when it raises.

        `work` runs a second time when its statements turn out to be prepared for an older schema, and again where
        changes are paused for seconds: it waits for the end of the pause as long as for a lock. The transaction has its
        own task, which goes on when the request is cancelled: Tortoise, cancelled inside, would keep the lock or the
        pool's connection permanently.

        Args:
            work: what to do.
            is_urgent: a verification waits for it.
            for_client: the client that `work` locks first.

        Raises:
            Conflict: the lock was not free within 5 seconds, 0.6 where it is urgent, or 0.2 in `waiting_briefly`.
            ChangesPaused: changes are paused.
            Unavailable: the database does not answer, or cannot write.
        """
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                return await self._run_tx_once(work, is_urgent=is_urgent, for_client=for_client)
            except ChangesPaused as paused:
                if is_urgent or not paused.is_short or time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(_BETWEEN_TRIES)

    async def _run_tx_once(
        self, work: Callable[[Transaction], Awaitable[T]], *, is_urgent: bool, for_client: str | None
    ) -> T:
        context = self.context
        if is_urgent:
            context.run(IS_URGENT.set, True)
        if IS_ENDING.get():
            context.run(IS_ENDING.set, True)
        if IS_BRIEF.get():
            context.run(IS_BRIEF.set, True)
        if for_client is not None:
            context.run(CLIENT_TO_LOCK.set, for_client)
        # `asyncio.shield` would take one more turn of the event loop, which a single change waits for.
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._start(self._answer(work, answer), context)
        with self.observe("transaction"):
            return await answer

    async def read(self, work: Callable[[BaseDBAsyncClient], Awaitable[T]]) -> T:
        """Run `work` outside a transaction, on the connection for reads: it passes it to `using_db`.

        Raises:
            Unavailable: the database does not answer.
        """
        reader = self._reader
        if reader is None:
            raise Unavailable
        time_slice = current_slice()

        async def run() -> T:
            if time_slice is not None:
                await time_slice.pause()  # building a query takes a while, and many may begin in one run of the loop
            return await retried(lambda: work(reader))

        try:
            with self.observe("read"), translated_read():
                result = await self._start(run())
        except Unavailable:
            self.can_read = False
            self.failed_reads += 1
            raise
        self.can_read = True
        return result

    async def _answer(self, work: Callable[[Transaction], Awaitable[T]], answer: "asyncio.Future[T]") -> None:
        """Run it, and answer with its result, unless the request was cancelled; then log only a defect."""
        try:
            result = await self._run(work)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001  the one that waits raises it
            if not answer.done():
                answer.set_exception(error)
            elif not isinstance(error, Failure):
                _log.error("cancelled_transaction_failed", exc_info=error)
        else:
            if not answer.done():
                answer.set_result(result)
        finally:
            del answer  # the traceback of its error refers to this frame

    async def _run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        async def run_once(*, from_reserve: bool = False) -> tuple[T, list[JournaledChange]]:
            async with in_transaction(self.dialect.writer) as connection:
                if from_reserve:
                    await self.dialect.use_reserve(connection)
                transaction = Transaction(connection, self.dialect, self.read_clock, self.instant_of)
                return await work(transaction), transaction.changes

        try:
            with translated():
                if not IS_ENDING.get():
                    self.dialect.require_room()
                try:
                    result, changes = await retried(run_once)
                except Exception as error:
                    if not IS_ENDING.get() or not self.dialect.has_reserve_for(error):
                        raise
                    result, changes = await run_once(from_reserve=True)
        except ChangesPaused:
            raise  # the database could have written it
        except Unavailable:
            self.can_write = False
            self.failed_writes += 1
            raise
        self.can_write = True
        self._report_commit(changes)
        return result

    def _report_commit(self, changes: Sequence[JournaledChange]) -> None:
        self.committed_at = time.monotonic()
        for notify in self.after_commit:
            notify()
        if changes:
            for note in self.on_changes:
                note(changes)

    async def probe_changes(self) -> str:
        """Return whether changes are possible now: "ok", "waiting" for a lock, or "unavailable"."""
        if not self.can_write:
            return "unavailable"
        return await self._probe.state()

    def _start(self, work: Coroutine[Any, Any, T], context: contextvars.Context | None = None) -> asyncio.Task[T]:
        """Run it in a task that knows the connections, and that `close` waits for."""
        task = asyncio.get_running_loop().create_task(work, context=context or self.context)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def read_clock(self, connection: BaseDBAsyncClient) -> datetime:
        """Return the database's clock: the machine's for SQLite, `clock_timestamp()` for PostgreSQL, never `now()`."""
        return self.adjust_clock(await self.dialect.read_clock(connection))

    async def now(self) -> datetime:
        """Return the database's clock, for reading."""
        [[clock]] = await self.fetch_quickly(f"SELECT {self.dialect.clock}")
        return self.instant_of(clock)

    async def fetch(self, statement: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Return the rows of a read with `?` placeholders."""
        return await make_all(dict, await self._rows(statement, values))

    async def find_damage(self) -> list[str]:
        """Return a sentence for each inconsistency that the database itself finds in its files."""
        return await self.read(self.dialect.find_damage)

    def fetch_now(self, statement: str, values: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """Return what `fetch_quickly` returns.

        Raises:
            MustAwait: `fetch_quickly` has to be awaited instead: it waits, or says what is wrong.
        """
        if self._reader is None:
            raise MustAwait
        with self.observe("read"):
            rows = self.dialect.fetch_now(self.dialect.placeholders(statement), values)
        self.can_read = True
        return rows

    async def fetch_quickly(self, statement: str, values: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """Return the rows of a read with `?` placeholders that indexes answer within about a millisecond.

        Raises:
            Unavailable: the database does not answer.
        """
        time_slice = current_slice()
        if time_slice is not None and time_slice.is_spent:
            await time_slice.pause()  # SQLite reads on the event loop
        reader = self._reader
        if reader is None:
            raise Unavailable
        statement, fetch = self.dialect.placeholders(statement), self.dialect.fetch_quickly
        try:
            with self.observe("read"), translated_read():
                try:
                    rows = await fetch(reader, statement, values)
                except Exception as error:
                    if not is_outdated_statement(error):
                        raise
                    rows = await fetch(reader, statement, values)
        except Unavailable:
            self.can_read = False
            self.failed_reads += 1
            raise
        self.can_read = True
        return rows

    async def fetch_rows(self, statement: str, values: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """Return the rows of a read with `?` placeholders that may take longer.

        Raises:
            Unavailable: the database does not answer.
        """
        return await self.fetch_as(tuple, statement, values)

    async def fetch_as(
        self,
        make: Callable[[Sequence[Any]], T],
        statement: str,
        values: Sequence[object] = (),
        *,
        is_short: bool = False,
    ) -> list[T]:
        """Return what `make` makes of each row of a read with `?` placeholders.

        Args:
            make: what to make of a row.
            statement: a SELECT.
            values: of its placeholders.
            is_short: whether it is read as by `fetch_quickly`.

        Raises:
            Unavailable: the database does not answer.
        """
        # Rows of either driver: asyncpg's iterate over their values as SQLite's do.
        return await make_all(make, await (self.fetch_quickly if is_short else self._rows)(statement, values))

    async def _rows(self, statement: str, values: Sequence[object]) -> Sequence[Any]:
        async def work(connection: BaseDBAsyncClient) -> Sequence[Any]:
            _, rows = await connection.execute_query(self.dialect.placeholders(statement), list(values))
            return rows

        return await self.read(work)

    def instant_of(self, clock: int | None) -> datetime:
        """Return the instant that `dialect.clock` was read as."""
        return self.adjust_clock(from_microseconds(time.time_ns() // 1000 if clock is None else clock))


def _unobserved(_name: str) -> AbstractContextManager[object]:
    return _NOTHING


def _unadjusted(now: datetime) -> datetime:
    return now
