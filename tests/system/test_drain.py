"""A server that is asked to stop goes on while load balancers notice, and then ends everything in an orderly way."""

import asyncio
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientSession, encode_basic_auth
from support.serving import Serving, serving
from support.sockets import EVENTS, PROTOCOL

from gql_secrets.settings import DATABASE_FILE

CREATE = 'mutation { createClient(name: "Shop") { userErrors { code } } }'


async def open_socket(session: ClientSession, url: str, owner: str) -> aiohttp.ClientWebSocketResponse[Any]:
    socket = await session.ws_connect(f"{url}/graphql", protocols=[PROTOCOL])
    await socket.send_json({"type": "connection_init", "payload": {"Authorization": owner}})
    assert (await socket.receive_json())["type"] == "connection_ack"
    return socket


async def open_stream(session: ClientSession, url: str, owner: str) -> aiohttp.ClientResponse:
    headers = {"Authorization": owner, "Accept": "text/event-stream"}
    stream = await session.post(f"{url}/graphql", json={"query": EVENTS}, headers=headers)
    assert await stream.content.readuntil(b"\n\n") == b":\n\n"
    return stream


async def create_client(session: ClientSession, url: str, owner: str) -> aiohttp.ClientResponse:
    return await session.post(f"{url}/graphql", json={"query": CREATE}, headers={"Authorization": owner})


@contextmanager
def write_lock(folder: Path) -> Iterator[sqlite3.Connection]:
    """Hold the database's write lock: a change waits for it."""
    path = folder / ".gql-secrets" / DATABASE_FILE
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


async def until_logged(server: Serving, message: str) -> None:
    async with asyncio.timeout(60):
        while f"message={message}" not in server.stderr:  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.02)


async def test_sigterm_drains_and_then_closes_everything_with_a_reason(tmp_path: Path) -> None:
    with serving(tmp_path, drain_delay="8s") as server:
        for ignored in (signal.SIGHUP, signal.SIGUSR1):
            server.process.send_signal(ignored)
        client_id, _, secret = server.owner.partition(":")
        owner = encode_basic_auth(client_id, secret)
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(ClientSession())
            assert (await session.get(f"{server.url}/readyz")).status == 200
            socket = await open_socket(session, server.url, owner)
            stream = await open_stream(session, server.url, owner)

            server.process.send_signal(signal.SIGTERM)
            await until_logged(server, "draining")
            ready = await session.get(f"{server.url}/readyz")
            assert (ready.status, ready.headers["Connection"]) == (503, "close")
            assert (await session.get(f"{server.url}/livez")).status == 200
            verified = await session.get(f"{server.url}/verify", headers={"Authorization": owner})
            assert (verified.status, verified.headers["Connection"]) == (200, "close")
            assert not socket.closed

            closed = await asyncio.wait_for(socket.receive(), 60)
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1001)
            last = (await asyncio.wait_for(stream.content.read(), 60)).decode()
            assert "The server is shutting down. Subscribe again." in last
            assert 1000 <= int(last.partition("event: complete\ndata: \nretry: ")[2]) <= 5000
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", server.port)
        assert await asyncio.to_thread(server.process.wait, 60) == 0
        assert "Traceback" not in server.stderr


async def test_a_change_that_the_server_has_begun_is_answered_after_everything_is_closed(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        client_id, _, secret = server.owner.partition(":")
        owner = encode_basic_auth(client_id, secret)
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(ClientSession())
            socket = await open_socket(session, server.url, owner)
            lock = stack.enter_context(write_lock(tmp_path))
            change = asyncio.create_task(create_client(session, server.url, owner))
            await until_logged(server, "waiting_for_write_lock")

            server.process.send_signal(signal.SIGTERM)
            closed = await asyncio.wait_for(socket.receive(), 60)
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1001)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", server.port)

            lock.execute("ROLLBACK")
            answer = await asyncio.wait_for(change, 60)
            assert (answer.status, answer.headers["Connection"]) == (200, "close")
            assert (await answer.json())["data"]["createClient"]["userErrors"] == []
        assert await asyncio.to_thread(server.process.wait, 60) == 0
        assert "Traceback" not in server.stderr


async def test_a_second_signal_ends_a_server_that_drains(tmp_path: Path) -> None:
    with serving(tmp_path, drain_delay="5m") as server:
        server.process.send_signal(signal.SIGTERM)
        await until_logged(server, "draining")
        assert await asyncio.to_thread(server.stop) == -signal.SIGTERM
