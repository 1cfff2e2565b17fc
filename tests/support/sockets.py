"""A client of the protocol graphql-transport-ws, as tests speak it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientWebSocketResponse, WSMsgType, encode_basic_auth
from aiohttp.test_utils import TestClient

from gql_secrets.api.keys import SERVICES
from support.callers import Made

PROTOCOL = "graphql-transport-ws"
# A stream ends within a second of its caller's right; a busy machine may take a little longer to show it.
SECONDS = 30
EVENTS = "subscription { clientEvents { kind at revision clientId secretId actor } }"


@dataclass
class Socket:
    """One open socket."""

    raw: ClientWebSocketResponse[Any]

    async def send(self, message: Any) -> None:
        if isinstance(message, str):
            await self.raw.send_str(message)
        elif isinstance(message, bytes):
            await self.raw.send_bytes(message)
        else:
            await self.raw.send_json(message)

    async def receive(self) -> Any:
        async with asyncio.timeout(SECONDS):
            return await self.raw.receive_json()

    async def initialise(self, as_: Made | None = None) -> None:
        payload = {"payload": {"Authorization": encode_basic_auth(as_.id, as_.secret)}} if as_ else {}
        await self.send({"type": "connection_init", **payload})
        assert await self.receive() == {"type": "connection_ack"}

    async def subscribe(self, query: str = EVENTS, id_: str = "1", **payload: Any) -> None:
        await self.send({"type": "subscribe", "id": id_, "payload": {"query": query, **payload}})

    async def event(self, id_: str = "1") -> dict[str, Any]:
        message = await self.receive()
        assert (message["type"], message["id"]) == ("next", id_), message
        assert "errors" not in message["payload"], message
        event: dict[str, Any] = message["payload"]["data"]["clientEvents"]
        return event

    async def errors(self, id_: str = "1") -> list[dict[str, Any]]:
        message = await self.receive()
        assert (message["type"], message["id"]) == ("error", id_), message
        errors: list[dict[str, Any]] = message["payload"]
        return errors

    async def answer(self, query: str, id_: str = "q", **payload: Any) -> dict[str, Any]:
        """The one answer of a query or a mutation."""
        await self.subscribe(query, id_, **payload)
        message = await self.receive()
        assert (message["type"], message["id"]) == ("next", id_), message
        assert await self.receive() == {"type": "complete", "id": id_}
        content: dict[str, Any] = message["payload"]
        return content

    async def closing(self) -> int | None:
        """The code with which the server closes."""
        async with asyncio.timeout(SECONDS):
            while (await self.raw.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
                pass
        return self.raw.close_code


@asynccontextmanager
async def open_socket(api: TestClient[Any, Any], headers: dict[str, str] | None = None) -> AsyncIterator[Socket]:
    async with api.ws_connect("/graphql", protocols=[PROTOCOL], headers=headers) as raw:
        yield Socket(raw)


async def until(condition: Any) -> None:
    """Wait for what the server does on its own after a message of ours."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110  nobody tells when it is so
            await asyncio.sleep(0.01)


async def wait_for_streams(api: Any, count: int = 1) -> None:
    """Wait for this many streams: the protocol does not report that a subscription has begun."""
    await until(lambda: len(api.app[SERVICES].feed._streams) == count)
