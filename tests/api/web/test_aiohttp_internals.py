"""The private attributes of aiohttp that the server uses are there: a release that renames one fails here first."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import StreamReader, helpers, web
from aiohttp.test_utils import make_mocked_request

from gql_secrets.api.web import aiohttp_internals
from gql_secrets.api.web.aiohttp_internals.connection import Connection
from gql_secrets.api.web.aiohttp_internals.responses import HeadResponse
from gql_secrets.api.web.aiohttp_internals.server import BoundedRunner

USED = {
    web.AppRunner: ("_make_server",),
    web.Server: ("_kwargs", "_loop"),
    web.RequestHandler: (
        "_close",
        "_drain_helper",
        "_force_close",
        "_keepalive_timeout",
        "_loop",
        "_messages",
        "_next_keepalive_close_time",
        "_parser",
        "_paused",
        "_process_keepalive",
        "_reading_paused",
        "_request_count",
        "_request_factory",
        "_task_handler",
        "_waiter",
    ),
    web.Request: ("_match_info", "_payload_writer"),
    web.StreamResponse: ("_eof_sent", "_keep_alive"),
    StreamReader: ("_buffer",),
}
FRAMEWORK = [(kind, name) for kind, names in USED.items() for name in names]


@pytest.fixture
async def objects() -> AsyncIterator[dict[type, object]]:
    runner = BoundedRunner(web.Application())
    await runner.setup()
    server = runner.server
    assert server is not None
    yield {
        web.AppRunner: runner,
        web.Server: server,
        web.RequestHandler: server(),
        web.Request: make_mocked_request("GET", "/"),
        web.StreamResponse: web.StreamResponse(),
        StreamReader: StreamReader(server(), 1, loop=asyncio.get_running_loop()),
    }
    await runner.cleanup()


@pytest.mark.parametrize(("kind", "name"), FRAMEWORK)
async def test_a_private_attribute_is_there(objects: dict[type, object], kind: type, name: str) -> None:
    assert hasattr(objects[kind], name)
    assert isinstance(objects[kind], kind)


def test_the_date_helper_is_there() -> None:
    assert helpers.rfc822_formatted_time().endswith(" GMT")


def test_the_docstring_names_every_private_attribute() -> None:
    documented = set(re.findall(r"`(_[a-z_]+)`", aiohttp_internals.__doc__ or ""))
    documented |= set(re.findall(r"`web\.\w+\.(_[a-z_]+)`", aiohttp_internals.__doc__ or ""))
    assert documented == {name for _, name in FRAMEWORK}


async def test_nothing_is_decompressed_below_the_application(objects: dict[type, object]) -> None:
    server = objects[web.Server]
    assert isinstance(server, web.Server)
    assert server._kwargs["auto_decompress"] is False


async def test_connections_and_responses_are_aiohttps_own(objects: dict[type, object]) -> None:
    assert isinstance(objects[web.RequestHandler], Connection)
    assert issubclass(HeadResponse, web.StreamResponse)
