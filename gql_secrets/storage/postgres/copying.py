"""All rows of a PostgreSQL database, read as they are at one moment, or written whole or not at all."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

import asyncpg

from gql_secrets.storage.address import DatabaseAddress
from gql_secrets.storage.postgres.connection import Connector

_BOOLEANS: Final = """
    SELECT column_name FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = $1 AND data_type = 'boolean'
"""
_MARK: Final = "SELECT count(*), max(xmin::text::bigint) FROM {table}"
_SEQUENCE: Final = "SELECT pg_get_serial_sequence($1, 'id')"


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


@contextlib.asynccontextmanager
async def snapshot(address: DatabaseAddress) -> AsyncIterator[PostgresRows]:
    """Yield the rows of a database as they are now, regardless of what is written later."""
    async with _transaction(address, isolation="repeatable_read", readonly=True) as rows:
        yield rows


@contextlib.asynccontextmanager
async def filling(address: DatabaseAddress) -> AsyncIterator[PostgresRows]:
    """Yield a database to write rows to: all of them are there in the end, or none."""
    async with _transaction(address) as rows:
        yield rows


@contextlib.asynccontextmanager
async def watch(address: DatabaseAddress, tables: Sequence[str]) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Yield a function that returns whether anything was written to these tables since the block began."""
    connection = await Connector(address, statement_cache_size=0).connect()
    try:

        async def marks() -> list[asyncpg.Record]:
            # A row that is inserted or updated gets the number of a new transaction.
            return [await connection.fetchrow(_MARK.format(table=table)) for table in tables]

        before = await marks()

        async def was_written() -> bool:
            return await marks() != before

        yield was_written
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def _transaction(address: DatabaseAddress, **options: object) -> AsyncIterator[PostgresRows]:
    connection = await Connector(address, statement_cache_size=0).connect()
    try:
        async with connection.transaction(**options):
            yield PostgresRows(connection)
    finally:
        await connection.close()


def _with_booleans(row: Sequence[Any], places: Sequence[int]) -> Sequence[Any]:
    if not places:
        return row
    values = list(row)
    for place in places:
        values[place] = None if values[place] is None else bool(values[place])
    return values
