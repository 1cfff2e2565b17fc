"""A client of server-sent events, as tests speak it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import ClientResponse

from support.sockets import EVENTS


@asynccontextmanager
async def open_event_stream(api: Any, headers: dict[str, str], query: str = EVENTS) -> AsyncIterator[ClientResponse]:
    accept = {"Accept": "text/event-stream"}
    async with api.post("/graphql", json={"query": query}, headers=headers | accept) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert await read_event(response) is None  # a comment: the stream has begun
        yield response


async def read_event(response: ClientResponse) -> tuple[str, Any] | None:
    """The next event and its data, None for a comment."""
    async with asyncio.timeout(30):
        lines = (await response.content.readuntil(b"\n\n")).decode().strip("\n").split("\n")
    if lines[0].startswith(":"):
        return None
    assert lines[0].startswith("event: ")
    data = lines[1].removeprefix("data:").strip()
    return lines[0].removeprefix("event: "), orjson.loads(data) if data else None


async def read_error_codes(response: ClientResponse) -> list[str]:
    """The codes of the errors in what is left of a stream, up to its `complete`."""
    codes = []
    while (event := await read_event(response)) is None or event[0] != "complete":
        if event is not None:
            codes += [error["extensions"]["code"] for error in event[1].get("errors", ())]
    assert await response.content.read() == b""
    return codes
