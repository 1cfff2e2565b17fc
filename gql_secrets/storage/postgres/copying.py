"""All rows of a PostgreSQL database, read as they are at one moment, or written whole or not at all."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

import asyncpg

from gql_secrets.storage.address import DatabaseAddress
from gql_secrets.storage.copied_tables import Table, choose_tables
from gql_secrets.storage.postgres.connection import Connector
from gql_secrets.storage.postgres.dialect import COUNT_ROWS

_BOOLEANS: Final = """
    SELECT column_name FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = $1 AND data_type = 'boolean'
"""
_MARK: Final = "SELECT count(*), max(xmin::text::bigint) FROM {table}"
_SEQUENCE: Final = "SELECT pg_get_serial_sequence($1, 'id')"
# The oldest transaction that the snapshot may not see. Where a row was written by it or by a younger one, the row has
# perhaps changed since; where not, it has not. Transactions have 32 bits in a row.
_OLDEST_UNSEEN: Final = "SELECT (txid_snapshot_xmin(txid_current_snapshot()) % 4294967296)::text"
_CHANGED: Final = "SELECT {columns} FROM {table} WHERE age(xmin) <= age($1::text::xid) ORDER BY {order}"


_COLUMNS: Final = """
    SELECT c.table_name, array_agg(c.column_name::text ORDER BY c.ordinal_position) AS columns
    FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
    WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' GROUP BY c.table_name
"""
_KEY: Final = """
    SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = $1::text::regclass AND i.indisprimary ORDER BY a.attnum
"""
_NEEDS: Final = """
    SELECT r.relname::text FROM pg_constraint f JOIN pg_class r ON r.oid = f.confrelid
    WHERE f.conrelid = $1::text::regclass AND f.contype = 'f'
"""


class PostgresRows:
    """The rows of an open database, within one transaction."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        """Read and write over this connection."""
        self._connection = connection

    async def read(self, table: str, columns: Sequence[str], size: int) -> AsyncIterator[Sequence[Sequence[Any]]]:
        """Yield the rows of a table in batches."""
        cursor = await self._connection.cursor(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608  our own
        while rows := await cursor.fetch(size):
            yield [tuple(row) for row in rows]

    async def write(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Write rows to a table."""
        booleans = {name for (name,) in await self._connection.fetch(_BOOLEANS, table)}
        places = [place for place, name in enumerate(columns) if name in booleans]
        await self._connection.copy_records_to_table(
            table, columns=list(columns), records=[_with_booleans(row, places) for row in rows]
        )
        if "id" in columns:
            await self.use_ids_above(table, 0)

    async def count(self, table: str) -> int:
        """Return how many rows a table has."""
        return int(await self._connection.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608  our own

    async def highest(self, table: str, column: str) -> int:
        """Return the highest value of a column of whole numbers; 0 without rows."""
        return int(await self._connection.fetchval(f"SELECT COALESCE(max({column}), 0) FROM {table}"))  # noqa: S608  our own

    async def use_ids_above(self, table: str, number: int) -> None:
        """Let the ids of new rows be above this number, and above those of the rows that there are."""
        sequence = await self._connection.fetchval(_SEQUENCE, table)
        if sequence and (used := max(number, await self.highest(table, "id"))):
            await self._connection.execute("SELECT setval($1::regclass, $2::bigint)", sequence, used)

    async def keys(self, table: str, key: Sequence[str]) -> set[tuple[Any, ...]]:
        """Return the key of each row."""
        return {tuple(row) for row in await self._connection.fetch(f"SELECT {', '.join(key)} FROM {table}")}  # noqa: S608  our own

    async def sample(self, table: str, columns: Sequence[str], every: int) -> list[tuple[Any, ...]]:
        """Return the rows whose id is a multiple of a number, by their id."""
        statement = f"SELECT {', '.join(columns)} FROM {table} WHERE id % {every} = 0 ORDER BY id"  # noqa: S608  our own
        return [tuple(row) for row in await self._connection.fetch(statement)]

    async def count_known(self, table: str, key: Sequence[str], keys: Sequence[Sequence[Any]]) -> int:
        """Return how many of these keys a row has."""
        async with self._given(table, key, keys) as given:
            counting = f"SELECT count(*) FROM {table} JOIN {given} USING ({', '.join(key)})"  # noqa: S608  our own
            return int(await self._connection.fetchval(counting))

    async def delete(self, table: str, key: Sequence[str], keys: Sequence[Sequence[Any]]) -> None:
        """Delete the rows with these keys."""
        async with self._given(table, key, keys) as given:
            own, others = (", ".join(f"{name}.{column}" for column in key) for name in (table, given))
            await self._connection.execute(f"DELETE FROM {table} USING {given} WHERE ({own}) = ({others})")  # noqa: S608  our own

    async def replace(
        self, table: str, columns: Sequence[str], key: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Write rows in this order, each in place of the one with its key."""
        names = ", ".join(columns)
        changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
        async with self._given(table, columns, rows) as given:
            await self._connection.execute(
                f"INSERT INTO {table} ({names}) SELECT {names} FROM {given} ORDER BY ctid "  # noqa: S608  our own
                f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
            )
        if "id" in columns:
            await self.use_ids_above(table, 0)

    async def run(self, statement: str) -> None:
        """Run a statement."""
        await self._connection.execute(statement)

    @contextlib.asynccontextmanager
    async def _given(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> AsyncIterator[str]:
        """Yield the name of a table with these rows."""
        await self._connection.execute(
            f"CREATE TEMPORARY TABLE given ON COMMIT DROP AS SELECT {', '.join(columns)} FROM {table} WITH NO DATA"  # noqa: S608  our own
        )
        booleans = {name for (name,) in await self._connection.fetch(_BOOLEANS, table)}
        places = [place for place, name in enumerate(columns) if name in booleans]
        await self._connection.copy_records_to_table(
            "given", columns=list(columns), records=[_with_booleans(row, places) for row in rows]
        )
        yield "given"
        await self._connection.execute("DROP TABLE given")


class LaterRows(PostgresRows):
    """The rows of a database at a later moment than those of its baseline."""

    def __init__(self, connection: asyncpg.Connection, oldest_unseen: str) -> None:
        super().__init__(connection)
        self._oldest_unseen = oldest_unseen

    async def changed(
        self,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],  # noqa: ARG002  SQLite needs it
        order: str,
    ) -> list[tuple[Any, ...]]:
        """Return the rows that are not in the baseline, or may be different there, in this order."""
        statement = _CHANGED.format(columns=", ".join(columns), table=table, order=order)
        return [tuple(row) for row in await self._connection.fetch(statement, self._oldest_unseen)]


class Baseline:
    """All rows of a database as they were at one moment, to be compared with those of a later one."""

    def __init__(self, address: DatabaseAddress) -> None:
        """Compare rows of this database."""
        self._address = address
        self._oldest_unseen = "0"

    @contextlib.asynccontextmanager
    async def rows(self) -> AsyncIterator[PostgresRows]:
        """Yield the rows as they are now: they are the baseline."""
        async with _connected(self._address) as connection, _reading(connection):
            self._oldest_unseen = await connection.fetchval(_OLDEST_UNSEEN)
            yield PostgresRows(connection)

    @contextlib.asynccontextmanager
    async def later(self) -> AsyncIterator[LaterRows]:
        """Yield the rows as they are now, regardless of what is written later."""
        async with _connected(self._address) as connection, _reading(connection):
            yield LaterRows(connection, self._oldest_unseen)


@contextlib.asynccontextmanager
async def baseline(address: DatabaseAddress) -> AsyncIterator[Baseline]:
    """Yield the rows of a database as they are when they are read."""
    yield Baseline(address)


@contextlib.asynccontextmanager
async def snapshot(address: DatabaseAddress) -> AsyncIterator[PostgresRows]:
    """Yield the rows of a database as they are now, regardless of what is written later."""
    async with _connected(address) as connection, _reading(connection):
        yield PostgresRows(connection)


@contextlib.asynccontextmanager
async def filling(address: DatabaseAddress) -> AsyncIterator[PostgresRows]:
    """Yield a database to write rows to: all of them are there in the end, or none."""
    async with _connected(address) as connection:
        async with connection.transaction():
            yield PostgresRows(connection)
        await connection.execute(COUNT_ROWS)


@contextlib.asynccontextmanager
async def watch(address: DatabaseAddress, tables: Sequence[str]) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Yield a function that returns whether anything was written to these tables since the block began."""
    async with _connected(address) as connection:

        async def marks() -> list[asyncpg.Record]:
            # A row that is inserted or updated gets the number of a new transaction.
            return [await connection.fetchrow(_MARK.format(table=table)) for table in tables]

        before = await marks()

        async def was_written() -> bool:
            return await marks() != before

        yield was_written


async def read_tables(address: DatabaseAddress) -> dict[str, Table]:
    """Return each table that is copied, after those that its rows refer to."""
    async with _connected(address) as connection:
        tables, needs = {}, {}
        for name, columns in await connection.fetch(_COLUMNS):
            tables[name] = Table(columns, [column for (column,) in await connection.fetch(_KEY, name)])
            needs[name] = [other for (other,) in await connection.fetch(_NEEDS, name)]
        return choose_tables(tables, needs)


@contextlib.asynccontextmanager
async def _connected(address: DatabaseAddress) -> AsyncIterator[asyncpg.Connection]:
    connection = await Connector(address, statement_cache_size=0).connect()
    try:
        yield connection
    finally:
        await connection.close()


def _reading(connection: asyncpg.Connection) -> contextlib.AbstractAsyncContextManager[None]:
    """Return a transaction that reads what was committed when it began."""
    return connection.transaction(isolation="repeatable_read", readonly=True)  # type: ignore[no-any-return]  # untyped


def _with_booleans(row: Sequence[Any], places: Sequence[int]) -> Sequence[Any]:
    if not places:
        return row
    values = list(row)
    for place in places:
        values[place] = None if values[place] is None else bool(values[place])
    return values
