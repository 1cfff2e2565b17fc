"""Nodes behind PgBouncer in transaction mode: each transaction may be another session of the server."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.callers import ADMIN, HARD, is_good
from support.installation import OpenNode
from support.poolers import pgbouncer, pgbouncer_program

from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.settings import Settings

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


async def test_prepared_statements_that_the_pooler_does_not_keep_are_a_sentence(
    pooled: Settings, open_node: OpenNode
) -> None:
    """Whether a start meets it depends on which sessions the pooler gives: most starts do not."""

    async def start_often() -> None:
        for _ in range(300):
            node = await open_node(settings=replace(pooled, statement_cache_size=100))
            with contextlib.suppress(Failure):
                await asyncio.gather(*(node.queries.active_secrets(["x"]) for _ in range(10)))

    with pytest.raises(SetupError, match="does not keep prepared statements"):
        await start_often()
