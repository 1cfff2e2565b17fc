"""How verification reads PostgreSQL."""

from dataclasses import replace

import pytest
from support.callers import Made

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
