"""A verification answers within a second, also where what it writes cannot be written."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from support.callers import ADMIN, Made, is_good, verify
from support.clocks import HOUR, SECOND, Clock
from support.stopwatches import measured

from gql_secrets.domain.errors import Unavailable
from gql_secrets.domain.rotation import Retention, SecretState
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.verification import Refused
from gql_secrets.wiring import Services

LIMIT = 3  # a second, and what a busy machine adds


@contextlib.contextmanager
def limits_of_a_server() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gql_secrets.service.verification._ANSWER_SECONDS", 0.9)
        yield


@contextlib.asynccontextmanager
async def nothing_writable(database_url: str) -> AsyncIterator[None]:
    """Another program holds the lock of everything that a change locks."""
    with limits_of_a_server():
        async with lock_of_everything(database_url):
            yield


@contextlib.asynccontextmanager
async def lock_of_everything(database_url: str) -> AsyncIterator[None]:
    if database_url.startswith("sqlite"):
        own = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
        try:
            own.execute("BEGIN IMMEDIATE")
            yield
            own.execute("ROLLBACK")
        finally:
            own.close()
        return
    other = await asyncpg.connect(database_url)
    try:
        await other.execute("BEGIN; SELECT 1 FROM client FOR UPDATE; SELECT 1 FROM installation FOR UPDATE")
        yield
        await other.execute("ROLLBACK")
    finally:
        await other.close()


async def states(services: Services, client: Made) -> list[SecretState]:
    page = await services.queries.page_of_secrets(client.id, PageRequest())
    return [SecretState(row.state) for row in page.rows]


async def test_a_first_use_that_cannot_be_recorded_is_503_within_a_second(
    services: Services, client: Made, database_url: str
) -> None:
    """It waited five seconds for the lock. All that ask at the same time wait for one write."""
    async with nothing_writable(database_url):
        with measured() as took:
            answers = await asyncio.gather(
                *(verify(services, client.id, client.secret) for _ in range(30)), return_exceptions=True
            )
        assert took.seconds < LIMIT
        assert all(isinstance(answer, Unavailable) for answer in answers)
    assert await is_good(services, client.id, client.secret)


async def test_an_expired_secret_is_refused_within_a_second_though_that_cannot_be_written(
    services: Services, client: Made, clock: Clock, database_url: str
) -> None:
    assert await is_good(services, client.id, client.secret)
    await services.rotation.reset_secret(client.id, Retention(1), by=ADMIN)
    clock.move(HOUR)
    async with nothing_writable(database_url):
        with measured() as took:
            assert isinstance(await verify(services, client.id, client.secret), Refused)
        assert took.seconds < LIMIT
        clock.move(-SECOND)  # the clock steps back: what has ended stays ended
        assert isinstance(await verify(services, client.id, client.secret), Refused)
    assert isinstance(await verify(services, client.id, client.secret), Refused)
    assert SecretState.RETAINED in await states(services, client), "it is written when the clock says so again"
    clock.move(SECOND)
    assert isinstance(await verify(services, client.id, client.secret), Refused)
    assert SecretState.EXPIRED in await states(services, client)


async def test_a_secret_that_was_seen_to_expire_is_valid_again_where_its_rollover_was_cancelled(
    services: Services, client: Made, clock: Clock, database_url: str
) -> None:
    """Only a clock that stepped back allows that, and then a person decided it."""
    assert await is_good(services, client.id, client.secret)
    await services.rotation.reset_secret(client.id, Retention(1), by=ADMIN)
    clock.move(HOUR)
    async with nothing_writable(database_url):
        assert not await is_good(services, client.id, client.secret)
        clock.move(-SECOND)
    await services.rotation.cancel_rollover(client.id, by=ADMIN)
    assert await is_good(services, client.id, client.secret)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_lock_on_the_table_is_503_within_a_second_and_over_with_the_lock(
    services: Services, client: Made, database_url: str
) -> None:
    assert await is_good(services, client.id, client.secret)
    other = await asyncpg.connect(database_url)
    try:
        await other.execute("BEGIN; LOCK TABLE client_secret IN ACCESS EXCLUSIVE MODE")
        with limits_of_a_server(), measured() as took:
            with pytest.raises(Unavailable):
                await verify(services, client.id, client.secret)
            with pytest.raises(Unavailable):
                await services.verifier.check()
        assert took.seconds < 2 * LIMIT
        await other.execute("ROLLBACK")
    finally:
        await other.close()
    assert await is_good(services, client.id, client.secret)
    await services.verifier.check()
