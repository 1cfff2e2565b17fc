"""Clients of another system come in with the secrets they have, which go on working; a batch whole or not at all."""

import asyncio
import contextlib
import secrets
import sqlite3
from dataclasses import replace
from typing import Any

import pytest
from support.callers import ADMIN, CLI, DAY, HARD, VIEWER, is_good, verify
from support.clocks import HOUR, Clock
from support.imports import OTHER, SEQUENCE, SHORT, STRONG, row
from support.installation import MakeClient, OpenNode

from gql_secrets.domain.details import ClientDetails
from gql_secrets.domain.errors import Conflict, Failure, Forbidden, InvalidDescription, InvalidFeature
from gql_secrets.domain.networks import AllowList
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.service.client_import import (
    MAX_BATCH,
    Import,
    ImportedClient,
    Outcome,
    RowRefused,
    fitting_batch,
)
from gql_secrets.service.pages import PageRequest
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services


async def take(services: Services, *rows: ImportedClient, **given: Any) -> list[tuple[str, str | None]]:
    results = await Import(services.changes, by=CLI, **given).take(rows)
    return [(result.outcome.name, result.reason) for result in results]


async def revision_of(services: Services) -> int:
    [found] = await services.database.fetch("SELECT revision FROM installation")
    return int(found["revision"])


async def events_of(services: Services, client_id: str) -> list[Any]:
    page = await services.queries.page_of_audit_events(PageRequest(first=100), client_id=client_id)
    return list(reversed(page.rows))


# What an import does.


async def test_an_imported_secret_is_valid_immediately_and_stored_only_as_a_digest(services: Services) -> None:
    assert await take(services, row()) == [("CREATED", None)]
    assert await is_good(services, "till", STRONG)
    assert not await is_good(services, "till", STRONG + "x")
    assert not await is_good(services, "tills", STRONG)
    [stored] = await services.database.fetch("SELECT * FROM client_secret WHERE client_id = ?", ["till"])
    assert STRONG.encode() not in b"".join(value for value in stored.values() if isinstance(value, bytes))
    assert STRONG not in repr(stored)
    assert stored["hint"] == STRONG[-4:]


async def test_the_attributes_from_the_other_system_are_kept(services: Services) -> None:
    allow_list = AllowList.parse(["192.0.2.0/24", "2001:db8::/32"])
    await take(
        services,
        row(description="Till\nin the hall", features=["direct_access", "login_client"], allow_list=allow_list),
        row("shop", OTHER),
    )
    till = await services.queries.find_client("till")
    assert till is not None
    assert (till.name, till.description, till.generation) == ("Till in the hall", "Till\nin the hall", 1)
    assert (await services.queries.features(["till"]))["till"] == ["direct_access", "login_client"]
    assert (await services.queries.allow_lists(["till"]))["till"] == list(allow_list.texts)
    shop = await services.queries.find_client("shop")
    assert shop is not None
    assert (shop.name, shop.description) == ("shop", None)
    assert not await is_good(services, "till", STRONG)  # from 198.51.100.7
    assert (await verify(services, "till", STRONG, "2001:db8::1")).client_id == "till"


async def test_details_of_the_file_are_kept_and_compared(services: Services) -> None:
    details = ClientDetails(contact="Ada", labels=("team=a",), maximum_age_days=30)
    assert await take(services, row(details=details)) == [("CREATED", None)]
    found = (await services.queries.find_clients(["till"]))["till"]
    assert (found.contact, found.labels, found.maximum_age_days) == ("Ada", ("team=a",), 30)
    assert await take(services, row(details=details)) == [("UNCHANGED", None)]
    [(outcome, reason)] = await take(services, row())
    assert (outcome, "labels" in str(reason)) == ("UNCHANGED", True)


async def test_each_client_has_an_audit_event_and_a_revision_and_the_chain_holds(services: Services) -> None:
    before = await revision_of(services)
    rows = [row(f"client-{number}", secrets.token_urlsafe(32)) for number in range(MAX_BATCH)]
    assert await take(services, *rows) == [("CREATED", None)] * MAX_BATCH
    assert await revision_of(services) == before + MAX_BATCH
    [event] = await events_of(services, "client-7")
    [secret] = (await services.queries.page_of_secrets("client-7", PageRequest(first=2))).rows
    assert (event.action, event.actor, event.surface) == ("CLIENT_IMPORTED", "cli:root", "CLI")
    assert (event.generation_before, event.generation_after, event.secret_id) == (0, 1, secret.id)
    assert not event.weak_secret
    assert secret.created_by == event.actor
    report = await AuditLog(services.database, services.changes.pepper).verify()
    assert (report.events, report.problem) == (before + MAX_BATCH, None)


async def test_an_imported_client_is_reset_smoothly_like_any_other(services: Services) -> None:
    await take(services, row())
    reset = await services.rotation.reset_secret("till", DAY, by=ADMIN)
    assert await is_good(services, "till", STRONG)
    assert await is_good(services, "till", reset.new_secret.reveal())


async def test_an_imported_client_may_reset_itself_if_the_file_says_so(services: Services) -> None:
    await take(services, row(self_reset=True), row("other", OTHER))
    found = await services.queries.find_clients(["till", "other"])
    assert (found["till"].self_reset, found["other"].self_reset) == (True, False)
    assert await take(services, row(self_reset=True)) == [("UNCHANGED", None)]
    [(outcome, reason)] = await take(services, row())
    assert outcome == "UNCHANGED"
    assert reason is not None
    assert "self_reset" in reason


async def test_the_same_file_again_changes_nothing(services: Services) -> None:
    rows = [
        row(features=["viewer"], allow_list=AllowList.parse(["10.0.0.0/8"])),
        row("shop", OTHER, description="Shop"),
    ]
    await take(services, *rows)
    before = await revision_of(services)
    assert await take(services, *rows) == [("UNCHANGED", None)] * 2
    assert await revision_of(services) == before


async def test_a_client_that_was_edited_since_keeps_its_values_and_the_report_says_so(services: Services) -> None:
    rows = [row(), row("shop", OTHER), row("door", STRONG)]
    await take(services, *rows)
    await services.clients.update_client("till", by=ADMIN, description="Till")
    await services.clients.update_client("shop", by=ADMIN, features=["viewer"])
    await services.clients.update_client("door", by=ADMIN, allow_list=["10.0.0.0/8"])
    for outcome, reason in await take(services, *rows):
        assert outcome == "UNCHANGED"
        assert reason is not None
        assert "were not changed" in reason


async def test_an_old_secret_that_is_still_valid_is_unchanged(services: Services) -> None:
    await take(services, row())
    await services.rotation.reset_secret("till", DAY, by=ADMIN)
    assert await take(services, row()) == [("UNCHANGED", None)]


async def test_a_secret_digested_with_an_older_key_of_the_pepper_is_found(
    services: Services, open_node: OpenNode, settings: Settings
) -> None:
    await take(services, row())
    newer = "newer:" + secrets.token_urlsafe(32)
    node = await open_node(settings=replace(settings, pepper=f"{newer},{settings.pepper}"))
    assert await take(node, row(), row("shop", OTHER)) == [("UNCHANGED", None), ("CREATED", None)]
    assert await is_good(node, "shop", OTHER)


# What an import refuses.


async def refused(services: Services, *rows: ImportedClient, **given: Any) -> list[str]:
    before = await revision_of(services)
    results = await take(services, *rows, **given)
    assert [outcome for outcome, _ in results] == ["REFUSED"] * len(rows)
    assert await revision_of(services) == before
    return [reason or "" for _, reason in results]


async def test_a_deleted_client_does_not_come_back(services: Services) -> None:
    await take(services, row())
    await services.clients.delete_client("till", by=ADMIN)
    assert "deleted" in (await refused(services, row()))[0]
    assert "deleted" in (await refused(services, row(secret=OTHER)))[0]
    assert not await is_good(services, "till", STRONG)


async def test_a_secret_that_ended_does_not_come_back(services: Services, clock: Clock) -> None:
    await take(services, row(), row("shop", OTHER))
    await services.rotation.reset_secret("till", HARD, by=ADMIN)
    await services.rotation.reset_secret("shop", DAY, by=ADMIN)
    clock.move(24 * HOUR)
    before = await revision_of(services)
    [till, shop] = await take(services, row(), row("shop", OTHER))
    assert till[0] == shop[0] == "REFUSED"
    assert "ended" in (till[1] or "")
    assert "ended" in (shop[1] or "")
    # The import was the first to see that the time of shop's old secret is over, so it wrote that down, and only that.
    assert await revision_of(services) == before + 1
    clock.move(-HOUR)
    assert not await is_good(services, "shop", OTHER)


async def test_a_client_that_exists_with_another_secret_keeps_it(services: Services, make_client: MakeClient) -> None:
    client = await make_client()
    assert "another secret" in (await refused(services, row(client.id)))[0]
    assert await is_good(services, client.id, client.secret)


async def test_a_client_that_is_in_the_file_twice_is_created_once(services: Services) -> None:
    results = await take(services, row(), row(), row(secret=OTHER))
    assert [outcome for outcome, _ in results] == ["CREATED", "UNCHANGED", "REFUSED"]
    assert await is_good(services, "till", STRONG)
    assert not await is_good(services, "till", OTHER)


async def test_a_client_whose_id_is_refused_keeps_its_secret_under_a_new_id_in_the_file(services: Services) -> None:
    """As the refusal says: an application has then only its id to change."""
    with pytest.raises(RowRefused, match="give this client a new id in the file and in its application"):
        row("till 7")
    assert await take(services, row("till-7")) == [("CREATED", None)]
    assert await is_good(services, "till-7", STRONG)


@pytest.mark.parametrize("weak", [SHORT, SEQUENCE, "a" * 40, "correct horse battery staple", "hunter2"])
async def test_a_weak_secret_is_refused_unless_allowed_and_then_marked_and_audited(
    services: Services, weak: str
) -> None:
    assert "weak" in (await refused(services, row(secret=weak)))[0]
    assert await take(services, row(secret=weak), allow_weak=True) == [("CREATED", None)]
    assert await is_good(services, "till", weak)
    [event] = await events_of(services, "till")
    assert event.weak_secret
    [secret] = (await services.queries.page_of_secrets("till", PageRequest(first=2))).rows
    assert secret.is_weak
    assert secret.hint == (weak[-4:] if len(weak) >= 24 else "")
    assert await take(services, row(secret=weak)) == [("UNCHANGED", None)]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"client_id": ""}, RowRefused),
        ({"client_id": "a:b"}, RowRefused),
        ({"client_id": "a\nb"}, RowRefused),
        ({"client_id": "billing "}, RowRefused),  # proxies trim header values, so it would arrive as another client
        ({"client_id": "größe"}, RowRefused),
        ({"client_id": "x" * 129}, RowRefused),
        ({"secret": ""}, RowRefused),
        ({"secret": STRONG + "\n"}, RowRefused),
        ({"secret": "x" * 1025}, RowRefused),
        ({"features": ["root"]}, InvalidFeature),
        ({"description": "\x07"}, InvalidDescription),
    ],
)
def test_an_invalid_client_is_refused_without_asking_the_database(facts: dict[str, Any], why: type[Failure]) -> None:
    with pytest.raises(why) as told:
        row(**facts)
    assert STRONG not in str(told.value)


# Whole or not at all.


async def test_a_batch_that_fails_leaves_no_half_client(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the power went")

    before = await revision_of(services)
    monkeypatch.setattr("gql_secrets.service.changes.append_to_audit", fail)
    with pytest.raises(RuntimeError):
        await take(services, row(features=["viewer"]), row("shop", OTHER))
    monkeypatch.undo()
    assert await revision_of(services) == before
    assert await services.queries.find_client("till") is None
    assert not await is_good(services, "till", STRONG)
    assert await take(services, row(features=["viewer"]), row("shop", OTHER)) == [("CREATED", None)] * 2


async def test_a_dry_run_predicts_the_run_and_changes_nothing(services: Services, make_client: MakeClient) -> None:
    client = await make_client()
    batches = [
        [row(), row("shop", OTHER), row(client.id, OTHER), row("weak", SEQUENCE)],
        [row(), row("shop", STRONG), row("door", STRONG)],
    ]
    before = await revision_of(services)
    dry, wet = Import(services.changes, by=CLI, dry_run=True), Import(services.changes, by=CLI)
    foretold = [[result.outcome for result in await dry.take(batch)] for batch in batches]
    assert await revision_of(services) == before
    assert await services.queries.find_client("till") is None
    assert foretold == [[result.outcome for result in await wet.take(batch)] for batch in batches]
    assert foretold[1] == [Outcome.UNCHANGED, Outcome.REFUSED, Outcome.CREATED]


async def test_only_an_admin_imports(services: Services) -> None:
    for dry_run in (False, True):
        with pytest.raises(Forbidden):
            await Import(services.changes, by=VIEWER, dry_run=dry_run).take([row()])


async def test_an_import_that_cannot_get_the_lock_says_so(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy(*_: object) -> None:
        raise Conflict("Other changes are in the way right now. Try again.")

    monkeypatch.setattr(type(services.changes), "change_installation", busy)
    with pytest.raises(Conflict, match="again"):
        await take(services, row())


@pytest.mark.parametrize(
    ("size", "seconds", "fitting"),
    [(500, 0.0, 4000), (500, 0.1, 1500), (1500, 0.3, 1500), (2000, 0.4, 1500), (2000, 0.5, 1000), (2000, 60.0, 500)],
)
def test_a_batch_is_as_large_as_others_may_wait(size: int, seconds: float, fitting: int) -> None:
    assert fitting_batch(size, seconds) == fitting


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_other_processes_get_the_lock_between_batches(
    services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has no queue: a process that waits for the lock looks for it every 25 milliseconds."""
    assert services.database.dialect.seconds_between_batches >= 0.025
    monkeypatch.setattr(services.database.dialect, "seconds_between_batches", 30.0)
    batch = asyncio.create_task(Import(services.changes, by=CLI).take([row()]))
    while await services.queries.find_client("till") is None:  # noqa: ASYNC110  as another process sees it
        await asyncio.sleep(0.01)
    with contextlib.closing(sqlite3.connect(settings.data_dir / "gql-secrets.db", timeout=0)) as other:
        other.execute("BEGIN IMMEDIATE")
    assert not batch.done()
    batch.cancel()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_what_an_import_sets_for_postgresql_ends_with_its_batch(services: Services) -> None:
    """The connection is used for other changes afterwards."""
    shown = "SELECT name, setting FROM pg_settings WHERE name IN ('gin_pending_list_limit', 'work_mem') ORDER BY name"
    before = await services.database.fetch(shown)
    assert await take(services, row()) == [("CREATED", None)]
    assert await services.database.fetch(shown) == before
