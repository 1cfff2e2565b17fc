"""Three nodes on one PostgreSQL behind a gateway: while one of them restarts or is dead, no verification is refused."""

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import yaml
from support.gateways import GATEWAYS, Api, Client, Gateway, Server, started
from support.installation import PEPPER
from support.nodes import Node, lasting_port, start_all
from support.paths import ROOT

# The line of a recipe that is repeated for each node.
LINES = {
    "nginx": "    server 127.0.0.1:PORT max_fails=0;\n",
    "envoy": "              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: PORT } } }\n",
}
# One node reads the database for each verification, the others answer from memory.
VERIFY_FROM = ("memory", "memory", "database")
CONNECTIONS = 4
MORE = 20
# Between two calls over one connection: the nodes that start need the processor too.
PAUSE = 0.01


def drain_delay() -> str:
    """Return the delay that the Kubernetes manifest sets."""
    [deployment] = [
        each
        for each in yaml.safe_load_all((ROOT / "docs" / "deploy" / "kubernetes.yaml").read_text())
        if each["kind"] == "Deployment"
    ]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    [delay] = [each["value"] for each in container["env"] if each["name"] == "GQL_SECRETS_DRAIN_DELAY"]
    return str(delay)


class Traffic:
    """Applications that call the API through the gateway all the time, each over a connection that it keeps."""

    def __init__(self, gateway: Gateway, client: Client) -> None:
        self.valid = client
        self.ended: list[Client] = []
        self.wrong: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self._url = gateway.url
        self._answers = [0] * CONNECTIONS
        self._is_over = False

    @contextlib.asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            for number in range(CONNECTIONS):
                tasks.create_task(self._call(number))
            try:
                yield
            finally:
                self._is_over = True

    async def more_answers(self) -> None:
        """Wait until each connection got that many more answers."""
        wanted = [count + MORE for count in self._answers]
        async with asyncio.timeout(120):
            while any(count < number for count, number in zip(self._answers, wanted, strict=True)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def roll_over(self, server: Server) -> None:
        """Change the secret: the old one is valid until it is revoked, and no longer."""
        old = self.valid
        new = await server.reset(old)
        await self.more_answers()
        self.valid = new
        await server.revoke_old_secret(old)
        self.ended.append(old)
        await self.more_answers()

    async def _call(self, number: int) -> None:
        async with aiohttp.ClientSession() as session:
            while not self._is_over:
                valid, ended = self.valid, self.ended[-1:]
                status = await self._ask(session, valid)
                if status != 200 and valid is self.valid:
                    self.wrong[f"a valid secret got {status}"] += 1
                for each in ended:
                    if (status := await self._ask(session, each)) != 401:
                        self.wrong[f"an ended secret got {status}"] += 1
                self._answers[number] += 1
                await asyncio.sleep(PAUSE)

    async def _ask(self, session: aiohttp.ClientSession, client: Client) -> int:
        """Return the status of the answer, or 0 without one."""
        status = 0
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(self._url, headers={"Authorization": client.auth}) as response:
                await response.read()
                status = response.status
        self.statuses[status] += 1
        return status


@pytest.fixture
async def nodes(postgres_url: str, tmp_path: Path) -> AsyncIterator[list[Node]]:
    nodes = []
    for number, verify_from in enumerate(VERIFY_FROM):
        folder = tmp_path / f"node{number}"
        folder.mkdir()
        settings = {
            "data_dir": str(folder / "data"),
            "database_url": postgres_url,
            "pepper": PEPPER,
            "verify_from": verify_from,
            "rate_limits": "off",
            "trusted_proxies": "127.0.0.1",
            "drain_delay": drain_delay(),
        }
        nodes.append(Node(lasting_port(), folder, settings))
    try:
        yield nodes
    finally:
        for node in nodes:
            node.end()


@pytest.fixture
async def servers(nodes: list[Node]) -> list[Server]:
    owner = aiohttp.encode_basic_auth(*(await start_all(nodes)).split(":"))
    return [Server(node.port, owner) for node in nodes]


@pytest.fixture(params=LINES)
async def traffic(
    request: pytest.FixtureRequest, nodes: list[Node], servers: list[Server], tmp_path: Path
) -> AsyncIterator[Traffic]:
    """Traffic through a gateway whose recipe names all nodes."""
    make = GATEWAYS[request.param]
    program = make.program()
    if program is None:
        pytest.skip(f"{request.param} is not installed here ({make.install})")
    first, *others = (LINES[request.param].replace("PORT", str(node.port)) for node in nodes)
    client = await servers[0].create_client()
    folder = tmp_path / "gateway"
    folder.mkdir()
    async with Api() as api:
        with started((make, program), folder, nodes[0].port, api, [(first, "".join(others))]) as gateway:
            traffic = Traffic(gateway, client)
            async with traffic.flowing():
                await traffic.more_answers()
                yield traffic


async def test_a_rolling_restart_refuses_no_valid_call(
    nodes: list[Node], servers: list[Server], traffic: Traffic
) -> None:
    """The secret changes while each node shuts down."""
    for number, node in enumerate(nodes):
        stopping = asyncio.create_task(node.stop(signal.SIGTERM))
        await traffic.roll_over(servers[number - 1])
        assert await stopping == 0
        await traffic.more_answers()
        await node.start()
        await traffic.more_answers()
    assert traffic.wrong == {}
    assert traffic.statuses.keys() == {200, 401}


async def test_a_node_that_is_killed_refuses_no_valid_call(
    nodes: list[Node], servers: list[Server], traffic: Traffic
) -> None:
    for number, node in enumerate(nodes):
        assert await node.stop(signal.SIGKILL) == -signal.SIGKILL
        await traffic.roll_over(servers[number - 1])
        await node.start()
        await traffic.more_answers()
    assert traffic.wrong == {}
    assert traffic.statuses.keys() == {200, 401}
