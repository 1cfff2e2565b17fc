"""A database that is copied while its servers change it, and the pause of changes in the end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.callers import ADMIN, CLI, DAY, Made, is_good
from support.clocks import Clock
from support.installation import MakeClient, OpenNode
from support.traffic import Traffic

from gql_secrets.domain.access import Role
from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.changes_pause import ChangesPause, ChangesPaused
from gql_secrets.domain.errors import BadRequest, Failure, SetupError, Unavailable
from gql_secrets.service import changes_pause, online_copy
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.service.changes_pause import Pause, paused, read_pause, resume_changes
from gql_secrets.service.online_copy import OnlineCopy, copy_online, finish_move
from gql_secrets.settings import Settings
from gql_secrets.storage.catching_up import catch_up
from gql_secrets.storage.database import Database
from gql_secrets.wiring import Services, open_database

STATES = "SELECT id, client_id, state, digest, expires_at, end_reason FROM client_secret ORDER BY id"
ACTIONS = "SELECT action FROM audit_event ORDER BY revision DESC LIMIT {}"
ANYTHING = "SELECT 1 FROM installation UNION SELECT 1 FROM client UNION SELECT 1 FROM audit_event"
FIRST_USE = "SELECT first_used_at FROM client_secret WHERE client_id = ? AND state = 'CURRENT'"


@pytest.fixture
def empty(request: pytest.FixtureRequest, settings: Settings, folder: Path) -> Settings:
    """An empty database of the same kind.

    One process is the server and the command here, and the ORM takes one kind of database in each process.
    `tests/commands/test_db_copy.py` copies into the other kind.
    """
    if settings.database_url.startswith("sqlite"):
        return replace(settings, database_url=request.getfixturevalue("sqlite_template").copy_into(folder))
    server = request.getfixturevalue("postgres_server")
    url = server.create()
    request.addfinalizer(lambda: server.drop(url))  # noqa: PT021  where the fixture is asked for
    return replace(settings, database_url=url)


@pytest.fixture
async def target(empty: Settings) -> AsyncIterator[Database]:
    database = await open_database(empty)
    yield database
    await database.close()


@pytest.fixture
async def command(open_node: OpenNode, services: Services) -> Services:
    """The process of the command, next to the server."""
    del services
    return await open_node()


async def copy(command: Services, target: Database) -> OnlineCopy:
    return await copy_online(command.changes, target, by=CLI)


async def rows(database: Database, statement: str) -> list[tuple[object, ...]]:
    return [
        tuple(bytes(value) if isinstance(value, (bytes, memoryview)) else value for value in row)
        for row in await database.fetch_rows(statement)
    ]


def act_before(monkeypatch: pytest.MonkeyPatch, step: str, act: Callable[[], Any]) -> None:
    """Do something before this step of the copy."""
    original = getattr(online_copy, step)

    async def acted(*given: Any, **named: Any) -> Any:
        await act()
        return await original(*given, **named)

    monkeypatch.setattr(online_copy, step, acted)


async def test_the_copy_has_every_acknowledged_change_and_verification_goes_on(
    services: Services,
    command: Services,
    empty: Settings,
    target: Database,
    open_node: OpenNode,
    make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop, till, desk, gone = [await make_client(name=name) for name in ("Shop", "Till", "Desk", "Gone")]
    assert await is_good(services, till.id, till.secret)
    cancelled = (await services.rotation.reset_secret(till.id, DAY, by=ADMIN)).new_secret.reveal()
    await services.clients.update_client(desk.id, by=ADMIN, allow_list=["192.0.2.0/24", "198.51.100.0/24"])
    link = await services.sessions.create_sign_in_link("Ada", Role.VIEWER, by=CLI)
    await services.rotation.cancel_rollover(till.id, by=ADMIN)
    again = (await services.rotation.reset_secret(till.id, DAY, by=ADMIN)).new_secret.reveal()
    traffic = Traffic(services, shop, Made(till.id, cancelled))
    cookie = ""

    async def change() -> None:
        """Everything that the first copy does not have."""
        nonlocal cookie
        await services.rotation.cancel_rollover(till.id, by=ADMIN)  # the old secret is the current one again
        await services.clients.update_client(desk.id, by=ADMIN, allow_list=["198.51.100.0/24"])
        await services.clients.delete_client(gone.id, by=ADMIN)
        cookie = (await services.sessions.sign_in(link.token.reveal())).token.reveal()
        await services.usage.flush()
        await traffic.go_on()

    act_before(monkeypatch, "verify_copy", change)
    act_before(monkeypatch, "_verify_the_rest", traffic.go_on_probing)
    copied = await copy(command, target)
    refused = await traffic.writing
    await traffic.stop()

    assert not traffic.wrong
    assert (refused.reason, refused.is_short) == ("PAUSED", False)
    assert await rows(target, STATES) == await rows(services.database, STATES)
    assert copied.copied.revision == (await AuditLog(target, services.changes.pepper).verify()).events
    node = await open_node(settings=empty)
    for made in (*traffic.valid, Made(till.id, till.secret), desk):
        assert await is_good(node, made.id, made.secret), made.id
    for made in (*traffic.ended, Made(till.id, again), gone):
        assert not await is_good(node, made.id, made.secret), made.id
    assert await node.sessions.find(cookie) is not None
    assert (await AuditLog(node.database, node.changes.pepper).verify()).problem is None
    for each, kind in ((services, ChangesPause.COPIED), (node, ChangesPause.READY)):
        assert (await read_pause(each.database))[0] is kind
        with pytest.raises(ChangesPaused):
            await each.rotation.reset_secret(shop.id, DAY, by=ADMIN)


async def test_a_finished_move_leaves_one_database_that_accepts_changes(
    services: Services, command: Services, empty: Settings, target: Database, open_node: OpenNode, client: Made
) -> None:
    await copy(command, target)
    assert await is_good(services, client.id, client.secret)  # first used after the copy
    node = await open_node(settings=empty)
    await finish_move(command.changes, target, by=CLI)

    [used] = await node.database.fetch_rows(FIRST_USE, [client.id])
    assert used[0] is not None
    assert (await read_pause(node.database))[0] is ChangesPause.NONE
    assert [action for (action,) in await rows(target, ACTIONS.format(2))] == [
        AuditAction.CHANGES_RESUMED,
        AuditAction.CHANGES_PAUSED,
    ]
    await node.rotation.reset_secret(client.id, DAY, by=ADMIN)
    with pytest.raises(ChangesPaused, match="was moved"):
        await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    with pytest.raises(BadRequest, match="--after-move"):
        await resume_changes(command.changes, by=CLI)
    with pytest.raises(BadRequest, match="finished already"):
        await finish_move(command.changes, target, by=CLI)


async def test_while_both_databases_are_paused_a_secret_expires_on_both_and_the_old_one_can_be_used_again(
    services: Services,
    command: Services,
    empty: Settings,
    target: Database,
    open_node: OpenNode,
    client: Made,
    clock: Clock,
) -> None:
    reset = await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    await copy(command, target)
    node = await open_node(settings=empty)
    clock.move(timedelta(hours=25))
    for each in (services, node):
        assert not await is_good(each, client.id, client.secret)
        assert await is_good(each, client.id, reset.new_secret.reveal())
        assert await each.maintenance.expire_due_secrets() == 0
    assert await resume_changes(command.changes, by=CLI) is ChangesPause.COPIED
    assert await services.maintenance.expire_due_secrets() == 1
    with pytest.raises(BadRequest, match="Copy it first"):
        await finish_move(command.changes, target, by=CLI)
    with pytest.raises(BadRequest, match="not paused"):
        await resume_changes(command.changes, by=CLI)
    assert await is_history_sound(await open_node())


async def is_history_sound(node: Services) -> bool:
    return (await node.history.uncertain_clients()).value == "NONE"


async def test_a_copy_that_fails_leaves_a_database_that_goes_on_and_an_empty_target(
    services: Services, command: Services, target: Database, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that was waiting for the end of the pause is made, and nobody was refused."""
    waiting: list[asyncio.Task[Any]] = []

    async def fail(*given: Any) -> None:
        await catch_up(*given)
        waiting.append(asyncio.create_task(services.rotation.reset_secret(client.id, DAY, by=ADMIN)))
        for _ in range(3):
            assert await is_good(services, client.id, client.secret)
        raise RuntimeError("no space left")

    monkeypatch.setattr(online_copy, "catch_up", fail)
    with pytest.raises(RuntimeError, match="no space left"):
        await copy(command, target)
    assert (await waiting[0]).new_secret
    assert await rows(target, ANYTHING) == []
    assert [action for (action,) in await rows(services.database, ACTIONS.format(3))] == [
        AuditAction.SECRET_RESET,
        AuditAction.CHANGES_RESUMED,
        AuditAction.CHANGES_PAUSED,
    ]


async def test_a_pause_whose_copy_stopped_ends_on_its_own_and_that_copy_is_never_complete(
    services: Services,
    command: Services,
    target: Database,
    client: Made,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that was stopped for too long must not say that its copy has everything."""

    complete = Pause.complete

    async def stop_for_long(pause: Pause) -> None:
        with pytest.raises(ChangesPaused, match="Try again"):
            await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
        clock.move(changes_pause.PAUSE)
        await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
        await complete(pause)

    monkeypatch.setattr("gql_secrets.storage.database.LOCK_SECONDS", 0.0)
    monkeypatch.setattr(Pause, "complete", stop_for_long)
    with pytest.raises(Failure, match="nothing was copied"):
        await copy(command, target)
    assert await rows(target, ANYTHING) == []
    await services.rotation.revoke_old_secret(client.id, by=ADMIN)


async def test_a_copy_that_is_ready_is_reported_although_it_cannot_be_read_any_more(
    command: Services, target: Database, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that failed then would delete a complete copy, and leave its source paused."""
    del client
    make_ready = online_copy._make_ready

    async def unreadable(*_: object) -> None:
        raise Unavailable

    async def make_ready_at_last(*given: Any) -> None:
        await make_ready(*given)
        monkeypatch.setattr(target, "fetch_rows", unreadable)

    monkeypatch.setattr(online_copy, "_make_ready", make_ready_at_last)
    copied = (await copy(command, target)).copied
    monkeypatch.undo()
    assert [(copied.revision,)] == await rows(target, "SELECT max(revision) FROM audit_event")
    assert (await read_pause(target))[0] is ChangesPause.READY


async def test_no_node_starts_on_a_copy_that_lacks_something(
    command: Services, empty: Settings, target: Database, open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a command that was killed leaves it."""

    async def start() -> None:
        with pytest.raises(SetupError, match="did not finish"):
            await open_node(settings=empty)

    act_before(monkeypatch, "verify_copy", start)
    act_before(monkeypatch, "_make_ready", start)
    await copy(command, target)
    await open_node(settings=empty)


async def test_two_copies_do_not_share_a_pause(command: Services, target: Database) -> None:
    await copy(command, target)
    with pytest.raises(ChangesPaused, match="was copied"):
        async with paused(command.changes, CLI):
            raise AssertionError("there is a pause already")
    assert (await read_pause(command.database))[0] is ChangesPause.COPIED
