"""An upgrade and a downgrade, node by node, through rollovers: an earlier release and this one on one PostgreSQL.

The earlier release is taken from the history: the commit that brought the leases, with 15 migrations. It reads the
database for each verification, and its changes wait for nodes that verify from memory, as those of this release do.
Earlier commits, which no release has, do not wait for them.
"""

import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
from support.databases import PostgresServer
from support.gateways import Client, Server
from support.installation import PEPPER
from support.nodes import Node, lasting_port, start_all
from support.paths import ROOT
from support.serving import PROGRAM, environment

pytestmark = pytest.mark.postgres

EARLIER = "fca164c1e6ed47077d631eea580456f45a78bafb"
FIELDS = '{ __type(name: "Query") { fields { name } } }'


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the package of the earlier release."""
    archive = subprocess.run(
        ["git", "-c", "safe.directory=*", "archive", EARLIER, "gql_secrets"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=60,
    )
    if archive.returncode != 0:
        pytest.skip(f"the history of this clone does not have {EARLIER} (git fetch --unshallow)")
    directory = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(directory, filter="data")
    return directory


@pytest.fixture
def empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database without tables: the first node makes them."""
    url = postgres_server.create("template1")
    yield url
    postgres_server.drop(url)


@pytest.fixture
async def nodes(empty_url: str, earlier: Path, tmp_path: Path) -> AsyncIterator[list[Node]]:
    nodes = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        settings = {"data_dir": str(tmp_path / name / "data"), "database_url": empty_url, "pepper": PEPPER}
        nodes.append(Node(lasting_port(), tmp_path / name, settings, source=earlier))
    try:
        yield nodes
    finally:
        for node in nodes:
            node.end()


async def status_of(server: Server, client: Client) -> int:
    url = f"http://127.0.0.1:{server.port}/verify"
    async with aiohttp.ClientSession() as session, session.get(url, headers={"Authorization": client.auth}) as answer:
        return answer.status


async def is_this_release(server: Server) -> bool:
    """Whether it is: the earlier one has no field `cluster`."""
    async with (
        aiohttp.ClientSession(headers={"Authorization": server.owner}) as session,
        session.post(f"http://127.0.0.1:{server.port}/graphql", json={"query": FIELDS}) as response,
    ):
        fields = (await response.json())["data"]["__type"]["fields"]
    return "cluster" in {field["name"] for field in fields}


def verify_audit(node: Node) -> None:
    """Verify the whole audit log with the command of the node's release."""
    verified = subprocess.run(
        [PROGRAM, "audit", "verify"],
        env=environment(node.settings, node.source),
        cwd=node.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


async def test_nodes_are_upgraded_and_downgraded_one_by_one_through_rollovers(nodes: list[Node], earlier: Path) -> None:
    owner = aiohttp.encode_basic_auth(*(await start_all(nodes)).split(":"))
    servers = [Server(node.port, owner) for node in nodes]
    client = await servers[0].create_client()

    for number, source in (
        (0, None),  # it migrates the database, while the other node runs
        (1, earlier),  # the earlier release starts on the newer database
        (1, None),
        (0, earlier),
        (1, earlier),
    ):
        node, restarted, other = nodes[number], servers[number], servers[1 - number]
        new = await other.reset(client)
        assert await node.stop() == 0
        node.source = source
        await node.start()
        assert await is_this_release(restarted) is (source is None)
        for server in servers:
            assert [await status_of(server, each) for each in (client, new)] == [200, 200]
        await restarted.revoke_old_secret(client)
        for server in servers:
            assert [await status_of(server, each) for each in (client, new)] == [401, 200]

        # The other way round.
        client, old = await restarted.reset(new), new
        assert [await status_of(other, each) for each in (old, client)] == [200, 200]
        await other.revoke_old_secret(old)
        for server in servers:
            assert [await status_of(server, each) for each in (old, client)] == [401, 200]
    for node, source in zip(nodes, (None, earlier), strict=True):
        node.source = source
        verify_audit(node)
