"""Nodes behind PgBouncer in transaction mode: each transaction may be another session of the server."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.callers import ADMIN, HARD, Made, is_good
from support.installation import OpenNode
from support.members import joining
from support.poolers import pgbouncer, pgbouncer_program

from gql_secrets.domain.effects import EFFECTIVE
from gql_secrets.domain.errors import SetupError
from gql_secrets.service.verification import Accepted
from gql_secrets.settings import Settings
from gql_secrets.storage.address import DatabaseAddress, PoolSettings
from gql_secrets.storage.postgres.dialect import PostgresDialect
from gql_secrets.wiring import open_services

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


@pytest.fixture
def pooled(settings: Settings) -> Iterator[Settings]:
    if pgbouncer_program() is None:
        pytest.skip("PgBouncer is not installed here (apt-get install pgbouncer)")
    with pgbouncer(settings.database_url, sessions=3) as url:
        yield replace(settings, database_url=url)


async def test_nodes_behind_a_pooler_work_without_a_setting(
    pooled: Settings, open_node: OpenNode, caplog: pytest.LogCaptureFixture
) -> None:
    """Two of three nodes ended with a traceback: their statements had been prepared in another session."""
    with caplog.at_level(logging.INFO):
        nodes = [await open_node(settings=pooled) for _ in range(3)]
    assert "connection_pooler_found" in caplog.text
    made = await nodes[0].clients.create_client("x", by=ADMIN)
    client_id, secret = made.client.client_id, made.secret.reveal()
    for _ in range(5):
        answers = await asyncio.gather(*(is_good(node, client_id, secret) for node in nodes for _ in range(10)))
        assert answers == [True] * 30
        [old, secret] = [secret, (await nodes[1].rotation.reset_secret(client_id, HARD, by=ADMIN)).new_secret.reveal()]
        assert not any(await asyncio.gather(*(is_good(node, client_id, old) for node in nodes)))


async def test_nodes_behind_a_pooler_find_changes_by_their_polls(
    pooled: Settings, open_node: OpenNode, caplog: pytest.LogCaptureFixture
) -> None:
    """A pooler passes no notifications on."""
    async with joining(open_node) as join:
        with caplog.at_level(logging.INFO):
            nodes = [await join(settings=replace(pooled, verify_from="memory")) for _ in range(2)]
        assert caplog.text.count("changes_found_by_polls_only") == 2
        made = await nodes[0].services.clients.create_client("x", by=ADMIN)
        client = Made(made.client.client_id, made.secret.reveal())
        for node in nodes:
            assert isinstance(await node.verify_from_memory(client), Accepted)
        reset = await nodes[0].services.rotation.reset_secret(client.id, HARD, by=ADMIN)
        assert reset.effect == EFFECTIVE
        for node in nodes:
            assert not await is_good(node.services, client.id, client.secret)


async def test_a_pooler_is_noticed_also_where_it_keeps_prepared_statements(pooled: Settings) -> None:
    dialect = PostgresDialect(DatabaseAddress.parse(pooled.database_url), PoolSettings(3, 100), is_patient=False)
    await dialect.prepare()
    assert dialect.is_pooled


async def test_prepared_statements_that_the_pooler_does_not_keep_are_a_sentence(
    pooled: Settings, open_node: OpenNode
) -> None:
    """Whether a start meets it depends on which sessions the pooler gives: others use them at the same time."""
    other = await open_node(settings=pooled)

    async def keep_reading() -> None:
        while True:
            await other.queries.active_secrets(["x"])

    async def start_often() -> None:
        for _ in range(300):
            node = await open_services(replace(pooled, statement_cache_size=100))
            await node.close()

    reading = [asyncio.create_task(keep_reading()) for _ in range(3)]
    with pytest.raises(SetupError, match="does not keep prepared statements"):
        await start_often()
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
