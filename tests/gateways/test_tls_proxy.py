"""A proxy that speaks TLS in front of gql-secrets itself, set up as docs/operations.md says."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import unused_port
from support.serving import serving
from support.sockets import PROTOCOL
from support.tls_proxy import CALLER, INSTALL, NAME, proxy, proxy_program, session_through

EVENTS = {"query": "subscription { clientEvents { kind } }"}


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Somebody who reaches the server through the proxy, signed in as the owner."""
    program = proxy_program()
    if program is None:
        pytest.skip(f"nginx or openssl is not installed here ({INSTALL})")
    port = unused_port()
    listening = ("--port", str(port))
    with (
        serving(tmp_path, *listening, public_url=f"https://{NAME}", trusted_proxies="127.0.0.1") as server,
        proxy(program, tmp_path, port) as public_port,
    ):
        async with session_through(public_port, tmp_path, server.owner) as session:
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
