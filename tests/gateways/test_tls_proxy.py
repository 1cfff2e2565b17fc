"""A proxy that speaks TLS in front of gql-secrets itself, set up as docs/operations.md says."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from support.pages import page
from support.serving import serving
from support.sockets import PROTOCOL

NAME = "secrets.example.com"
CALLER = "127.0.0.2"
EVENTS = {"query": "subscription { clientEvents { kind } }"}


def recipe(port: int, server: int, folder: Path) -> str:
    [block] = page("docs/operations.md").section("TLS in front").blocks("nginx")
    text = block.text
    for old, new in (
        ("listen      443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        (f"/etc/ssl/{NAME}.pem", f"{folder}/proxy.pem"),
        (f"/etc/ssl/{NAME}.key", f"{folder}/proxy.key"),
        ("127.0.0.1:8080", f"127.0.0.1:{server}"),
    ):
        assert old in text, f"the recipe no longer has {old!r}"
        text = text.replace(old, new)
    return text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def proxy(program: str, server: int, folder: Path) -> Iterator[int]:
    port = free_port()
    subject = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    files = ["-keyout", f"{folder}/proxy.key", "-out", f"{folder}/proxy.pem"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *files], check=True)
    paths = "".join(f"{name}_temp_path {folder};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{paths}{recipe(port, server, folder)}}}\n"
    )
    command = [program, "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 30
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                assert process.poll() is None, (folder / "error.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield port
        finally:
            process.terminate()


class Names(aiohttp.abc.AbstractResolver):
    """The proxy's name leads to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        assert host == NAME
        return [
            aiohttp.abc.ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Somebody who reaches the server through the proxy, signed in as the owner."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
    if program is None or shutil.which("openssl") is None:
        pytest.skip("nginx or openssl is not installed here (apt-get install nginx openssl)")
    port = free_port()
    listening = ("--port", str(port))
    with (
        serving(tmp_path, *listening, public_url=f"https://{NAME}", trusted_proxies="127.0.0.1") as server,
        proxy(program, port, tmp_path) as public_port,
    ):
        trust = ssl.create_default_context(cafile=tmp_path / "proxy.pem")
        owner, _, secret = server.owner.partition(":")
        async with aiohttp.ClientSession(
            f"https://{NAME}:{public_port}",
            connector=aiohttp.TCPConnector(resolver=Names(), ssl=trust, local_addr=(CALLER, 0)),
            headers={"Authorization": aiohttp.encode_basic_auth(owner, secret), "Host": NAME},
        ) as session:
            yield session


async def change(browser: aiohttp.ClientSession) -> str:
    """Register a client and return the address that the audit has of its caller."""
    created = {"query": 'mutation { createClient(name: "x") { client { clientId } userErrors { code } } }'}
    async with browser.post("/graphql", json=created) as response:
        assert (await response.json())["data"]["createClient"]["userErrors"] == []
    audit = {"query": "{ auditEvents(first: 1) { nodes { address } } }"}
    async with browser.post("/graphql", json=audit) as response:
        address: str = (await response.json())["data"]["auditEvents"]["nodes"][0]["address"]
        return address


async def test_queries_pass_with_the_callers_own_address(browser: aiohttp.ClientSession) -> None:
    assert await change(browser) == CALLER


async def test_the_console_is_at_the_public_address(browser: aiohttp.ClientSession) -> None:
    async with browser.get("/", headers={"Accept": "text/html"}) as response:
        assert response.status == 200
        assert response.headers["Strict-Transport-Security"]


async def test_a_websocket_passes(browser: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(30), browser.ws_connect("/graphql", protocols=[PROTOCOL]) as websocket:
        await websocket.send_json({"type": "connection_init"})
        assert (await websocket.receive_json())["type"] == "connection_ack"
        await websocket.send_json({"type": "subscribe", "id": "1", "payload": EVENTS})
        await websocket.send_json({"type": "ping"})
        assert (await websocket.receive_json())["type"] == "pong"
        await change(browser)
        assert (await websocket.receive_json())["payload"]["data"]["clientEvents"] == {"kind": "CREATED"}


async def test_an_event_stream_passes_without_waiting_for_more(browser: aiohttp.ClientSession) -> None:
    async with (
        asyncio.timeout(30),
        browser.post("/graphql", json=EVENTS, headers={"Accept": "text/event-stream"}) as response,
    ):
        assert response.status == 200
        assert await response.content.readline() == b":\n"
        await change(browser)
        while not (line := await response.content.readline()).startswith(b"data: "):
            assert line
        assert json.loads(line.removeprefix(b"data: "))["data"]["clientEvents"] == {"kind": "CREATED"}
