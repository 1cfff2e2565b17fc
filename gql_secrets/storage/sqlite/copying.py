"""All rows of a SQLite file, read as they are at one moment, or written whole or not at all."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

# What each database makes for itself: its migrations, the index of the search with its parts, and which node delivers.
_NOT_COPIED: Final = (
    *("sqlite_", "tortoise_migrations", "schema_version", "client_search", "webhook_lease", "cluster"),
    "audit_archive",
)
# Tokens of people's identity providers: of a refresh token that two installations use, the provider ends the grant.
_COLUMNS_NOT_COPIED: Final = {"session": ("tokens", "tokens_key_id", "look_claimed_until")}
_RAISE_IDS: Final = "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?"
_FIRST_IDS: Final = "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)"


class SqliteRows:
    """The rows of an open file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read and write over this connection."""
        self._connection = connection

    async def read(self, table: str, columns: Sequence[str], size: int) -> AsyncIterator[Sequence[Sequence[Any]]]:
        """Yield the rows of a table in batches."""
        cursor = await asyncio.to_thread(self._connection.execute, f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608  our own
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
        return int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608  our own

    async def highest(self, table: str, column: str) -> int:
        """Return the highest value of a column of whole numbers; 0 without rows."""
        [highest] = self._connection.execute(f"SELECT COALESCE(max({column}), 0) FROM {table}").fetchone()  # noqa: S608  our own
        return int(highest)

    async def use_ids_above(self, table: str, number: int) -> None:
        """Let the ids of new rows be above this number, and above those of the rows that there are."""
        used = max(number, await self.highest(table, "id"))
        if not self._connection.execute(_RAISE_IDS, (used, table)).rowcount:
            self._connection.execute(_FIRST_IDS, (table, used))


@contextlib.asynccontextmanager
async def snapshot(path: Path) -> AsyncIterator[SqliteRows]:
    """Yield the rows of a file as they are now, regardless of what is written later."""
    with contextlib.closing(_connect(path, "ro")) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # the snapshot begins with the first read
        yield SqliteRows(connection)


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


def read_tables(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the columns of each table that is copied; a table comes after those that its rows refer to."""
    with contextlib.closing(_connect(path, "ro")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        needs = {
            name: {row[2] for row in connection.execute(f'PRAGMA foreign_key_list("{name}")')} - {name}
            for name in sorted(names)
            if not name.startswith(_NOT_COPIED)
        }
        return {
            name: tuple(
                column
                for _, column, *_ in connection.execute(f'PRAGMA table_info("{name}")')
                if column not in _COLUMNS_NOT_COPIED.get(name, ())
            )
            for name in _sorted(needs)
        }


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
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
    )


def _sorted(needs: dict[str, set[str]]) -> Iterator[str]:
    left = dict(needs)
    while left:
        ready = [name for name, others in left.items() if not others & left.keys()]
        yield from ready
        for name in ready:
            del left[name]
