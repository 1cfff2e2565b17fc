"""Is this credential good? Exact at every instant, for every state, and never by a clock but the database's."""

import asyncio
import base64
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.callers import ADMIN, DAY, HARD, Made, is_good, verify
from support.clocks import DAYS, HOUR, MICROSECOND, MILLISECOND, NOW, Clock
from support.installation import MakeClient, OpenNode

from gql_secrets.domain.rotation import Retention, SecretState
from gql_secrets.service.client_filter import ClientFilter
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.usage.tallies import Source
from gql_secrets.service.verification import Accepted, RefusalReason, Refused
from gql_secrets.settings import DATABASE_FILE, Settings
from gql_secrets.wiring import Services

ONE_HOUR = Retention(1)


async def reason(services: Services, client_id: str, secret: str) -> RefusalReason | None:
    verdict = await verify(services, client_id, secret)
    return verdict.reason if isinstance(verdict, Refused) else None


# The boundary


@pytest.mark.parametrize(
    ("offset", "good"),
    [
        (-MILLISECOND, True),
        (-MICROSECOND, True),
        (timedelta(), False),
        (MICROSECOND, False),
        (MILLISECOND, False),
        (365 * DAYS, False),
    ],
)
async def test_an_old_secret_ends_at_its_instant_without_any_sweeper(
    services: Services, client: Made, clock: Clock, offset: timedelta, good: bool
) -> None:
    await services.rotation.reset_secret(client.id, ONE_HOUR, by=ADMIN)
    clock.set(NOW + HOUR + offset)
    assert await is_good(services, client.id, client.secret) is good
    [row] = [row for row in (await services.queries.page_of_secrets(client.id, PageRequest())).rows if row.replaced_at]
    assert row.state == (SecretState.RETAINED if good else SecretState.EXPIRED)
    if not good:
        assert row.ended_at == NOW + HOUR, "it ended when it ended, not when somebody looked"


@pytest.mark.parametrize("used_before", [True, False])
async def test_the_boundary_holds_for_a_secret_that_was_remembered_while_it_was_good(
    services: Services, client: Made, clock: Clock, used_before: bool
) -> None:
    await services.rotation.reset_secret(client.id, ONE_HOUR, by=ADMIN)
    if used_before:
        for _ in range(3):
            assert await is_good(services, client.id, client.secret)
    clock.set(NOW + HOUR - MICROSECOND)
    assert await is_good(services, client.id, client.secret)
    clock.move(MICROSECOND)
    assert not await is_good(services, client.id, client.secret)


async def test_after_an_expiry_the_clock_may_step_back_on_any_node(
    services: Services, client: Made, clock: Clock, open_node: OpenNode
) -> None:
    """Written EXPIRED before the refusal is answered: no other node accepts it again, regardless of its clock."""
    other = await open_node(adjust_clock=Clock(NOW))
    await services.rotation.reset_secret(client.id, ONE_HOUR, by=ADMIN)
    assert await is_good(other, client.id, client.secret)
    clock.move(HOUR)
    assert not await is_good(services, client.id, client.secret)
    assert not await is_good(other, client.id, client.secret)
    clock.set(NOW)
    assert not await is_good(services, client.id, client.secret)


async def test_nothing_good_is_lost_when_the_clock_jumps_ahead_and_back(
    services: Services, client: Made, clock: Clock
) -> None:
    """A current secret does not age."""
    clock.move(10000 * DAYS)
    assert await is_good(services, client.id, client.secret)
    clock.move(-20000 * DAYS)
    assert await is_good(services, client.id, client.secret)


async def test_a_secret_that_nobody_asked_about_expires_all_the_same(
    services: Services, client: Made, clock: Clock
) -> None:
    """VMware: up to an hour late, because a job had to come by."""
    await services.rotation.reset_secret(client.id, ONE_HOUR, by=ADMIN)
    clock.move(HOUR)
    living = await services.queries.active_secrets([client.id])
    assert set(living[client.id]) == {SecretState.CURRENT}
    assert not (await services.queries.page_of_clients(PageRequest(), filter=ClientFilter(in_rollover=True))).rows


# Nothing but what was issued


async def test_only_the_issued_pair_is_good(services: Services, make_client: MakeClient) -> None:
    """doorkeeper CVE-2026-44476: a blank secret was accepted."""
    client, other = await make_client(), await make_client()
    secret = client.secret
    tries = (
        {
            (client.id, ""),
            ("", ""),
            ("", secret),
            (client.id, " "),
            (client.id, "\x00"),
            (client.id, secret[:-1]),
            (client.id, secret[:5]),
            (client.id, secret[1:]),
            (client.id, secret + " "),
            (client.id, " " + secret),
            (client.id, secret + "\n"),
            (client.id, secret + "\x00"),
            (client.id, secret.lower()),
            (client.id, secret.upper()),
            (client.id, secret.swapcase()),
            (client.id, secret * 2),
            (client.id, secret.replace("g", "\N{LATIN SMALL LETTER SCRIPT G}", 1)),
            (client.id, secret.translate({ord(c): chr(ord(c) + 0xFEE0) for c in secret})),  # full-width look-alikes
            (client.id, secret + "\u200b"),
            (client.id, base64.b64encode(secret.encode()).decode()),
            (client.id, "%67" + secret[1:]),  # no percent-decoding
            (client.id.upper(), secret),
            (client.id + " ", secret),
            (client.id + "\x00", secret),
            (client.id[:-1], client.id[-1] + secret),  # the border between the two is part of the digest
            (client.id + secret[0], secret[1:]),
            (other.id, secret),
            (client.id, other.secret),
            ("nobody", secret),
            (client.id, "\ud800"),
            ("\ud800", secret),
            (client.id, "x" * 1_000_000),
        }
        - {(client.id, secret)}
    )
    for client_id, text in tries:
        assert await reason(services, client_id, text) is RefusalReason.UNKNOWN, (client_id[:40], text[:40])
    assert await is_good(services, client.id, client.secret)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=80))
async def test_no_text_at_all_is_good(services: Services, owner: Made, text: str) -> None:
    assert await reason(services, owner.id, text) is RefusalReason.UNKNOWN


@pytest.mark.parametrize("state", ["enabled", "disabled", "in rollover", "deleted"])
@pytest.mark.parametrize("secret", ["", "gqls_", "null", "None", "0"])
async def test_a_blank_or_short_secret_is_good_for_no_state_of_a_client(
    services: Services, client: Made, state: str, secret: str
) -> None:
    if state == "disabled":
        await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)
    if state == "in rollover":
        await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    if state == "deleted":
        await services.clients.delete_client(client.id, by=ADMIN)
    assert not await is_good(services, client.id, secret)


# What is written before it is answered


async def test_the_first_use_is_there_before_the_answer(
    services: Services, client: Made, open_node: OpenNode, clock: Clock
) -> None:
    assert await is_good(services, client.id, client.secret)
    other = await open_node()
    [row] = (await other.queries.page_of_secrets(client.id, PageRequest())).rows
    assert row.first_used_at == row.last_used_at == clock.now


ENDS: dict[str, Callable[[Services, Made, Clock], Awaitable[object]]] = {
    "revoked": lambda services, client, _: services.rotation.revoke_old_secret(client.id, by=ADMIN),
    "reset": lambda services, client, _: services.rotation.reset_secret(client.id, HARD, by=ADMIN),
    "disabled": lambda services, client, _: services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN),
    "deleted": lambda services, client, _: services.clients.delete_client(client.id, by=ADMIN),
    "at its end": lambda services, _, clock: moved(services, clock, HOUR),
    "after its end": lambda services, _, clock: moved(services, clock, HOUR + MICROSECOND),
    "used": lambda services, client, _: verify(services, client.id, client.secret),
}


async def moved(services: Services, clock: Clock, by: timedelta) -> None:
    del services
    clock.move(by)


@pytest.mark.parametrize("end", ENDS)
async def test_a_first_use_is_recorded_only_while_the_secret_is_still_good_and_unused(
    services: Services, client: Made, clock: Clock, end: str
) -> None:
    """Anything may happen between the look-up and the record: then nothing is recorded, and it is evaluated again."""
    await services.rotation.reset_secret(client.id, ONE_HOUR, by=ADMIN)
    found, _ = await services.lookup.find(client.id, services.changes.pepper.digests(client.id, client.secret))
    assert found is not None
    await ENDS[end](services, client, clock)
    before = await services.database.fetch("SELECT first_used_at, last_used_at FROM client_secret ORDER BY id")
    clock.move(timedelta() if "end" in end else MICROSECOND)
    await services.verifier._record_first_use(found)
    assert before == await services.database.fetch("SELECT first_used_at, last_used_at FROM client_secret ORDER BY id")


async def test_a_first_use_is_recorded_until_the_last_microsecond(
    services: Services, client: Made, clock: Clock
) -> None:
    await services.rotation.reset_secret(client.id, ONE_HOUR, by=ADMIN)
    clock.move(HOUR - MICROSECOND)
    assert await is_good(services, client.id, client.secret)


async def test_a_refused_use_is_no_first_use(services: Services, client: Made) -> None:
    await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)
    assert await reason(services, client.id, client.secret) is RefusalReason.DISABLED
    [row] = (await services.queries.page_of_secrets(client.id, PageRequest())).rows
    assert row.first_used_at is None


async def test_a_verification_moves_no_revision(services: Services, client: Made) -> None:
    [before] = await services.database.fetch("SELECT revision FROM installation")
    for _ in range(3):
        assert await is_good(services, client.id, client.secret)
    [after] = await services.database.fetch("SELECT revision FROM installation")
    assert before == after


# What another process changed


@pytest.mark.parametrize("remembered", [True, False])
async def test_no_verification_that_starts_after_a_revoke_accepts_on_any_node(
    services: Services, client: Made, open_node: OpenNode, remembered: bool
) -> None:
    """WSO2, Unkey: a cache accepted for minutes after the revoke."""
    other = await open_node()
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    if remembered:
        for _ in range(3):
            assert await is_good(other, client.id, client.secret)
    await services.rotation.revoke_old_secret(client.id, by=ADMIN)
    assert not await is_good(other, client.id, client.secret)
    assert not await is_good(services, client.id, client.secret)


async def test_every_change_by_another_process_is_seen_by_the_next_verification(
    services: Services, client: Made, open_node: OpenNode
) -> None:
    other = await open_node()
    rotation, clients = services.rotation, services.clients

    async def seen(secret: str, state: SecretState | None) -> None:
        for _ in range(2):
            verdict = await verify(other, client.id, secret)
            assert (verdict.state if isinstance(verdict, Accepted) else None) is state

    await seen(client.secret, SecretState.CURRENT)
    second = (await rotation.reset_secret(client.id, DAY, by=ADMIN)).new_secret.reveal()
    await seen(client.secret, SecretState.RETAINED)
    await rotation.cancel_rollover(client.id, by=ADMIN)
    await seen(client.secret, SecretState.CURRENT)
    await seen(second, None)
    await clients.set_client_enabled(client.id, enabled=False, by=ADMIN)
    await seen(client.secret, None)
    await clients.set_client_enabled(client.id, enabled=True, by=ADMIN)
    await seen(client.secret, SecretState.CURRENT)
    await clients.update_client(client.id, by=ADMIN, allow_list=["192.0.2.0/24"])
    await seen(client.secret, None)
    await clients.update_client(client.id, by=ADMIN, allow_list=["0.0.0.0/0", "::/0"])
    await seen(client.secret, SecretState.CURRENT)
    third = (await rotation.reset_secret(client.id, HARD, by=ADMIN)).new_secret.reveal()
    await seen(client.secret, None)
    await seen(third, SecretState.CURRENT)
    await clients.delete_client(client.id, by=ADMIN)
    await seen(third, None)


async def test_a_first_use_elsewhere_is_known_here(services: Services, client: Made, open_node: OpenNode) -> None:
    """Two nodes see the first use of one secret: one instant is written, and both accept."""
    other = await open_node(adjust_clock=Clock(NOW + HOUR))
    assert await is_good(services, client.id, client.secret)
    assert await is_good(other, client.id, client.secret)
    [row] = (await services.queries.page_of_secrets(client.id, PageRequest())).rows
    assert row.first_used_at == NOW


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("changes", [0, 1, 3, 9])
async def test_a_backup_that_is_restored_under_a_running_node_hides_no_later_change(
    services: Services,
    settings: Settings,
    client: Made,
    make_client: MakeClient,
    open_node: OpenNode,
    data_dir: Path,
    tmp_path: Path,
    changes: int,
) -> None:
    """The revisions begin again at an earlier one; what this node saw under them before says nothing.

    The other node has a journal of its own, so it does not notice and makes changes.
    """
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    with closing(sqlite3.connect(data_dir / DATABASE_FILE)) as live, closing(sqlite3.connect(":memory:")) as backup:
        live.backup(backup)
        for _ in range(5):
            await make_client()
        for _ in range(3):
            assert await is_good(services, client.id, client.secret)
        backup.backup(live)
    other = await open_node(settings=replace(settings, data_dir=tmp_path))
    for number in range(changes):
        await other.clients.create_client(f"After {number}", by=ADMIN)
    await other.rotation.revoke_old_secret(client.id, by=ADMIN)
    assert not await is_good(services, client.id, client.secret)


# Addresses


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("192.0.2.77", True),
        ("::ffff:192.0.2.77", True),
        ("2001:db8::1", True),
        ("192.0.3.1", False),
        ("2001:db9::1", False),
        ("", False),
        ("nonsense", False),
        (None, False),
    ],
)
async def test_a_good_secret_is_good_from_the_addresses_on_its_list(
    services: Services, make_client: MakeClient, address: str | None, good: bool
) -> None:
    client = await make_client(allow_list=["192.0.2.0/24", "2001:db8::/32"])
    verdict = await services.verifier.verify(client.id, client.secret, Source(address))
    assert isinstance(verdict, Accepted) is good
    if isinstance(verdict, Refused):
        assert verdict.reason is RefusalReason.ADDRESS


async def test_the_allow_list_is_told_only_to_a_caller_with_a_good_secret(
    services: Services, make_client: MakeClient
) -> None:
    client = await make_client(allow_list=["192.0.2.0/24"])
    outside = Source("203.0.113.1")
    wrong = await services.verifier.verify(client.id, "wrong", outside)
    assert wrong == Refused(RefusalReason.UNKNOWN)
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    ended = await services.verifier.verify(client.id, client.secret, outside)
    assert isinstance(ended, Refused)
    assert ended.reason is RefusalReason.ENDED


async def test_verifications_that_arrive_together_are_each_answered_for_their_own(
    services: Services, make_client: MakeClient
) -> None:
    clients = [await make_client() for _ in range(5)]
    pairs = [(one, other) for one in clients for other in clients]
    for _ in range(2):  # the second time, some are in memory
        found = await asyncio.gather(*(is_good(services, one.id, other.secret) for one, other in pairs))
        assert found == [one is other for one, other in pairs]
