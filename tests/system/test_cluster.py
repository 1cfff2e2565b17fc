"""No verification that starts after the answer to a change accepts what it ended, on three nodes, while parts fail."""

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.cluster import FAULTS, Cluster, Fault
from support.databases import PostgresServer
from support.installation import PEPPER

from gql_secrets.domain.effects import EFFECTIVE, Effect
from gql_secrets.settings import Settings
from gql_secrets.storage.cluster import Fence
from gql_secrets.wiring import open_services

pytestmark = pytest.mark.postgres

ENDINGS = 20
VERIFICATIONS = 50_000


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that this test pauses and restarts."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture
async def cluster(own_server: PostgresServer, data_dir: Path) -> AsyncIterator[Cluster]:
    url = own_server.create()
    # The changes are made as the command line makes them.
    services = await open_services(
        Settings(data_dir=data_dir / "own", database_url=url, pepper=PEPPER, rate_limits="off")
    )
    made = Cluster(own_server, url, data_dir, services)
    try:
        await made.begin()
        yield made
    finally:
        await made.close()
        await services.close()


async def test_nothing_that_ended_is_accepted_while_parts_fail(cluster: Cluster) -> None:
    chance = random.Random(13)  # noqa: S311  the order of the faults is not secret
    for _ in range(3):
        await cluster.add_bystander()
    async with cluster.asking(connections=2):
        number = 0
        while number < ENDINGS or len(cluster.history.verifications) < VERIFICATIONS:
            await cluster.end_one(FAULTS[number % len(FAULTS)](), chance)
            number += 1
    history = cluster.history
    assert history.accepted_too_late() == []
    assert history.wrongly_refused() == []
    assert history.statuses()[200] > VERIFICATIONS / 10
    assert history.statuses()[401] > 0


async def test_the_history_shows_an_answer_that_does_not_wait(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the wait the nodes accept until their next poll: the check of the history must find that."""

    async def answer(*_: object) -> Effect:
        return EFFECTIVE

    monkeypatch.setattr(Fence, "wait", answer)
    chance = random.Random(13)  # noqa: S311  the order of the faults is not secret
    async with cluster.asking(connections=2):
        for _ in range(20):
            await cluster.end_one(Fault(), chance)
            if cluster.history.accepted_too_late():
                return
    raise AssertionError("the history shows nothing")
