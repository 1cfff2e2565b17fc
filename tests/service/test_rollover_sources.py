"""Which sources have moved to the new secret of a rollover, on both databases."""

from support.callers import ADMIN, DAY, HARD, WEEK, Made
from support.clocks import HOUR, MINUTE, NOW, Clock
from support.installation import MakeClient

from gql_secrets.domain.advice import RolloverAdvice
from gql_secrets.service.usage.counter import Source
from gql_secrets.service.usage.sources import RolloverKey, RolloverSources
from gql_secrets.wiring import Services


async def call(services: Services, client: Made, secret: str, agent: str, address: str = "198.51.100.7") -> None:
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
