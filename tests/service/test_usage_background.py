"""When a server writes the uses that it counted, on both databases."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.callers import ADMIN, Made
from support.clocks import HOUR, MINUTE, Clock
from support.usage import call, first_id, secrets_of, totals

from gql_secrets.domain.errors import Unavailable
from gql_secrets.domain.rotation import Retention, SecretState
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.usage import counter
from gql_secrets.service.usage.counter import Usage
from gql_secrets.service.usage.tallies import Source
from gql_secrets.wiring import Services, background


@pytest.fixture
async def in_background(services: Services) -> AsyncIterator[None]:
    async with background(services):
        yield


class Ticks:
    """What `time` is to the counter."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Return the instant that the test has set."""
        return self.now


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    ticks = Ticks()
    monkeypatch.setattr(counter, "time", ticks)
    return ticks


def count(usage: Usage, secret_ids: range, clock: Clock) -> None:
    for secret_id in secret_ids:
        usage.used(secret_id, Source("192.0.2.1", "app"), clock.now)


def is_written(usage: Usage, secret_id: int) -> bool:
    return not list(usage.unwritten(secret_id, refused=False))


async def test_a_busy_time_that_begins_is_written_together(services: Services, clock: Clock, ticks: Ticks) -> None:
    """The first of its uses would change nearly as many pages of the database as all of them."""
    usage = Usage(services.database, MINUTE)
    assert await usage.keep_flushing() == 1
    count(usage, range(1, 1501), clock)
    assert await usage.keep_flushing() == 15
    ticks.now += 15
    count(usage, range(1501, 2501), clock)
    assert await usage.keep_flushing() == 10
    assert not is_written(usage, 1)
    ticks.now += 10
    assert await usage.keep_flushing() == 1
    assert is_written(usage, 1)
    assert is_written(usage, 2500)


async def test_uses_that_could_not_be_written_are_due(
    services: Services, clock: Clock, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = Usage(services.database, MINUTE)
    count(usage, range(1, 1501), clock)
    ticks.now += 15

    async def fail(work: object) -> None:
        del work
        count(usage, range(1, 2), clock)
        raise Unavailable

    with monkeypatch.context() as trouble:
        trouble.setattr(services.database, "run_tx", fail)
        with pytest.raises(Unavailable):
            await usage.keep_flushing()
    assert await usage.keep_flushing() == 1
    assert is_written(usage, 1)


@pytest.mark.usefixtures("in_background")
async def test_a_server_writes_within_seconds(services: Services, other_node: Services, client: Made) -> None:
    secret_id = await first_id(services, client)
    await call(services, client)
    async with asyncio.timeout(30):
        while (await totals(other_node, secret_id)).use_count == 0:  # noqa: ASYNC110  as another process would
            await asyncio.sleep(0.05)


async def test_a_server_writes_early_where_memory_fills_up(
    services: Services, other_node: Services, client: Made, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A use from a source that finds no room would be counted without it."""
    secret_id = await first_id(services, client)
    await call(services, client)
    await services.usage.flush()
    monkeypatch.setattr(counter, "_SOURCES_TO_WRITE", 3)
    monkeypatch.setattr(counter, "_MIN_WAIT", HOUR)
    monkeypatch.setattr(services.usage, "longest_wait", HOUR)
    async with background(services):
        for turn in range(1, 3):
            await asyncio.sleep(0.05)  # the next flush is an hour away, whether this was long enough or not
            for number in range(3):
                services.usage.used(secret_id, Source(f"192.0.2.{number}", "app"), clock.now)
            async with asyncio.timeout(30):
                while (await totals(other_node, secret_id)).use_count < 1 + 3 * turn:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        assert not services.usage.fills_up.is_set()


async def test_a_flush_that_fails_is_not_hurried(
    services: Services, client: Made, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_id = await first_id(services, client)
    monkeypatch.setattr(counter, "_SOURCES_TO_WRITE", 2)

    async def fail(work: object) -> None:
        del work
        raise Unavailable

    for number in range(3):
        services.usage.used(secret_id, Source(f"192.0.2.{number}", "app"), clock.now)
    assert services.usage.fills_up.is_set()
    with monkeypatch.context() as trouble:
        trouble.setattr(services.database, "run_tx", fail)
        with pytest.raises(Unavailable):
            await services.usage.flush()
    services.usage.used(secret_id, Source("192.0.2.9", "app"), clock.now)
    assert not services.usage.fills_up.is_set()


async def test_a_server_that_stops_writes_everything(services: Services, other_node: Services, client: Made) -> None:
    secret_id = await first_id(services, client)
    async with background(services):
        await call(services, client)
    assert (await totals(other_node, secret_id)).use_count == 1


async def test_a_server_that_starts_writes_down_what_time_has_ended(
    services: Services, client: Made, clock: Clock
) -> None:
    await services.rotation.reset_secret(client.id, Retention(1), by=ADMIN)
    clock.move(HOUR)
    async with background(services):
        async with asyncio.timeout(30):
            while (await secrets_of(services, client))[0].state != SecretState.EXPIRED:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    event = (await services.queries.page_of_audit_events(PageRequest(first=1))).rows[0]
    assert (event.action, event.actor, event.generation_before) == (
        "OLD_SECRET_EXPIRED",
        "system",
        event.generation_after,
    )
