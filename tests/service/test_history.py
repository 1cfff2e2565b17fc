"""A database that went back in time is noticed by the journals of the nodes, and nothing that had ended is accepted."""

import asyncio
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.audits import events_of, lose_changes
from support.callers import ADMIN, CLI, DAY, HARD, Made, is_good
from support.clocks import DAYS, HOUR, NOW, SECOND, Clock
from support.databases import SqliteTemplate, temporary_directory
from support.installation import PEPPER, MakeClient, OpenNode
from support.usage import secrets_of

from gql_secrets.domain.access import Role
from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.errors import BadRequest, Unavailable
from gql_secrets.domain.journal import JournaledChange, RestoreNotAccepted, UncertainClients
from gql_secrets.domain.rotation import Retention
from gql_secrets.service import history
from gql_secrets.service.audit_export import last_revision_of
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.service.audit_pruning import prune_audit
from gql_secrets.service.backup import back_up, restore
from gql_secrets.service.restore_acceptance import Acceptance, AcceptedRestore, accept_restore
from gql_secrets.settings import Settings
from gql_secrets.storage.journal import Journal
from gql_secrets.wiring import Services, open_database


async def restored(services: Services, into: Settings, backup: Path) -> None:
    database = await open_database(into)
    try:
        await restore(database, services.changes.pepper, backup)
    finally:
        await database.close()


async def accept(
    node: Services, how: Acceptance = Acceptance.AS_IT_IS, exported: Sequence[str] = ()
) -> AcceptedRestore:
    return await accept_restore(node.changes, node.rotation, by=CLI, how=how, reason="inspected", exported=exported)


async def is_uncertain(node: Services, client: Made) -> bool:
    with pytest.raises(Unavailable):
        await is_good(node, client.id, client.secret)
    return True


async def test_clients_with_lost_changes_are_neither_accepted_nor_refused_until_a_person_accepts(
    services: Services, make_client: MakeClient, open_node: OpenNode, empty: Settings, folder: Path
) -> None:
    """From either kind of database into either kind."""
    shop, till = await make_client(), await make_client(name="Till")
    assert await is_good(services, shop.id, shop.secret)
    assert await is_good(services, till.id, till.secret)
    await back_up(services.database, services.changes.pepper, folder / "backup")
    await services.rotation.reset_secret(shop.id, HARD, by=ADMIN)
    late = await make_client(name="Late")
    await restored(services, empty, folder / "backup")

    node = await open_node(settings=empty)
    assert await node.history.uncertain_clients() is UncertainClients.NAMED
    assert await is_uncertain(node, shop)
    assert await is_uncertain(node, late)
    assert await is_good(node, till.id, till.secret)
    await node.verifier.check()
    with pytest.raises(RestoreNotAccepted, match="restore accept") as refused:
        await node.clients.update_client(till.id, by=ADMIN, name="Other")
    assert refused.value.reason == "RESTORE"
    with pytest.raises(RestoreNotAccepted):
        await node.rotation.reset_secret(till.id, DAY, by=ADMIN)
    # What ends something is done.
    await node.rotation.reset_secret(shop.id, HARD, by=ADMIN)
    await node.clients.set_client_enabled(till.id, enabled=False, by=ADMIN)
    assert not await is_good(node, till.id, till.secret)

    accepted = await accept(node)
    assert (accepted.lost_changes, accepted.changed, accepted.unknown) == (2, (shop.id,), (late.id,))
    assert not await is_good(node, shop.id, shop.secret)
    assert not await is_good(node, late.id, late.secret)
    await node.clients.set_client_enabled(till.id, enabled=True, by=ADMIN)
    assert await is_good(node, till.id, till.secret)
    rewound, *_, last = [each for each in await events_of(node) if each.client_id is None]
    assert (rewound.action, rewound.actor) == (AuditAction.DATABASE_REWOUND, "system")
    assert (last.action, last.actor, last.reason) == (AuditAction.RESTORE_ACCEPTED, "cli:root", "inspected")
    assert last.accepted == "AS_IT_IS"
    assert (await AuditLog(node.database, node.changes.pepper).verify([])).problem is None


async def test_less_can_be_allowed_before_a_person_accepts_and_not_more(
    services: Services, make_client: MakeClient, open_node: OpenNode, empty: Settings, folder: Path
) -> None:
    shop = await make_client("operator", self_reset=True, allow_list=["10.0.0.0/8", "192.0.2.1"])
    await services.rotation.reset_secret(shop.id, DAY, by=ADMIN)
    await back_up(services.database, services.changes.pepper, folder / "backup")
    await make_client()
    await restored(services, empty, folder / "backup")
    node = await open_node(settings=empty)

    edits: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"allow_list": ["10.0.0.0/15", "10.2.0.0/16"]}, {"allow_list": ["10.0.0.0/8"]}),
        ({"features": []}, {"features": ["viewer"]}),
        ({"self_reset": False}, {"self_reset": True}),
    ]
    for less, more in edits:
        with pytest.raises(RestoreNotAccepted):
            await node.clients.update_client(shop.id, by=ADMIN, **less, name="Other")
        assert (await node.clients.update_client(shop.id, by=ADMIN, **less)).effect.everywhere
        with pytest.raises(RestoreNotAccepted):
            await node.clients.update_client(shop.id, by=ADMIN, **more)
    shorter = await node.rotation.change_retention(shop.id, Retention(1), by=ADMIN)
    assert not shorter.clamped
    with pytest.raises(RestoreNotAccepted):
        await node.rotation.change_retention(shop.id, Retention(2), by=ADMIN)


async def test_what_was_accepted_is_not_reported_again(
    services: Services, client: Made, open_node: OpenNode, empty: Settings, folder: Path
) -> None:
    await back_up(services.database, services.changes.pepper, folder / "backup")
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    await restored(services, empty, folder / "backup")
    node = await open_node(settings=empty)
    await accept(node)
    await node.rotation.reset_secret(client.id, DAY, by=ADMIN)
    again = await open_node(settings=empty)
    assert await again.history.uncertain_clients() is UncertainClients.NONE
    with pytest.raises(BadRequest, match="nothing to accept"):
        await accept(again)
    # Nor by the journal of a node that knows it only from the database.
    behind = await open_node(settings=replace(empty, data_dir=folder))
    assert await behind.history.uncertain_clients() is UncertainClients.NONE


async def test_every_old_secret_can_be_ended_with_the_acceptance(
    services: Services, make_client: MakeClient, open_node: OpenNode, empty: Settings, folder: Path
) -> None:
    shop, till = await make_client(), await make_client()
    for each in (shop, till):
        await services.rotation.reset_secret(each.id, DAY, by=ADMIN)
    await back_up(services.database, services.changes.pepper, folder / "backup")
    await services.rotation.reset_secret(shop.id, HARD, by=ADMIN)
    await restored(services, empty, folder / "backup")

    node = await open_node(settings=empty)
    accepted = await accept(node, Acceptance.END_RETAINED)
    assert accepted.ended == tuple(sorted((shop.id, till.id)))
    assert not await is_good(node, shop.id, shop.secret)
    assert not await is_good(node, till.id, till.secret)


async def test_a_running_node_notices_and_each_node_adds_what_its_journal_has(
    services: Services, make_client: MakeClient, open_node: OpenNode, settings: Settings, folder: Path
) -> None:
    """A failover that lost changes: the journals of two nodes have different ones."""
    shop, till = await make_client(), await make_client()
    other = await open_node(settings=replace(settings, data_dir=folder))
    await other.history.follow()
    kept = len(await events_of(services))
    await services.rotation.reset_secret(shop.id, HARD, by=ADMIN)
    await other.history.follow()
    await other.rotation.reset_secret(till.id, HARD, by=ADMIN)  # `services` does not follow this one
    await lose_changes(services, kept)
    await services.history.follow()
    assert await is_uncertain(services, shop)
    assert await is_uncertain(other, shop)
    assert not await is_good(services, till.id, till.secret)
    await other.history.follow()
    assert await is_uncertain(services, till)
    assert await other.history.uncertain_clients() is UncertainClients.NAMED


async def test_every_client_is_uncertain_where_the_journal_has_a_gap(
    services: Services,
    make_client: MakeClient,
    open_node: OpenNode,
    empty: Settings,
    folder: Path,
) -> None:
    """More was lost than the journal keeps."""
    shop, till = await make_client(), await make_client()
    await back_up(services.database, services.changes.pepper, folder / "backup")
    for _ in range(5):
        await services.rotation.reset_secret(shop.id, HARD, by=ADMIN)
    path = journal_of(services)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[-2:]))
    await restored(services, empty, folder / "backup")
    node = await open_node(settings=empty)
    assert await node.history.uncertain_clients() is UncertainClients.ALL
    assert await is_uncertain(node, shop)
    assert await is_uncertain(node, till)
    await node.verifier.check()
    await accept(node)
    assert await is_good(node, till.id, till.secret)


def journal_of(services: Services) -> Path:
    journal = services.history._journal
    assert journal is not None
    return journal.path


async def test_what_had_ended_is_ended_again_by_the_journals_and_an_exported_audit(
    services: Services, make_client: MakeClient, open_node: OpenNode, empty: Settings, folder: Path
) -> None:
    reset, smooth, off, gone = [await make_client() for _ in range(4)]
    services = await open_node()  # the ORM has the names of the connections that were opened last
    link = await services.sessions.create_sign_in_link("Ada", Role.VIEWER, by=CLI)
    session = await services.sessions.sign_in(link.token.reveal())
    await back_up(services.database, services.changes.pepper, folder / "backup")
    services = await open_node()  # not those to the file of the backup
    await services.rotation.reset_secret(reset.id, HARD, by=ADMIN)
    await services.rotation.reset_secret(smooth.id, DAY, by=ADMIN)
    await services.clients.set_client_enabled(off.id, enabled=False, by=ADMIN)
    await services.clients.delete_client(gone.id, by=ADMIN)
    [row] = await services.sessions.valid_sessions()
    await services.sessions.end(row.id, by=CLI)
    exported = [line async for line in AuditLog(services.database, services.changes.pepper).export()]
    journal = journal_of(services)
    lines = (await asyncio.to_thread(journal.read_bytes)).splitlines(keepends=True)
    await asyncio.to_thread(journal.write_bytes, b"".join(lines[-2:]))
    await restored(services, empty, folder / "backup")

    node = await open_node(settings=empty)
    assert await node.history.uncertain_clients() is UncertainClients.ALL
    with pytest.raises(BadRequest, match="do not have every change"):
        await accept(node, Acceptance.REPLAY)
    with pytest.raises(BadRequest, match="was edited"):
        await accept(node, Acceptance.REPLAY, [line.replace("SECRET_RESET", "CLIENT_UPDATED") for line in exported])
    accepted = await accept(node, Acceptance.REPLAY, exported)

    assert accepted.need_reset == tuple(sorted((reset.id, smooth.id)))
    assert not await is_good(node, reset.id, reset.secret)
    assert await is_good(node, smooth.id, smooth.secret)  # the old one, for its day
    assert not await is_good(node, off.id, off.secret)
    assert not await is_good(node, gone.id, gone.secret)
    assert session.token
    assert await node.sessions.valid_sessions() == []
    new = await node.rotation.reset_secret(smooth.id, DAY, by=ADMIN, end_active_rollover=True)
    assert new.old_secret is not None
    assert await is_good(node, smooth.id, new.new_secret.reveal())
    assert (await AuditLog(node.database, node.changes.pepper).verify([])).problem is None


async def test_a_reset_before_the_mark_keeps_no_secret_that_had_ended(
    services: Services, make_client: MakeClient, open_node: OpenNode, empty: Settings, folder: Path, clock: Clock
) -> None:
    """A node that has no journal of the lost changes made it, for about a second."""
    revoked, capped, cancelled, kept = [await make_client() for _ in range(4)]
    await back_up(services.database, services.changes.pepper, folder / "backup")
    services = await open_node()  # not those to the file of the backup
    for each in (revoked, cancelled):
        await services.rotation.reset_secret(each.id, HARD, by=ADMIN)
    await services.rotation.reset_secret(capped.id, Retention(1), by=ADMIN)
    await services.clients.update_client(kept.id, by=ADMIN, name="Other")
    await restored(services, empty, folder / "backup")
    (folder / "of another node").mkdir()
    early = await open_node(settings=replace(empty, data_dir=folder / "of another node"))
    new = [await early.rotation.reset_secret(each.id, DAY, by=ADMIN) for each in (revoked, capped, cancelled, kept)]
    await early.rotation.cancel_rollover(cancelled.id, by=ADMIN)
    node = await open_node(settings=empty)
    assert await node.history.uncertain_clients() is UncertainClients.NAMED

    accepted = await accept(node, Acceptance.REPLAY)

    assert accepted.need_reset == (cancelled.id,)
    assert not await is_good(node, revoked.id, revoked.secret)
    assert not await is_good(node, cancelled.id, cancelled.secret)
    [old] = [row for row in await secrets_of(node, capped) if row.expires_at is not None]
    assert old.expires_at == clock.now + HOUR
    assert await is_good(node, kept.id, kept.secret)
    for made, each in zip(new, (revoked, capped, cancelled, kept), strict=True):
        assert await is_good(node, each.id, made.new_secret.reveal()) is (each is not cancelled)
    assert (await AuditLog(node.database, node.changes.pepper).verify([])).problem is None


async def test_an_exported_audit_may_have_events_that_were_pruned(
    services: Services, make_client: MakeClient, open_node: OpenNode, empty: Settings, folder: Path, clock: Clock
) -> None:
    reset, on = await make_client(), await make_client()
    await services.clients.set_client_enabled(on.id, enabled=False, by=ADMIN)
    clock.move(10 * DAYS)
    kept_from = clock.now
    await services.clients.set_client_enabled(on.id, enabled=True, by=ADMIN)
    before = await services.rotation.reset_secret(reset.id, HARD, by=ADMIN)
    clock.move(10 * DAYS)
    log = AuditLog(services.database, services.changes.pepper)
    exported = [line async for line in log.export()]
    await prune_audit(services.changes, by=CLI, before=kept_from, export=lambda *_: folder / "pruned")
    await back_up(services.database, services.changes.pepper, folder / "backup")
    services = await open_node()  # not those to the file of the backup
    await services.rotation.reset_secret(reset.id, HARD, by=ADMIN)
    log = AuditLog(services.database, services.changes.pepper)
    exported += [line async for line in log.export(after=last_revision_of(exported))]
    await restored(services, empty, folder / "backup")
    node = await open_node(settings=empty)

    accepted = await accept(node, Acceptance.REPLAY, exported)

    assert accepted.need_reset == (reset.id,)
    assert not await is_good(node, reset.id, before.new_secret.reveal())
    assert await is_good(node, on.id, on.secret)


async def test_without_a_writable_directory_the_journal_is_in_memory_and_the_start_says_so(
    services: Services, client: Made, open_node: OpenNode, settings: Settings, folder: Path, caplog: Any
) -> None:
    """A directory is where the file should be: root may write to anything else."""
    await asyncio.to_thread((folder / journal_of(services).name).mkdir)
    node = await open_node(settings=replace(settings, data_dir=folder))
    node.history.report_memory()
    assert "journal_in_memory" in caplog.text
    await node.rotation.reset_secret(client.id, DAY, by=ADMIN)
    assert node.history._journal is not None
    assert node.history._journal.read()[-1].client_id == client.id
    caplog.clear()
    services.history.report_memory()
    assert caplog.text == ""


async def test_the_journal_is_for_its_owner_alone_and_has_what_others_changed(
    services: Services, client: Made, open_node: OpenNode, settings: Settings, folder: Path
) -> None:
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    node = await open_node(settings=replace(settings, data_dir=folder))
    await services.rotation.revoke_old_secret(client.id, by=ADMIN)
    await node.history.follow()
    for each in (services, node):
        path = journal_of(each)
        assert stat.S_IMODE((await asyncio.to_thread(path.stat)).st_mode) == 0o600
        journal = Journal(path.parent, each.changes.pepper, each.history._journal._installation)  # type: ignore[union-attr]
        events = await events_of(each)
        assert [(change.revision, change.hash) for change in journal.read()] == [
            (event.revision, bytes(event.hash)) for event in events
        ]
        assert [change.ended for change in journal.read()][-1] == (2,)
    # Nobody adds a line without the pepper, and a line that was damaged is left out.
    lines = (await asyncio.to_thread(path.read_bytes)).splitlines(keepends=True)
    await asyncio.to_thread(path.write_bytes, b"".join([lines[-1].replace(b"2", b"3"), b"torn", *lines[:-1]]))
    assert len(journal.read()) == len(events) - 1


async def test_a_new_installation_in_the_same_directory_is_not_compared_with_the_one_before(
    services: Services, client: Made, sqlite_template: SqliteTemplate, open_node: OpenNode, settings: Settings
) -> None:
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    with temporary_directory() as directory:
        url = sqlite_template.copy_into(Path(directory))
        later = Clock(NOW + SECOND)
        node = await open_node(settings=replace(settings, database_url=url), adjust_clock=later)
        assert await node.history.uncertain_clients() is UncertainClients.NONE
        await node.clients.create_client("Shop", by=ADMIN)


async def test_a_long_journal_keeps_the_last_changes_and_what_is_written_while_it_is_shortened(folder: Path) -> None:
    pepper = Pepper.parse(PEPPER)
    journals = [Journal(folder, pepper, b"one", max_changes=5) for _ in range(2)]
    first, second = journals
    changes = [
        JournaledChange(n, bytes([n]) * 32, bytes([n - 1]) * 32, "x" * 128, "SECRET_RESET") for n in range(1, 30)
    ]
    for change in changes:
        first.append([change])
        second.append([change])
    first.shorten()
    second.append([changes[0]])
    assert [change.revision for change in first.read()] == [25, 26, 27, 28, 29, 1]
    assert Journal(folder, pepper, b"another").read() == []
    for each in journals:
        each.close()


async def test_what_cannot_be_written_is_encoded_once_and_written_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    to_json = JournaledChange.to_json

    def counted(change: JournaledChange) -> str:
        encoded.append(change.revision)
        return to_json(change)

    monkeypatch.setattr(JournaledChange, "to_json", counted)
    journal = Journal(folder / "later", Pepper.parse(PEPPER), b"one")
    changes = [JournaledChange(n, bytes([n]) * 32, bytes([n - 1]) * 32, "shop", "SECRET_RESET") for n in (1, 2, 3)]
    for change in changes:
        journal.append([change])
        journal.append(())
    assert encoded == [1, 2, 3]
    assert journal.read() == journal.read_tail() == changes

    await asyncio.to_thread((folder / "later").mkdir)
    journal.append(())
    journal.append([changes[0]._replace(revision=4)])
    assert [change.revision for change in journal.read()] == [1, 2, 3, 4]
    assert journal.path.read_bytes().count(b"SECRET_RESET") == 4
    assert encoded == [1, 2, 3, 4]
    journal.close()


async def test_a_node_that_was_away_for_long_writes_down_no_more_than_a_journal_keeps(
    services: Services,
    make_client: MakeClient,
    open_node: OpenNode,
    settings: Settings,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a year of changes it would start a minute late."""
    monkeypatch.setattr(history, "MAX_CHANGES", 3)
    await open_node(settings=replace(settings, data_dir=folder))
    for _ in range(5):
        await make_client()
    latest = await services.queries.revision()
    written: list[int] = []
    append = Journal.append

    def noting(journal: Journal, changes: Sequence[JournaledChange]) -> None:
        written.extend(change.revision for change in changes)
        append(journal, changes)

    monkeypatch.setattr(Journal, "append", noting)
    node = await open_node(settings=replace(settings, data_dir=folder))
    assert written == [latest - 2, latest - 1, latest]
    assert await node.history.uncertain_clients() is UncertainClients.NONE
