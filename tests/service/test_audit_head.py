"""What was edited in the database is never signed: the audit head is checked before each change."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.audits import events_of
from support.callers import ADMIN, CLI, DAY, HARD, Made, is_good
from support.clocks import HOUR, Clock
from support.installation import MakeClient, OpenNode

from gql_secrets.domain.audit import FIRST_HASH, InvalidReason
from gql_secrets.domain.errors import AuditHeadInvalid, BadRequest, SetupError
from gql_secrets.service.audit_acceptance import accept_audit
from gql_secrets.service.audit_events import entry_of
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.wiring import Services


async def run(services: Services, *statements: tuple[str, tuple[object, ...]]) -> None:
    async def work(tx: Any) -> None:
        for statement, values in statements:
            await tx.execute(statement, *values)

    await services.database.run_tx(work)


async def edit_and_chain_again(services: Services) -> None:
    """Another actor for one event, and hashes that agree with it up to the head: all but the signature."""
    events = await events_of(services)
    head = FIRST_HASH
    statements: list[tuple[str, tuple[object, ...]]] = []
    for event in events:
        if event.revision == 2:
            event.actor = "user:eve"
        head = entry_of(event).hash_after(head)
        statements.append(
            ("UPDATE audit_event SET actor = ?, hash = ? WHERE revision = ?", (event.actor, head, event.revision))
        )
    await run(services, *statements, ("UPDATE installation SET audit_head = ?", (head,)))


async def cut_the_tail(services: Services) -> None:
    *_, kept, _ = await events_of(services)
    await run(
        services,
        ("DELETE FROM audit_ended_secret WHERE event_id > ?", (kept.revision,)),
        ("DELETE FROM audit_event WHERE revision > ?", (kept.revision,)),
        ("UPDATE installation SET revision = ?, audit_head = ?", (kept.revision, bytes(kept.hash))),
    )


async def set_the_head_back(services: Services) -> None:
    """The revision of the head is then one that an event already has."""
    first, *_ = await events_of(services)
    await run(services, ("UPDATE installation SET revision = 1, audit_head = ?", (bytes(first.hash),)))


EDITS = [edit_and_chain_again, cut_the_tail, set_the_head_back]


@pytest.fixture
async def log(services: Services, client: Made) -> AuditLog:
    """The audit log of a client in a rollover."""
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    return AuditLog(services.database, services.changes.pepper)


@pytest.mark.parametrize("edit", EDITS)
async def test_an_edited_audit_log_is_not_signed_by_the_next_change(
    services: Services, client: Made, log: AuditLog, edit: Callable[[Services], Awaitable[None]]
) -> None:
    await edit(services)
    assert (await log.verify()).problem
    for act in (
        lambda: services.clients.create_client("New", by=ADMIN),
        lambda: services.clients.update_client(client.id, by=ADMIN, name="Other"),
        lambda: services.rotation.reset_secret(client.id, DAY, by=ADMIN),
        lambda: services.rotation.change_retention(client.id, DAY, by=ADMIN),
        lambda: services.rotation.cancel_rollover(client.id, by=ADMIN),
    ):
        with pytest.raises(AuditHeadInvalid) as refused:
            await act()
        assert refused.value.reason == "AUDIT_HEAD"
    assert (await log.verify()).problem


@pytest.mark.parametrize("edit", EDITS)
async def test_what_only_ends_something_is_done_and_leaves_the_head_unsigned(
    services: Services,
    client: Made,
    make_client: MakeClient,
    log: AuditLog,
    clock: Clock,
    edit: Callable[[Services], Awaitable[None]],
) -> None:
    """A leak cannot wait for an inspection of the audit."""
    expiring = await make_client()
    await services.rotation.reset_secret(expiring.id, DAY, by=ADMIN)
    await edit(services)
    await services.rotation.revoke_old_secret(client.id, by=ADMIN)
    assert not await is_good(services, client.id, client.secret)
    reset = await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    assert await is_good(services, client.id, reset.new_secret.reveal())
    clock.move(25 * HOUR)
    assert not await is_good(services, expiring.id, expiring.secret)
    await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)
    await services.clients.delete_client(client.id, by=ADMIN)
    assert (await log.verify()).problem


@pytest.mark.parametrize("edit", EDITS)
async def test_an_accepted_audit_log_is_signed_again_and_a_later_edit_of_it_is_found(
    services: Services, client: Made, log: AuditLog, edit: Callable[[Services], Awaitable[None]]
) -> None:
    await edit(services)
    await services.rotation.revoke_old_secret(client.id, by=ADMIN)
    await accept_audit(services.changes, by=CLI, reason="inspected")
    assert (await log.verify()).problem is None
    event = (await events_of(services))[-1]
    assert (event.action, event.actor, event.reason) == ("AUDIT_ACCEPTED", "cli:root", "inspected")
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    assert (await log.verify()).problem is None
    await run(services, ("UPDATE audit_event SET actor = 'user:mallory' WHERE revision = 1", ()))
    assert (await log.verify()).problem


async def test_an_intact_audit_log_and_a_missing_reason_are_not_accepted(services: Services, log: AuditLog) -> None:
    with pytest.raises(BadRequest, match="intact"):
        await accept_audit(services.changes, by=CLI, reason="just in case")
    with pytest.raises(BadRequest, match="reason"):
        await accept_audit(services.changes, by=CLI, reason=" ")
    with pytest.raises(InvalidReason):
        await accept_audit(services.changes, by=CLI, reason="x" * 201)
    assert (await log.verify()).problem is None


async def test_an_event_that_says_it_was_accepted_is_not_believed_without_the_signature(
    services: Services, log: AuditLog
) -> None:
    await edit_and_chain_again(services)
    await run(services, ("UPDATE audit_event SET action = 'AUDIT_ACCEPTED' WHERE revision = 3", ()))
    assert (await log.verify()).problem


async def test_a_deleted_installation_is_not_made_again_over_its_clients(
    services: Services, make_client: MakeClient, open_node: OpenNode
) -> None:
    await make_client()
    await run(
        services,
        ("DELETE FROM audit_ended_secret", ()),
        ("DELETE FROM audit_event", ()),
        ("DELETE FROM installation", ()),
    )
    with pytest.raises(SetupError, match="Restore it from a backup"):
        await open_node()


async def test_a_head_signed_with_a_key_that_is_not_in_the_pepper_stops_the_start(
    services: Services, make_client: MakeClient, open_node: OpenNode
) -> None:
    await make_client()
    await run(services, ("UPDATE installation SET audit_key_id = 'lost'", ()))
    with pytest.raises(SetupError, match="pepper key lost"):
        await open_node()
