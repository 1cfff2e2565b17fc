"""Connections are bounded in time, in bytes and in number, and nothing that came over one is repeated."""

import asyncio
import contextlib
import itertools
import logging
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import ClientSession, web

from gql_secrets.api.web.aiohttp_internals.server import BoundedRunner, BoundedServer
from gql_secrets.api.web.connection_limits import ConnectionLimits

SHORT = ConnectionLimits(head_seconds=0.4, body_seconds=0.4, idle_seconds=1.2, unread_seconds=1.0, linger_seconds=0.2)
PATIENT = 10.0  # how long a test waits for what takes a fraction of that
# With one of the short times and all others long, what happens within PATIENT happened because of that one.
LONG = ConnectionLimits(
    head_seconds=10 * PATIENT,
    body_seconds=10 * PATIENT,
    idle_seconds=10 * PATIENT,
    unread_seconds=10 * PATIENT,
    linger_seconds=10 * PATIENT,
)
OK = b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"


async def ok(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def read_body(request: web.Request) -> web.Response:
    try:
        return web.Response(text=str(len(await request.read())))
    except web.RequestPayloadError as error:
        return web.Response(status=408 if isinstance(error, TimeoutError) else 400)


async def much(_request: web.Request) -> web.Response:
    return web.Response(body=b"x" * 30_000_000)


async def fail(_request: web.Request) -> web.Response:
    raise ValueError("a detail of ours")


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket_ = web.WebSocketResponse()
    await socket_.prepare(request)
    async for message in socket_:
        await socket_.send_str(message.data)
    return socket_


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    runner: BoundedRunner
    opened: list["Peer"] = field(default_factory=list)

    @property
    def inner(self) -> BoundedServer:
        assert isinstance(self.runner.server, BoundedServer)
        return self.runner.server

    @property
    def connections(self) -> int:
        return len(self.inner.connections)

    async def open(self, address: str = "127.0.0.1") -> "Peer":
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0)))
        self.opened.append(peer)
        return peer

    async def close(self) -> None:
        for peer in self.opened:
            peer.writer.close()
            with contextlib.suppress(ConnectionError):
                await peer.writer.wait_closed()
        await self.runner.cleanup()


@dataclass(frozen=True, slots=True)
class Peer:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def read_all(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(PATIENT):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def answer(self) -> bytes:
        """The answer to `OK`; the connection stays."""
        async with asyncio.timeout(PATIENT):
            head = await self.reader.readuntil(b"\r\n\r\n")
            await self.reader.readexactly(2)
            return head.partition(b"\r\n")[0]

    async def seconds_to_close(self) -> float:
        began = time.monotonic()
        await self.read_all()
        return time.monotonic() - began


Serve = Callable[..., Awaitable[Server]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[Server] = []

    async def start(limits: ConnectionLimits = SHORT) -> Server:
        app = web.Application()
        app.router.add_get("/ok", ok)
        app.router.add_post("/read", read_body)
        app.router.add_post("/unread", ok)
        app.router.add_get("/much", much)
        app.router.add_get("/fail", fail)
        app.router.add_get("/echo", echo)
        runner = BoundedRunner(app, limits, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        servers.append(Server(runner.addresses[0][1], runner))
        return servers[-1]

    yield start
    for server in servers:
        await server.close()


# Heads


async def test_slow_heads_are_gone_in_time_while_others_are_answered(serve: Serve) -> None:
    server = await serve()
    silent = [await server.open() for _ in range(50)]
    dripping = [await server.open() for _ in range(50)]
    began = time.monotonic()

    async def drip(peer: Peer) -> None:
        for byte in itertools.chain(b"GET /ok HTTP/1.1\r\nX-Slow: ", itertools.repeat(ord("x"))):
            if peer.writer.is_closing():
                return
            await peer.send(bytes([byte]))
            await asyncio.sleep(0.05)

    drips = [asyncio.create_task(drip(peer)) for peer in dripping]
    async with ClientSession() as session:
        while server.connections > 1 and time.monotonic() < began + PATIENT:
            async with session.get(f"http://127.0.0.1:{server.port}/ok") as response:
                assert response.status == 200
            await asyncio.sleep(0.01)
    assert 0.35 < time.monotonic() - began < PATIENT
    assert [await peer.read_all() for peer in silent + dripping] == [b""] * 100
    await asyncio.gather(*drips)


async def test_a_head_in_pieces_within_its_time_is_answered(serve: Serve) -> None:
    peer = await (await serve(LONG)).open()
    for piece in (OK[:5], OK[5:20], OK[20:]):
        await peer.send(piece)
        await asyncio.sleep(0.05)
    assert await peer.answer() == b"HTTP/1.1 200 OK"


async def test_each_further_head_has_its_time_from_its_first_byte(serve: Serve) -> None:
    """The connection may lie idle for longer than a head may take."""
    peer = await (await serve(replace(LONG, head_seconds=0.4))).open()
    for _ in range(2):
        await peer.send(OK)
        assert await peer.answer() == b"HTTP/1.1 200 OK"
        await asyncio.sleep(0.6)
    await peer.send(b"GET /o")
    assert 0.3 < await peer.seconds_to_close() < PATIENT


async def test_an_idle_connection_is_closed_after_its_time(serve: Serve) -> None:
    peer = await (await serve(replace(LONG, idle_seconds=1.2))).open()
    began = time.monotonic()
    await peer.send(OK)
    assert await peer.answer() == b"HTTP/1.1 200 OK"
    assert await peer.read_all() == b""
    assert 1.0 < time.monotonic() - began < PATIENT


async def test_requests_that_come_together_are_all_answered(serve: Serve) -> None:
    server = await serve(LONG)
    peer = await server.open()
    await peer.send(OK * 40)
    assert [await peer.answer() for _ in range(40)] == [b"HTTP/1.1 200 OK"] * 40
    await peer.send(OK + OK[:9])
    assert await peer.answer() == b"HTTP/1.1 200 OK"
    await peer.send(OK[9:])
    assert await peer.answer() == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET /ok HTTP/1.1\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n", b"400"),
        (b"GET /ok HTTP/1.1\r\n" + b"X-Field: 1\r\n" * 101 + b"\r\n", b"400"),
        (b"GET /ok HTTP/1.1\r\nHost: x\r\n" + b"X-Field: 1\r\n" * 90 + b"\r\n", b"200"),
    ],
)
async def test_a_head_has_so_many_fields_and_lines_so_many_bytes(serve: Serve, head: bytes, status: bytes) -> None:
    peer = await (await serve(replace(SHORT, idle_seconds=0.2))).open()
    await peer.send(head)
    assert (await peer.read_all()).split(b" ")[1] == status


async def test_a_head_in_pieces_has_so_many_bytes(serve: Serve) -> None:
    server = await serve(replace(SHORT, head_seconds=PATIENT))
    peer = await server.open()
    await peer.send(b"GET /ok HTTP/1.1\r\nHost: x\r\n")
    for number in range(6):
        await peer.send(b"X-Field-%d: " % number + b"x" * 6000 + b"\r\n")
        await asyncio.sleep(0.01)
    assert (await peer.read_all()).startswith(b"HTTP/1.1 431 ")
    assert server.connections == 0


async def test_the_bytes_of_each_head_are_counted_apart(serve: Serve) -> None:
    peer = await (await serve(replace(LONG, head_bytes=2 * len(OK)))).open()
    for _ in range(6):
        await peer.send(OK[:9])
        await asyncio.sleep(0.02)
        await peer.send(OK[9:20])
        await asyncio.sleep(0.02)
        await peer.send(OK[20:])
        assert await peer.answer() == b"HTTP/1.1 200 OK"


# Bodies


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
async def test_reading_a_slow_body_fails_in_time(serve: Serve, framing: bytes) -> None:
    peer = await (await serve(replace(LONG, body_seconds=0.4, linger_seconds=0.2))).open()
    began = time.monotonic()
    await peer.send(b"POST /read HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
    assert (await peer.read_all()).startswith(b"HTTP/1.1 408 ")
    assert 0.35 < time.monotonic() - began < PATIENT


async def test_a_body_in_pieces_within_its_time_is_read(serve: Serve) -> None:
    server = await serve(replace(LONG, body_seconds=2.0))
    peer = await server.open()
    for _ in range(3):
        await peer.send(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        for _ in range(2):
            await asyncio.sleep(0.02)
            await peer.send(b"12345")
        async with asyncio.timeout(PATIENT):
            assert (await peer.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert await peer.reader.readexactly(2) == b"10"
    async with asyncio.timeout(PATIENT):
        while server.inner.bodies:  # noqa: ASYNC110  the time of the last one is over, as if it had not come
            await asyncio.sleep(0.05)
    await peer.send(OK)
    assert await peer.answer() == b"HTTP/1.1 200 OK"


async def test_the_rest_of_an_unread_body_is_not_waited_for(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    peer = await (await serve(replace(LONG, linger_seconds=0.2))).open()
    await peer.send(b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
    assert await peer.answer() == b"HTTP/1.1 200 OK"
    assert await peer.seconds_to_close() < PATIENT
    assert not caplog.records


# Answers


@pytest.mark.skipif(sys.platform != "linux", reason="the system must tell what was not read")
async def test_a_peer_that_reads_no_response_is_disconnected(serve: Serve) -> None:
    server = await serve(replace(SHORT, idle_seconds=60))
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", server.port))
        peer.sendall(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10 * PATIENT):
            await asyncio.sleep(0.2)
            assert server.connections == 1
            while server.connections:  # noqa: ASYNC110  aiohttp has no event for it
                await asyncio.sleep(0.05)


async def test_an_open_websocket_owes_nothing(serve: Serve) -> None:
    server = await serve()
    async with ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{server.port}/echo") as peer:
        for _ in range(2):
            await peer.send_str("there")
            assert await peer.receive_str() == "there"
            await asyncio.sleep(1.5)
        await peer.send_str("still")
        assert await peer.receive_str() == "still"


# Numbers


async def test_too_many_connections_close_the_slowest_and_none_that_sends_requests(serve: Serve) -> None:
    server = await serve(replace(LONG, connections=10))
    asking = [await server.open() for _ in range(3)]
    for peer in asking:
        await peer.send(OK)
        assert await peer.answer() == b"HTTP/1.1 200 OK"
    silent = [await server.open() for _ in range(30)]
    async with asyncio.timeout(PATIENT):
        while server.connections > 10:  # noqa: ASYNC110  aiohttp has no event for it
            await asyncio.sleep(0.01)
    for peer in (*asking, await server.open()):
        await peer.send(OK)
        assert await peer.answer() == b"HTTP/1.1 200 OK"
    assert await silent[0].read_all() == b""


async def test_a_newcomer_takes_the_place_of_the_connection_idle_longest(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = await serve(replace(LONG, connections=3))
    asking = [await server.open() for _ in range(3)]
    for peer in (asking[1], asking[0], asking[2]):
        await peer.send(OK)
        assert await peer.answer() == b"HTTP/1.1 200 OK"
    newest = await server.open()
    assert await asking[1].read_all() == b""
    for peer in (asking[0], asking[2], newest):
        await peer.send(OK)
        assert await peer.answer() == b"HTTP/1.1 200 OK"
    assert [record.message for record in caplog.records] == ["connection_limit_reached"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address")
async def test_the_address_with_the_most_connections_gives_way(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = await serve(replace(LONG, connections=10))
    few = [await server.open("127.0.0.2") for _ in range(2)]
    many = [await server.open("127.0.0.3") for _ in range(8)]
    for peer in (*few, *many):
        await peer.send(OK)
        assert await peer.answer() == b"HTTP/1.1 200 OK"
    newcomers = [await server.open(f"127.0.0.{number}") for number in range(4, 9)]
    for peer in (*few, *newcomers, *many[5:]):
        await peer.send(OK)
        assert await peer.answer() == b"HTTP/1.1 200 OK"
    for peer in many[:5]:
        assert await peer.read_all() == b""
    assert not [record for record in caplog.records if record.exc_info]


async def test_nothing_is_remembered_of_a_connection_that_is_gone(serve: Serve) -> None:
    server = await serve(LONG)
    for _ in range(20):
        peer = await server.open()
        await peer.send(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n12")
        await asyncio.sleep(0.01)
        peer.writer.close()
        (await server.open()).writer.close()
    async with asyncio.timeout(PATIENT):
        while server.connections:  # noqa: ASYNC110  aiohttp has no event for it
            await asyncio.sleep(0.01)
    assert (server.inner.heads, server.inner.bodies) == ({}, {})


# What is repeated


@pytest.mark.parametrize(
    "head",
    [
        b"%s %s %s\r\n\r\n",
        b"GET /%s HTTP/9.9\r\nAuthorization: Basic %s\r\nX: %s\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization Basic %s\r\nX: %s%s\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\x00%s%s\r\n\r\n",
        b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: %s%s%s\r\n\r\n",
        b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: %s%s%s\r\n\r\n",
        b"\x16\x03\x01%s%s%s",
    ],
)
async def test_a_malformed_request_is_neither_quoted_nor_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture, head: bytes
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = b"Q2FuYXJ5" * 3
    peer = await (await serve()).open()
    await peer.send(head.replace(b"%s", canary) + b"\r\n\r\n")
    answer = await peer.read_all()
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"\r\nServer: gql-secrets\r\n" in answer
    assert canary not in answer
    formatter = logging.Formatter()
    assert caplog.records
    for record in caplog.records:
        assert canary.decode() not in formatter.format(record)
        assert record.exc_info is None


async def test_a_defect_below_the_application_is_in_the_log_and_not_in_the_answer(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await (await serve()).open()
    await peer.send(b"GET /fail HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n")
    answer = await peer.read_all()
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"a detail of ours" not in answer
    assert "a detail of ours" in caplog.text


async def test_these_tests_run_on_the_servers_own_loop() -> None:
    assert type(asyncio.get_running_loop()).__module__ == ("asyncio" if sys.platform == "win32" else "uvloop")
