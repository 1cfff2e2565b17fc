"""Who uses which secret, on both databases."""

import asyncio
import sys
import time
from datetime import timedelta

import pytest
from support.callers import ADMIN, DAY, HARD, Made, is_good
from support.clocks import HOUR, MINUTE, NOW, SECOND, Clock
from support.installation import MakeClient, OpenNode
from support.usage import buckets, call, first_id, totals, uses

from gql_secrets.domain.advice import RolloverAdvice
from gql_secrets.domain.errors import Conflict, Unavailable
from gql_secrets.domain.rotation import Retention
from gql_secrets.service.usage import counter
from gql_secrets.service.usage.counter import Usage
from gql_secrets.service.usage.queries import Rollover, UnknownAttempts
from gql_secrets.service.usage.tallies import Source, total_of
from gql_secrets.storage.usage import MAX_SOURCES, SecretUse, Totals, UsageBucket, find_buckets, find_uses
from gql_secrets.wiring import Services


async def rollover(services: Services, client: Made) -> Rollover:
    found = await services.usage_queries.rollover_of(client.id)
    assert found is not None
    return found


# Counting and writing


async def unknown_attempts(node: Services, client: Made) -> UnknownAttempts:
    return (await node.usage_queries.unknown_attempts_of([client.id]))[client.id]


async def test_a_use_is_shown_at_once_here_and_elsewhere_when_it_is_written(
    services: Services, other_node: Services, client: Made, clock: Clock
) -> None:
    secret_id = await first_id(services, client)
    await call(services, client)
    clock.move(MINUTE)
    await call(services, client)

    expected = SecretUse("198.51.100.7", "curl/8", NOW, NOW + MINUTE, 2, refused=False)
    assert await uses(services, secret_id) == [expected]
    assert await totals(services, secret_id) == Totals(2, NOW + MINUTE, 0, None)
    assert await buckets(services, secret_id) == [UsageBucket(NOW, 2, 0)]
    assert await uses(other_node, secret_id) == []
    assert await totals(other_node, secret_id) == Totals(0, NOW, 0, None)  # the first use is written immediately

    await services.usage.flush()
    for node in (services, other_node):
        assert await uses(node, secret_id) == [expected]
        assert await totals(node, secret_id) == Totals(2, NOW + MINUTE, 0, None)
        assert await buckets(node, secret_id) == [UsageBucket(NOW, 2, 0)]


async def test_written_and_unwritten_uses_add_up(services: Services, client: Made, clock: Clock) -> None:
    secret_id = await first_id(services, client)
    for _ in range(3):
        await call(services, client)
        await call(services, client, source=Source("2001:db8::1", None))
        await services.usage.flush()
        clock.move(SECOND)
    await call(services, client)

    assert await totals(services, secret_id) == Totals(7, NOW + 3 * SECOND, 0, None)
    assert await uses(services, secret_id) == [
        SecretUse("198.51.100.7", "curl/8", NOW, NOW + 3 * SECOND, 4, refused=False),
        SecretUse("2001:db8::1", None, NOW, NOW + 2 * SECOND, 3, refused=False),
    ]


async def test_an_attempt_with_an_ended_secret_is_refused_counted_and_shown(
    services: Services, other_node: Services, client: Made
) -> None:
    """The best sign of a straggler."""
    secret_id = await first_id(services, client)
    await call(services, client)
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    for _ in range(3):
        assert not await call(services, client, source=Source("203.0.113.9", "cron/1"))
    await services.usage.flush()

    for node in (services, other_node):
        assert await totals(node, secret_id) == Totals(1, NOW, 3, NOW)
        assert SecretUse("203.0.113.9", "cron/1", NOW, NOW, 3, refused=True) in await uses(node, secret_id)
        assert await buckets(node, secret_id) == [UsageBucket(NOW, 1, 3)]


async def test_an_attempt_with_a_secret_of_a_disabled_client_is_counted_like_one_with_an_ended_secret(
    services: Services, client: Made
) -> None:
    """Somebody still uses it: an operator who disables a client must see who."""
    secret_id = await first_id(services, client)
    await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)
    await call(services, client, source=Source("203.0.113.9", "cron/1"))
    await services.usage.flush()
    assert await totals(services, secret_id) == Totals(0, None, 1, NOW)
    assert await uses(services, secret_id) == [SecretUse("203.0.113.9", "cron/1", NOW, NOW, 1, refused=True)]


async def test_an_attempt_with_an_unknown_secret_is_counted_for_the_client_that_it_names(
    services: Services, other_node: Services, client: Made, clock: Clock
) -> None:
    """Apart from stragglers: nobody ever had this secret."""
    secret_id = await first_id(services, client)
    for _ in range(2):
        clock.move(SECOND)
        await call(services, client, secret="wrong")
    assert await unknown_attempts(services, client) == UnknownAttempts(2, NOW + 2 * SECOND)

    await services.usage.flush()
    await call(services, client, secret="wrong")
    assert await unknown_attempts(services, client) == UnknownAttempts(3, NOW + 2 * SECOND)
    assert await unknown_attempts(other_node, client) == UnknownAttempts(2, NOW + 2 * SECOND)
    await services.usage.flush()

    assert await unknown_attempts(other_node, client) == UnknownAttempts(3, NOW + 2 * SECOND)
    assert await totals(services, secret_id) == Totals(0, None, 0, None)


async def test_unknown_secrets_of_clients_that_do_not_exist_are_forgotten(services: Services, client: Made) -> None:
    for named in ("nobody", "", "x" * 5000, "\ud800", "a\0b", "it's", client.id):
        await services.verifier.verify(named, "wrong", Source())
    await services.usage.flush()
    rows = await services.database.fetch("SELECT client_id, count FROM unknown_secret_attempt")
    assert [tuple(row.values()) for row in rows] == [(client.id, 1)]
    assert not services.usage._unknown


async def test_the_client_ids_of_unknown_secrets_are_bounded(
    services: Services, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gql_secrets.service.usage.counter.MAX_UNKNOWN_CLIENTS", 5)
    for number in range(20):
        await services.verifier.verify(f"nobody {number}", "wrong", Source())
        await services.verifier.verify("nobody 0", "wrong", Source())
    assert len(services.usage._unknown) == 6, "the last one is for all others"
    await services.usage.flush()
    await call(services, client, secret="wrong")
    await services.usage.flush()
    assert await unknown_attempts(services, client) == UnknownAttempts(1, NOW)


async def test_unknown_secrets_that_cannot_be_written_are_kept(
    services: Services, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise Unavailable

    await call(services, client, secret="wrong")
    with monkeypatch.context() as patch:
        patch.setattr(services.database, "run_tx", fail)
        with pytest.raises(Unavailable):
            await services.usage.flush()
        await call(services, client, secret="wrong")
        assert services.usage._unknown
    await services.usage.flush()
    assert await unknown_attempts(services, client) == UnknownAttempts(2, NOW)


async def test_a_use_counts_in_the_hour_in_which_it_was(services: Services, client: Made, clock: Clock) -> None:
    secret_id = await first_id(services, client)
    clock.set(NOW + HOUR - SECOND)
    await call(services, client)
    clock.move(SECOND)
    await call(services, client)
    await call(services, client)
    await services.usage.flush()
    assert await buckets(services, secret_id) == [UsageBucket(NOW, 1, 0), UsageBucket(NOW + HOUR, 2, 0)]


async def test_the_last_use_never_moves_back(
    services: Services, other_node: Services, client: Made, clock: Clock
) -> None:
    """Two nodes write in any order, and clocks step back (invariant I9)."""
    secret_id = await first_id(services, client)
    await call(services, client)
    clock.move(MINUTE)
    await call(services, client)
    clock.move(-MINUTE / 2)
    await call(other_node, client)
    await services.usage.flush()
    await other_node.usage.flush()
    assert await totals(services, secret_id) == Totals(3, NOW + MINUTE, 0, None)
    assert [use.last_seen_at for use in await uses(services, secret_id)] == [NOW + MINUTE]


async def test_writing_counts_is_no_change(services: Services, client: Made) -> None:
    """No revision moves, so no cache of any process is emptied by it."""

    async def revision() -> int:
        rows = await services.database.fetch("SELECT revision FROM installation")
        return int(rows[0]["revision"])

    before = await revision()
    await call(services, client)
    await services.usage.flush()
    assert await revision() == before


# Bounds


async def test_of_each_secret_the_most_recent_sources_stay(services: Services, client: Made, clock: Clock) -> None:
    secret_id = await first_id(services, client)
    for number in range(2 * MAX_SOURCES):
        clock.move(SECOND)
        await call(services, client, source=Source(f"192.0.2.{number}", "app"))
        if number % 20 == 0:
            await services.usage.flush()
    await services.usage.flush()

    kept = await uses(services, secret_id)
    assert [use.address for use in kept] == [f"192.0.2.{n}" for n in range(2 * MAX_SOURCES - 1, MAX_SOURCES - 1, -1)]
    assert (await totals(services, secret_id)).use_count == 2 * MAX_SOURCES
    rows = await services.database.fetch("SELECT count(*) AS rows FROM secret_use")
    assert rows[0]["rows"] == MAX_SOURCES


async def test_every_secret_of_a_large_batch_is_written(services: Services, clock: Clock) -> None:
    """SQLite writes a thousand rows with each statement, and the rest with another one."""
    wanted: dict[tuple[int, str | None], int] = {}
    for _ in range(2):
        for number in range(10_000, 12_100):
            source = Source(f"192.0.2.{number % 200}", "app")
            services.usage.used(number, source, clock.now)
            wanted[number, source.address] = wanted.get((number, source.address), 0) + 1
        await services.usage.flush()
    found = await find_uses(services.database, range(10_000, 12_100))
    assert {(number, use.address): use.count for number, use in found} == wanted
    assert {(use.user_agent, use.last_seen_at) for _, use in found} == {("app", clock.now)}
    hours = await find_buckets(services.database, range(10_000, 12_100), clock.now)
    assert {number: bucket.count for number, [bucket] in hours.items()} == dict.fromkeys(range(10_000, 12_100), 2)


async def test_a_use_whose_source_finds_no_room_is_counted_and_the_next_one_has_its_source(
    services: Services, clock: Clock, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [await make_client(name=f"c{number}") for number in range(3)]
    for client in clients:
        await call(services, client)
    await services.usage.flush()
    ids = [await first_id(services, client) for client in clients]
    with monkeypatch.context() as full:
        full.setattr(counter, "_MAX_SOURCES_IN_MEMORY", 1)
        clock.move(SECOND)
        for secret_id in (*ids, ids[2]):
            services.usage.used(secret_id, Source("192.0.2.1", "app"), clock.now)
        assert [(await totals(services, secret_id)).use_count for secret_id in ids] == [2, 2, 3]
        await services.usage.flush()
    services.usage.used(ids[1], Source("192.0.2.1", "app"), clock.now)
    await services.usage.flush()

    found = [await totals(services, secret_id) for secret_id in ids]
    assert [(total.use_count, total.last_used_at) for total in found] == [(n, clock.now) for n in (2, 3, 3)]
    seen = [[use.count for use in await uses(services, secret_id) if use.address == "192.0.2.1"] for secret_id in ids]
    assert seen == [[1], [1], []]


async def test_refused_attempts_do_not_push_out_the_sources_of_good_uses(services: Services, client: Made) -> None:
    secret_id = await first_id(services, client)
    await call(services, client)
    await services.usage.flush()
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    for number in range(MAX_SOURCES):
        await call(services, client, source=Source(f"203.0.113.{number}", "scan"))
    await services.usage.flush()
    assert sum(not use.refused for use in await uses(services, secret_id)) == 1


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for the first sources of six secrets, written once there are four, and for half as many others."""
    monkeypatch.setattr(counter, "_MAX_SOURCES_IN_MEMORY", 6)
    monkeypatch.setattr(counter, "_SOURCES_TO_WRITE", 4)


@pytest.mark.usefixtures("small_memory")
async def test_first_sources_of_secrets_leave_room_for_others_and_both_are_written_before_it_is_full(
    services: Services, clock: Clock
) -> None:
    """Else the sources of some secrets would be missing while many secrets are used once."""
    usage, filled = Usage(services.database, MINUTE), []

    def kept() -> int:
        tallies = [tally for secret_id in range(9) for _, tally in usage.unwritten(secret_id, refused=False)]
        return sum(source is not None for tally in tallies for source in tally)

    for secret_id in range(9):
        usage.used(secret_id, Source("192.0.2.1", "app"), clock.now)
        filled.append(usage.fills_up.is_set())
    assert kept() == 6
    assert filled.index(True) == 3

    for number in range(9):
        usage.used(0, Source(f"203.0.113.{number}", "app"), clock.now)
    assert kept() == 6 + 3


@pytest.mark.usefixtures("small_memory")
async def test_other_sources_are_written_before_memory_is_full(services: Services, clock: Clock) -> None:
    usage, filled = Usage(services.database, MINUTE), []
    for number in range(9):
        usage.used(0, Source(f"203.0.113.{number}", "app"), clock.now)
        filled.append(usage.fills_up.is_set())
    assert filled.index(True) == 2  # the first one of the secret, and two others


async def test_a_flood_of_sources_does_not_grow_memory(services: Services, clock: Clock) -> None:
    usage = Usage(services.database, MINUTE)
    for number in range(200_000):
        usage.used(number % 4000, Source("192.0.2.1", f"agent {number}"), clock.now)
    tallies = [tally for secret_id in range(4000) for _, tally in usage.unwritten(secret_id, refused=False)]
    sources = [sum(source is not None for source in tally) for tally in tallies]
    assert sum(sources) <= 100_000
    assert max(sources) <= MAX_SOURCES
    counts = [total_of(tally)[0] for tally in tallies]
    assert sum(counts) == 200_000


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("x" * 10_000, "x" * 256),
        ("a\r\nb\x00c\x1b[31m\u2028", "a\ufffd\ufffdb\ufffdc\ufffd[31m\ufffd"),
        ("lone \udc80", "lone \ufffd"),
        ("", None),
        ("bot " + "gqls_" + "A1b2" * 12 + " end", "bot … end"),
        ("Authorization: Basic c2hvcDpzZWNyZXQ=", "Authorization: …"),
        ("Grüße/1.0 (日本)", "Grüße/1.0 (日本)"),
    ],
)
async def test_a_user_agent_is_kept_as_one_short_line_without_credentials(
    services: Services, client: Made, sent: str, kept: str | None
) -> None:
    secret_id = await first_id(services, client)
    await call(services, client, source=Source(None, sent))
    assert [(use.address, use.user_agent) for use in await uses(services, secret_id)] == [(None, kept)]
    await services.usage.flush()
    await call(services, client, source=Source(None, sent))
    assert [(use.user_agent, use.count) for use in await uses(services, secret_id)] == [(kept, 2)]


async def test_counting_a_use_costs_about_a_microsecond(services: Services, clock: Clock) -> None:
    if sys.gettrace() is not None:
        pytest.skip("tracing costs more than the counting")
    usage, source = Usage(services.database, MINUTE), Source("198.51.100.7", "curl/8")
    best = 1.0
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(1000):
            usage.used(1, source, clock.now)
        best = min(best, (time.perf_counter() - began) / 1000)
    assert best < 5e-6  # a busy machine has its share


@pytest.mark.parametrize(
    ("secrets", "work", "expected"),
    [
        (0, timedelta(0), SECOND),
        (100, timedelta(0), SECOND),
        (1500, timedelta(0), 15 * SECOND),
        (100_000, timedelta(0), MINUTE),
        (1, timedelta(seconds=0.5), 10 * SECOND),
        (1, timedelta(seconds=30), MINUTE),
    ],
)
async def test_many_counts_are_collected_for_longer_and_few_are_written_soon(
    services: Services, secrets: int, work: timedelta, expected: timedelta
) -> None:
    assert Usage(services.database, MINUTE).wait_after(secrets, work) == expected


async def test_two_nodes_add_up_their_counts_of_known_and_new_sources(
    services: Services, open_node: OpenNode, client: Made
) -> None:
    other, secret_id = await open_node(), await first_id(services, client)
    for turn in range(3):
        for node in (services, other):
            for number in range(turn + 1):
                await call(node, client, source=Source(f"192.0.2.{number}", "app"))
        await asyncio.gather(services.usage.flush(), other.usage.flush())
    assert [
        (use.address, use.count) for use in sorted(await uses(services, secret_id), key=lambda use: -use.count)
    ] == [
        ("192.0.2.0", 6),
        ("192.0.2.1", 4),
        ("192.0.2.2", 2),
    ]
    [hour] = await services.database.fetch("SELECT sum(count) AS count FROM secret_usage_hour")
    assert hour["count"] == 12


# Trouble


async def test_a_flush_that_fails_keeps_the_counts(
    services: Services, client: Made, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_id = await first_id(services, client)

    async def fail(work: object) -> None:
        del work
        raise Unavailable

    for _ in range(3):
        await call(services, client)
        with monkeypatch.context() as trouble:
            trouble.setattr(services.database, "run_tx", fail)
            with pytest.raises(Unavailable):
                await services.usage.flush()
        assert (await totals(services, secret_id)).use_count == _ + 1
        clock.move(HOUR)

    await services.usage.flush()
    assert await totals(services, secret_id) == Totals(3, NOW + 2 * HOUR, 0, None)
    assert [bucket.count for bucket in await buckets(services, secret_id)] == [1, 1, 1]
    assert [use.count for use in await uses(services, secret_id)] == [3]


@pytest.mark.parametrize("flushes", [1, 2])
async def test_days_of_failing_flushes_lose_the_hours_and_no_count(
    services: Services, client: Made, clock: Clock, monkeypatch: pytest.MonkeyPatch, flushes: int
) -> None:
    secret_id = await first_id(services, client)
    await call(services, client)

    async def fail(work: object) -> None:
        del work
        raise Unavailable

    monkeypatch.setattr(services.database, "run_tx", fail)
    for _ in range(72):
        clock.move(HOUR)
        await call(services, client)
        for _ in range(flushes):
            with pytest.raises(Unavailable):
                await services.usage.flush()
    assert len(services.usage._hours) <= 24
    monkeypatch.undo()
    await services.usage.flush()
    assert (await totals(services, secret_id)).use_count == 73
    shown = [bucket.starts_at for bucket in await buckets(services, secret_id) if bucket.count]
    assert shown == [NOW + hour * HOUR for hour in range(49, 73)], "counts that are too old move to a later hour"


async def test_a_lock_in_the_way_keeps_only_its_batch(
    services: Services, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_id = await first_id(services, client)
    await call(services, client)

    async def busy(work: object) -> None:
        del work
        raise Conflict("busy")

    with monkeypatch.context() as trouble:
        trouble.setattr(services.database, "run_tx", busy)
        await services.usage.flush()
    assert (await totals(services, secret_id)).use_count == 1
    await services.usage.flush()
    assert (await totals(services, secret_id)).use_count == 1


async def test_readers_see_each_use_once_while_batches_are_written(services: Services, client: Made) -> None:
    secret_id = await first_id(services, client)
    done = asyncio.Event()

    async def flush() -> None:
        while not done.is_set():
            await services.usage.flush()
            await asyncio.sleep(0)

    flushing = asyncio.create_task(flush())
    for number in range(1, 40):
        await call(services, client)
        assert (await totals(services, secret_id)).use_count == number
        assert [use.count for use in await uses(services, secret_id)] == [number]
    done.set()
    await flushing


async def test_two_nodes_write_at_once_and_nothing_is_lost(
    services: Services, other_node: Services, make_client: MakeClient
) -> None:
    clients = [await make_client(name=f"c{number}") for number in range(5)]
    for _ in range(4):
        for node in (services, other_node):
            for client in clients:
                await call(node, client)
        await asyncio.gather(services.usage.flush(), other_node.usage.flush())
    await asyncio.gather(services.usage.flush(), other_node.usage.flush())
    ids = [await first_id(services, client) for client in clients]
    assert {total.use_count for total in (await services.usage_queries.totals_of(ids)).values()} == {8}


# The verdict


async def test_the_verdict_follows_the_uses_written_or_not(services: Services, client: Made, clock: Clock) -> None:
    await call(services, client)
    new = (await services.rotation.reset_secret(client.id, DAY, by=ADMIN)).new_secret.reveal()

    clock.move(2 * HOUR)
    found = await rollover(services, client)
    assert (found.advice, found.safe_to_revoke) == (RolloverAdvice.WAIT_FOR_NEW, False)
    assert (found.started_at, found.ends_at, found.remaining_seconds) == (NOW, NOW + 24 * HOUR, 22 * 3600)
    assert (found.old_secret.state, found.new_secret.state) == ("RETAINED", "CURRENT")

    assert await call(services, client, new)
    assert (await rollover(services, client)).advice is RolloverAdvice.WAIT_FOR_QUIET
    clock.move(50 * MINUTE)
    assert await call(services, client)  # a straggler, and its use is not written
    clock.move(50 * MINUTE)
    assert (await rollover(services, client)).advice is RolloverAdvice.WAIT_FOR_QUIET
    await services.usage.flush()
    assert (await rollover(services, client)).advice is RolloverAdvice.WAIT_FOR_QUIET
    clock.move(11 * MINUTE)  # the counts of other nodes come up to a minute later
    found = await rollover(services, client)
    assert (found.advice, found.safe_to_revoke) == (RolloverAdvice.REVOKE, True)


async def test_a_client_without_a_rollover_has_no_verdict(services: Services, client: Made, clock: Clock) -> None:
    assert await services.usage_queries.rollover_of(client.id) is None
    assert await services.usage_queries.rollover_of("nobody") is None
    await services.rotation.reset_secret(client.id, Retention(1), by=ADMIN)
    assert await services.usage_queries.rollover_of(client.id) is not None
    clock.move(HOUR)  # over, whether anybody has written it down or not
    assert await services.usage_queries.rollover_of(client.id) is None


async def test_many_secrets_and_clients_are_one_question(services: Services, make_client: MakeClient) -> None:
    clients = [await make_client(name=f"c{number}") for number in range(4)]
    for client in clients[:2]:
        await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
        await call(services, client)
    ids = [await first_id(services, client) for client in clients]
    assert set(await services.usage_queries.rollovers_of([client.id for client in clients])) == {
        clients[0].id,
        clients[1].id,
    }
    found = await services.usage_queries.uses_of(ids)
    assert [len(found[secret_id]) for secret_id in ids] == [1, 1, 0, 0]
    shown = await services.usage_queries.usage_of(ids)
    assert [len(shown[secret_id]) for secret_id in ids] == [1, 1, 0, 0]


async def test_a_good_secret_from_a_wrong_address_counts_as_used(services: Services, make_client: MakeClient) -> None:
    """Somebody has it: revoking would not be noticed by us, but by them (rule 6)."""
    client = await make_client(allow_list=["192.0.2.0/24"])
    assert not await is_good(services, client.id, client.secret)
    assert (await totals(services, await first_id(services, client))).use_count == 1
