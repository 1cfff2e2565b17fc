"""A gateway's question is answered as soon as it arrives, exactly as it would be in a task of its own."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest
from aiohttp import encode_basic_auth, web
from support.callers import ADMIN, DAY, Made, is_good
from support.sockets import SECONDS

from gql_secrets.api.gateway import VERIFY_PATH
from gql_secrets.api.keys import SERVICES
from gql_secrets.api.web.aiohttp_internals.requests import FastPath, Head, LaterAnswer, LaterResponse
from gql_secrets.api.web.aiohttp_internals.responses import HeadResponse, WholeResponse, make_head
from gql_secrets.api.web.aiohttp_internals.server import BoundedRunner, BoundedServer
from gql_secrets.domain.credentials import PlaintextSecret
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services, open_services

KNOWN = "Authorization: {current}\r\n"
CASES: Mapping[str, str] = {
    "current secret": f"GET /verify HTTP/1.1\r\nHost: a\r\n{KNOWN}\r\n",
    "old secret": "GET /verify HTTP/1.1\r\nHost: a\r\nAuthorization: {old}\r\n\r\n",
    "wrong secret": "GET /verify HTTP/1.1\r\nHost: a\r\nAuthorization: {wrong}\r\n\r\n",
    "from another address": "GET /verify HTTP/1.1\r\nHost: a\r\nAuthorization: {restricted}\r\n\r\n",
    "from an unclear address": f"GET /verify HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: x\r\n{KNOWN}\r\n",
    "no credentials": "GET /verify HTTP/1.1\r\nHost: a\r\n\r\n",
    "two credentials": f"GET /verify HTTP/1.1\r\nHost: a\r\n{KNOWN}{KNOWN}\r\n",
    "malformed credentials": "GET /verify HTTP/1.1\r\nHost: a\r\nAuthorization: Basic x\r\n\r\n",
    "path below": f"DELETE /verify/a?b=c HTTP/1.1\r\nHost: a\r\n{KNOWN}\r\n",
    "head": f"HEAD /verify HTTP/1.1\r\nHost: a\r\n{KNOWN}\r\n",
    "body": f"POST /verify HTTP/1.1\r\nHost: a\r\n{KNOWN}Content-Length: 1\r\n\r\nx",
    "encoded body": f"POST /verify HTTP/1.1\r\nHost: a\r\n{KNOWN}Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
    "chunked body": f"POST /verify HTTP/1.1\r\nHost: a\r\n{KNOWN}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "expectation": f"GET /verify HTTP/1.1\r\nHost: a\r\n{KNOWN}Expect: anything\r\n\r\n",
}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The answers on PostgreSQL go through the same code; tests/service has what it reads."""
    return sqlite_url


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, trusted_proxies="127.0.0.1")


@pytest.fixture
async def headers(runner: BoundedRunner) -> Mapping[str, str]:
    """The credentials that the cases name; each secret was used before."""
    services = runner.app[SERVICES]
    client, restricted = await make(services), await make(services)
    await services.clients.update_client(restricted.id, allow_list=["192.0.2.1"], by=ADMIN)
    old = client.secret
    current = (await services.rotation.reset_secret(client.id, DAY, by=ADMIN)).new_secret.reveal()
    assert await is_good(services, client.id, current)
    secrets = {"current": current, "old": old, "wrong": PlaintextSecret.mint().reveal()}
    basic = {name: encode_basic_auth(client.id, secret) for name, secret in secrets.items()}
    return basic | {"restricted": encode_basic_auth(restricted.id, restricted.secret)}


async def make(services: Services) -> Made:
    made = await services.clients.create_client("Gateway's caller", by=ADMIN)
    client = Made(made.client.client_id, made.secret.reveal())
    assert await is_good(services, client.id, client.secret)
    return client


@pytest.fixture
async def exchange(port: int) -> AsyncIterator[Callable[[str], Any]]:
    """Send text on one connection, and return what comes back until nothing more does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send(text: str, answers: int = 1) -> str:
        writer.write(text.encode())
        heads = [await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS) for _ in range(answers)]
        return re.sub(r"Date: [^\r]+", "Date: -", b"".join(heads).decode())

    yield send
    writer.close()


def answer_later(path: FastPath) -> FastPath:
    """Return the same path, whose every answer is written by aiohttp's task."""

    def begin(request: Head) -> LaterAnswer:
        begun = path.begin(request)

        async def answer(again: web.BaseRequest) -> web.StreamResponse:
            if isinstance(begun, LaterAnswer):
                return await begun.answer(again)
            made = await begun.make(again) if isinstance(begun, LaterResponse) else begun
            return HeadResponse(made) if isinstance(made, WholeResponse) else made

        return LaterAnswer(answer)

    return path._replace(begin=begin)


@pytest.mark.parametrize("case", CASES)
async def test_an_answer_on_arrival_is_that_of_a_task(
    server: BoundedServer, exchange: Callable[[str], Any], headers: Mapping[str, str], case: str
) -> None:
    path, asked = server.fast_path, CASES[case].format(**headers)
    assert path is not None
    now = await exchange(asked)

    server.fast_path = answer_later(path)
    assert now == await exchange(asked)

    assert now.startswith("HTTP/1.1 ")
    assert "Connection: " not in now


async def test_no_task_is_woken_for_a_secret_in_memory(
    server: BoundedServer, exchange: Callable[[str], Any], headers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What makes the difference is really taken: otherwise the tests here compare a task with a task."""
    in_tasks: list[web.BaseRequest] = []
    monkeypatch.setattr(server, "_respond", in_tasks.append)

    assert (await exchange(CASES["current secret"].format(**headers))).startswith("HTTP/1.1 200 OK\r\n")
    assert in_tasks == []
    assert server.requests_count == 1


@pytest.mark.parametrize("together", [1, 2])
async def test_a_change_by_another_process_is_seen_by_the_next_request(
    settings: Settings, exchange: Callable[..., Any], headers: Mapping[str, str], together: int
) -> None:
    """One look at the database serves what arrives together, and no later request. Of two, the task answers one."""
    asked = CASES["current secret"].format(**headers) * together
    before = await exchange(asked, together)
    other = await open_services(settings)
    try:
        client_id = before.partition("X-Client-Id: ")[2].split()[0]
        await other.clients.set_client_enabled(client_id, enabled=False, by=ADMIN)
    finally:
        await other.close()

    assert re.findall(r"HTTP/1.1 (\d+)", before) == ["200"] * together
    assert re.findall(r"HTTP/1.1 (\d+)", await exchange(asked, together)) == ["401"] * together


class FastCaller(asyncio.Transport):
    """Sends its next request as soon as a response is written, before aiohttp's task waits for another one."""

    def __init__(self, server: BoundedServer, requests: Iterable[bytes]) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self._protocol, self._requests = server(), iter(requests)
        self.answers = asyncio.Queue[bytes]()
        self._protocol.connection_made(self)
        self._send()

    def _send(self) -> None:
        if request := next(self._requests, b""):
            self._protocol.data_received(request)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.answers.put_nowait(bytes(data))
        asyncio.get_running_loop().call_soon(self._send)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


async def test_a_request_that_arrives_before_the_task_waits_needs_no_task_either(
    server: BoundedServer, headers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a fast caller's next request would come before the task waits again, and so would all others."""
    in_tasks: list[str] = []
    respond = server._respond

    def note(request: web.BaseRequest) -> Any:
        in_tasks.append(request.path)
        return respond(request)

    monkeypatch.setattr(server, "_respond", note)
    asked = CASES["current secret"].format(**headers).encode()
    caller = FastCaller(server, [asked, b"PUT /verified HTTP/1.1\r\nHost: a\r\n\r\n", asked, asked])

    answers = [await asyncio.wait_for(caller.answers.get(), SECONDS) for _ in range(4)]

    assert [answer.split()[1] for answer in answers] == [b"200", b"404", b"200", b"200"]
    assert in_tasks == ["/verified"]
    caller.close()


async def test_requests_that_arrive_together_are_answered_in_their_order(
    exchange: Callable[..., Any], headers: Mapping[str, str]
) -> None:
    both = await exchange((CASES["no credentials"] + CASES["current secret"]).format(**headers), 2)
    assert re.findall(r"HTTP/1.1 (\d+)", both) == ["401", "200"]


@pytest.mark.parametrize("by_aiohttp", [True, False])
async def test_the_rest_of_an_answer_is_for_the_request_that_began_it(
    server: BoundedServer, exchange: Callable[..., Any], by_aiohttp: bool
) -> None:
    """Each of two requests on one connection has to wait: neither gets the other's answer."""

    def begin(request: Head) -> LaterAnswer | LaterResponse:
        name = request.raw_path.rpartition("/")[2]

        async def make(_request: web.BaseRequest) -> WholeResponse:
            await asyncio.sleep(0)
            return WholeResponse(make_head(HTTPStatus.OK, f"X-Name: {name}"))

        async def answer(again: web.BaseRequest) -> web.StreamResponse:
            return HeadResponse(await make(again))

        return LaterAnswer(answer) if by_aiohttp else LaterResponse(make)

    path = server.fast_path
    assert path is not None
    server.fast_path = path._replace(begin=begin)
    for names in (["a"], ["b"], ["c", "d", "e"], ["f"]):
        asked = "".join(f"GET {VERIFY_PATH}/{name} HTTP/1.1\r\nHost: a\r\n\r\n" for name in names)
        assert re.findall(r"X-Name: (\w)", await exchange(asked, len(names))) == names


async def test_the_last_answer_of_a_connection_says_so(
    server: BoundedServer, runner: BoundedRunner, port: int, headers: Mapping[str, str]
) -> None:
    asked = CASES["current secret"].format(**headers)
    lasting = asked.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    for text, is_draining in ((lasting, False), (asked.replace("1.1", "1.0", 1), False), (asked, True)):
        if is_draining:
            runner.drain()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(text.encode())
        answer = await asyncio.wait_for(reader.read(), SECONDS)
        assert b"200 OK" in answer
        assert b"Connection: close" in answer
        writer.close()
    assert server.is_draining


async def test_a_defect_is_answered_and_logged(
    server: BoundedServer, exchange: Callable[[str], Any], caplog: pytest.LogCaptureFixture
) -> None:
    def begin(_request: Head) -> WholeResponse:
        raise RuntimeError("defect")

    path = server.fast_path
    assert path is not None
    server.fast_path = path._replace(begin=begin)

    answer = await exchange(CASES["no credentials"])

    assert answer.startswith("HTTP/1.1 500 Internal Server Error\r\n")
    assert "unexpected_error" in {record.message for record in caplog.records}


async def test_the_first_use_of_a_secret_is_answered_by_the_connection(
    server: BoundedServer, runner: BoundedRunner, exchange: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await runner.app[SERVICES].clients.create_client("New", by=ADMIN)
    basic = encode_basic_auth(made.client.client_id, made.secret.reveal())
    in_tasks: list[web.BaseRequest] = []
    monkeypatch.setattr(server, "_respond", in_tasks.append)

    answer = await exchange(f"GET /verify HTTP/1.1\r\nHost: a\r\nAuthorization: {basic}\r\n\r\n")

    assert answer.startswith("HTTP/1.1 200 OK\r\n")
    assert f"X-Client-Id: {made.client.client_id}\r\n" in answer
    assert in_tasks == []


async def test_a_connection_that_is_used_stays_open(
    server: BoundedServer, port: int, headers: Mapping[str, str]
) -> None:
    """The time for which it may be idle begins again with each answer."""
    idle = 3.0
    server._kwargs["keepalive_timeout"] = idle
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < idle + 1:
        writer.write(CASES["current secret"].format(**headers).encode())
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.1)
    assert await asyncio.wait_for(reader.read(), SECONDS) == b""
    writer.close()
