"""A database that went back in time is noticed by the journals of the nodes, and nothing that had ended is accepted."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.audits import events_of
from support.callers import ADMIN, CLI, DAY, HARD, Made, is_good
from support.installation import MakeClient, OpenNode

from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.errors import BadRequest, Unavailable
from gql_secrets.domain.journal import RestoreNotAccepted, UncertainClients
from gql_secrets.service.audit_log import AuditLog, sign_head
from gql_secrets.service.backup import back_up, restore
from gql_secrets.service.restore_acceptance import Acceptance, AcceptedRestore, accept_restore
from gql_secrets.settings import Settings
from gql_secrets.storage.transaction import Transaction
from gql_secrets.wiring import Services, open_database


async def restored(services: Services, into: Settings, backup: Path) -> None:
    database = await open_database(into)
    try:
        await restore(database, services.changes.pepper, backup)
    finally:
        await database.close()


async def accept(node: Services, how: Acceptance = Acceptance.AS_IT_IS) -> AcceptedRestore:
    return await accept_restore(node.changes, node.rotation, by=CLI, how=how, reason="inspected")


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
    head = bytes((await events_of(services))[kept - 1].hash)
    mac = sign_head(services.changes.pepper, kept, head)

    async def lose(tx: Transaction) -> None:
        await tx.execute("DELETE FROM audit_ended_secret WHERE event_id > ?", kept)
        await tx.execute("DELETE FROM audit_event WHERE revision > ?", kept)
        await tx.execute("UPDATE installation SET revision = ?, audit_head = ?, audit_mac = ?", kept, head, mac)

    await services.database.run_tx(lose)
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
