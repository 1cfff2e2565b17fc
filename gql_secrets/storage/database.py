"""The database of one process: its connections, its clock, and the one way to run a transaction."""

import asyncio
import contextlib
import contextvars
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import asyncpg
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.context import TortoiseContext
from tortoise.exceptions import BaseORMException
from tortoise.models import Model
from tortoise.transactions import in_transaction

from gql_secrets.domain.errors import Conflict, Failure, SetupError, Unavailable
from gql_secrets.storage.address import DatabaseAddress, PoolSettings
from gql_secrets.storage.fields import from_microseconds
from gql_secrets.storage.sqlite.engine import LOCK_SECONDS, is_busy, prepare_file

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)
_POSTGRES_CLOCK: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_COMMAND_SECONDS: Final = 15.0
_CONNECT_SECONDS: Final = 5.0
# Another transaction was in the way, and this one did nothing: it may be tried again.
_CONFLICT_ERRORS: Final = (asyncpg.LockNotAvailableError, asyncpg.TransactionRollbackError)
_UNAVAILABLE_ERRORS: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # how a connection ends that was cut while it began
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresIOError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, after a failover
)


class Transaction:
    """What a piece of work may use: the connection, and the clock that decides."""

    __slots__ = ("_database", "connection")

    def __init__(self, database: "Database", connection: BaseDBAsyncClient) -> None:
        self._database = database
        self.connection = connection

    async def now(self) -> datetime:
        """Return the database's clock at this moment; ask after the locks, never before."""
        return await self._database.read_clock(self.connection)

    async def execute(self, statement: str, *values: object) -> int:
        """Run a statement with `?` placeholders; return the number of rows it changed."""
        count, _ = await self.connection.execute_query(self._database.in_dialect(statement), list(values))
        return count

    async def fetch(self, statement: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Return the rows of a read with `?` placeholders."""
        return await self.connection.execute_query_dict(self._database.in_dialect(statement), list(values))

    def rows_of_json(self, columns: Mapping[str, str]) -> str:
        """Return SQL for a parameter, a JSON array of arrays, as a table with these columns (name: type)."""
        return self._database.rows_of_json(columns)

    async def insert(self, model: type[Model], rows: Sequence[Mapping[str, object]]) -> None:
        """Insert rows of one model, each a value by field and all with the same fields.

        Many cost a tenth of what the ORM's `bulk_create` does (measured). What is not given has the model's default;
        what the database makes itself (keys, its own defaults) is left to it and not read back.
        """
        if not rows:
            return
        meta = model._meta  # noqa: SLF001  Tortoise's own place for it
        fields = [
            (name, field)
            for name, field in ((name, meta.fields_map[name]) for name in meta.fields_db_projection)
            if name in rows[0] or not (field.generated or field.has_db_default())
        ]
        columns = [meta.fields_db_projection[name] for name, _ in fields]
        values = [[field.to_db_value(row.get(name, field.default), model) for name, field in fields] for row in rows]
        if len(rows) > 1 and not self._database.is_sqlite:
            async with self.connection.acquire_connection() as connection:
                await connection.copy_records_to_table(meta.db_table, columns=columns, records=values)
            return
        statement = (
            f'INSERT INTO "{meta.db_table}" ({", ".join(columns)}) '  # noqa: S608  names of our own models
            f"VALUES ({', '.join('?' * len(fields))})"
        )
        await self.connection.execute_many(self._database.in_dialect(statement), values)


class Database:
    """An open database. One of it exists per process and per test; nothing about it is global."""

    def __init__(
        self,
        address: DatabaseAddress,
        pool: PoolSettings | None = None,
        *,
        adjust_clock: Callable[[datetime], datetime] | None = None,
        is_patient: bool = False,
    ) -> None:
        """Make it; `open` connects.

        Args:
            address: where it is.
            pool: how many connections to PostgreSQL.
            adjust_clock: what tests make of the database's clock; None leaves it alone.
            is_patient: PostgreSQL may take as long as it likes for each statement, not 15 seconds.
        """
        self.address = address
        self.pool = pool or PoolSettings()
        self.adjust_clock = adjust_clock or _as_told
        self._command_seconds = None if is_patient else _COMMAND_SECONDS
        self.can_read = self.can_write = True  # as far as the last try showed
        self._tortoise = TortoiseContext()
        self._context: contextvars.Context | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self._reader: BaseDBAsyncClient | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether the last read and the last write were done."""
        return self.can_read and self.can_write

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a SQLite file rather than PostgreSQL."""
        return self.address.dialect == "sqlite"

    @property
    def writer_name(self) -> str:
        """What Tortoise calls the connection that writes."""
        return "sqlite_writer" if self.is_sqlite else "postgres"

    @property
    def _reading(self) -> BaseDBAsyncClient:
        if self._reader is None:
            raise Unavailable
        return self._reader

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
            SetupError: it is no database, or does not keep what it commits.
        """
        if self.address.path is not None:
            await asyncio.to_thread(prepare_file, self.address.path)
        self._context = contextvars.copy_context()
        try:
            await asyncio.get_running_loop().create_task(self._open(), context=self._context)
        except _UNAVAILABLE_ERRORS as error:
            await self.close()
            raise Unavailable(f"The database cannot be reached: {type(error).__name__}.") from error
        except BaseException:
            await self.close()  # a connection left open would hang the process
            raise

    async def _open(self) -> None:
        self._tortoise.__enter__()  # stays current in this context, which every transaction copies
        await self._tortoise.init(config=self.tortoise_config())
        writer = self._tortoise.connections.get(self.writer_name)
        await writer.create_connection(with_db=True)
        self._reader = writer
        if self.is_sqlite:
            self._reader = self._tortoise.connections.get("sqlite_reader")
            await self._reader.create_connection(with_db=True)
        await self._require_durability(writer)

    def tortoise_config(self) -> dict[str, Any]:
        """Return what Tortoise is told; connection names differ by dialect, for its caches are keyed by them."""
        if self.is_sqlite:
            pragmas = {"synchronous": "FULL", "busy_timeout": int(LOCK_SECONDS * 1000), "mmap_size": 256 * 1024 * 1024}
            file = {
                "engine": "gql_secrets.storage.sqlite.engine",
                "credentials": {"file_path": str(self.address.path), **pragmas},
            }
            connections: dict[str, Any] = {self.writer_name: file, "sqlite_reader": file}
        else:
            credentials = {
                **dict(self.address.credentials),
                "minsize": 1,
                "maxsize": self.pool.size,
                "statement_cache_size": self.pool.statement_cache_size,
                "command_timeout": self._command_seconds,
                "timeout": _CONNECT_SECONDS,
                "connection_class": PooledConnection,
            }
            connections = {self.writer_name: {"engine": "tortoise.backends.asyncpg", "credentials": credentials}}
        return {
            "connections": connections,
            "apps": {
                "models": {
                    "models": ["gql_secrets.storage.models"],
                    "default_connection": self.writer_name,
                    "migrations": "gql_secrets.storage.migrations",
                }
            },
        }

    async def close(self) -> None:
        """Let the running transactions end, then close every connection (an open one would hang the process)."""
        if self._running:
            await asyncio.wait(self._running, timeout=2 * LOCK_SECONDS)
        if self._context is not None:
            await asyncio.get_running_loop().create_task(self._tortoise.close_connections(), context=self._context)
        self._context = self._reader = None

    @contextlib.asynccontextmanager
    async def patient(self) -> AsyncIterator["Database"]:
        """Open the same database for work that takes its time.

        Raises:
            Unavailable, SetupError: as `open` does.
        """
        other = Database(self.address, self.pool, adjust_clock=self.adjust_clock, is_patient=True)
        await other.open()
        try:
            yield other
        finally:
            await other.close()

    async def run_tx(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in one transaction: committed when it returns, rolled back when it raises.

        The transaction has a task of its own. A request that is cancelled leaves it to end by itself: cancelled
        inside, Tortoise would keep the lock or the pool's connection for ever.

        Raises:
            Conflict: the lock was not had within 5 seconds.
            Unavailable: the database does not answer, or cannot write.
        """
        context = self.context
        task = asyncio.get_running_loop().create_task(self._run(work), context=context)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_heard_by_nobody)
            raise

    async def read(self, work: Callable[[BaseDBAsyncClient], Awaitable[T]]) -> T:
        """Run `work` outside a transaction, on the connection for reads: it passes it to `using_db`.

        Raises:
            Unavailable: the database does not answer.
        """

        async def run() -> T:
            return await work(self._reading)

        context = self.context
        try:
            with self._failures_told():
                result = await asyncio.get_running_loop().create_task(run(), context=context)
        except Unavailable:
            self.can_read = False
            raise
        self.can_read = True
        return result

    async def _run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        try:
            with self._failures_told():
                async with in_transaction(self.writer_name) as connection:
                    if not self.is_sqlite:
                        await connection.execute_query("SELECT set_config('lock_timeout', '5s', true)")
                    result = await work(Transaction(self, connection))
        except Unavailable:
            self.can_write = False
            raise
        self.can_write = True
        return result

    @contextlib.contextmanager
    def _failures_told(self) -> Iterator[None]:
        """Raise what a caller can be told instead of the drivers' errors."""
        try:
            yield
        except Failure:
            raise
        except Exception as error:
            failure = self._failure_of(error)
            if failure is None:
                raise
            raise failure from error

    def _failure_of(self, error: Exception) -> Failure | None:
        """Return what a caller is told of this error of the database, or None if it is a defect of ours."""
        cause = error.args[0] if isinstance(error, BaseORMException) and error.args else error
        if (
            isinstance(cause, _CONFLICT_ERRORS)
            or is_busy(cause)
            or (self.is_sqlite and isinstance(error, TimeoutError))
        ):
            return Conflict("Other changes are in the way right now. Try again.")
        if isinstance(cause, (sqlite3.OperationalError, *_UNAVAILABLE_ERRORS)):
            _log.error("database trouble: %s: %s", type(cause).__name__, cause)
            if isinstance(cause, sqlite3.OperationalError) and "full" in str(cause):
                return Unavailable("The disk is full: nothing was changed.")
            return Unavailable()
        return None

    async def read_clock(self, connection: BaseDBAsyncClient) -> datetime:
        """Return the database's clock: the machine's for SQLite, `clock_timestamp()` for PostgreSQL, never `now()`."""
        if self.is_sqlite:
            return self.adjust_clock(from_microseconds(time.time_ns() // 1000))
        _, rows = await connection.execute_query(f"SELECT {_POSTGRES_CLOCK} AS now")
        return self.adjust_clock(from_microseconds(rows[0]["now"]))

    async def now(self) -> datetime:
        """Return the database's clock, for reading."""
        return await self.read(self.read_clock)

    def in_dialect(self, statement: str) -> str:
        """Return the statement with `?` written as the database wants it."""
        if self.is_sqlite:
            return statement
        first, *rest = statement.split("?")
        return first + "".join(f"${number}{part}" for number, part in enumerate(rest, start=1))

    def rows_of_json(self, columns: Mapping[str, str]) -> str:
        """Return SQL for a parameter, a JSON array of arrays, as a table with these columns (name: type)."""
        if self.is_sqlite:
            names = ", ".join(f"json_extract(value, '$[{place}]') AS {name}" for place, name in enumerate(columns))
            return f"(SELECT {names} FROM json_each(?))"  # noqa: S608  names of our own columns
        names = ", ".join(f"(value ->> {at})::{kind} AS {name}" for at, (name, kind) in enumerate(columns.items()))
        return f"(SELECT {names} FROM jsonb_array_elements(?::jsonb))"  # noqa: S608

    async def fetch(self, statement: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Return the rows of a read with `?` placeholders."""

        async def work(connection: BaseDBAsyncClient) -> list[dict[str, Any]]:
            return await connection.execute_query_dict(self.in_dialect(statement), list(values))

        return await self.read(work)

    async def _require_durability(self, connection: BaseDBAsyncClient) -> None:
        if self.is_sqlite:
            _, rows = await connection.execute_query("PRAGMA synchronous")
            if rows[0][0] != 2:  # noqa: PLR2004  FULL
                raise SetupError("SQLite must run with synchronous=FULL: a secret that was answered must be there.")
            return
        _, rows = await connection.execute_query("SELECT current_setting('default_transaction_isolation') AS value")
        if rows[0]["value"] != "read committed":
            raise SetupError(
                "PostgreSQL must run with default_transaction_isolation='read committed' for this database: a change "
                "decides on what was committed while it waited for its locks."
            )
        for name in ("fsync", "synchronous_commit"):
            _, rows = await connection.execute_query(f"SELECT current_setting('{name}') AS value")
            if rows[0]["value"] == "off":
                raise SetupError(
                    f"PostgreSQL runs with {name}=off: a secret that was answered could be lost. Set it on."
                )


class PooledConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg is untyped here
    """A connection that is given back without asyncpg's reset queries: we leave no state of a session behind.

    A transaction that Tortoise left open is still rolled back, or the next one to get the connection would fail in it.
    """

    def get_reset_query(self) -> str:
        """Return no query; every setting of ours is local to its transaction."""
        return ""


def _heard_by_nobody(task: asyncio.Task[Any]) -> None:
    """Take what a transaction ended with whose request had left: a refusal is no news, a defect is."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, Failure):
        _log.error("a transaction failed whose request had left", exc_info=error)


def _as_told(now: datetime) -> datetime:
    return now
