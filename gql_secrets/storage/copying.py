"""Copying every row of one database into another one, of either kind."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from gql_secrets.storage.address import DatabaseAddress
from gql_secrets.storage.copied_tables import Table
from gql_secrets.storage.errors import translated
from gql_secrets.storage.postgres import copying as postgres
from gql_secrets.storage.sqlite import copying as sqlite

_BATCH: Final = 5000
# Rows of these tables are deleted in time, and their ids are never used again: audit events name people by them.
_NAMED_BY_EVENTS: Final = {"sign_in_link": "link_number", "session": "session_number", "webhook": "webhook_number"}


class Rows(Protocol):
    """The rows of one database."""

    def read(self, table: str, columns: Sequence[str], size: int) -> AsyncIterator[Sequence[Sequence[Any]]]:
        """Yield the rows of a table in batches."""

    async def write(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Write rows to a table."""

    async def count(self, table: str) -> int:
        """Return how many rows a table has."""

    async def highest(self, table: str, column: str) -> int:
        """Return the highest value of a column of whole numbers; 0 without rows."""

    async def use_ids_above(self, table: str, number: int) -> None:
        """Let the ids of new rows be above this number, and above those of the rows that there are."""

    async def keys(self, table: str, key: Sequence[str]) -> set[tuple[Any, ...]]:
        """Return the key of each row."""
        ...

    async def sample(self, table: str, columns: Sequence[str], every: int) -> list[tuple[Any, ...]]:
        """Return the rows whose id is a multiple of a number, by their id."""
        ...

    async def count_known(self, table: str, key: Sequence[str], keys: Sequence[Sequence[Any]]) -> int:
        """Return how many of these keys a row has."""
        ...

    async def delete(self, table: str, key: Sequence[str], keys: Sequence[Sequence[Any]]) -> None:
        """Delete the rows with these keys."""

    async def replace(
        self, table: str, columns: Sequence[str], key: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Write rows in this order, each in place of the one with its key."""

    async def run(self, statement: str) -> None:
        """Run a statement."""


def columns_of(tables: Mapping[str, Table]) -> dict[str, Sequence[str]]:
    """Return the columns of each table, as `copy_rows` takes them."""
    return {name: table.columns for name, table in tables.items()}


async def read_tables(source: DatabaseAddress, target: DatabaseAddress) -> Mapping[str, Table]:
    """Return each table that is copied, after those that its rows refer to, from two databases that are migrated.

    Raises:
        Unavailable: the database does not answer.
    """
    path = source.path or target.path
    with translated():
        return await postgres.read_tables(source) if path is None else sqlite.read_tables(path)


@contextlib.asynccontextmanager
async def snapshot(address: DatabaseAddress) -> AsyncIterator[Rows]:
    """Yield the rows of a database as they are now; verification and changes go on."""
    rows: contextlib.AbstractAsyncContextManager[Rows] = (
        postgres.snapshot(address) if address.path is None else sqlite.snapshot(address.path)
    )
    with translated():
        async with rows as found:
            yield found


@contextlib.asynccontextmanager
async def filling(address: DatabaseAddress) -> AsyncIterator[Rows]:
    """Yield a database to write rows to: all of them are there in the end, or none."""
    rows: contextlib.AbstractAsyncContextManager[Rows] = (
        postgres.filling(address) if address.path is None else sqlite.filling(address.path)
    )
    with translated():
        async with rows as found:
            yield found


@contextlib.asynccontextmanager
async def watch(address: DatabaseAddress, tables: Sequence[str]) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Yield a function that returns whether anything was written to these tables since the block began."""
    watching: contextlib.AbstractAsyncContextManager[Callable[[], Awaitable[bool]]] = (
        postgres.watch(address, tables) if address.path is None else sqlite.watch(address.path)
    )
    with translated():
        async with watching as was_written:
            yield was_written


async def copy_rows(
    source: Rows,
    target: Rows,
    tables: Mapping[str, Sequence[str]],
    *,
    copied_more: Callable[[int], None] = lambda _rows: None,
) -> dict[str, int]:
    """Copy these columns of these tables; return how many rows each had.

    Args:
        source: where the rows are.
        target: where they go to.
        tables: the columns of each table.
        copied_more: is called with a number of rows that were copied.

    Raises:
        LookupError: the target does not have as many rows afterwards.
    """
    copied = {}
    for table, columns in tables.items():
        copied[table] = 0
        async for rows in source.read(table, columns, _BATCH):
            await target.write(table, columns, rows)
            copied[table] += len(rows)
            copied_more(len(rows))
        if await target.count(table) != copied[table]:
            raise LookupError(f"Not every row of {table} was copied.")
    await keep_ids(target)
    return copied


async def keep_ids(target: Rows) -> None:
    """Let no new row have the id of one that was deleted, and that an audit event names."""
    for table, column in _NAMED_BY_EVENTS.items():
        await target.use_ids_above(table, await target.highest("audit_event", column))
