"""A standby may not have a revoke yet: it is never asked for a verdict, and a failover needs no restart."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import asyncpg
import pytest
from support.callers import ADMIN, HARD, is_good, verify
from support.databases import PostgresServer
from support.installation import PEPPER
from support.standbys import Standby, socket_of, url_on
from support.stopwatches import measured

from gql_secrets.domain.errors import Unavailable
from gql_secrets.service.replication import probe_replication
from gql_secrets.settings import Settings
from gql_secrets.storage.address import DatabaseAddress
from gql_secrets.storage.postgres.connection import Connector, PooledConnection
from gql_secrets.storage.postgres.dialect import PostgresDialect
from gql_secrets.wiring import Services, open_services


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture
def primary_url(primary: PostgresServer) -> str:
    return primary.create()


@pytest.fixture
def standby(primary: PostgresServer, primary_url: str) -> Iterator[Standby]:
    del primary_url  # it has the database from the beginning
    server = Standby(primary)
    yield server
    server.stop()


@pytest.fixture
def both(primary_url: str, standby: Standby) -> str:
    return url_on(primary_url, socket_of(standby.url_of("postgres")), socket_of(primary_url))


@pytest.fixture
async def node(both: str, data_dir: Path) -> AsyncIterator[Services]:
    """A node whose address names the standby first."""
    services = await open_services(Settings(data_dir=data_dir, database_url=both, pepper=PEPPER))
    yield services
    await services.close()


async def test_a_node_does_not_start_on_a_standby(
    node: Services, primary_url: str, standby: Standby, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It answered from it: a revoked secret was accepted for as long as the standby lagged behind."""
    made = await node.clients.create_client("x", by=ADMIN)
    standby.pause()
    await node.rotation.reset_secret(made.client.client_id, HARD, by=ADMIN)

    settings = Settings(data_dir=data_dir, database_url=standby.url_of(primary_url), pepper=PEPPER)
    with caplog.at_level(logging.ERROR), pytest.raises(Unavailable, match="is a standby"):
        await open_services(settings)
    assert "standby_refused" in caplog.text


async def test_asynchronous_replication_is_reported(
    node: Services, primary: PostgresServer, both: str, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A failover may lose a revoke that was answered. The node stays in service all the same."""
    assert await probe_replication(node.database) == "asynchronous"
    assert (await node.figures.read()).may_lose_changes
    with caplog.at_level(logging.WARNING):
        await (await open_services(Settings(data_dir=data_dir, database_url=both, pepper=PEPPER))).close()
    assert "replication_asynchronous" in caplog.text

    primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
    try:
        async with asyncio.timeout(20):
            while await probe_replication(node.database) != "synchronous":  # noqa: ASYNC110  a setting of the server
                await asyncio.sleep(0.05)
    finally:
        primary.execute("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")


async def test_a_pooler_that_switches_to_a_standby_is_503(
    node: Services, primary_url: str, standby: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node's connection stays the same; the server behind it is another one."""
    made = await node.clients.create_client("x", by=ADMIN)
    client_id, secret = made.client.client_id, made.secret.reveal()
    assert await is_good(node, client_id, secret)

    class AnyServer(Connector):
        """Connects to a standby too, as a pooler would."""

        async def connect(self) -> PooledConnection:
            host, port = self._hosts[0]
            return cast("PooledConnection", await asyncpg.connect(**self._arguments, host=host, port=port))

    behind = AnyServer(DatabaseAddress.parse(standby.url_of(primary_url)), connection_class=PooledConnection)
    pool = cast("PostgresDialect", node.database.dialect).pool
    pool._drop_idle()
    monkeypatch.setattr(pool, "_connect", behind.connect)
    with pytest.raises(Unavailable):
        await verify(node, client_id, secret)


async def test_a_failover_needs_no_restart(node: Services, standby: Standby, primary: PostgresServer) -> None:
    """The last test of this file: the primary is gone."""
    del primary
    made = await node.clients.create_client("x", by=ADMIN)
    client_id, old = made.client.client_id, made.secret.reveal()
    assert await is_good(node, client_id, old)
    new = (await node.rotation.reset_secret(client_id, HARD, by=ADMIN)).new_secret.reveal()
    assert await is_good(node, client_id, new)
    standby.catch_up()

    standby.stop_primary()
    for secret in (old, new):
        with measured() as took, pytest.raises(Unavailable):
            await verify(node, client_id, secret)
        assert took.seconds < 4  # a second, and what a busy machine adds
    standby.promote()

    async with asyncio.timeout(20):
        while True:
            try:
                assert await is_good(node, client_id, new)
                break
            except Unavailable:
                await asyncio.sleep(0.05)
    assert not await is_good(node, client_id, old)
    await node.rotation.reset_secret(client_id, HARD, by=ADMIN)
    assert not await is_good(node, client_id, new)
