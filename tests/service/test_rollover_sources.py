"""Which sources have moved to the new secret of a rollover, on both databases."""

import random
from collections import Counter
from dataclasses import replace
from datetime import datetime

import pytest
from support.callers import ADMIN, DAY, HARD, WEEK, Made
from support.clocks import DAYS, HOUR, MINUTE, NOW, SECOND, Clock
from support.installation import MakeClient

from gql_secrets.domain.advice import RolloverAdvice
from gql_secrets.domain.networks import AllowList
from gql_secrets.domain.sources import (
    RolloverSource,
    RolloverSourceState,
    SeenSource,
    by_danger,
    evaluate_sources,
)
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.usage.sources import MAX_ROLLOVER_SOURCES, RolloverKey, RolloverSources
from gql_secrets.service.usage.tallies import Source
from gql_secrets.wiring import Services


async def call(services: Services, client: Made, secret: str, agent: str, address: str | None = "198.51.100.7") -> None:
    await services.verifier.verify(client.id, secret, Source(address, agent))


async def key_of(services: Services, client: Made) -> RolloverKey:
    found = await services.usage_queries.rollover_of(client.id)
    assert found is not None
    return RolloverKey(client.id, found.new_secret.id, found.old_secret.id, found.started_at)


async def sources_of(services: Services, client: Made) -> RolloverSources:
    key = await key_of(services, client)
    return (await services.source_queries.sources_of([key]))[key]


def states(found: RolloverSources) -> list[tuple[str | None, str]]:
    return [(each.seen.user_agent, each.state.value) for each in found.sources]


async def test_the_sources_of_a_rollover_are_followed_until_all_have_moved(
    services: Services, client: Made, clock: Clock
) -> None:
    for agent in ("web", "batch", "pod"):
        await call(services, client, client.secret, agent)
    reset = await services.rotation.reset_secret(client.id, WEEK, by=ADMIN)
    new = reset.new_secret.reveal()
    await call(services, client, new, "web")
    clock.move(2 * HOUR)
    await call(services, client, client.secret, "pod")
    await services.usage.flush()
    await call(services, client, client.secret, "pod")  # known, though it is not written yet

    found = await sources_of(services, client)
    assert states(found) == [("pod", "STILL_OLD"), ("batch", "NOT_SEEN_WITH_NEW"), ("web", "MOVED")]
    assert (found.moved, found.total) == (1, 3)
    for agent in ("batch", "pod"):
        await call(services, client, new, agent)
    found = await sources_of(services, client)
    assert (found.moved, found.total) == (3, 3)


async def test_a_source_that_tries_an_ended_secret_is_locked_out_and_not_counted(
    services: Services, client: Made, clock: Clock
) -> None:
    second = (await services.rotation.reset_secret(client.id, HARD, by=ADMIN)).new_secret.reveal()
    await call(services, client, client.secret, "straggler")
    await services.usage.flush()
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    await call(services, client, second, "web")

    found = await sources_of(services, client)
    assert states(found) == [("straggler", "LOCKED_OUT"), ("web", "STILL_OLD")]
    assert (found.moved, found.total) == (0, 1)
    clock.move(25 * HOUR - 2 * MINUTE - HOUR)
    assert ("straggler", "LOCKED_OUT") in states(await sources_of(services, client))


async def test_uses_that_the_allow_list_refuses_neither_move_a_source_nor_start_the_quiet_time(
    services: Services, make_client: MakeClient, clock: Clock
) -> None:
    """Anybody who holds the new secret outside could have made a rollover look finished."""
    client = await make_client(allow_list=["10.1.0.0/16"])
    await call(services, client, client.secret, "app", "10.1.0.1")
    new = (await services.rotation.reset_secret(client.id, WEEK, by=ADMIN)).new_secret.reveal()
    await call(services, client, new, "curl", "198.18.0.77")
    clock.move(3 * HOUR)

    for flush in (False, True):
        if flush:
            await services.usage.flush()
        found = await sources_of(services, client)
        assert states(found) == [("curl", "NOT_ALLOWED"), ("app", "NOT_SEEN_WITH_NEW")]
        assert (found.moved, found.total) == (0, 1)
        rollover = await services.usage_queries.rollover_of(client.id)
        assert rollover is not None
        assert rollover.advice is RolloverAdvice.WAIT_FOR_NEW

    await call(services, client, new, "app", "10.1.0.1")
    clock.move(30 * MINUTE)
    rollover = await services.usage_queries.rollover_of(client.id)
    assert rollover is not None
    assert rollover.advice is RolloverAdvice.WAIT_FOR_QUIET
    clock.move(31 * MINUTE)
    rollover = await services.usage_queries.rollover_of(client.id)
    assert rollover is not None
    assert rollover.advice is RolloverAdvice.REVOKE
    assert rollover.started_at == NOW


async def test_the_sources_of_many_rollovers_are_read_together(services: Services, make_client: MakeClient) -> None:
    clients = [await make_client(name=f"c{number}") for number in range(3)]
    keys = []
    for client in clients:
        await call(services, client, client.secret, client.id)
        await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
        keys.append(await key_of(services, client))
    found = await services.source_queries.sources_of(keys)
    assert [states(found[key]) for key in keys] == [[(client.id, "STILL_OLD")] for client in clients]


NETWORKS = ["10.0.0.0/9", "2001:db8:1::/48"]
# Sources that need not move: they are refused with any secret, or until they change theirs.
DENIED = (RolloverSourceState.NOT_ALLOWED, RolloverSourceState.LOCKED_OUT)
TIMES = ("new_secret_last_used_at", "old_secret_last_used_at", "refused_at")
EVERYWHERE = ["0.0.0.0/0", "::/0"]
ADDRESSES = ["10.1.0.1", "10.200.0.1", "2001:db8:1::1", "2001:db8:2::1", "::ffff:10.1.0.2", "not an address", None]


async def sources_by_uses(
    services: Services, key: RolloverKey, networks: list[str], now: datetime
) -> list[RolloverSource]:
    """The sources of a rollover, from the uses of each secret one by one."""
    names = {key.new_secret_id: TIMES[0], key.old_secret_id: TIMES[1]}
    seen: dict[tuple[str | None, str | None], dict[str, datetime]] = {}
    for secret in (await services.queries.page_of_secrets(key.client_id, PageRequest(first=100))).rows:
        was_tried = secret.last_refused_at is not None and secret.last_refused_at > now - DAYS
        for use in (await services.usage_queries.uses_of([secret.id]))[secret.id]:
            name = names.get(secret.id, TIMES[2])
            if use.refused is (name == TIMES[2]) and (was_tried or not use.refused):
                at = seen.setdefault((use.address, use.user_agent), {})
                at[name] = max(at.get(name, use.last_seen_at), use.last_seen_at)
    evaluated = evaluate_sources(
        [SeenSource(*source, *map(at.get, TIMES)) for source, at in seen.items()],
        allows=AllowList.parse(networks).allows,
        started_at=key.started_at,
        now=now,
    )
    return by_danger(evaluated)


class Traffic:
    """Uses of clients' secrets, at random."""

    def __init__(self, services: Services, clock: Clock, seed: int) -> None:
        self._services, self._clock = services, clock
        self._chance = random.Random(seed)  # noqa: S311
        self.secrets: list[tuple[Made, int, list[str]]] = []

    async def use_some(self, count: int) -> None:
        choose = self._chance.choice
        for _ in range(count):
            client, agents, known = choose(self.secrets)
            agent = f"agent/{self._chance.randrange(agents)}"
            await call(self._services, client, choose(known), agent, choose(ADDRESSES))
            self._clock.move(self._chance.randrange(600) * SECOND)
            if self._chance.random() < 0.01:
                await self._services.usage.flush()


@pytest.mark.parametrize("seed", range(3))
async def test_sources_are_what_the_uses_of_each_secret_say(
    services: Services, make_client: MakeClient, clock: Clock, seed: int
) -> None:
    """Written or not, of many sources or few, whether the allow list allows them or not."""
    traffic, networks_of = Traffic(services, clock, seed), {}
    for networks, agents in ((NETWORKS, 3), (NETWORKS, 40), (EVERYWHERE, 12)):
        client = await make_client(allow_list=networks)
        ended = (await services.rotation.reset_secret(client.id, HARD, by=ADMIN)).new_secret.reveal()
        old = (await services.rotation.reset_secret(client.id, HARD, by=ADMIN)).new_secret.reveal()
        networks_of[client.id] = networks
        traffic.secrets.append((client, agents, [client.secret, ended, old]))
    await traffic.use_some(150)
    for client, _, known in traffic.secrets:
        known.append((await services.rotation.reset_secret(client.id, WEEK, by=ADMIN)).new_secret.reveal())
    states: set[RolloverSourceState] = set()
    for _ in range(3):
        await traffic.use_some(200)
        for client, _, _ in traffic.secrets:
            key = await key_of(services, client)
            rollover = await services.usage_queries.rollover_of(client.id)
            assert rollover is not None
            expected = await sources_by_uses(services, key, networks_of[client.id], clock.now)
            shown = expected[:MAX_ROLLOVER_SOURCES]
            states |= {each.state for each in expected}
            for reads in (None, rollover.reads):
                found = (await services.source_queries.sources_of([replace(key, reads=reads)]))[key]
                assert Counter(found.sources) == Counter(shown)
                assert [each.state for each in found.sources] == [each.state for each in shown]
                assert found.moved == sum(each.state is RolloverSourceState.MOVED for each in expected)
                assert found.total == sum(each.state not in DENIED for each in expected)
    assert states == set(RolloverSourceState)
