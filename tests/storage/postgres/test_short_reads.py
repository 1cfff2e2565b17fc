"""Short reads: they end in time, and skip the layers of asyncpg that they do not need."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from support.stopwatches import measured

from gql_secrets.storage.address import DatabaseAddress
from gql_secrets.storage.postgres.connection import Connector, PooledConnection
from gql_secrets.storage.postgres.pool import ConnectionPool

_SLEEP = "SELECT pg_sleep($1)"


async def read_prepared(pool: ConnectionPool, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Read by a statement that the pool's only connection has prepared."""
    return [tuple(row) for row in await pool.read(statement, values)]


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[ConnectionPool]:
    """A pool of one connection, whose reads must be answered within half a second."""
    connector = Connector(DatabaseAddress.parse(postgres_url), connection_class=PooledConnection)
    pool = ConnectionPool(connector.connect, 1, answer_seconds=0.5)
    yield pool
    await pool.close()


async def test_a_read_that_is_not_answered_ends_in_time(pool: ConnectionPool) -> None:
    """A connection that died silently would hold its caller up for as long as the operating system waits."""
    await pool.read(_SLEEP, (0.0,))
    for _ in range(2):
        with measured() as took, pytest.raises(TimeoutError):
            await pool.read(_SLEEP, (300.0,))
        assert 0.4 < took.seconds < 60
        assert await read_prepared(pool, "SELECT 1") == [(1,)]


async def test_a_read_that_is_answered_in_time_is_not_ended_by_an_earlier_one(pool: ConnectionPool) -> None:
    for _ in range(4):
        await pool.read(_SLEEP, (0.2,))


async def test_a_read_that_is_cancelled_leaves_nothing_to_the_next_one(pool: ConnectionPool) -> None:
    await pool.read(_SLEEP, (0.0,))
    cancelled = asyncio.create_task(pool.read(_SLEEP, (300.0,)))
    await asyncio.sleep(0.1)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert await read_prepared(pool, "SELECT 1") == [(1,)]


async def test_a_prepared_read_sees_columns_that_were_added(pool: ConnectionPool, postgres_url: str) -> None:
    """Another process migrated the database."""
    await pool.read("CREATE TABLE gqls_changed AS SELECT 1 AS one", ())
    for _ in range(2):
        assert await read_prepared(pool, "SELECT * FROM gqls_changed") == [(1,)]
    migrating = await asyncpg.connect(postgres_url)
    await migrating.execute("ALTER TABLE gqls_changed ADD two int DEFAULT 2")
    await migrating.close()
    for _ in range(2):
        assert await read_prepared(pool, "SELECT * FROM gqls_changed") == [(1, 2)]


async def test_the_private_parts_of_asyncpg_that_a_read_uses_are_there(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that renames one fails here first: with `fetch` alone, reads would only take longer."""
    assert await read_prepared(pool, "SELECT $1::int", 1) == [(1,)]
    monkeypatch.setattr(asyncpg.Connection, "fetch", None)
    assert await read_prepared(pool, "SELECT $1::int", 2) == [(2,)]
