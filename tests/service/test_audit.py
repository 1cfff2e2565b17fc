"""Every change has one audit event, in one transaction with it, in a chain that shows every edit (rule 11)."""

from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from support.audits import check_chain, events_of
from support.callers import ADMIN, CLI, DAY, HARD, WEEK, Made, is_good, sign_in
from support.clocks import HOUR, MICROSECOND, NOW, Clock
from support.installation import MakeClient

from gql_secrets.domain.audit import FIRST_HASH, AuditEntry, EndedSecret, FirstFormatEntry
from gql_secrets.domain.errors import Refusal
from gql_secrets.domain.rotation import Retention, SecretEndReason, SecretState
from gql_secrets.service import changes as change_module
from gql_secrets.service.audit_events import entry_of
from gql_secrets.service.pages import PageRequest
from gql_secrets.storage.transaction import Transaction
from gql_secrets.wiring import Services


async def test_each_change_writes_exactly_one_event_that_says_it(
    services: Services, client: Made, clock: Clock
) -> None:
    rotation, clients = services.rotation, services.clients
    changes: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        ("SECRET_RESET", lambda: rotation.reset_secret(client.id, DAY, by=ADMIN)),
        ("RETENTION_CHANGED", lambda: rotation.change_retention(client.id, WEEK, by=ADMIN)),
        ("ROLLOVER_CANCELLED", lambda: rotation.cancel_rollover(client.id, by=ADMIN)),
        ("SECRET_RESET", lambda: rotation.reset_secret(client.id, DAY, by=ADMIN)),
        ("OLD_SECRET_REVOKED", lambda: rotation.revoke_old_secret(client.id, by=ADMIN)),
        ("CLIENT_UPDATED", lambda: clients.update_client(client.id, by=ADMIN, name="Other")),
        ("CLIENT_DISABLED", lambda: clients.set_client_enabled(client.id, enabled=False, by=ADMIN)),
        ("CLIENT_ENABLED", lambda: clients.set_client_enabled(client.id, enabled=True, by=ADMIN)),
        ("CLIENT_CREATED", lambda: clients.create_client("New", by=ADMIN)),
        ("CLIENT_DELETED", lambda: clients.delete_client(client.id, by=ADMIN)),
    ]
    for action, act in changes:
        before = len(await events_of(services))
        clock.move(HOUR)
        await act()
        events = await check_chain(services)
        assert len(events) == before + 1
        event = events[-1]
        assert (event.action, event.at) == (action, clock.now)
        assert (event.actor, event.actor_kind, event.surface) == ("user:ada", "USER", "GRAPHQL")
        assert (event.address, event.request_id) == ("192.0.2.1", "request-1")
        if action != "CLIENT_CREATED":
            assert event.client_id == client.id
            assert event.generation_after == (event.generation_before or 0) + 1


async def test_an_event_says_which_secret_was_made_which_ended_and_why(services: Services, client: Made) -> None:
    first = await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    second = await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    assert second.old_secret is not None
    assert second.withdrawn_secret is not None
    event = (await events_of(services))[-1]
    assert event.hours_to_live == 24
    assert event.expires_at == NOW + 24 * HOUR
    assert entry_of(event).ended == (
        EndedSecret(second.withdrawn_secret.id, SecretEndReason.WITHDRAWN, SecretState.CURRENT),
    )
    assert event.secret_id is not None
    assert event.secret_id > second.withdrawn_secret.id > second.old_secret.id
    assert first.new_secret != second.new_secret


async def test_what_was_refused_leaves_no_event(services: Services, client: Made) -> None:
    done = await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    assert await is_good(services, client.id, done.new_secret.reveal())
    before = len(await check_chain(services))
    for act in (
        lambda: services.rotation.reset_secret(client.id, DAY, by=ADMIN),
        lambda: services.rotation.reset_secret("nobody", DAY, by=ADMIN),
        lambda: services.rotation.cancel_rollover(client.id, by=ADMIN),
        lambda: services.rotation.revoke_old_secret(client.id, by=ADMIN, if_generation=99),
        lambda: services.clients.update_client(client.id, by=ADMIN, name=""),
    ):
        with pytest.raises(Refusal):
            await act()
    assert len(await check_chain(services)) == before


async def test_an_expiry_has_an_event_of_the_system_and_a_revision(
    services: Services, client: Made, clock: Clock
) -> None:
    await services.rotation.reset_secret(client.id, Retention(1), by=ADMIN)
    clock.move(2 * HOUR)
    assert not await is_good(services, client.id, client.secret)
    assert not await is_good(services, client.id, client.secret)
    event = (await check_chain(services))[-1]
    assert (event.action, event.actor, event.actor_kind, event.surface) == (
        "OLD_SECRET_EXPIRED",
        "system",
        "SYSTEM",
        "SYSTEM",
    )
    assert (event.at, event.expires_at) == (clock.now, NOW + HOUR)
    assert event.secret_id is not None
    assert entry_of(event).ended == (EndedSecret(event.secret_id, SecretEndReason.EXPIRED, SecretState.RETAINED),)
    assert event.generation_before == event.generation_after == 2


async def test_if_the_event_cannot_be_written_the_change_does_not_happen(
    services: Services, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenBao CVE-2026-115357: the act completed though its audit failed."""
    before = await check_chain(services)

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the audit cannot be written")

    monkeypatch.setattr(change_module, "append_to_audit", fail)
    for act in (
        lambda: services.rotation.reset_secret(client.id, HARD, by=ADMIN),
        lambda: services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN),
        lambda: services.clients.delete_client(client.id, by=ADMIN),
        lambda: services.clients.create_client("New", by=ADMIN),
    ):
        with pytest.raises(RuntimeError):
            await act()
    monkeypatch.undo()
    assert len(await check_chain(services)) == len(before)
    assert await is_good(services, client.id, client.secret)
    assert len((await services.queries.page_of_clients(PageRequest())).rows) == 2
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    assert len(await check_chain(services)) == len(before) + 1


async def test_an_event_names_its_actor_by_kind(services: Services, client: Made, make_client: MakeClient) -> None:
    boss = await make_client("owner")
    await services.rotation.reset_secret(client.id, HARD, by=await sign_in(services, boss.id, boss.secret))
    await services.rotation.reset_secret(client.id, HARD, by=CLI)
    *_, by_client, by_cli = await check_chain(services)
    assert (by_client.actor, by_client.actor_kind) == (f"api_client:{boss.id}", "API_CLIENT")
    assert (by_cli.actor, by_cli.actor_kind, by_cli.surface) == ("cli:root", "CLI", "CLI")


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE audit_ended_secret SET reason = 'REVOKED'",
        "UPDATE audit_ended_secret SET state_before = 'RETAINED'",
        "UPDATE audit_ended_secret SET secret_id = secret_id + 1",
        "DELETE FROM audit_ended_secret",
        "INSERT INTO audit_ended_secret (event_id, secret_id, reason, state_before) VALUES (2, 9, 'REVOKED', 'X')",
        "UPDATE audit_event SET format = 1 WHERE revision = 2",
        "UPDATE audit_event SET edited_fields = 'name' WHERE revision = 2",
        "UPDATE audit_event SET ended_secret_ids = '1' WHERE revision = 2",
        "UPDATE audit_event SET actor = 'user:eve' WHERE revision = 2",
        "UPDATE audit_event SET at = at + 1 WHERE revision = 2",
        "UPDATE audit_event SET reason = 'x' WHERE revision = 2",
        "UPDATE audit_event SET address = NULL WHERE revision = 2",
        "DELETE FROM audit_event WHERE revision = 2",
        "DELETE FROM audit_event WHERE revision = (SELECT max(revision) FROM audit_event)",
        "UPDATE audit_event SET revision = 77 WHERE revision = 2",
    ],
)
async def test_an_edited_event_breaks_the_chain(services: Services, client: Made, edit: str) -> None:
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)
    await check_chain(services)

    async def work(tx: Transaction) -> None:
        await tx.execute(edit)

    await services.database.run_tx(work)
    with pytest.raises(AssertionError):
        await check_chain(services)


HASHES = {
    AuditEntry: "cefcb29d5c2430347be5c4e44133393afe2bc7af8c8690c5851c3eed3c2fcaae",
    FirstFormatEntry: "65b980ff5fc9e8e67ee33bf53a0717f8e7ecaa317b72b5eea437db11748c6966",
}


@pytest.mark.parametrize("kind", HASHES)
def test_the_hash_of_an_event_covers_every_field_and_never_changes(
    kind: type[AuditEntry] | type[FirstFormatEntry],
) -> None:
    """The fields and their form are stored data: a chain of an old release must still verify."""
    entry = kind(1, NOW, "SECRET_RESET", "user:ada", "USER", "GRAPHQL", client_id="c", hours_to_live=24)
    digest = entry.hash_after(FIRST_HASH)
    assert digest.hex() == HASHES[kind]
    assert entry.hash_after(bytes(31) + b"\x01") != digest
    ended = EndedSecret(7, SecretEndReason.REVOKED, SecretState.RETAINED)
    others: dict[str, Any] = {"at": NOW + MICROSECOND, "expires_at": NOW, "revision": 2, "hours_to_live": 23}
    others |= {"ended": (ended,), "edited_fields": ("name",), "clamped": True, "weak_secret": True}
    for field in fields(kind):
        value = others.get(field.name, 7 if "int" in str(field.type) else "x")
        assert replace(entry, **{field.name: value}).hash_after(FIRST_HASH) != digest, field.name


def test_the_hash_of_an_event_covers_every_fact_of_a_secret_that_ended() -> None:
    ended = EndedSecret(7, SecretEndReason.REVOKED, SecretState.RETAINED)
    entry = AuditEntry(1, NOW, "SECRET_RESET", "user:ada", "USER", "GRAPHQL", ended=(ended,), hours_to_live=0)
    others = (
        replace(ended, secret_id=8),
        replace(ended, reason=SecretEndReason.DISPLACED),
        replace(ended, state_before=SecretState.CURRENT),
    )
    digests = {replace(entry, ended=(each,)).hash_after(FIRST_HASH) for each in (ended, *others)}
    digests.add(replace(entry, hours_to_live=None).hash_after(FIRST_HASH))
    assert len(digests) == 5
