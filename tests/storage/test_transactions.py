"""The one way to run a transaction: it survives cancellation, waits for its locks, and keeps what it commits."""

import asyncio
import gc
import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from support.callers import ADMIN, HARD, Made, is_good, verify
from support.clocks import HOUR, Clock
from support.databases import PostgresServer, name_in
from support.installation import OpenNode
from tortoise.connection import get_connection

from gql_secrets.domain.errors import Conflict, NoRollover, SetupError, Unavailable
from gql_secrets.domain.rotation import Retention
from gql_secrets.service.verification import Refused
from gql_secrets.settings import DATABASE_FILE, Settings
from gql_secrets.storage import urgency
from gql_secrets.storage.database import Database
from gql_secrets.storage.postgres.lookup import PostgresLookup
from gql_secrets.storage.sqlite.lookup import SqliteLookup
from gql_secrets.storage.transaction import Transaction
from gql_secrets.wiring import Services, open_services

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
only_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


async def nothing(tx: Transaction) -> None:
    """A transaction that does nothing."""


# Cancellation


async def test_a_cancelled_caller_leaves_neither_lock_nor_connection_behind(
    settings: Settings, open_node: OpenNode
) -> None:
    """A GraphQL query with a failing sibling cancels its other fields: five of these emptied a pool of five."""
    services = await open_node(settings=replace(settings, database_pool_size=3))
    clients = [(await services.clients.create_client("x", by=ADMIN)).client.client_id for _ in range(3)]
    chance = random.Random(1)  # noqa: S311  the same cancellations each time
    for _ in range(60):
        tasks = [
            asyncio.create_task(services.rotation.reset_secret(chance.choice(clients), HARD, by=ADMIN))
            for _ in range(3)
        ]
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(20):
        for client_id in clients:
            await services.rotation.reset_secret(client_id, HARD, by=ADMIN)
    assert services.database.can_read
    assert services.database.can_write


async def test_a_cancelled_read_leaves_nothing_behind_either(settings: Settings, open_node: OpenNode) -> None:
    services = await open_node(settings=replace(settings, database_pool_size=2))
    assert services.first_owner is not None
    client_id = services.first_owner.client.client_id
    chance = random.Random(2)  # noqa: S311
    for _ in range(150):
        tasks = [asyncio.create_task(services.queries.active_secrets([client_id])) for _ in range(3)]
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(20):
        assert (await services.queries.active_secrets([client_id]))[client_id]
        await services.rotation.reset_secret(client_id, HARD, by=ADMIN)


async def end_without_a_caller(services: Services, work: Callable[[Transaction], Awaitable[None]]) -> None:
    """Run a transaction to its end whose caller was cancelled when it had begun."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait_and_work(tx: Transaction) -> None:
        begun.set()
        await go_on.wait()
        await work(tx)

    task = asyncio.create_task(services.database.run_tx(wait_and_work))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await services.database.run_tx(nothing)


async def test_a_transaction_goes_on_to_its_end_when_its_caller_is_gone(services: Services, client: Made) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute("UPDATE client SET description = ? WHERE client_id = ?", "written", client.id)

    await end_without_a_caller(services, work)
    found = await services.queries.find_client(client.id)
    assert found is not None
    assert found.description == "written"


@only_sqlite
@pytest.mark.parametrize(
    ("failure", "logged"),
    [(None, []), (Conflict("not now"), []), (ZeroDivisionError(), ["cancelled_transaction_failed"])],
)
async def test_only_a_defect_is_logged_once_the_caller_is_gone(
    services: Services, caplog: pytest.LogCaptureFixture, failure: Exception | None, logged: list[str]
) -> None:
    """asyncio wrote each of them to the log, with a traceback, as an exception that was never retrieved."""

    async def work(_: Transaction) -> None:
        if failure is not None:
            raise failure

    await end_without_a_caller(services, work)
    gc.collect()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == logged


async def test_closing_waits_for_the_transactions_that_run(open_node: OpenNode) -> None:
    services, other = await open_node(), await open_node()
    task = asyncio.create_task(services.clients.create_client("late", by=ADMIN))
    await asyncio.sleep(0)
    task.cancel()
    await services.close()
    rows = await other.database.fetch("SELECT name FROM client WHERE name = 'late'")
    assert len(rows) <= 1
    with pytest.raises(Unavailable):
        await services.database.run_tx(nothing)


# Locks


async def test_a_transaction_that_fails_changes_nothing_and_the_next_one_runs(services: Services, client: Made) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute("UPDATE client SET description = ? WHERE client_id = ?", "half", client.id)
        raise RuntimeError

    for _ in range(25):
        with pytest.raises(RuntimeError):
            await services.database.run_tx(work)
    await services.database.run_tx(nothing)
    found = await services.queries.find_client(client.id)
    assert found is not None
    assert found.description is None


@only_sqlite
async def test_pages_that_a_savepoint_keeps_stay_in_memory(services: Services) -> None:
    """Nor are rows sorted there that a migration makes an index of: there may be millions of them."""
    memory, file, writer = 2, 1, services.database.dialect.writer

    async def read() -> list[int]:
        connection = get_connection(writer)
        before = (await connection.execute_query_dict("PRAGMA temp_store"))[0]["temp_store"]
        async with services.database.dialect.foreign_keys_deferred(connection):
            during = (await connection.execute_query_dict("PRAGMA temp_store"))[0]["temp_store"]
        after = (await connection.execute_query_dict("PRAGMA temp_store"))[0]["temp_store"]
        return [before, during, after]

    context = services.database.context
    assert await asyncio.get_running_loop().create_task(read(), context=context) == [memory, file, memory]


@only_sqlite
async def test_a_transaction_takes_the_write_lock_when_it_begins(services: Services, data_dir: Path) -> None:
    """Taken at the first write, it failed immediately in 64 of 150 resets from three processes."""

    async def work(tx: Transaction) -> None:
        del tx
        with (
            closing(sqlite3.connect(data_dir / DATABASE_FILE, timeout=0, isolation_level=None)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("BEGIN IMMEDIATE")

    await services.database.run_tx(work)


@only_sqlite
async def test_a_lock_that_stays_taken_is_a_conflict_and_leaves_nothing_locked(
    services: Services, client: Made, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(tx: Transaction) -> None:
        del tx

    monkeypatch.setattr(urgency, "LOCK_SECONDS", 0.3)
    with closing(sqlite3.connect(data_dir / DATABASE_FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Conflict):
            await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
        with pytest.raises(Conflict):
            await services.database.run_tx(work)
        assert await services.queries.find_client(client.id) is not None, "readers do not wait for a writer"
        other.execute("ROLLBACK")
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)


@only_sqlite
async def test_sqlite_never_waits_for_a_lock_on_the_event_loop(
    services: Services, client: Made, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own waits block the thread that they are on: only the connection's thread lets it wait, for its own try."""

    async def work(tx: Transaction) -> int:
        [[milliseconds]] = await tx.fetch_rows("PRAGMA busy_timeout")
        return int(milliseconds)

    assert await services.database.run_tx(work) == 0
    monkeypatch.setattr(urgency, "LOCK_SECONDS", 0.3)
    with closing(sqlite3.connect(data_dir / DATABASE_FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Conflict):
            await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
        other.execute("ROLLBACK")
    assert await services.database.run_tx(work) == 0, "after a wait too"


@only_postgres
async def test_a_row_lock_that_stays_taken_is_a_conflict(
    services: Services, client: Made, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = asyncpg.Connection.execute

    async def impatient(self: asyncpg.Connection, query: str, *args: object, **given: object) -> object:
        return await execute(self, query.replace("'5s'", "'100ms'"), *args, **given)

    monkeypatch.setattr(asyncpg.Connection, "execute", impatient)
    other = await asyncpg.connect(database_url)
    try:
        for table in ("client", "client_secret", "installation"):
            async with other.transaction():
                await other.execute(lock(table))
                with pytest.raises(Conflict):
                    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
        await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    finally:
        await other.close()


@only_postgres
async def test_changes_lock_client_then_secrets_then_the_installation(
    services: Services, client: Made, database_url: str
) -> None:
    """One order in every change: a change that waits for one lock holds none that comes later."""
    other = await asyncpg.connect(database_url)
    try:
        changing: asyncio.Task[object] | None = None
        for table, later in (
            ("client", ("client_secret", "installation")),
            ("client_secret", ("installation",)),
            ("installation", ()),
        ):
            async with other.transaction():
                await other.execute(lock(table))
                changing = asyncio.create_task(services.rotation.reset_secret(client.id, HARD, by=ADMIN))
                await waits_for_a_lock(database_url)
                for free in later:
                    await other.execute(lock(free) + " NOWAIT")
            await changing
    finally:
        await other.close()


@only_postgres
async def test_the_clock_is_read_after_the_locks(
    services: Services, client: Made, clock: Clock, database_url: str
) -> None:
    """A change that waited for a lock uses the time at which it got it: an old secret may have expired by then."""
    await services.rotation.reset_secret(client.id, Retention(1), by=ADMIN)
    other = await asyncpg.connect(database_url)
    try:
        async with other.transaction():
            await other.execute(lock("client"))
            acts = [
                asyncio.create_task(verify(services, client.id, client.secret)),
                asyncio.create_task(services.rotation.change_retention(client.id, Retention(1), by=ADMIN)),
            ]
            await waits_for_a_lock(database_url, 2)
            clock.move(2 * HOUR)
    finally:
        await other.close()
    verdict, change = await asyncio.gather(*acts, return_exceptions=True)
    assert isinstance(verdict, Refused)
    assert isinstance(change, NoRollover)


@only_sqlite
async def test_the_clock_is_read_after_the_write_lock(
    services: Services, client: Made, clock: Clock, data_dir: Path
) -> None:
    await services.rotation.reset_secret(client.id, Retention(1), by=ADMIN)
    with closing(sqlite3.connect(data_dir / DATABASE_FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        acts = [
            asyncio.create_task(verify(services, client.id, client.secret)),
            asyncio.create_task(services.rotation.change_retention(client.id, Retention(1), by=ADMIN)),
        ]
        for _ in range(20):
            await asyncio.sleep(0)
        clock.move(2 * HOUR)
        other.execute("ROLLBACK")
    verdict, change = await asyncio.gather(*acts, return_exceptions=True)
    assert isinstance(verdict, Refused)
    assert isinstance(change, NoRollover)


def lock(table: str) -> str:
    return f"SELECT 1 FROM {table} FOR UPDATE"  # noqa: S608  names of our own tables


async def waits_for_a_lock(url: str, count: int = 1) -> None:
    """Return once this many wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    watcher = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(30):
            while await watcher.fetchval(waiting) < count:
                pass
    finally:
        await watcher.close()


# Durability


@only_sqlite
async def test_sqlite_keeps_what_it_committed(services: Services) -> None:
    for name in (services.database.dialect.writer, "sqlite_reader"):
        connection = services.database._tortoise.connections.get(name)
        pragmas = {}
        for pragma in ("synchronous", "journal_mode", "foreign_keys"):
            _, rows = await connection.execute_query(f"PRAGMA {pragma}")
            pragmas[pragma] = rows[0][0]
        assert pragmas == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1}


@only_sqlite
async def test_a_sqlite_that_does_not_stops_the_start(open_node: OpenNode, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Database.tortoise_config

    def careless(self: Database) -> dict[str, object]:
        config = told(self)
        for connection in config["connections"].values():
            connection["credentials"]["synchronous"] = "NORMAL"
        return config

    monkeypatch.setattr(Database, "tortoise_config", careless)
    with pytest.raises(SetupError, match="synchronous"):
        await open_node()


@only_postgres
async def test_a_postgres_that_loses_commits_stops_the_start(
    postgres_server: PostgresServer, database_url: str, open_node: OpenNode
) -> None:
    name = name_in(database_url)
    postgres_server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with pytest.raises(SetupError, match="synchronous_commit"):
        await open_node()


# A server that goes away


@only_postgres
async def test_a_database_that_comes_back_is_used_again(
    settings: Settings, open_node: OpenNode, postgres_server: PostgresServer, database_url: str
) -> None:
    """Every connection is cut, again and again: each loss is reported as unavailability, and none empties the pool."""
    services = await open_node(settings=replace(settings, database_pool_size=2))
    assert services.first_owner is not None
    owner = services.first_owner
    secret, client_id = owner.secret.reveal(), owner.client.client_id
    for _ in range(5):
        postgres_server.cut_connections(database_url)
        for _ in range(4):
            try:
                await services.rotation.reset_secret(client_id, HARD, by=ADMIN)
            except Unavailable:
                continue
            break
        else:
            pytest.fail("the pool did not recover")
        for _ in range(4):
            try:
                await verify(services, client_id, secret)
            except Unavailable:
                continue
            break
        else:
            pytest.fail("the look-up did not recover")
    assert services.database.can_read
    assert services.database.can_write


async def test_a_verification_never_answers_no_because_of_trouble(
    services: Services, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure of the database neither accepts nor refuses a secret (a gateway gets 503), and ends with its cause."""

    async def fail(*_: object, **__: object) -> None:
        raise trouble

    def fail_now(*_: object) -> None:
        raise trouble

    for trouble in (
        Conflict("busy"),
        sqlite3.DatabaseError("database disk image is malformed"),
        sqlite3.OperationalError("disk I/O error"),
        sqlite3.OperationalError("database is locked"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 15"),
        ConnectionRefusedError(),
        TimeoutError(),
    ):
        if isinstance(trouble, Conflict):
            monkeypatch.setattr(Database, "run_tx", fail)
        elif isinstance(services.lookup, SqliteLookup):
            if not isinstance(trouble, sqlite3.Error):
                continue
            monkeypatch.setattr(SqliteLookup, "_look_up", fail_now)
        else:
            monkeypatch.setattr(PostgresLookup, "_read", fail)
        with pytest.raises(Unavailable):
            await verify(services, client.id, client.secret)
        is_reported = not (services.database.can_read and services.database.can_write)
        assert is_reported is not isinstance(trouble, Conflict)
        monkeypatch.undo()
    assert await is_good(services, client.id, client.secret)
    assert services.database.can_read
    assert services.database.can_write


@only_postgres
async def test_a_connection_that_dies_inside_a_transaction_is_trouble_of_ours(
    settings: Settings, open_node: OpenNode
) -> None:
    services = await open_node(settings=replace(settings, database_pool_size=2))

    async def dies(tx: Transaction) -> None:
        await tx.execute("UPDATE installation SET revision = revision + 1000")
        await tx.connection.execute_query("SELECT pg_terminate_backend(pg_backend_pid())")

    for _ in range(6):
        with pytest.raises(Unavailable):
            await services.database.run_tx(dies)
    await services.database.run_tx(nothing)
    [row] = await services.database.fetch("SELECT revision FROM installation")
    assert row["revision"] == 1


@only_postgres
async def test_a_standby_that_only_reads_is_trouble_of_ours(
    services: Services, client: Made, postgres_server: PostgresServer, database_url: str, open_node: OpenNode
) -> None:
    """After a failover a node may still be connected to what is now a standby."""
    name = name_in(database_url)
    other = await open_node()
    postgres_server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgres_server.cut_connections(database_url)
    for node in (services, other):
        for _ in range(5):
            with pytest.raises(Unavailable):
                await node.rotation.reset_secret(client.id, HARD, by=ADMIN)
    postgres_server.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    postgres_server.cut_connections(database_url)
    for node in (services, other):
        for _ in range(4):  # the connections of its pool are cut, and no more than these are lost
            try:
                await node.rotation.reset_secret(client.id, HARD, by=ADMIN)
            except Unavailable:
                continue
            break
        else:
            pytest.fail("the node did not recover")


@only_postgres
async def test_a_transaction_that_was_left_open_does_not_poison_the_next_one(
    settings: Settings, open_node: OpenNode, client: Made
) -> None:
    """Tortoise rolls nothing back after some failures; the pool's connection must not stay in that transaction."""
    services = await open_node(settings=replace(settings, database_pool_size=1))

    async def fails(tx: Transaction) -> None:
        await tx.execute("SET TRANSACTION READ ONLY")
        await tx.execute("UPDATE installation SET revision = revision + 1000")

    for _ in range(3):
        with pytest.raises(Unavailable):
            await services.database.run_tx(fails)
        await services.rotation.reset_secret(client.id, HARD, by=ADMIN)


@only_postgres
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_a_database_with_another_isolation_stops_the_start(
    postgres_server: PostgresServer, database_url: str, open_node: OpenNode, level: str
) -> None:
    """Our rules rest on READ COMMITTED: a statement sees what was committed while it waited for its lock."""
    name = name_in(database_url)
    postgres_server.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
    with pytest.raises(SetupError, match="read committed"):
        await open_node()


# Connections


@only_postgres
async def test_a_connection_is_given_back_without_any_state_of_a_session(
    settings: Settings, open_node: OpenNode, client: Made
) -> None:
    """The pool's own reset queries are off, so nothing may be left behind."""
    services = await open_node(settings=replace(settings, database_pool_size=1))
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    [row] = await services.database.fetch("SELECT current_setting('lock_timeout') AS value")
    assert row["value"] == "0"
    [row] = await services.database.fetch(
        "SELECT (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory') AS locks"
    )
    assert row["locks"] == 0


@only_postgres
async def test_the_pools_own_reset_queries_are_off(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    execute = asyncpg.Connection.execute

    async def listening(self: asyncpg.Connection, query: str, *args: object, **given: object) -> object:
        sent.append(query)
        return await execute(self, query, *args, **given)

    monkeypatch.setattr(asyncpg.Connection, "execute", listening)
    await services.database.now()
    assert not [query for query in sent if "RESET ALL" in query or "pg_advisory_unlock_all" in query]


@only_sqlite
async def test_one_process_uses_one_kind_of_database_and_then_the_other(
    sqlite_url: str, postgres_url: str, settings: Settings
) -> None:
    """Tortoise caches statements by the connection's name: each kind has a name of its own."""
    for url in (sqlite_url, postgres_url, sqlite_url, postgres_url):
        services = await open_services(replace(settings, database_url=url))
        try:
            made = await services.clients.create_client("x", by=ADMIN)
            await services.rotation.reset_secret(made.client.client_id, HARD, by=ADMIN)
            assert await services.queries.find_client(made.client.client_id)
        finally:
            await services.close()


@only_postgres
async def test_it_works_without_prepared_statements(settings: Settings, open_node: OpenNode) -> None:
    """PgBouncer in transaction mode knows none."""
    services = await open_node(settings=replace(settings, statement_cache_size=0))
    made = await services.clients.create_client("x", by=ADMIN)
    assert await is_good(services, made.client.client_id, made.secret.reveal())
    await services.rotation.reset_secret(made.client.client_id, HARD, by=ADMIN)
