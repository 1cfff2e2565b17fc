"""Requests that arrived in the same run of the event loop take each step of their answers together."""

import asyncio
from http import HTTPStatus
from typing import Any

import pytest
from aiohttp import web
from support.sockets import until

from gql_secrets.api.web.aiohttp_internals.requests import (
    ArrivedRequest,
    Begin,
    Begun,
    DirectRoute,
    LaterAnswer,
    LaterResponse,
    Steps,
)
from gql_secrets.api.web.aiohttp_internals.responses import WholeResponse, make_head
from gql_secrets.api.web.aiohttp_internals.server import BoundedServer

WHOLE = WholeResponse(make_head(HTTPStatus.OK), body=b"whole")


class Written(asyncio.Transport):
    """The other end of a connection: what was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def write(self, data: Any) -> None:
        self.data += data

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """No answer here reads the database."""
    return sqlite_url


class Asked:
    """Requests of two connections that arrive together, and the steps that were taken for them."""

    def __init__(self, server: BoundedServer) -> None:
        self.server = server
        self.steps: list[str] = []

    async def answers(self, last: Begun | Exception) -> list[bytes]:
        """Answer both, each by three steps, the last one of which returns or raises this."""

        def begin(arrived: ArrivedRequest) -> Steps:
            name = arrived.headers["Name"]
            for number in range(2):
                self.steps.append(f"{name} {number}")
                yield
            self.steps.append(f"{name} 2")
            if isinstance(last, Exception):
                raise last
            return last

        return await self.answers_of(begin)

    async def answers_of(self, begin: Begin) -> list[bytes]:
        """Answer both by this."""
        self.server.direct_route = DirectRoute("/steps", answer_in_task, begin)
        ends = [Written(), Written()]
        connections = [self.server() for _ in ends]
        for connection, end in zip(connections, ends, strict=True):
            connection.connection_made(end)
        for _ in range(3):
            await asyncio.sleep(0)  # aiohttp's tasks wait for requests now
        for name, connection in zip("ab", connections, strict=True):
            connection.data_received(f"GET /steps HTTP/1.1\r\nHost: a\r\nName: {name}\r\n\r\n".encode())
        await until(lambda: all(end.data for end in ends))
        for connection in connections:
            connection.connection_lost(None)
        return [end.data.rpartition(b"\r\n")[2] for end in ends]


async def answer_in_task(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=b"in a task")


async def respond_later(_: web.BaseRequest) -> WholeResponse:
    await asyncio.sleep(0)
    return WHOLE._replace(body=b"later")


@pytest.fixture
def asked(server: BoundedServer) -> Asked:
    return Asked(server)


@pytest.mark.parametrize(
    ("last", "answer"),
    [
        (WHOLE, b"whole"),
        (LaterResponse(respond_later), b"later"),
        (LaterAnswer(answer_in_task), b"in a task"),
        (ValueError("broken"), b"in a task"),
    ],
)
async def test_each_step_is_taken_for_all_requests_before_the_next_one(
    asked: Asked, last: Begun | Exception, answer: bytes
) -> None:
    """The code of one step has room in the processor's caches, that of a whole answer has not."""
    assert await asked.answers(last) == [answer, answer]
    assert asked.steps == ["a 0", "b 0", "a 1", "b 1", "a 2", "b 2"]


async def test_a_request_whose_answer_cannot_be_written_leaves_the_others_theirs(asked: Asked) -> None:
    """Otherwise one defect would leave every request that arrived with it unanswered."""
    unwritable = WHOLE._replace(more="X-Name: \udcff\r\n")

    def begin(arrived: ArrivedRequest) -> Steps:
        yield
        return unwritable if arrived.headers["Name"] == "a" else WHOLE

    assert await asked.answers_of(begin) == [b"in a task", b"whole"]
