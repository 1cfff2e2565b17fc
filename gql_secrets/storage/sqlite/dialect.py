"""The SQLite dialect."""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, cast

import orjson
from tortoise.backends.base.client import BaseDBAsyncClient

from gql_secrets.domain.errors import SetupError, Unavailable
from gql_secrets.storage.dialect import MustAwait, Statement, TableRows, Writes
from gql_secrets.storage.errors import IntegrityError, is_busy
from gql_secrets.storage.fields import from_microseconds
from gql_secrets.storage.sqlite.engine import TRY_SECONDS, ImmediateTransaction
from gql_secrets.storage.sqlite.file import WHOLE_FILE, prepare_file
from gql_secrets.storage.sqlite.reserve import Reserve
from gql_secrets.storage.urgency import LOCK_SECONDS

_log: Final = logging.getLogger(__name__)
_FULL: Final = 2
# What the write-ahead log is cut to once it was copied into the database. Tortoise's 16 kB let nearly every commit
# lengthen the file again, which took half of its time.
_MAX_LOG_BYTES: Final = 64 * 1024 * 1024
# How many pages of 4 kB the write-ahead log has when it is copied into the database. SQLite's 1000 are three groups of
# changes, and each copying waits for the disk twice.
_PAGES_BETWEEN_COPIES: Final = 4000
# Likewise, once the disk is full: a third of what the log gets from the reserve. After each copying, the log is written
# from its beginning again.
_PAGES_ON_A_FULL_DISK: Final = 250
# How much of its pages the connection for changes keeps. What the last changes wrote is in the log, from which SQLite
# reads each page by a call of the system: with its own 2 MB, a reset read twice as many.
_KEPT_KILOBYTES: Final = 16 * 1024
_CACHED_KILOBYTES: Final = 64 * 1024
_PAGES_OF_LOG: Final = 8000  # of 4 kB: half of what the log keeps
# What the index of the search keeps in memory before it writes a segment. SQLite's 1 MB are half a batch of an import,
# and each segment is merged with others several times. It stays set.
_BYTES_OF_SEARCH: Final = 4 * 1024 * 1024
_FOR_MANY_ROWS: Final = (
    f"PRAGMA cache_size = -{_CACHED_KILOBYTES}",
    f"PRAGMA wal_autocheckpoint = {_PAGES_OF_LOG}",
    f"""
        INSERT INTO client_search (client_search, rank) SELECT 'hashsize', {_BYTES_OF_SEARCH}
        WHERE NOT EXISTS (SELECT 1 FROM client_search_config WHERE k = 'hashsize')
    """,  # noqa: S608  put together from constants
)
_MAX_VARIABLES: Final = 32_766  # SQLite's limit of a statement
_ROWS_OF_STATEMENT: Final = 4000
_ROWS_OF_VALUES: Final = 1000
_MIGRATION_SECONDS: Final = 120.0
_MAX_FOUND: Final = 20


class SqliteDialect:
    """A SQLite file: one connection writes, another one reads."""

    name = "sqlite"
    writer = "sqlite_writer"
    reader = "sqlite_reader"
    # Each commit invalidates the page cache of every other connection, so there are few and large ones.
    usage_batch = 20_000
    # SQLite looks for a lock that it waits for every 25 milliseconds, and does not queue.
    seconds_between_batches = 0.03

    reads_now = True
    clock = "NULL"
    # Nothing else writes before the transaction ends.
    next_secret_id = "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'client_secret'), 0) + 1"  # noqa: S105  SQL

    def __init__(self, path: Path) -> None:
        self._path = path
        self._quick: sqlite3.Connection | None = None
        self._reserve = Reserve(path)

    async def prepare(self) -> None:  # noqa: D102  the protocol states what each method promises
        await asyncio.to_thread(self._prepare)

    def _prepare(self) -> None:
        try:
            prepare_file(self._path)
        except SetupError as error:
            if error.__cause__ is None or not self._reserve.helps(error.__cause__):
                raise
            self._reserve.lend()
            prepare_file(self._path)
        self._reserve.prepare()

    def connections(self) -> dict[str, Any]:  # noqa: D102
        return {
            self.writer: self._connection(
                TRY_SECONDS,
                temp_store="MEMORY",  # each savepoint keeps the pages that it changes: in a file, a third of a change
                wal_autocheckpoint=_PAGES_BETWEEN_COPIES,
                cache_size=-_KEPT_KILOBYTES,
            ),
            self.reader: self._connection(LOCK_SECONDS),
        }

    def _connection(self, busy_seconds: float, **pragmas: object) -> dict[str, Any]:
        return {
            "engine": "gql_secrets.storage.sqlite.engine",
            "credentials": {
                "file_path": str(self._path),
                "synchronous": "FULL",
                "busy_timeout": int(busy_seconds * 1000),
                "mmap_size": WHOLE_FILE,
                "journal_size_limit": _MAX_LOG_BYTES,
                **pragmas,
            },
        }

    def count_connections(self) -> None:
        """Return None: it has one connection for reads and one for writes."""

    async def require_durability(self, connection: BaseDBAsyncClient) -> None:  # noqa: D102
        _, rows = await connection.execute_query("PRAGMA synchronous")
        if rows[0][0] != _FULL:
            raise SetupError("SQLite must run with synchronous=FULL: a secret that was returned must not be lost.")

    async def read_replication(self, connection: BaseDBAsyncClient) -> str:  # noqa: ARG002
        """Return "none": a file has no standby."""
        return "none"

    async def read_clock(self, connection: BaseDBAsyncClient) -> datetime:  # noqa: ARG002, D102
        return from_microseconds(time.time_ns() // 1000)

    async def read_commit_mark(self, connection: BaseDBAsyncClient) -> object | None:  # noqa: D102
        return int((await connection.execute_query_dict("PRAGMA data_version"))[0]["data_version"])

    async def lock_row(
        self, connection: BaseDBAsyncClient, table: str, key: str, value: object, *, shared: bool = False
    ) -> None:
        """Do nothing: the transaction holds the write lock."""

    async def lock_for_change(self, connection: BaseDBAsyncClient, client_id: str | None) -> None:
        """Do nothing: the transaction holds the write lock."""

    async def fetch_rows(  # noqa: D102
        self, connection: BaseDBAsyncClient, statement: str, values: Sequence[object]
    ) -> Sequence[Sequence[Any]]:
        try:
            return cast("ImmediateTransaction", connection).run_now(statement, values)
        except sqlite3.IntegrityError as error:
            raise IntegrityError(error) from error

    async def count_changed(  # noqa: D102
        self, connection: BaseDBAsyncClient, statements: Sequence[Statement]
    ) -> list[int]:
        own = cast("ImmediateTransaction", connection)
        try:
            return [own.count_now(statement, values) for statement, values in statements]
        except sqlite3.IntegrityError as error:
            raise IntegrityError(error) from error

    async def write(self, connection: BaseDBAsyncClient, statements: Sequence[Statement]) -> None:  # noqa: D102
        await self.count_changed(connection, statements)

    async def run_all(  # noqa: D102
        self, connection: BaseDBAsyncClient, statements: Sequence[Statement]
    ) -> list[Sequence[Sequence[Any]]]:
        own = cast("ImmediateTransaction", connection)
        return [*await own.run_all(statements)]

    async def write_together(self, connection: BaseDBAsyncClient, writes: Writes) -> bool:  # noqa: D102
        if any(count != 1 for count in await self.count_changed(connection, writes.updates)):
            return False
        insertions = [each.statement() for each in writes.new_rows]
        await self.count_changed(connection, [*insertions, *writes.others])
        return True

    def placeholders(self, statement: str) -> str:  # noqa: D102
        return statement

    async def fetch_quickly(
        self, connection: BaseDBAsyncClient, statement: str, values: Sequence[object]
    ) -> Sequence[Sequence[Any]]:
        """Read on the event loop: handing a short read to a thread takes longer than the read."""
        try:
            return self._read_now(statement, values)
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
        _, rows = await connection.execute_query(statement, list(values))
        return [tuple(row) for row in rows]

    def has_idle_connection(self) -> bool:
        """Return False: what cannot be read now is read by another thread."""
        return False

    def fetch_now(self, statement: str, values: Sequence[object]) -> Sequence[Sequence[Any]]:  # noqa: D102
        try:
            return self._read_now(statement, values)
        except sqlite3.Error as error:
            raise MustAwait from error

    def _read_now(self, statement: str, values: Sequence[object]) -> Sequence[Sequence[Any]]:
        if self._quick is None:
            # Not mode=ro: the last connection to be closed copies the log into the database, so it must be able to.
            self._quick = sqlite3.connect(f"{self._path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0)
            self._quick.execute("PRAGMA query_only = ON")
            self._quick.execute(f"PRAGMA mmap_size = {WHOLE_FILE}")
        return self._quick.execute(statement, values).fetchall()

    def require_room(self) -> None:  # noqa: D102
        self._reserve.require_unused()

    def has_reserve_for(self, error: BaseException) -> bool:  # noqa: D102
        return self._reserve.helps(error)

    async def use_reserve(self, connection: BaseDBAsyncClient) -> None:
        """Give away the reserve, and from now on copy the log before the room that it got is used up."""
        self._reserve.use()
        await connection.execute_query(f"PRAGMA wal_autocheckpoint = {_PAGES_ON_A_FULL_DISK}")

    async def close(self) -> None:  # noqa: D102
        if self._quick is not None:
            self._quick.close()
            self._quick = None

    def joined(self, column: str) -> str:  # noqa: D102
        return f"group_concat({column})"

    def gathered(self, column: str) -> str:  # noqa: D102
        return f"json_group_array({column})"

    def row_of(self, table: str, alias: str, condition: str) -> str:  # noqa: D102
        return f"LEFT JOIN {table} {alias} ON {condition}"

    def page_with(self, table: str, joins: str, condition: str, order: str, limit: int) -> str:  # noqa: D102
        return f"{table} {joins} WHERE {condition} ORDER BY {order} LIMIT {limit:d}"

    def by_index(self, name: str) -> str:
        """Return the index: without statistics, SQLite prefers a unique index to one that has all columns."""
        return f"INDEXED BY {name}"

    def contains(  # noqa: D102
        self, term: str, parts: Sequence[str]
    ) -> tuple[str, tuple[str, tuple[str, ...]], tuple[str, str]]:
        phrases = " AND ".join('"' + part.replace('"', '""') + '"' for part in parts)
        plain = "instr(x.search_text, ?) > 0"
        test = "client_search MATCH ? AND x.id = client_search.rowid"
        found = (test, (phrases,)) if parts == [term] else (f"{test} AND {plain}", (phrases, term))
        return "client_search CROSS JOIN client_listing", found, (plain, term)

    def rows_of_json(self, columns: Mapping[str, str]) -> str:  # noqa: D102
        names = ", ".join(f"json_extract(value, '$[{place}]') AS {name}" for place, name in enumerate(columns))
        return f"(SELECT {names} FROM json_each(?))"  # noqa: S608  names of our own columns

    def tables_of(self, columns: Mapping[str, str], values: Sequence[object]) -> Iterator[Statement]:
        """Yield each thousand rows as parameters, which take a third of the time of JSON; the rest as JSON.

        The statement for a thousand rows is prepared once. One for any other number would be prepared each time.
        """
        width, size = len(columns), len(columns) * _ROWS_OF_VALUES
        rest = len(values) % size
        for start in range(0, len(values) - rest, size):
            yield _values_of(tuple(columns)), values[start : start + size]
        if rest:
            rows = [values[start : start + width] for start in range(len(values) - rest, len(values), width)]
            yield self.rows_of_json(columns), [orjson.dumps(rows).decode()]

    async def insert(self, connection: BaseDBAsyncClient, tables: Sequence[TableRows]) -> None:
        """Insert many rows with each statement.

        After each statement on `client_listing`, the index of the search writes what is new in it.
        """
        statements = [statement for table in tables for statement in _insertions(table)]
        await cast("ImmediateTransaction", connection).run_all(statements)

    async def new_secret_ids(self, connection: BaseDBAsyncClient, count: int) -> Sequence[int]:  # noqa: D102
        [[first]] = await self.fetch_rows(connection, f"SELECT {self.next_secret_id}", ())
        return range(first, first + count)

    async def count_rows(self, connection: BaseDBAsyncClient) -> None:
        """Do nothing: the statements do not depend on it."""

    async def expect_many_rows(self, connection: BaseDBAsyncClient) -> None:
        """Write a page to the disk once that a transaction writes twice, and to the database once for some of them."""
        for statement in _FOR_MANY_ROWS:
            await self.fetch_rows(connection, statement, ())

    async def find_damage(self, connection: BaseDBAsyncClient) -> list[str]:  # noqa: D102
        rows = await connection.execute_query_dict(f"PRAGMA integrity_check({_MAX_FOUND})")
        found = [f"SQLite: {text}" for row in rows if (text := str(next(iter(row.values())))) != "ok"]
        if broken := await connection.execute_query_dict("PRAGMA foreign_key_check"):
            found.append(f"rows with broken foreign keys: {len(broken)}")
        return found

    @contextlib.asynccontextmanager
    async def migration_lock(self) -> AsyncIterator[None]:  # noqa: D102
        # Tortoise's migrations take no lock of their own. An exclusive transaction on a second file is one.
        lock = sqlite3.connect(f"{self._path}.migration-lock", timeout=1.0, check_same_thread=False)
        until = time.monotonic() + _MIGRATION_SECONDS
        try:
            while True:
                try:
                    await asyncio.to_thread(lock.execute, "BEGIN EXCLUSIVE")
                    break
                except sqlite3.OperationalError as error:
                    if not is_busy(error):
                        raise
                    if time.monotonic() > until:
                        raise Unavailable("Another process has been migrating this database for 2 minutes.") from error
                    _log.warning("waiting_for_migration_lock")
            yield
        finally:
            lock.close()

    @contextlib.asynccontextmanager
    async def foreign_keys_deferred(self, connection: BaseDBAsyncClient) -> AsyncIterator[None]:
        """Turn foreign keys off, because rebuilding a table with them on deletes its children."""
        await connection.execute_query("PRAGMA foreign_keys = OFF")
        await connection.execute_query("PRAGMA temp_store = FILE")  # the rows of a new index are sorted
        try:
            yield
        finally:
            await connection.execute_query("PRAGMA foreign_keys = ON")
            await connection.execute_query("PRAGMA temp_store = MEMORY")

    async def check_foreign_keys(self, connection: BaseDBAsyncClient) -> None:  # noqa: D102
        _, broken = await connection.execute_query("PRAGMA foreign_key_check")
        if broken:
            raise SetupError(
                f"The migration would leave {len(broken)} rows with broken foreign keys; it was rolled back."
            )

    async def table_exists(self, connection: BaseDBAsyncClient, table: str) -> bool:  # noqa: D102
        rows = await connection.execute_query_dict(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", [table]
        )
        return bool(rows)


def _insertions(table: TableRows) -> Iterator[Statement]:
    """Yield statements that insert many rows each; a value that they share is one parameter."""
    size = min(_ROWS_OF_STATEMENT, (_MAX_VARIABLES - len(table.shared)) // len(table.columns))
    columns = ", ".join((*table.columns, *table.shared))
    values = ", ".join((*(f"column{number}" for number, _ in enumerate(table.columns, 1)), *"?" * len(table.shared)))
    row = f"({', '.join('?' * len(table.columns))})"
    for start in range(0, len(table.rows), size):
        rows = table.rows[start : start + size]
        yield (
            f'INSERT INTO "{table.name}" ({columns}) SELECT {values} FROM (VALUES {", ".join([row] * len(rows))})',  # noqa: S608  names of our own models
            [*table.shared.values(), *chain.from_iterable(rows)],
        )


@lru_cache
def _values_of(columns: tuple[str, ...]) -> str:
    """Return SQL that reads the parameters of a thousand rows as a table with these columns."""
    names = ", ".join(f"column{number} AS {name}" for number, name in enumerate(columns, 1))
    row = f"({', '.join('?' * len(columns))})"
    return f"(SELECT {names} FROM (VALUES {', '.join([row] * _ROWS_OF_VALUES)}))"  # noqa: S608  names of our own columns
