"""The connections of a node: one number bounds them, a caller waits for one, and dead ones are noticed."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, cast

import asyncpg
import pytest
from support.callers import ADMIN, DAY, HARD, Made, is_good, use, verify
from support.databases import PostgresServer, name_in
from support.installation import OpenNode
from support.stopwatches import measured
from tortoise.transactions import in_transaction

from gql_secrets.domain.errors import Conflict, Unavailable
from gql_secrets.settings import Settings
from gql_secrets.storage.postgres.connection import PooledConnection
from gql_secrets.storage.postgres.dialect import PostgresDialect
from gql_secrets.storage.postgres.pool import ConnectionPool
from gql_secrets.storage.transaction import Transaction
from gql_secrets.storage.urgency import CLIENT_TO_LOCK, IS_BRIEF
from gql_secrets.wiring import Services

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


def pool_of(services: Services) -> ConnectionPool:
    return cast("PostgresDialect", services.database.dialect).pool


async def _count(watcher: asyncpg.Connection, url: str) -> int:
    return int(await watcher.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = $1", name_in(url)))


@pytest.fixture
async def watcher(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres_url.replace(f"/{name_in(postgres_url)}?", "/postgres?"))
    yield connection
    await connection.close()


@pytest.fixture
def limited(postgres_server: PostgresServer, postgres_url: str) -> Iterator[str]:
    """A role that may have four connections: a superuser would not be counted."""
    postgres_server.execute("CREATE ROLE gqls_few LOGIN CONNECTION LIMIT 4 IN ROLE pg_read_all_data, pg_write_all_data")
    yield re.sub("//[^@]*@", "//gqls_few@", postgres_url)
    postgres_server.execute("DROP ROLE gqls_few")


async def test_one_number_bounds_the_connections_of_a_node(
    settings: Settings, open_node: OpenNode, client: Made, watcher: asyncpg.Connection, postgres_url: str
) -> None:
    """Ten were twenty: verification had a pool of its own."""
    before = await _count(watcher, postgres_url)
    node = await open_node(settings=replace(settings, database_pool_size=4))
    for _ in range(3):
        work = [node.queries.active_secrets([client.id]) for _ in range(20)]
        await asyncio.gather(*work, *(verify(node, client.id, "wrong") for _ in range(40)))
        assert await _count(watcher, postgres_url) - before <= 4


async def test_a_node_that_gets_fewer_connections_than_it_wants_waits_for_those(
    limited: str, settings: Settings, open_node: OpenNode, client: Made
) -> None:
    """The server refused the fifth connection, and 29 % of the verifications were 503."""
    node = await open_node(settings=replace(settings, database_url=limited, database_pool_size=10))
    for _ in range(5):
        answers = await asyncio.gather(*(is_good(node, client.id, client.secret) for _ in range(60)))
        assert answers == [True] * 60


async def test_slow_reads_leave_connections_for_verification(
    settings: Settings, open_node: OpenNode, client: Made
) -> None:
    node = await open_node(settings=replace(settings, database_pool_size=4))
    slow = [asyncio.create_task(node.database.fetch("SELECT pg_sleep(60)")) for _ in range(8)]
    await asyncio.sleep(0.2)
    assert await is_good(node, client.id, client.secret)
    assert not any(task.done() for task in slow)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_connections_that_were_cut_while_idle_cost_no_answer(
    services: Services, client: Made, postgres_server: PostgresServer, postgres_url: str
) -> None:
    await asyncio.gather(*(verify(services, client.id, "wrong") for _ in range(10)))
    postgres_server.cut_connections(postgres_url)
    await asyncio.sleep(0.1)
    for _ in range(10):
        assert await is_good(services, client.id, client.secret)
        assert await services.queries.find_client(client.id)


async def test_a_begin_that_is_cancelled_while_it_is_undone_gives_its_connection_back(
    services: Services, settings: Settings, open_node: OpenNode, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place in the pool was lost: after ten of them, a node had no connections."""
    node = await open_node(settings=replace(settings, database_pool_size=1))
    undoing, execute = asyncio.Event(), PooledConnection.execute

    async def hangs(connection: PooledConnection, query: str, **options: float | None) -> str:
        if query == "ROLLBACK":
            undoing.set()
            await asyncio.Event().wait()
        return await execute(connection, query, **options)

    async def begin() -> None:
        async with in_transaction(node.database.dialect.writer):
            pass

    context = node.database.context
    context.run(CLIENT_TO_LOCK.set, client.id)
    context.run(IS_BRIEF.set, True)

    async def cancel_another(tx: Transaction) -> None:
        await tx.lock_for_change(client.id)
        with monkeypatch.context() as patched:
            patched.setattr(PooledConnection, "execute", hangs)
            beginning = asyncio.get_running_loop().create_task(begin(), context=context)
            await undoing.wait()
            beginning.cancel()
            with pytest.raises(asyncio.CancelledError):
                await beginning

    await services.database.run_tx(cancel_another)
    async with asyncio.timeout(5):
        assert await node.queries.find_client(client.id)


# Locks of a node that was stopped


@pytest.mark.usefixtures("transactions_as_shipped")
async def test_a_node_that_is_stopped_in_a_change_delays_the_others_once(
    services: Services, client: Made, open_node: OpenNode
) -> None:
    """It held the installation's row until somebody woke it: no reset, no revoke and no start anywhere."""
    locked, goes_on = asyncio.Event(), asyncio.Event()

    async def stops(tx: Transaction) -> None:
        await tx.lock_for_change(client.id)
        await tx.execute("UPDATE installation SET revision = revision + 1000")
        locked.set()
        await goes_on.wait()
        await tx.execute("UPDATE installation SET revision = revision + 1000")

    stopped = asyncio.create_task(services.database.run_tx(stops))
    await locked.wait()

    with measured() as took:
        other = await open_node(migrate=False, with_owner=False)
        assert await other.queries.find_client(client.id)
    assert took.seconds < 2.5  # it waits for nothing; the rest is for a busy machine

    await other.rotation.reset_secret(client.id, DAY, by=ADMIN)
    with measured() as took:
        await other.rotation.reset_secret(client.id, HARD, by=ADMIN)
    assert took.seconds < 2.5

    goes_on.set()
    with pytest.raises(Unavailable):
        await stopped
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    [row] = await services.database.fetch("SELECT revision FROM installation")
    assert row["revision"] < 1000


@pytest.fixture
async def other_node(
    services: Services, client: Made, open_node: OpenNode, transactions_as_shipped: None
) -> AsyncIterator[Services]:
    """A node, while another one is stopped in a change of the client: a statement is prepared, and not run."""
    del transactions_as_shipped
    prepared, goes_on = asyncio.Event(), asyncio.Event()
    looking = asyncio.get_running_loop().create_future()

    async def stops(tx: Transaction) -> None:
        # A program that is stopped does not look for its own session either.
        cast("Any", tx.connection)._parent.stopped_sessions._looking = looking
        await tx.lock_for_change(client.id)
        await tx.execute("UPDATE installation SET revision = revision + 1000")
        async with tx.connection.acquire_connection() as own:
            await cast("asyncpg.Connection", own).prepare("SELECT 'prepared, and not run'")
        prepared.set()
        await goes_on.wait()

    change = asyncio.create_task(services.database.run_tx(stops))
    await prepared.wait()
    yield await open_node(migrate=False, with_owner=False)
    goes_on.set()
    looking.set_result(None)
    with pytest.raises(Unavailable):
        await change
    [row] = await services.database.fetch("SELECT revision FROM installation")
    assert row["revision"] < 1000


async def test_a_node_that_is_stopped_in_a_statement_delays_the_others_once(other_node: Services, client: Made) -> None:
    """To PostgreSQL its session is not idle: it waits for what the node has yet to send."""
    with measured() as took:
        await other_node.rotation.reset_secret(client.id, DAY, by=ADMIN)
    assert took.seconds < 4.5  # 3.3, and the rest is for a busy machine
    with measured() as took:
        await other_node.rotation.reset_secret(client.id, HARD, by=ADMIN)
    assert took.seconds < 2.5


async def test_a_node_that_is_stopped_in_a_statement_delays_first_uses_for_seconds(
    other_node: Services, client: Made
) -> None:
    """A first use waits for its lock for less than that: each one looks for such sessions."""
    await use(other_node, client.id, client.secret)


async def test_a_node_with_one_connection_looks_for_such_sessions_as_soon_as_it_is_free(
    settings: Settings, client: Made, open_node: OpenNode, other_node: Services
) -> None:
    """By then, nobody waits for the lock."""
    del other_node
    lone = await open_node(settings=replace(settings, database_pool_size=1), migrate=False, with_owner=False)
    with pytest.raises(Conflict):
        await lone.rotation.reset_secret(client.id, DAY, by=ADMIN)
    await lone.rotation.reset_secret(client.id, DAY, by=ADMIN)


@pytest.mark.usefixtures("transactions_as_shipped")
async def test_a_program_that_copies_rows_into_the_database_is_not_taken_for_stopped(
    services: Services, client: Made, postgres_url: str
) -> None:
    copied, goes_on = asyncio.Event(), asyncio.Event()

    async def rows() -> AsyncIterator[bytes]:
        copied.set()
        await goes_on.wait()
        yield b""

    connection = await asyncpg.connect(postgres_url)
    async with connection.transaction():
        await connection.execute("SELECT 1 FROM client FOR UPDATE")
        copying = asyncio.create_task(connection.copy_to_table("webhook", source=rows()))
        await copied.wait()
        with pytest.raises(Conflict):
            await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
        goes_on.set()
        await copying
    await connection.close()
