"""What anyone can send without credentials, to `/verify`, which has its own way through the server, and to others."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, encode_basic_auth, web
from support.databases import SqliteTemplate
from support.installation import PEPPER
from support.stopwatches import measured

from gql_secrets.api.app import build_app
from gql_secrets.api.keys import SERVICES
from gql_secrets.api.web.aiohttp_internals.server import BoundedRunner, BoundedServer
from gql_secrets.settings import Settings

ROUTES = ["/verify", "/verify/below", "/graphql", "/clients/add", "/sign-in", "/healthz", "/nowhere"]
MUCH = 20_000_000


@pytest.fixture
async def runner(sqlite_template: SqliteTemplate, data_dir: Path) -> AsyncIterator[BoundedRunner]:
    settings = Settings(data_dir=data_dir, database_url=sqlite_template.copy_into(data_dir), pepper=PEPPER)
    runner = BoundedRunner(build_app(settings))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner
    await runner.cleanup()


@pytest.fixture
def port(runner: BoundedRunner) -> int:
    listening: int = runner.addresses[0][1]
    return listening


async def exchange(port: int, request: bytes) -> bytes:
    """The whole of what the server sends until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        async with asyncio.timeout(30):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity", "gzip, gzip", "unknown"])
@pytest.mark.parametrize("path", ROUTES)
async def test_a_body_with_a_content_coding_is_refused(port: int, path: str, coding: str) -> None:
    async with (
        ClientSession(f"http://127.0.0.1:{port}") as session,
        session.post(path, data=gzip.compress(b"{}"), headers={"Content-Encoding": coding}) as answer,
    ):
        assert answer.status == 415
        assert answer.headers["Accept-Encoding"] == "identity"


async def test_a_content_coding_without_a_body_is_a_gateways_copied_header(port: int) -> None:
    """A gateway asks about a request whose headers it copies and whose body it keeps."""
    async with (
        ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get("/verify", headers={"Content-Encoding": "gzip"}) as answer,
    ):
        assert answer.status == 401


async def test_others_do_not_wait_for_a_compressed_body(port: int) -> None:
    bomb = gzip.compress(bytes(200_000_000), compresslevel=9)
    async with ClientSession(f"http://127.0.0.1:{port}") as session:

        async def ask() -> float:
            began = took.seconds
            async with session.get("/verify") as answer:
                assert answer.status == 401
            return took.seconds - began

        async def send() -> None:
            with contextlib.suppress(OSError):
                async with session.post("/graphql", data=bomb, headers={"Content-Encoding": "gzip"}) as answer:
                    assert answer.status == 415

        with measured() as took:
            # On a busy machine others wait without any bomb.
            slowest_alone = max([await ask() for _ in range(100)])
            slowest = 0.0
            sending = asyncio.create_task(send())
            while not sending.done():
                slowest = max(slowest, await ask())
            await sending
    assert slowest < max(0.3, 4 * slowest_alone)


@pytest.mark.parametrize("path", ["/verify", "/healthz"])
async def test_a_peer_that_never_reads_is_not_read_from_either(port: int, path: str) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    requests = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 2000
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < MUCH:
            writer.write(requests)
            async with asyncio.timeout(1):
                await writer.drain()
            sent += len(requests)
    writer.transport.abort()
    assert sent < MUCH


@pytest.mark.parametrize("path", ["/verify", "/healthz"])
@pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "HTTP/3", "HTTP/1", "http/1.1", "HTTP/1.1x"])
async def test_only_http_1_0_and_1_1_are_answered(port: int, path: str, version: str) -> None:
    answer = await exchange(port, f"GET {path} {version}\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith((b"HTTP/1.1 505 ", b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert answer.count(b"HTTP/1.") == 1


@pytest.mark.parametrize("path", ["/verify", "/healthz"])
async def test_a_request_line_without_a_version_is_refused(port: int, path: str) -> None:
    for line in (f"GET {path}", f"GET {path} "):
        answer = await exchange(port, f"{line}\r\nHost: x\r\n\r\n".encode())
        assert answer.startswith((b"HTTP/1.1 505 ", b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))


@pytest.mark.parametrize(
    "name",
    ["a" * 256 + ".js", "%00.js", "a%00b.js", "a" * 5000 + ".css", "%2e%2e%2fx.js", "..%5cx.js", "%80.js", ".js"],
)
async def test_no_name_of_an_asset_is_an_unexpected_error(
    port: int, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await exchange(
        port, f"GET /assets/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.split()[1] in (b"404", b"400")
    assert not [record for record in caplog.records if record.exc_info]


async def test_signing_in_protects_a_connection_and_failing_to_does_not(port: int, runner: BoundedRunner) -> None:
    """At the limit of connections, those of signed-in callers are closed last."""
    server = runner.server
    assert isinstance(server, BoundedServer)
    services = runner.app[SERVICES]
    assert services.first_owner is not None
    owner = encode_basic_auth(services.first_owner.client.client_id, services.first_owner.secret.reveal())
    for path in ("/verify", "/graphql", "/clients/list"):
        for authorization, protected in (("Basic d3Jvbmc6d3Jvbmc=", 0), (owner, 1)):
            async with ClientSession(f"http://127.0.0.1:{port}", headers={"Authorization": authorization}) as session:
                body = {"query": "{ serverTime }"} if path == "/graphql" else None
                async with session.post(path, json=body) as answer:
                    await answer.read()
                assert len(server.table._protected) == protected, (path, authorization)
            while server.connections:  # noqa: ASYNC110  aiohttp has no event for it
                await asyncio.sleep(0.01)
