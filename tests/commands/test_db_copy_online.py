"""`gql-secrets db copy --online`: the servers go on while the database is copied, into either kind."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.callers import ADMIN, CLI, DAY, Made, is_good
from support.commands import RunCommand, create
from support.databases import SqliteTemplate
from support.installation import PEPPER
from support.serving import PROGRAM, environment
from support.traffic import Traffic

from gql_secrets.domain.changes_pause import ChangesPause
from gql_secrets.service.changes_pause import read_pause
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services, open_database, open_services

STATES = "SELECT id, client_id, state, digest, expires_at FROM client_secret ORDER BY id"
# A copy that goes on no more once changes are paused, and a pause that is soon over then.
STOPS = """
import asyncio
from datetime import timedelta
from gql_secrets.service import changes_pause, online_copy

async def stop(*_given):
    await asyncio.sleep(600)

changes_pause.PAUSE = timedelta(seconds=1)
online_copy._verify_the_rest = stop
"""


@pytest.fixture(params=["sqlite", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, other than the one of the installation."""
    if request.param == "sqlite":
        template: SqliteTemplate = request.getfixturevalue("sqlite_template")
        return template.copy_into(tmp_path)
    server = request.getfixturevalue("postgres_server")
    url: str = server.create()
    request.addfinalizer(lambda: server.drop(url))  # noqa: PT021  where the fixture is asked for
    return url


def serve_while(settings: Settings, work: Callable[[Services], Awaitable[None]]) -> None:
    async def serve() -> None:
        services = await open_services(settings)
        try:
            await work(services)
        finally:
            await services.close()

    asyncio.run(serve())


async def start_copy(settings: Settings, target: str, source: Path | None = None) -> asyncio.subprocess.Process:
    given = {"data_dir": str(settings.data_dir), "database_url": settings.database_url, "pepper": PEPPER}
    return await asyncio.create_subprocess_exec(
        PROGRAM,
        *("db", "copy", "--online", "--to", target, "--json"),
        env=environment(given, source),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def secrets_of(settings: Settings) -> list[list[object]]:
    async def read() -> list[list[object]]:
        database = await open_database(settings)
        try:
            return [
                [bytes(value) if isinstance(value, (bytes, memoryview)) else value for value in row]
                for row in await database.fetch_rows(STATES)
            ]
        finally:
            await database.close()

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("database_url", "target"),
    [("sqlite", "postgres"), ("postgres", "sqlite"), ("postgres", "postgres")],
    indirect=True,
)
def test_servers_change_and_verify_while_the_database_is_copied(
    run: RunCommand, settings: Settings, target: str
) -> None:
    """Every acknowledged change is in the copy, and no verification was wrong."""
    made = create(run, "Shop")
    new = run("client", "reset", made["clientId"], "--hours", "24", "--json").data["newSecret"]
    run("client", "revoke-old", made["clientId"])
    valid, ended = Made(made["clientId"], new), Made(made["clientId"], made["secret"])
    seen: list[Traffic] = []

    async def copy(services: Services) -> None:
        traffic = Traffic(services, valid, ended)
        seen.append(traffic)
        process = await start_copy(settings, target)
        _out, err = await process.communicate()
        assert process.returncode == 0, err
        assert b"--finish" in err
        assert not (await traffic.writing).is_short
        await traffic.stop()

    serve_while(settings, copy)
    [traffic] = seen
    assert not traffic.wrong
    moved = Settings(data_dir=settings.data_dir, database_url=target, pepper=PEPPER)
    assert secrets_of(moved) == secrets_of(settings)
    there = ("--database-url", target)
    refused = run("client", "reset", valid.id, "--hours", "24", *there)
    assert (refused.code, "db copy --finish" in refused.err) == (1, True), refused.err
    assert run("db", "copy", "--finish", "--to", target).code == 0
    assert run("db", "check", *there).code == run("audit", "verify", *there).code == 0
    assert run("client", "reset", valid.id, "--hours", "24", *there).code == 0
    assert "was moved" in run("client", "reset", valid.id, "--hours", "24").err
    assert "--after-move" in run("db", "resume").err
    assert run("db", "resume", "--after-move").code == 0
    assert "restore accept" in run("client", "reset", valid.id, "--hours", "24").err  # it lacks what changed there

    async def verify(services: Services) -> None:
        for each in traffic.valid[-3:]:
            assert await is_good(services, each.id, each.secret)
        for each in traffic.ended[-3:]:
            assert not await is_good(services, each.id, each.secret)

    serve_while(moved, verify)


@pytest.mark.parametrize("target", ["sqlite"], indirect=True)
def test_a_copy_that_is_killed_pauses_nothing_for_long_and_leaves_a_target_that_no_server_uses(
    run: RunCommand, settings: Settings, target: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(STOPS)

    async def kill(services: Services) -> None:
        made = await services.clients.create_client("Shop", by=ADMIN)
        client, secret = made.client.client_id, made.secret.reveal()
        process = await start_copy(settings, target, tmp_path)
        while (await read_pause(services.database))[0] is not ChangesPause.COPYING:
            assert process.returncode is None
            await asyncio.sleep(0.05)
        assert await is_good(services, client, secret)
        process.kill()
        await process.wait()
        reset = await services.rotation.reset_secret(client, DAY, by=ADMIN)
        assert await is_good(services, client, reset.new_secret.reveal())
        await services.rotation.revoke_old_secret(client, by=CLI)

    serve_while(settings, kill)
    assert "did not finish" in run("db", "check", "--database-url", target).err
    assert "not empty" in run("db", "copy", "--online", "--to", target).err
    assert run("db", "check").code == run("audit", "verify").code == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("target", ["sqlite"], indirect=True)
def test_the_way_back(run: RunCommand, target: str) -> None:
    create(run)
    assert "not paused" in run("db", "resume").err
    assert "Copy it first" in run("db", "copy", "--finish", "--to", target).err
    assert run("db", "copy", "--online", "--finish", "--to", target).code == 2
    copied = run("db", "copy", "--online", "--to", target, "--json")
    assert (copied.code, copied.data["clients"], copied.data["pauseSeconds"] > 0) == (0, 2, True)
    assert run("client", "create", "Till").code == 1
    resumed = run("db", "resume", "--json")
    assert (resumed.code, resumed.data) == (0, {"was": "COPIED"}), resumed.err
    assert run("client", "create", "Till").code == 0
    assert "Copy it first" in run("db", "copy", "--finish", "--to", target).err
    # The copy lacks what was changed since: the journal knows.
    assert run("db", "resume", "--database-url", target).code == 0
    assert "restore accept" in run("client", "create", "Desk", "--database-url", target).err
