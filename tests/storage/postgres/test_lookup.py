"""How verification reads PostgreSQL."""

import asyncio
from dataclasses import replace

import pytest
from support.callers import ADMIN, Made, is_good, verify

from gql_secrets.domain.errors import Unavailable
from gql_secrets.service.verification import Refused
from gql_secrets.settings import Settings
from gql_secrets.storage.cluster import FROM_DATABASE
from gql_secrets.storage.postgres.lookup import PostgresLookup, _Asked
from gql_secrets.wiring import Services


@pytest.fixture
def settings(postgres_url: str, settings: Settings) -> Settings:
    return replace(settings, database_url=postgres_url, verify_from=FROM_DATABASE)


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.mark.parametrize("number", [1, 8, 64])
async def test_a_read_is_not_planned_each_time(services: Services, client: Made, number: int) -> None:
    lookup = services.lookup
    assert isinstance(lookup, PostgresLookup)
    digest = bytes(32)
    asked = [_Asked(client.id, [digest])] * number
    connection = await lookup._rounds._pool.acquire(for_verification=True)
    try:
        for _ in range(20):
            await lookup._read_all(connection, asked)
        [(planned_once, planned_each_time)] = await connection.fetch(
            "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement = $1", lookup._query
        )
    finally:
        await lookup._rounds._pool.release(connection)
    assert planned_once >= 10
    assert planned_each_time <= 5  # PostgreSQL's first ones


async def test_verifications_that_are_read_together_have_each_its_own_allow_list(
    services: Services, client: Made
) -> None:
    """The networks of a client are read only where it has an allow list."""
    restricted = await services.clients.create_client("Till", by=ADMIN, allow_list=["192.0.2.0/24", "203.0.113.7/32"])
    till, secret = restricted.client.client_id, restricted.secret.reveal()
    for address, accepts in (("192.0.2.9", True), ("203.0.113.7", True), ("198.51.100.7", False)):
        of_till, other = await asyncio.gather(
            verify(services, till, secret, address), verify(services, client.id, client.secret, address)
        )
        assert isinstance(of_till, Refused) is not accepts
        assert not isinstance(other, Refused)


async def test_a_database_without_its_installation_answers_nothing(services: Services, client: Made) -> None:
    assert await is_good(services, client.id, client.secret)
    lookup = services.lookup
    assert isinstance(lookup, PostgresLookup)
    connection = await lookup._rounds._pool.acquire(for_verification=True)
    try:
        await connection.execute("DELETE FROM installation")
    finally:
        await lookup._rounds._pool.release(connection)
    with pytest.raises(Unavailable, match="installation"):
        await verify(services, client.id, client.secret)
