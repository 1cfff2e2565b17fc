"""A node is killed in the middle of a change: the proxy answers 502, and a retry has the one result of that change."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import asyncpg
import pytest
from support.installation import PEPPER
from support.nodes import Node, lasting_port, start_all
from support.tls_proxy import INSTALL, NAME, proxy, proxy_program, session_through

from gql_secrets.domain.credentials import Pepper

Connection: TypeAlias = "asyncpg.Connection[Any]"

CREATE = 'mutation { createClient(name: "Shop") { client { clientId } secret userErrors { code } } }'
RESET = """mutation($id: ID!, $key: String!) { resetSecret(clientId: $id, hoursToLive: 24, idempotencyKey: $key) {
    newSecret replayed client { generation } userErrors { code } } }"""
KEY = "a change that a node did not answer"
LOCK = 7001
# The transaction waits for a lock of the test: before the new secret is written, or when all is written and the node
# has asked the database to commit. The database's limits on waiting do not apply to this lock.
WAIT = f"""
    CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS
    $$ BEGIN PERFORM pg_advisory_xact_lock({LOCK}); RETURN NEW; END $$
"""
BEFORE_THE_WRITE = "CREATE TRIGGER t BEFORE INSERT ON client_secret FOR EACH ROW EXECUTE FUNCTION wait_for_test()"
AT_THE_COMMIT = """
    CREATE CONSTRAINT TRIGGER t AFTER INSERT ON client_secret DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION wait_for_test()
"""
WAITING = """
    SELECT application_name FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'
"""


@pytest.fixture
async def nodes(postgres_url: str, tmp_path: Path) -> AsyncIterator[dict[str, Node]]:
    """Two nodes by the names that their connections to the database have."""
    nodes = {}
    for name in ("node-1", "node-2"):
        (tmp_path / name).mkdir()
        settings = {
            "data_dir": str(tmp_path / name / "data"),
            "database_url": f"{postgres_url}&application_name={name}",
            "pepper": PEPPER,
            "public_url": f"https://{NAME}",
            "trusted_proxies": "127.0.0.1",
        }
        nodes[name] = Node(lasting_port(), tmp_path / name, settings)
    try:
        yield nodes
    finally:
        for node in nodes.values():
            node.end()


@pytest.fixture
async def frontend(nodes: dict[str, Node], tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """A frontend that reaches both nodes through the proxy, signed in as the owner."""
    program = proxy_program()
    if program is None:
        pytest.skip(f"nginx or openssl is not installed here ({INSTALL})")
    owner = await start_all(list(nodes.values()))
    with proxy(program, tmp_path, *(node.port for node in nodes.values())) as port:
        async with session_through(port, tmp_path, owner) as session:
            yield session


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(postgres_url)
    try:
        yield connection
    finally:
        await connection.close()


async def ask(frontend: aiohttp.ClientSession, query: str, **variables: object) -> dict[str, Any]:
    async with frontend.post("/graphql", json={"query": query, "variables": variables}) as response:
        [payload] = (await response.json())["data"].values()
    assert payload["userErrors"] == []
    return dict(payload)


async def status_of_reset(frontend: aiohttp.ClientSession, client_id: str) -> int:
    body = {"query": RESET, "variables": {"id": client_id, "key": KEY}}
    async with frontend.post("/graphql", json=body) as response:
        await response.read()
        return response.status


@contextlib.asynccontextmanager
async def waiting_change(database: Connection, trigger: str) -> AsyncIterator[None]:
    """Let every change of secrets wait at this trigger until the end of the block."""
    await database.execute(WAIT)
    await database.execute(trigger)
    await database.execute(f"SELECT pg_advisory_lock({LOCK})")
    yield
    await database.execute(f"SELECT pg_advisory_unlock({LOCK})")


async def name_of_waiting_node(database: Connection) -> str:
    async with asyncio.timeout(60):
        while not (name := await database.fetchval(WAITING)):  # noqa: ASYNC110  another process waits
            await asyncio.sleep(0.01)
    return str(name)


async def until_nothing_waits(database: Connection, name: str) -> None:
    """Wait until the connections of a killed node are gone: what it sent is committed, or undone."""
    async with asyncio.timeout(60):
        while await database.fetchval("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", name):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def kill_in_a_change(
    database: Connection,
    nodes: dict[str, Node],
    frontend: aiohttp.ClientSession,
    trigger: str,
    client: str,
) -> None:
    """Kill the node that makes a change, at this trigger; the frontend gets 502."""
    async with waiting_change(database, trigger):
        change = asyncio.create_task(status_of_reset(frontend, client))
        name = await name_of_waiting_node(database)
        await nodes[name].stop(signal.SIGKILL)
        assert await change == 502
    await until_nothing_waits(database, name)


async def current_digest(database: Connection, client_id: str) -> bytes:
    return bytes(
        await database.fetchval(
            "SELECT digest FROM client_secret WHERE client_id = $1 AND state = 'CURRENT'", client_id
        )
    )


async def test_a_change_that_was_committed_unanswered_is_answered_by_a_retry_with_its_key(
    database: Connection, nodes: dict[str, Node], frontend: aiohttp.ClientSession
) -> None:
    created = await ask(frontend, CREATE)
    client_id = created["client"]["clientId"]
    await kill_in_a_change(database, nodes, frontend, AT_THE_COMMIT, client_id)
    committed = await current_digest(database, client_id)

    retried = await ask(frontend, RESET, id=client_id, key=KEY)
    [key] = Pepper.parse(PEPPER).keys
    assert key.digest(client_id, retried["newSecret"]) == committed, "the retry has another secret"
    assert retried["replayed"] is True
    assert retried["client"]["generation"] == 2
    assert await ask(frontend, RESET, id=client_id, key=KEY) == retried
    for secret in (created["secret"], retried["newSecret"]):
        authorization = {"Authorization": aiohttp.encode_basic_auth(client_id, secret)}
        async with frontend.get("/verify", headers=authorization) as response:
            assert response.status == 200


async def test_a_change_that_was_not_committed_is_made_once_by_a_retry_with_its_key(
    database: Connection, nodes: dict[str, Node], frontend: aiohttp.ClientSession
) -> None:
    client_id = (await ask(frontend, CREATE))["client"]["clientId"]
    before = await current_digest(database, client_id)
    await kill_in_a_change(database, nodes, frontend, BEFORE_THE_WRITE, client_id)
    assert await current_digest(database, client_id) == before

    retried = await ask(frontend, RESET, id=client_id, key=KEY)
    assert retried["replayed"] is False
    assert retried["client"]["generation"] == 2
    again = await ask(frontend, RESET, id=client_id, key=KEY)
    assert again == {**retried, "replayed": True}
