"""The look-up of verification on PostgreSQL."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Self

import asyncpg

from gql_secrets.storage.database import Database, PooledConnection
from gql_secrets.storage.fields import from_microseconds
from gql_secrets.storage.secret_index import (
    COLUMNS,
    NOBODYS_DIGEST,
    SOME_DIGESTS,
    TABLES,
    StoredSecret,
    ended_of,
    found_of,
    may_be_good,
)

_CLOCK: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now"
_VERIFY_SECONDS: Final = 0.8
_QUESTION: Final = f"""
    SELECT x.*, {_CLOCK}, ARRAY(
        SELECT network FROM client_network n WHERE n.client_id = x.client_id ORDER BY position
    ) AS networks
    FROM (SELECT 1) one LEFT JOIN (
        SELECT {COLUMNS} FROM {TABLES} WHERE s.digest = ANY($1::bytea[]) LIMIT 1
    ) x ON true
"""  # noqa: S608  put together from constants
_NOTHING_AHEAD: Final = 3600.0


class PostgresLookup:
    """Reads PostgreSQL for each verification, twice for a refused one: exact on every node by construction."""

    def __init__(self, database: Database, pool: asyncpg.Pool) -> None:
        """Make it on a pool of its own."""
        self._adjust_clock = database.adjust_clock
        self._pool = pool
        self._some_digests: Iterator[bytes] | None = None

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Make it with a pool that connects with the first question."""
        pool = await asyncpg.create_pool(
            **dict(database.address.credentials),
            min_size=0,
            max_size=database.pool.size,
            statement_cache_size=database.pool.statement_cache_size,
            connection_class=PooledConnection,
        )
        return cls(database, pool)

    async def find(self, client_id: str, digests: Sequence[bytes]) -> tuple[StoredSecret | None, datetime]:  # noqa: ARG002
        """Return the secret with one of these digests, and the database's clock, within 0.8 seconds."""
        connection = None
        try:
            async with asyncio.timeout(_VERIFY_SECONDS):
                connection = await self._pool.acquire()
                row = await connection.fetchrow(_QUESTION, list(digests))
                found = await self._judged(row, connection)
        except BaseException:
            if connection is not None:
                connection.terminate()  # asking it to cancel would wait for the same silence again
            raise
        finally:
            if connection is not None:
                await self._pool.release(connection)
        return found, self._adjust_clock(from_microseconds(row["now"]))

    async def _judged(self, row: asyncpg.Record, connection: asyncpg.Connection) -> StoredSecret | None:
        if row["id"] is not None and may_be_good(row):
            return found_of(row, row["networks"] if row["is_restricted"] else None)
        if self._some_digests is None:
            some = [digest for (digest,) in await connection.fetch(SOME_DIGESTS)]
            self._some_digests = itertools.cycle(some or [NOBODYS_DIGEST])
        other_digest = next(self._some_digests) if row["id"] is None else NOBODYS_DIGEST
        other = await connection.fetchrow(_QUESTION, [other_digest])
        if row["id"] is not None:
            return ended_of(row)
        if other["id"] is not None:
            ended_of(other)
        return None

    def find_nowait(self, client_id: str, digests: Sequence[bytes]) -> None:
        """Find nothing: the answer comes over a network."""

    def expire_view(self) -> None:
        """Do nothing: every question reads the database."""

    async def read_ahead(self) -> float:
        """Read nothing: what is remembered could not be exact on several nodes."""
        return _NOTHING_AHEAD

    async def close(self) -> None:
        """Close the pool, in good order if the database lets it."""
        try:
            async with asyncio.timeout(_VERIFY_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()
