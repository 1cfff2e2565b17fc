"""`gql-secrets client wait-unused`."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.audits import events_of
from support.callers import ADMIN, DAY, HARD, Made, is_good
from support.clocks import HOUR, MINUTE, SECOND, Clock
from support.commands import BOTH_WAYS, RunCommand, ask_services, create
from support.installation import PEPPER, OpenNode

from gql_secrets.commands import client_wait
from gql_secrets.commands.client_wait import wait_until_unused
from gql_secrets.commands.installation import EndedOldSecret, RunningRollover
from gql_secrets.commands.local import LocalInstallation
from gql_secrets.domain.errors import ClientNotFound, NoRollover, Unavailable
from gql_secrets.domain.rotation import Retention
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

LONG = timedelta(minutes=2)
Looks = Callable[[], Awaitable[None]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_wait, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(client_wait, "STEADY_SECONDS", 0.05)


@pytest.fixture
async def command(open_node: OpenNode, services: Services, settings: Settings) -> LocalInstallation:
    """What the command has: a process of its own on the database."""
    del services
    return LocalInstallation(await open_node(with_owner=False), settings)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """Return what waits until the command has looked at the rollover twice more."""
    count = 0
    rollover_of = LocalInstallation.rollover_of

    async def look(self: LocalInstallation, client_id: str, *, quiet: timedelta | None) -> RunningRollover | None:
        nonlocal count
        try:
            return await rollover_of(self, client_id, quiet=quiet)
        finally:
            count += 1

    async def wait() -> None:
        wanted = count + 2
        async with asyncio.timeout(60):
            while count < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    monkeypatch.setattr(LocalInstallation, "rollover_of", look)
    return wait


async def begin_rollover(services: Services, client: Made) -> str:
    return (await services.rotation.reset_secret(client.id, DAY, by=ADMIN)).new_secret.reveal()


async def test_it_waits_for_the_new_secret_and_for_quiet(
    services: Services, command: LocalInstallation, client: Made, clock: Clock, looks: Looks
) -> None:
    new = await begin_rollover(services, client)
    wait = asyncio.create_task(wait_until_unused(command, client.id, quiet=15 * MINUTE, within=LONG))
    await looks()
    assert not wait.done()
    assert await is_good(services, client.id, new)
    await looks()
    assert not wait.done()
    clock.move(16 * MINUTE)
    safe = await wait
    assert isinstance(safe, RunningRollover)
    assert safe.safe_to_revoke


async def test_a_use_that_the_server_writes_a_little_later_is_waited_for(
    services: Services,
    command: LocalInstallation,
    client: Made,
    clock: Clock,
    looks: Looks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_wait, "STEADY_SECONDS", 60.0)
    new = await begin_rollover(services, client)
    assert await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, new)
    clock.move(HOUR + MINUTE)
    assert await is_good(services, client.id, client.secret)
    wait = asyncio.create_task(wait_until_unused(command, client.id, quiet=HOUR, within=LONG))
    await looks()
    await services.usage.flush()
    await looks()
    monkeypatch.setattr(client_wait, "STEADY_SECONDS", 0.05)
    await looks()
    assert not wait.done()
    clock.move(HOUR + MINUTE)
    assert isinstance(await wait, RunningRollover)


async def test_it_reports_the_timeout(services: Services, command: LocalInstallation, client: Made) -> None:
    await begin_rollover(services, client)
    assert await wait_until_unused(command, client.id, quiet=HOUR, within=timedelta(seconds=0.1)) is None


async def test_an_old_secret_that_ends_while_waiting_is_unused(
    services: Services, command: LocalInstallation, client: Made, looks: Looks
) -> None:
    await begin_rollover(services, client)
    wait = asyncio.create_task(wait_until_unused(command, client.id, quiet=HOUR, within=LONG))
    await looks()
    await services.rotation.revoke_old_secret(client.id, by=ADMIN)
    ended = await wait
    assert isinstance(ended, EndedOldSecret)
    assert (ended.old_secret["state"], ended.old_secret["endReason"]) == ("REVOKED", "REVOKED")


async def test_a_newer_rollover_is_not_the_one_that_was_waited_for(
    services: Services, command: LocalInstallation, client: Made, looks: Looks
) -> None:
    """With `--revoke` it must never end a secret that nobody asked about."""
    await begin_rollover(services, client)
    wait = asyncio.create_task(wait_until_unused(command, client.id, quiet=HOUR, within=LONG))
    await looks()
    hard = (await services.rotation.reset_secret(client.id, HARD, by=ADMIN)).new_secret.reveal()
    assert await is_good(services, client.id, hard)
    await begin_rollover(services, client)
    ended = await wait
    assert isinstance(ended, EndedOldSecret)
    assert ended.old_secret["endReason"] == "HARD_RESET"


async def test_without_a_rollover_there_is_nothing_to_wait_for(
    services: Services, command: LocalInstallation, client: Made, clock: Clock
) -> None:
    with pytest.raises(NoRollover):
        await wait_until_unused(command, client.id, quiet=HOUR, within=LONG)
    with pytest.raises(ClientNotFound):
        await wait_until_unused(command, "nobody", quiet=HOUR, within=LONG)
    await services.rotation.reset_secret(client.id, Retention(1), by=ADMIN)
    clock.move(HOUR + SECOND)
    assert isinstance(await wait_until_unused(command, client.id, quiet=HOUR, within=LONG), EndedOldSecret)


async def test_a_restart_of_the_database_does_not_end_the_wait(
    services: Services,
    command: LocalInstallation,
    client: Made,
    clock: Clock,
    looks: Looks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = await begin_rollover(services, client)
    assert await is_good(services, client.id, new)
    clock.move(HOUR + MINUTE)

    async def gone(*_: object, **__: object) -> None:
        raise Unavailable

    with monkeypatch.context() as trouble:
        trouble.setattr(type(command.services.usage_queries), "rollover_of", gone)
        wait = asyncio.create_task(wait_until_unused(command, client.id, quiet=HOUR, within=LONG))
        await looks()
        assert not wait.done()
    assert isinstance(await wait, RunningRollover)


@BOTH_WAYS
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_rollover_that_is_cancelled_while_waiting_is_no_success(
    run: RunCommand, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old secret is the current one again: a script must not go on as if nobody needed it."""
    client_id = create(run)["clientId"]
    assert run("client", "reset", client_id, "--hours", "24").code == 0

    def cancel(_: str) -> None:
        monkeypatch.setattr(client_wait, "say", lambda _: None)
        ask_services(settings, lambda services: services.rotation.cancel_rollover(client_id, by=ADMIN))

    monkeypatch.setattr(client_wait, "say", cancel)
    outcome = run("client", "wait-unused", client_id, "--timeout", "1m", "--json")
    assert (outcome.code, outcome.out) == (1, "")
    assert "NO_ROLLOVER" in outcome.err


# The command itself, on SQLite and with the machine's clock


def run_apart(data_dir: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "gql_secrets.cli", "client", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"GQL_SECRETS_DATA_DIR": str(data_dir), "GQL_SECRETS_PEPPER": PEPPER, "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_command_revokes_with_the_option_revoke(
    services: Services, client: Made, clock: Clock, data_dir: Path
) -> None:
    clock.set(datetime.now(UTC) - 2 * HOUR)
    new = await begin_rollover(services, client)
    execute: Callable[..., str] = run_apart
    assert await asyncio.to_thread(execute, data_dir, "wait-unused", client.id, "--timeout", "1s", code=3) == ""
    assert await is_good(services, client.id, new)
    finish = ("wait-unused", client.id, "--quiet", "15m", "--revoke")
    # A reason that is refused is refused before the wait, not after it.
    too_long = ("wait-unused", client.id, "--quiet", "24h", "--revoke", "--reason", "x" * 201)
    assert await asyncio.to_thread(execute, data_dir, *too_long, code=1) == ""
    told = await asyncio.to_thread(execute, data_dir, *finish, "--reason", "moved", "--json")
    assert (await events_of(services))[-1].reason == "moved"
    assert json.loads(told)["oldSecret"]["state"] == "REVOKED"
    assert not await is_good(services, client.id, client.secret)
    again = await asyncio.to_thread(execute, data_dir, "wait-unused", client.id, "--json")
    assert json.loads(again)["alreadyEnded"] is True
    assert await asyncio.to_thread(execute, data_dir, "wait-unused", client.id, "--quiet", "soon", code=2) == ""
