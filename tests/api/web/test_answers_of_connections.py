"""Responses that take a while are made by the task of their connection, and written as they are there."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest
from aiohttp import encode_basic_auth, web
from support.callers import ADMIN
from support.sockets import SECONDS

from gql_secrets.api.keys import SERVICES
from gql_secrets.api.web.aiohttp_internals.connection import Connection
from gql_secrets.api.web.aiohttp_internals.requests import Head, LaterResponse
from gql_secrets.api.web.aiohttp_internals.responses import WholeResponse, make_head
from gql_secrets.api.web.aiohttp_internals.server import BoundedRunner, BoundedServer
from gql_secrets.api.web.client_address import TrustedProxies
from gql_secrets.service.verification import Accepted, Question, Verdict


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The answers on PostgreSQL go through the same code; tests/service has what it reads."""
    return sqlite_url


class Slow:
    """Answers `/verify` with a response that the connection makes, as soon as it may: 200, another, or a failure."""

    def __init__(self, server: BoundedServer) -> None:
        self.may_end, self.began, self.has_failed = asyncio.Event(), asyncio.Event(), False
        self.other: WholeResponse | web.StreamResponse | None = None
        self.requests = 0
        path = server.fast_path
        assert path is not None
        server.fast_path = path._replace(begin=self._begin)

    def _begin(self, _request: Head) -> LaterResponse:
        self.requests += 1
        return LaterResponse(self._make)

    async def _make(self, _request: web.BaseRequest) -> WholeResponse | web.StreamResponse:
        self.began.set()
        await self.may_end.wait()
        if self.has_failed:
            raise RuntimeError("defect")
        return self.other or WholeResponse(make_head(HTTPStatus.OK))


ASKED = b"GET /verify HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
async def slow(server: BoundedServer) -> AsyncIterator[Slow]:
    slow = Slow(server)
    yield slow
    slow.may_end.set()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def begun(slow: Slow, port: int) -> AsyncIterator[Streams]:
    """A connection whose request waits for its response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(ASKED)
    await asyncio.wait_for(slow.began.wait(), SECONDS)
    yield reader, writer
    writer.close()


async def heads_of(reader: asyncio.StreamReader, answers: int) -> list[bytes]:
    return [await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS) for _ in range(answers)]


async def test_no_task_is_woken_for_a_response_that_the_connection_makes(
    server: BoundedServer, slow: Slow, begun: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_tasks: list[web.BaseRequest] = []
    monkeypatch.setattr(server, "_respond", in_tasks.append)
    reader, writer = begun
    slow.may_end.set()
    assert (await heads_of(reader, 1))[0].startswith(b"HTTP/1.1 200 OK\r\n")
    writer.write(ASKED)

    assert (await heads_of(reader, 1))[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert in_tasks == []
    assert server.requests_count == 2


async def test_a_request_that_comes_meanwhile_is_answered_next(slow: Slow, begun: Streams) -> None:
    reader, writer = begun
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    await asyncio.sleep(0.05)
    slow.may_end.set()

    first, second = await heads_of(reader, 2)
    assert b"Content-Type" not in first
    assert b"Content-Type: application/json" in second


@pytest.mark.parametrize("turns", range(5))
async def test_a_request_that_comes_as_the_response_is_there_does_not_begin_it_again(
    server: BoundedServer, slow: Slow, begun: Streams, turns: int
) -> None:
    """Nothing is answered twice, no matter in which turn of the event loop the other request comes."""
    [connection] = server.connections
    slow.may_end.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    connection.data_received(ASKED)

    assert [head.startswith(b"HTTP/1.1 200 OK\r\n") for head in await heads_of(begun[0], 2)] == [True, True]
    assert slow.requests == 2


async def test_a_defect_of_a_response_that_the_connection_makes_is_answered_and_logged(
    slow: Slow, begun: Streams, caplog: pytest.LogCaptureFixture
) -> None:
    slow.has_failed = True
    slow.may_end.set()

    assert (await heads_of(begun[0], 1))[0].startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert "unexpected_error" in {record.message for record in caplog.records}


async def test_a_response_that_cannot_be_written_ends_its_connection(slow: Slow, begun: Streams) -> None:
    """Otherwise its caller would never be answered. It is not made again: it may be the response to a mutation."""
    reader, _ = begun
    slow.other = WholeResponse(make_head(HTTPStatus.OK), more="X-Name: \udcff\r\n")
    slow.may_end.set()
    assert await asyncio.wait_for(reader.read(), SECONDS) == b""
    assert slow.requests == 1


async def test_a_response_that_is_not_written_in_one_piece_is_written_by_the_task(slow: Slow, begun: Streams) -> None:
    """It is made once all the same."""
    reader, writer = begun
    slow.other = web.Response(status=418)
    slow.may_end.set()
    assert (await heads_of(reader, 1))[0].startswith(b"HTTP/1.1 418 ")
    assert slow.requests == 1

    slow.other = None
    writer.write(ASKED)
    assert (await heads_of(reader, 1))[0].startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_response_in_the_making_is_sent_before_the_server_stops(
    runner: BoundedRunner, slow: Slow, begun: Streams
) -> None:
    runner.drain()
    stopping = asyncio.create_task(runner.cleanup())
    await asyncio.sleep(0.05)
    assert not stopping.done()
    slow.may_end.set()

    answer = await asyncio.wait_for(begun[0].read(), SECONDS)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close\r\n" in answer
    await stopping


async def test_a_caller_that_leaves_is_not_waited_for(
    server: BoundedServer, slow: Slow, begun: Streams, caplog: pytest.LogCaptureFixture
) -> None:
    begun[1].close()
    deadline = asyncio.get_running_loop().time() + SECONDS
    while len(server.table) > 0:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    slow.may_end.set()
    await asyncio.sleep(0.05)

    assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


async def test_a_caller_that_leaves_before_it_is_accepted_has_no_connection(
    server: BoundedServer, runner: BoundedRunner, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise callers that do so would use up the connections that there may be."""
    server._trusted_proxies = TrustedProxies()
    services = runner.app[SERVICES]
    made = await services.clients.create_client("New", by=ADMIN)
    basic = encode_basic_auth(made.client.client_id, made.secret.reveal())
    complete, verdicts = services.verifier.complete, asyncio.Queue[Verdict]()
    began, may_end = asyncio.Event(), asyncio.Event()

    async def complete_later(question: Question) -> Verdict:
        began.set()
        await may_end.wait()
        verdict = await complete(question)
        verdicts.put_nowait(verdict)
        return verdict

    monkeypatch.setattr(services.verifier, "complete", complete_later)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /verify HTTP/1.1\r\nHost: a\r\nAuthorization: {basic}\r\n\r\n".encode())
    await asyncio.wait_for(began.wait(), 5)
    writer.close()
    async with asyncio.timeout(5):
        while server.connections:  # noqa: ASYNC110  aiohttp sets no event
            await asyncio.sleep(0.01)
    may_end.set()

    assert isinstance(await asyncio.wait_for(verdicts.get(), 5), Accepted)
    await asyncio.sleep(0.05)
    assert len(server.table) == 0


async def test_a_connection_whose_response_takes_long_is_not_idle(server: BoundedServer, slow: Slow, port: int) -> None:
    server._kwargs["keepalive_timeout"] = 1.0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    slow.may_end.set()
    writer.write(ASKED)
    await heads_of(reader, 1)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")  # by aiohttp's task, which starts its timer
    await heads_of(reader, 1)
    await asyncio.wait_for(reader.read(1), SECONDS)
    slow.may_end.clear()
    writer.write(ASKED)
    await asyncio.sleep(1.5)
    [connection] = server.connections
    assert isinstance(connection, Connection)
    assert connection.is_busy
    slow.may_end.set()

    assert b"HTTP/1.1 200 OK\r\n" in (await heads_of(reader, 1))[0]
    writer.close()


@pytest.mark.parametrize("before", [ASKED, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"])
@pytest.mark.parametrize("turns", range(5))
async def test_a_request_is_answered_after_those_before_it(
    server: BoundedServer, port: int, before: bytes, turns: int
) -> None:
    """No matter what aiohttp's task is about when it comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(ASKED)
    await heads_of(reader, 1)
    [connection] = server.connections
    connection.data_received(before)
    for _ in range(turns):
        await asyncio.sleep(0)
    connection.data_received(ASKED.replace(b"/verify", b"/verify/0"))
    connection.data_received(before)

    heads = await heads_of(reader, 3)
    assert [b"application/json" in head for head in heads] == [before != ASKED, False, before != ASKED]
    writer.close()


@pytest.mark.parametrize("end", ["close", "idle"])
@pytest.mark.parametrize("has_begun", [True, False])
async def test_a_request_that_has_just_arrived_is_answered_although_its_connection_ends(
    server: BoundedServer, port: int, end: str, has_begun: bool
) -> None:
    """It is answered in the next turn of the event loop, before which the server may stop, or idle time be over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(ASKED)
    await heads_of(reader, 1)
    [connection] = server.connections
    assert isinstance(connection, Connection)
    waiter = connection._waiter
    if not has_begun:
        connection._waiter = None  # as while aiohttp's task does not wait
    connection.data_received(ASKED)
    connection._waiter = waiter
    assert connection.is_busy
    if end == "close":
        connection.close()
    else:
        connection._next_keepalive_close_time = 0.0
        connection._process_keepalive()

    assert (await heads_of(reader, 1))[0].startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    writer.close()
