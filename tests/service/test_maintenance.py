"""What is written down late and deleted in time: expiries, nonces, hours and sources of uses."""

from datetime import timedelta

import pytest
from support.callers import ADMIN, DAY, HARD, Made
from support.clocks import HOUR, MINUTE, NOW, SECOND, Clock
from support.installation import MakeClient
from support.usage import buckets, call, first_id, totals, uses

from gql_secrets.domain.errors import Conflict
from gql_secrets.domain.rotation import Retention
from gql_secrets.service.usage.tallies import Source
from gql_secrets.storage.transaction import Transaction
from gql_secrets.storage.urgency import BRIEF_LOCK_SECONDS, LOCK_SECONDS, lock_seconds
from gql_secrets.storage.usage_pruning import Pruning
from gql_secrets.wiring import Services


async def test_tidying_goes_on_when_a_change_holds_a_client(
    services: Services, make_client: MakeClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [await make_client(name=f"c{number}") for number in range(2)]
    for client in clients:
        await services.rotation.reset_secret(client.id, Retention(1), by=ADMIN)
    clock.move(HOUR)
    expire = services.changes.expire_old_secret

    async def expire_or_wait(client_id: str) -> bool:
        if client_id == clients[0].id:
            raise Conflict("busy")
        return await expire(client_id)

    maintenance = services.maintenance
    with monkeypatch.context() as trouble:
        trouble.setattr(services.changes, "expire_old_secret", expire_or_wait)
        assert await maintenance.expire_due_secrets() == 1
    assert await maintenance.expire_due_secrets() == 1
    assert await maintenance.expire_due_secrets() == 0


async def test_nonces_are_deleted_when_they_can_be_replayed_no_more(
    services: Services, client: Made, clock: Clock
) -> None:
    async def rows() -> int:
        return int((await services.database.fetch("SELECT count(*) AS rows FROM idempotent_reset"))[0]["rows"])

    maintenance = services.maintenance
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key="k" * 16)
    clock.move(10 * MINUTE - SECOND)
    await maintenance.prune()
    assert await rows() == 1
    clock.move(2 * SECOND)
    await maintenance.prune()
    assert await rows() == 0


async def test_hours_are_kept_for_a_day_and_around_a_rollover_for_its_life(
    services: Services, make_client: MakeClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gql_secrets.storage.usage_pruning._BATCH", 7)
    quiet, rolling = await make_client(name="quiet"), await make_client(name="rolling")
    quiet_id, rolling_id = await first_id(services, quiet), await first_id(services, rolling)
    maintenance = services.maintenance
    most = {quiet_id: 0, rolling_id: 0}
    for hour in range(230):
        for client in (quiet, rolling):
            await call(services, client)
        if hour == 24:
            await services.rotation.reset_secret(rolling.id, Retention(168), by=ADMIN)
        await services.usage.flush()
        if hour % 5 == 0 or hour > 215:
            await maintenance.expire_due_secrets()
            await maintenance.prune()
            for secret_id, before in most.items():
                rows = await services.database.fetch(
                    "SELECT count(*) AS rows FROM secret_usage_hour WHERE secret_id = ?", [secret_id]
                )
                most[secret_id] = max(before, rows[0]["rows"])
        clock.move(HOUR)

    assert 24 <= most[quiet_id] <= 31  # a day, and what the test's five hours between two prunings add
    assert 168 + 24 <= most[rolling_id] <= 168 + 24 + 2
    shown = await buckets(services, rolling_id)
    assert len(shown) <= 168 + 24 + 1
    assert shown == sorted(shown, key=lambda bucket: bucket.starts_at)
    clock.move(timedelta(hours=300))
    await maintenance.prune()
    assert (await services.database.fetch("SELECT count(*) AS rows FROM secret_usage_hour"))[0]["rows"] == 0


async def test_sources_are_deleted_after_the_retention_time_and_their_counts_remain(
    services: Services, make_client: MakeClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gql_secrets.storage.usage_pruning._SECRETS", 2)
    clients = [await make_client(name=f"client {number}") for number in range(5)]
    ids = [await first_id(services, client) for client in clients]
    old, new = Source("198.51.100.7", "curl/8"), Source("203.0.113.9", "curl/9")
    for client in clients:
        await call(services, client, source=old)
        await call(services, client, source=old)
    await services.rotation.reset_secret(clients[0].id, HARD, by=ADMIN)
    assert not await call(services, clients[0], source=old)
    await services.usage.flush()
    before = [await totals(services, secret_id) for secret_id in ids]
    clock.move(timedelta(days=90) - MINUTE)
    await services.maintenance.prune()
    assert [len(await uses(services, secret_id)) for secret_id in ids] == [2, 1, 1, 1, 1]

    await call(services, clients[4], source=new)
    await services.usage.flush()
    clock.move(2 * MINUTE)
    await services.maintenance.prune()
    assert [len(await uses(services, secret_id)) for secret_id in ids] == [2, 1, 1, 1, 2]  # read six hours later
    clock.move(6 * HOUR)
    await services.maintenance.prune()

    assert [[use.address for use in await uses(services, secret_id)] for secret_id in ids] == [
        [], [], [], [], [new.address]
    ]  # fmt: skip
    assert [await totals(services, secret_id) for secret_id in ids[:4]] == before[:4]
    last = await totals(services, ids[4])
    assert last.use_count == before[4].use_count + 1
    assert last.last_used_at is not None
    assert last.last_used_at > NOW + timedelta(days=89)
    clock.move(12 * HOUR)
    await services.maintenance.prune()
    assert await totals(services, ids[0]) == before[0]


async def test_a_locked_secret_keeps_only_the_old_sources_next_to_it(
    services: Services, make_client: MakeClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise one client that a session holds would keep the personal data of all, and all would be read again."""
    monkeypatch.setattr("gql_secrets.storage.usage_pruning._SECRETS", 1)
    clients = [await make_client(name=f"client {number}") for number in range(4)]
    ids = [await first_id(services, client) for client in clients]
    for client in clients:
        await call(services, client)
    await services.usage.flush()
    clock.move(timedelta(days=90) + MINUTE)
    drop, waits, is_locked = Pruning._drop_sources, list[float](), True

    async def drop_or_wait(self: Pruning, after: int, until: int, limit: int) -> None:
        async def seconds(_: Transaction) -> float:
            return lock_seconds()

        waits.append(await services.database.run_tx(seconds))
        if is_locked and until in ids[1:3]:
            raise Conflict("busy")
        await drop(self, after, until, limit)

    async def kept() -> list[int]:
        return [len(await uses(services, secret_id)) for secret_id in ids]

    monkeypatch.setattr(Pruning, "_drop_sources", drop_or_wait)
    await services.maintenance.prune()
    assert await kept() == [0, 1, 1, 0]
    assert waits == [LOCK_SECONDS] * 2 + [BRIEF_LOCK_SECONDS] * 2
    waits.clear()
    await services.maintenance.prune()
    assert (await kept(), len(waits)) == ([0, 1, 1, 0], 2)
    is_locked = False
    await services.maintenance.prune()
    assert await kept() == [0, 0, 0, 0]


async def test_secrets_that_expired_at_the_same_time_are_written_without_a_pause_by_nodes_that_share_the_work(
    services: Services, make_client: MakeClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gql_secrets.service.maintenance._BATCH", 2)
    clients = [await make_client(name=f"c{number}") for number in range(5)]
    for client in clients:
        await services.rotation.reset_secret(client.id, Retention(1), by=ADMIN)
    clock.move(HOUR)
    expire, written = services.changes.expire_old_secret, list[str]()

    async def expire_after_another_node(client_id: str) -> bool:
        written.append(client_id)
        return await expire(client_id) and len(written) % 2 == 0

    monkeypatch.setattr(services.changes, "expire_old_secret", expire_after_another_node)
    assert [await services.maintenance.run() for _ in range(3)] == [0, 0, 30]
    assert sorted(written) == sorted(client.id for client in clients)


async def test_secrets_that_no_run_can_write_now_are_tried_again_after_a_pause(
    services: Services, make_client: MakeClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gql_secrets.service.maintenance._BATCH", 1)
    client = await make_client()
    await services.rotation.reset_secret(client.id, Retention(1), by=ADMIN)
    clock.move(HOUR)

    async def wait(client_id: str) -> bool:
        raise Conflict(client_id)

    monkeypatch.setattr(services.changes, "expire_old_secret", wait)
    assert await services.maintenance.run() == 30


async def test_only_the_first_of_many_locked_clients_is_waited_for(
    services: Services, make_client: MakeClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a dozen of them would delay all later expiries, and all other maintenance, by a minute."""
    clients = [await make_client(name=f"c{number}") for number in range(5)]
    for client in clients:
        await services.rotation.reset_secret(client.id, Retention(1), by=ADMIN)
        clock.move(SECOND)
    clock.move(HOUR)
    expire, waits = services.changes.expire_old_secret, list[float]()

    async def seconds(_: Transaction) -> float:
        return lock_seconds()

    async def expire_or_wait(client_id: str) -> bool:
        waits.append(await services.database.run_tx(seconds))
        if client_id in (clients[1].id, clients[2].id):
            raise Conflict("busy")
        return await expire(client_id)

    monkeypatch.setattr(services.changes, "expire_old_secret", expire_or_wait)
    assert await services.maintenance.expire_due_secrets() == 3
    assert waits == [LOCK_SECONDS] * 2 + [BRIEF_LOCK_SECONDS] * 3
    assert await services.database.run_tx(seconds) == LOCK_SECONDS
