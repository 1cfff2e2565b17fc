"""A node is unhealthy only where `/verify` would be 503, and while it shuts down; what else is wrong is in the body."""

import asyncio
import base64
import logging
import sqlite3
import time
from collections.abc import Awaitable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from support.callers import ADMIN, CLI, HARD, Made
from support.databases import PostgresServer, name_in
from support.sockets import until
from support.stopwatches import measured

from gql_secrets import __version__
from gql_secrets.api.app import build_app
from gql_secrets.api.keys import SERVICES
from gql_secrets.domain.errors import Conflict, Unavailable
from gql_secrets.service.audit_acceptance import accept_audit
from gql_secrets.service.changes_pause import paused, resume_changes
from gql_secrets.settings import DATABASE_FILE, Settings
from gql_secrets.wiring import Services

Api = TestClient[Any, Any]

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
only_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


def basic(client: Made) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client.id}:{client.secret}".encode()).decode()}


HEALTHY = {
    "status": "ok",
    "verification": "ok",
    "changes": "ok",
    "auditHead": "ok",
    "auditArchive": "none",
    "replication": "none",
    "uncertainClients": "NONE",
}


async def status_of(answer: Awaitable[ClientResponse]) -> int:
    return (await answer).status


async def health(api: Api) -> tuple[int, dict[str, str]]:
    """What both names of the readiness check answer, but for the lease, which comes and goes."""
    answer = await api.get("/healthz")
    ready = await api.get("/readyz")
    bodies = [await answer.json(), await ready.json()]
    assert {body.pop("lease") for body in bodies} <= {"HELD", "EXPIRED", "NOT_NEEDED"}
    assert (ready.status, bodies[1]) == (answer.status, bodies[0])
    return answer.status, bodies[0]


async def lease(api: Api) -> str:
    return str((await (await api.get("/readyz")).json())["lease"])


async def live(api: Api) -> tuple[int, dict[str, str]]:
    answer = await api.get("/livez")
    return answer.status, await answer.json()


async def test_a_healthy_node_says_so(api: Api) -> None:
    assert await health(api) == (200, HEALTHY)


@only_postgres
async def test_a_node_that_verifies_from_memory_holds_a_lease(aiohttp_client: Any, settings: Settings) -> None:
    node: Api = await aiohttp_client(build_app(replace(settings, verify_from="memory")))
    while await lease(node) != "HELD":
        pass  # it joins a moment after its start
    await node.close()


async def test_a_node_that_reads_the_database_for_each_verification_needs_no_lease(
    aiohttp_client: Any, settings: Settings
) -> None:
    reader: Api = await aiohttp_client(build_app(replace(settings, verify_from="database")))
    assert await lease(reader) == "NOT_NEEDED"
    await reader.close()


def damage(path: Path) -> None:
    """Overwrite the pages of the file, as a failing disk does; the log of changes is in it before."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))


async def test_the_version_is_the_package_s_own(api: Api) -> None:
    answer = await api.get("/version")
    assert (answer.status, await answer.json()) == (200, {"name": "gql-secrets", "version": __version__})


async def test_many_questions_at_the_same_time_are_all_answered(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """One question read the result of the probe that another one had begun: 500, and a traceback."""
    # On a busy machine it may take longer.
    for name in ("service.replication", "service.audit_log", "service.audit_archive", "storage.changes_probe"):
        monkeypatch.setattr(f"gql_secrets.{name}._PROBE_SECONDS", 30.0)
    for _ in range(5):
        assert {status for status, _ in await asyncio.gather(*(health(api) for _ in range(20)))} == {200}


async def test_a_live_process_is_live_without_a_database(api: Api, services: Services) -> None:
    """A restart does not repair a database: with this as its liveness probe, a platform would restart every node."""
    await services.lookup.close()
    await services.database.close()
    assert (await health(api))[0] == 503
    assert await live(api) == (200, {"status": "ok"})


@only_sqlite
async def test_a_damaged_file_is_unavailability_everywhere(api: Api, owner: Made, data_dir: Path) -> None:
    """The health question read only the machine's clock, so gateways kept a node that answered nothing but 503."""
    damage(data_dir / DATABASE_FILE)

    assert await status_of(api.get("/verify", headers=basic(owner))) == 503
    status, report = await health(api)
    assert (status, report["status"], report["verification"]) == (503, "unhealthy", "unavailable")
    answer = await api.post("/graphql", json={"query": "{ viewer { clientId } }"}, headers=basic(owner))
    assert answer.status == 503
    assert (await answer.json())["errors"][0]["extensions"]["code"] == "UNAVAILABLE"


@only_postgres
async def test_a_role_that_may_no_longer_log_in_makes_a_node_unhealthy(
    api: Api, owner: Made, postgres_server: PostgresServer, database_url: str
) -> None:
    """It was 500 with a traceback: an error that nobody had translated."""
    postgres_server.execute(f"ALTER DATABASE {name_in(database_url)} WITH ALLOW_CONNECTIONS false")
    postgres_server.cut_connections(database_url)
    try:
        await health(api)  # the connections of the pool are cut
        assert (await health(api))[0] == 503
        assert await status_of(api.get("/verify", headers=basic(owner))) == 503
    finally:
        postgres_server.execute(f"ALTER DATABASE {name_in(database_url)} WITH ALLOW_CONNECTIONS true")


@only_sqlite
async def test_a_lock_of_another_process_is_reported_and_leaves_the_node_in_service(
    api: Api, owner: Made, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert await status_of(api.get("/verify", headers=basic(owner))) == 200
    with closing(sqlite3.connect(data_dir / DATABASE_FILE, isolation_level=None, check_same_thread=False)) as other:
        # In a thread: the server, on this loop, may have to end a transaction first.
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        with caplog.at_level(logging.WARNING):
            with measured() as took:
                assert await health(api) == (200, HEALTHY | {"changes": "waiting"})
            assert took.seconds < 3  # a lock is waited for five seconds
            await until(lambda: "waiting_for_write_lock" in caplog.messages)
        assert await status_of(api.get("/verify", headers=basic(owner))) == 200
        other.execute("ROLLBACK")
    for _ in range(50):
        if (await health(api))[1]["changes"] == "ok":
            return
        await asyncio.sleep(0.1)
    pytest.fail("the lock is free, and changes are still reported as waiting")


@only_sqlite
async def test_a_first_use_that_waits_for_a_lock_of_another_process_says_so_in_the_log(
    api: Api, services: Services, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first use is recorded before it is answered, so it is the one verification that needs the lock."""
    made = await services.clients.create_client("New", by=ADMIN)
    new = Made(made.client.client_id, made.secret.reveal())
    with closing(sqlite3.connect(data_dir / DATABASE_FILE, isolation_level=None, check_same_thread=False)) as other:
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        with caplog.at_level(logging.WARNING):
            asked = asyncio.create_task(status_of(api.get("/verify", headers=basic(new))))
            while "waiting_for_write_lock" not in caplog.messages:
                assert not asked.done()
                await asyncio.sleep(0.01)
            assert await asked == 503
        other.execute("ROLLBACK")
    assert await status_of(api.get("/verify", headers=basic(new))) == 200


@pytest.mark.parametrize(
    "edit",
    ["UPDATE installation SET audit_mac = audit_head", "UPDATE installation SET audit_key_id = 'other'"],
    ids=["edited", "another pepper"],
)
async def test_an_invalid_audit_head_is_reported_and_leaves_the_node_in_service(
    api: Api, owner: Made, services: Services, edit: str, caplog: pytest.LogCaptureFixture
) -> None:
    await services.database.run_tx(lambda tx: tx.execute(edit))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await health(api) == (200, HEALTHY | {"auditHead": "invalid"})
    assert caplog.text.count("audit_head_invalid") == 1, "once, although health is asked each second"
    assert await status_of(api.get("/verify", headers=basic(owner))) == 200


async def test_a_head_that_is_accepted_is_healthy_again(api: Api, services: Services) -> None:
    edit = "UPDATE installation SET audit_mac = audit_head"
    await services.database.run_tx(lambda tx: tx.execute(edit))
    assert (await health(api))[1]["auditHead"] == "invalid"
    await accept_audit(services.changes, by=CLI, reason="a test edited it")
    assert await health(api) == (200, HEALTHY)


@pytest.mark.slow  # it waits for the real five seconds: their sum over two locks is what was wrong
@only_sqlite
async def test_a_change_waits_five_seconds_for_all_of_its_locks(
    services: Services, owner: Made, data_dir: Path
) -> None:
    """It waited five for the lock of its process, and then five more for the file's."""
    with closing(sqlite3.connect(data_dir / DATABASE_FILE, isolation_level=None, check_same_thread=False)) as other:
        # In a thread: the server, on this loop, may have to end a transaction first.
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        first = asyncio.create_task(services.rotation.reset_secret(owner.id, HARD, by=ADMIN))
        await asyncio.sleep(1)  # the second one gets the lock of the process when the first one gives up
        began = time.monotonic()
        with measured() as took, pytest.raises(Conflict):
            await services.rotation.reset_secret(owner.id, HARD, by=ADMIN)
        assert time.monotonic() - began > 4.5
        other.execute("ROLLBACK")
    assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], Conflict)
    assert took.seconds < 8.5  # it was nine


async def test_a_node_that_shuts_down_is_unhealthy(aiohttp_client: Any, settings: Settings) -> None:
    app = build_app(settings)
    api: Api = await aiohttp_client(app)
    await app.shutdown()
    assert await health(api) == (503, HEALTHY | {"status": "draining"})
    assert await live(api) == (200, {"status": "ok"})


async def test_a_server_whose_last_flush_fails_ends_all_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database stayed open, and its thread kept the process alive: SIGTERM did not end it."""
    app = build_app(settings)
    runner = web.AppRunner(app)
    await runner.setup()
    services = app[SERVICES]

    async def fail() -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(services.usage, "flush", fail)
    with pytest.raises(sqlite3.DatabaseError):
        await runner.cleanup()
    assert services.database._context is None


@only_sqlite
async def test_a_lock_on_a_read_is_unavailability(
    services: Services, owner: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read has no conflicts. Where a caller was authenticated, a conflict had no status: a KeyError, and 500."""
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorname, busy.sqlite_errorcode = "SQLITE_BUSY", 5

    async def fail(*_: object, **__: object) -> None:
        raise busy

    monkeypatch.setattr(services.database._reader, "execute_query", fail)
    monkeypatch.setattr(services.database._reader, "execute_query_dict", fail)
    with pytest.raises(Unavailable):
        await services.queries.find_client(owner.id)
    with pytest.raises(Unavailable):
        await services.database.fetch("SELECT 1")


@pytest.mark.parametrize(
    ("read", "part"),
    [
        ("gql_secrets.api.health.are_changes_paused", "changes"),
        ("gql_secrets.service.history.History.uncertain_clients", "uncertainClients"),
    ],
)
async def test_what_cannot_be_read_next_to_verification_leaves_the_node_in_service(
    api: Api, owner: Made, monkeypatch: pytest.MonkeyPatch, read: str, part: str
) -> None:
    """A read that failed between two that worked made every gateway's node unhealthy, and all was unavailable."""

    async def fail(*_: object) -> None:
        raise Unavailable

    monkeypatch.setattr(read, fail)
    assert await health(api) == (200, HEALTHY | {part: "unavailable"})
    assert await status_of(api.get("/verify", headers=basic(owner))) == 200


async def test_a_pause_of_changes_is_reported_and_leaves_the_node_in_service(api: Api) -> None:
    """A database that is moved to another one verifies all along."""
    assert api.app is not None
    changes = api.app[SERVICES].changes
    async with paused(changes, CLI):
        assert await health(api) == (200, HEALTHY | {"changes": "paused"})
    await resume_changes(changes, by=CLI)
    assert await health(api) == (200, HEALTHY)
