"""A change on PostgreSQL: few round trips, the locks first, and no commit that did not happen."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from support.callers import ADMIN, DAY, HARD, Made
from support.installation import OpenNode
from tortoise.exceptions import OperationalError

from gql_secrets.domain.errors import Conflict
from gql_secrets.domain.rotation import Retention
from gql_secrets.settings import Settings
from gql_secrets.storage.errors import IntegrityError
from gql_secrets.storage.postgres.connection import PooledConnection
from gql_secrets.storage.transaction import Transaction
from gql_secrets.wiring import Services

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


@pytest.fixture
def round_trips(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """The statements that are sent from now on, one entry for each round trip, and on which connection."""
    sent: list[tuple[int, str]] = []
    execute, fetch = PooledConnection.execute, PooledConnection.fetch

    async def note_execute(self: PooledConnection, query: str, *args: object, **options: Any) -> str:
        sent.append((id(self), query))
        return await execute(self, query, *args, **options)

    async def note_fetch(self: PooledConnection, query: str, *args: object, **options: Any) -> Any:
        sent.append((id(self), query))
        return await fetch(self, query, *args, **options)

    monkeypatch.setattr(PooledConnection, "execute", note_execute)
    monkeypatch.setattr(PooledConnection, "fetch", note_fetch)
    return sent


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.mark.parametrize("retention", [HARD, DAY])
async def test_a_reset_takes_four_round_trips(
    retention: Retention, services: Services, client: Made, round_trips: list[tuple[int, str]]
) -> None:
    """Begin and lock, read, write, commit: also where it ends two secrets."""
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    round_trips.clear()
    await services.rotation.reset_secret(client.id, retention, by=ADMIN)
    [connection] = [own for own, statement in round_trips if "gqls_lock_client (" in statement and "BEGIN" in statement]
    statements = [statement for own, statement in round_trips if own == connection]
    begins = next(place for place, statement in enumerate(statements) if statement.startswith("BEGIN"))
    assert statements.index("COMMIT") - begins == 3, statements


async def test_a_generation_is_written_without_the_indexes_of_the_client(
    services: Services, other: asyncpg.Connection
) -> None:
    """Each change writes one: the pages of the clients have room for it from the beginning."""
    del services  # it migrates the database
    await other.execute("""
        INSERT INTO client (client_id, client_id_folded, name, name_folded, enabled, is_restricted, generation,
            created_at)
        SELECT 'client' || n, 'client' || n, 'a client', 'a client', true, false, 1, n FROM generate_series(0, 499) n
    """)
    async with other.transaction():
        await other.execute("UPDATE client SET generation = 2 WHERE created_at < 500 AND created_at % 10 = 0")
        written, without_indexes = await other.fetchrow(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'client'"
        )
    assert written == without_indexes == 50


async def test_a_client_is_locked_as_the_transaction_begins(
    services: Services, client: Made, other: asyncpg.Connection
) -> None:
    async def work(_: Transaction) -> None:
        with pytest.raises(asyncpg.LockNotAvailableError):
            await other.fetch("SELECT 1 FROM client WHERE client_id = $1 FOR UPDATE NOWAIT", client.id)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await other.fetch("SELECT 1 FROM installation FOR UPDATE NOWAIT")

    for _ in range(2):
        await services.database.run_tx(work, for_client=client.id)


async def test_a_lock_that_is_not_free_in_time_leaves_the_connection_ready(
    services: Services, client: Made, other: asyncpg.Connection
) -> None:
    async def pid() -> object:
        return (await services.database.fetch("SELECT pg_backend_pid() AS pid"))[0]["pid"]

    async def work(_: Transaction) -> None:
        raise AssertionError

    is_kept = False
    for _ in range(5):  # on a busy machine, a connection may be replaced for another reason
        before = await pid()
        async with other.transaction():
            await other.fetch("SELECT 1 FROM client WHERE client_id = $1 FOR UPDATE", client.id)
            with pytest.raises(Conflict):
                await services.database.run_tx(work, is_urgent=True, for_client=client.id)
        is_kept = is_kept or await pid() == before
    assert is_kept
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)


async def test_a_node_behind_a_pooler_locks_the_same(
    settings: Settings, open_node: OpenNode, client: Made, other: asyncpg.Connection
) -> None:
    node = await open_node(settings=replace(settings, statement_cache_size=0))

    async def work(tx: Transaction) -> None:
        await tx.lock_for_change(client.id)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await other.fetch("SELECT 1 FROM client WHERE client_id = $1 FOR UPDATE NOWAIT", client.id)

    await node.database.run_tx(work, for_client=client.id)
    await asyncio.gather(*(node.rotation.reset_secret(client.id, HARD, by=ADMIN) for _ in range(5)))


async def test_a_transaction_that_postgresql_gave_up_is_not_taken_for_a_commit(
    services: Services, client: Made
) -> None:
    """PostgreSQL answers a COMMIT after an error with a rollback, which is not an error to it."""

    async def work(tx: Transaction) -> None:
        await tx.execute("UPDATE client SET name = 'renamed'")
        with pytest.raises(IntegrityError):
            await tx.fetch_rows("INSERT INTO installation SELECT * FROM installation", ())

    with pytest.raises(OperationalError):
        await services.database.run_tx(work)
    found = await services.queries.find_client(client.id)
    assert found is not None
    assert found.name != "renamed"
