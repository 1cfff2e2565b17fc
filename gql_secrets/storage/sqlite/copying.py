"""All rows of a SQLite file, read as they are at one moment, or written whole or not at all."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from gql_secrets.storage.copied_tables import Table, choose_tables

_RAISE_IDS: Final = "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?"
_FIRST_IDS: Final = "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)"


class SqliteRows:
    """The rows of an open file."""

    def __init__(self, connection: sqlite3.Connection, schema: str = "main") -> None:
        """Read and write over this connection, which has the file under this name."""
        self._connection = connection
        self._schema = schema

    async def read(self, table: str, columns: Sequence[str], size: int) -> AsyncIterator[Sequence[Sequence[Any]]]:
        """Yield the rows of a table in batches."""
        statement = f"SELECT {', '.join(columns)} FROM {self._schema}.{table}"  # noqa: S608  names of our own
        cursor = await asyncio.to_thread(self._connection.execute, statement)
        while rows := await asyncio.to_thread(cursor.fetchmany, size):
            yield rows

    async def write(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Write rows to a table."""
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608  names of our own tables
        await asyncio.to_thread(self._write, statement, rows)

    def _write(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        # A cursor resets its statement when it ends. The next batch has the same statement, in another thread.
        self._connection.executemany(statement, rows).close()

    async def count(self, table: str) -> int:
        """Return how many rows a table has."""
        [[number]] = await self._fetch(f"SELECT count(*) FROM {self._schema}.{table}")  # noqa: S608  our own
        return int(number)

    async def highest(self, table: str, column: str) -> int:
        """Return the highest value of a column of whole numbers; 0 without rows."""
        [highest] = self._connection.execute(f"SELECT COALESCE(max({column}), 0) FROM {table}").fetchone()  # noqa: S608  our own
        return int(highest)

    async def use_ids_above(self, table: str, number: int) -> None:
        """Let the ids of new rows be above this number, and above those of the rows that there are."""
        used = max(number, await self.highest(table, "id"))
        if not self._connection.execute(_RAISE_IDS, (used, table)).rowcount:
            self._connection.execute(_FIRST_IDS, (table, used))

    async def keys(self, table: str, key: Sequence[str]) -> set[tuple[Any, ...]]:
        """Return the key of each row."""
        return set(await self._fetch(f"SELECT {', '.join(key)} FROM {self._schema}.{table}"))  # noqa: S608  our own

    async def sample(self, table: str, columns: Sequence[str], every: int) -> list[tuple[Any, ...]]:
        """Return the rows whose id is a multiple of a number, by their id."""
        return await self._fetch(
            f"SELECT {', '.join(columns)} FROM {self._schema}.{table} WHERE id % {every} = 0 ORDER BY id"  # noqa: S608  our own
        )

    async def count_known(self, table: str, key: Sequence[str], keys: Sequence[Sequence[Any]]) -> int:
        """Return how many of these keys a row has."""
        statement = f"SELECT 1 FROM {table} WHERE {_equal(key)}"  # noqa: S608  names of our own

        def count() -> int:
            return sum(self._connection.execute(statement, each).fetchone() is not None for each in keys)

        return await asyncio.to_thread(count)

    async def delete(self, table: str, key: Sequence[str], keys: Sequence[Sequence[Any]]) -> None:
        """Delete the rows with these keys."""
        await asyncio.to_thread(self._write, f"DELETE FROM {table} WHERE {_equal(key)}", keys)  # noqa: S608  our own

    async def replace(
        self, table: str, columns: Sequence[str], key: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Write rows in this order, each in place of the one with its key."""
        marks = ", ".join("?" * len(columns))
        changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
        statement = (
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) "  # noqa: S608  names of our own
            f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
        )
        await asyncio.to_thread(self._write, statement, rows)

    async def run(self, statement: str) -> None:
        """Run a statement."""
        await asyncio.to_thread(self._connection.execute, statement)

    async def _fetch(self, statement: str) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(lambda: self._connection.execute(statement).fetchall())


class LaterRows(SqliteRows):
    """The rows of a file at a later moment than those of its baseline."""

    async def changed(
        self, table: str, columns: Sequence[str], key: Sequence[str], order: str
    ) -> list[tuple[Any, ...]]:
        """Return the rows that are not in the baseline, or are different there, in this order."""
        now, before = (", ".join(f"{alias}.{name}" for name in columns) for alias in ("now", "before"))
        joined = " AND ".join(f"before.{name} = now.{name}" for name in key)
        return await self._fetch(
            f"SELECT {', '.join(columns)} FROM (SELECT now.* FROM {self._schema}.{table} now "  # noqa: S608  our own
            f"LEFT JOIN main.{table} before ON {joined} "
            f"WHERE before.{key[0]} IS NULL OR ({now}) IS NOT ({before})) ORDER BY {order}"
        )


class Baseline:
    """All rows of a file as they were at one moment, to be compared with those of a later one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Have the rows in the first database of this connection, and the file under the name `live`."""
        self._connection = connection

    @contextlib.asynccontextmanager
    async def rows(self) -> AsyncIterator[SqliteRows]:
        """Yield the rows as they were."""
        yield SqliteRows(self._connection)

    @contextlib.asynccontextmanager
    async def later(self) -> AsyncIterator[LaterRows]:
        """Yield the rows as they are now, regardless of what is written later."""
        self._connection.execute("BEGIN")
        try:
            self._connection.execute("SELECT 1 FROM live.sqlite_master").fetchone()
            yield LaterRows(self._connection, "live")
        finally:
            self._connection.execute("ROLLBACK")


@contextlib.asynccontextmanager
async def snapshot(path: Path) -> AsyncIterator[SqliteRows]:
    """Yield the rows of a file as they are now, regardless of what is written later."""
    with contextlib.closing(_connect(path, "ro")) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # the snapshot begins with the first read
        yield SqliteRows(connection)


@contextlib.asynccontextmanager
async def baseline(path: Path) -> AsyncIterator[Baseline]:
    """Yield the rows of a file as they are now, in a copy of the file that has no name and ends with the process."""
    with contextlib.closing(sqlite3.connect("", uri=True, isolation_level=None, check_same_thread=False)) as connection:
        with contextlib.closing(_connect(path, "ro")) as source:
            await asyncio.to_thread(source.backup, connection)
        connection.execute("ATTACH ? AS live", (_uri(path, "ro"),))
        yield Baseline(connection)


@contextlib.asynccontextmanager
async def filling(path: Path) -> AsyncIterator[SqliteRows]:
    """Yield a file to write rows to: all of them are there in the end, or none."""
    with contextlib.closing(_connect(path, "rw")) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("BEGIN IMMEDIATE")
        yield SqliteRows(connection)
        await asyncio.to_thread(connection.execute, "COMMIT")


@contextlib.asynccontextmanager
async def watch(path: Path) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Yield a function that returns whether another connection committed since the block began."""
    with contextlib.closing(_connect(path, "ro")) as connection:

        def version() -> int:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

        before = version()

        async def was_written() -> bool:
            return version() != before

        yield was_written


def read_tables(path: Path) -> dict[str, Table]:
    """Return each table that is copied, after those that its rows refer to."""
    with contextlib.closing(_connect(path, "ro")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        infos = {name: connection.execute(f'PRAGMA table_info("{name}")').fetchall() for name in names}
        tables = {
            name: Table([column for _, column, *_ in info], [column for _, column, *_, place in info if place])
            for name, info in infos.items()
        }
        needs = {name: [row[2] for row in connection.execute(f'PRAGMA foreign_key_list("{name}")')] for name in names}
        return choose_tables(tables, needs)


def read_migrations(path: Path) -> set[str]:
    """Return the migrations that a file has; none for one that is missing, or of another program."""
    try:
        with contextlib.closing(_connect(path, "ro")) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM tortoise_migrations")}
    except sqlite3.DatabaseError:
        return set()


def make_single_file(path: Path) -> None:
    """Write the log of changes into the file, so that it can be moved alone."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # The statements run one after the other, but not always in the same thread.
    return sqlite3.connect(_uri(path, mode), uri=True, isolation_level=None, check_same_thread=False)


def _uri(path: Path, mode: str) -> str:
    return f"{path.absolute().as_uri()}?mode={mode}"


def _equal(key: Sequence[str]) -> str:
    return " AND ".join(f"{name} = ?" for name in key)
