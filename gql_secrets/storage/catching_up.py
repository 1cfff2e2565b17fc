"""Bringing a copy of a database up to date: the rows that were written or deleted since, and nothing else."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from gql_secrets.storage.address import DatabaseAddress
from gql_secrets.storage.copied_tables import Table
from gql_secrets.storage.copying import Rows, keep_ids
from gql_secrets.storage.errors import translated
from gql_secrets.storage.postgres import copying as postgres
from gql_secrets.storage.sqlite import copying as sqlite

# A client has at most one current and one retained secret at each moment. What ended is written first, and a retained
# secret before the current one: what is current or retained later has not ended before.
_ORDERS: Final = {"client_secret": "CASE state WHEN 'CURRENT' THEN 2 WHEN 'RETAINED' THEN 1 ELSE 0 END, id"}
# The columns of each digest that is compared.
_DIGEST: Final = ("id", "client_id", "digest")


class LaterRows(Rows, Protocol):
    """The rows of one database at a later moment than those of its baseline."""

    async def changed(
        self, table: str, columns: Sequence[str], key: Sequence[str], order: str
    ) -> list[tuple[Any, ...]]:
        """Return at least the rows that are not in the baseline, or are different there, in this order."""
        ...


class Baseline(Protocol):
    """All rows of a database as they were at one moment, to be compared with those of a later one."""

    def rows(self) -> AbstractAsyncContextManager[Rows]:
        """Yield the rows of the baseline; once."""
        ...

    def later(self) -> AbstractAsyncContextManager[LaterRows]:
        """Yield the rows as they are now, regardless of what is written later."""
        ...


@contextlib.asynccontextmanager
async def baseline(address: DatabaseAddress) -> AsyncIterator[Baseline]:
    """Yield a database as it is now; verification and changes go on."""
    taken: AbstractAsyncContextManager[Baseline] = (
        postgres.baseline(address) if address.path is None else sqlite.baseline(address.path)
    )
    with translated():
        async with taken as found:
            yield found


async def catch_up(source: LaterRows, target: Rows, tables: Mapping[str, Table]) -> dict[str, int]:
    """Make a copy of the baseline the same as the database is at the later moment; return how many rows each table has.

    Args:
        source: the database at the later moment.
        target: the copy.
        tables: the tables, each after those that its rows refer to.

    Raises:
        LookupError: a table has another number of rows in the copy afterwards.
    """
    changed, gone = {}, {}
    for name, (columns, key) in tables.items():
        rows = await source.changed(name, columns, key, _ORDERS.get(name, ", ".join(key)))
        places = [columns.index(column) for column in key]
        keys = [tuple(row[place] for place in places) for row in rows]
        new = len(keys) - (await target.count_known(name, key, keys) if keys else 0)
        changed[name] = rows
        # Every row of the database is in the copy or new. What the copy has beyond that was deleted.
        if await target.count(name) + new > await source.count(name):
            gone[name] = await target.keys(name, key) - await source.keys(name, key)
    # Deletions first: a row may have the unique values of one that was deleted.
    for name in reversed(list(tables)):
        if deleted := gone.get(name):
            await target.delete(name, tables[name].key, list(deleted))
    for name, (columns, key) in tables.items():
        if changed[name]:
            await target.replace(name, columns, key, changed[name])
    counts = {name: await source.count(name) for name in tables}
    for name, count in counts.items():
        if await target.count(name) != count:
            raise LookupError(f"Not every row of {name} was copied.")
    await keep_ids(target)
    return counts


async def have_same_digests(source: Rows, target: Rows, about: int) -> bool:
    """Return whether about this many secrets have the same digests in both."""
    every = max(1, await source.highest("client_secret", "id") // about)
    pairs = [await rows.sample("client_secret", _DIGEST, every) for rows in (source, target)]
    found = [[(secret, client, bytes(digest)) for secret, client, digest in rows] for rows in pairs]
    return found[0] == found[1]
