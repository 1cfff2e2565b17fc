"""The database goes away and comes back: trouble is 503, never yes and never no, and nobody restarts anything."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from support.callers import ADMIN, HARD, is_good, verify
from support.installation import MakeClient, OpenNode
from support.stopwatches import measured

from gql_secrets.domain.errors import Unavailable
from gql_secrets.settings import Settings

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)

SOCKET = ".s.PGSQL.5432"


class Link:
    """A unix socket in front of PostgreSQL's, that can be cut (refuses) or turn into a black hole (says nothing)."""

    def __init__(self, target: str, directory: Path) -> None:
        self._target = target
        self._path = str(directory / SOCKET)
        # One for all connections that were made since the last loss.
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.AbstractServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def up(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        self._flows.set()

    async def cut(self) -> None:
        assert self._server
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        Path(self._path).unlink(missing_ok=True)  # noqa: ASYNC240  a socket's name, deleted in no time

    def swallow(self) -> None:
        self._flows.clear()

    def forget_connections(self) -> None:
        """Lose those that are open without a word, as a router does that was restarted; new ones work."""
        self._flows.clear()
        self._flows = asyncio.Event()
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            there, back = await asyncio.open_unix_connection(self._target)
            with contextlib.closing(writer), contextlib.closing(back):
                await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        flows = self._flows
        while data := await source.read(65536):
            await flows.wait()
            sink.write(data)
            await sink.drain()
        sink.close()


@pytest.fixture
async def link(postgres_url: str, data_dir: Path) -> AsyncIterator[Link]:
    link = Link(f"{dict(parse_qsl(urlsplit(postgres_url).query))['host']}/{SOCKET}", data_dir)
    await link.up()
    yield link
    await link.cut()


@pytest.mark.parametrize("trouble", ["cut", "swallow"])
async def test_a_database_that_is_gone_is_503_within_a_second_and_back_within_two(
    trouble: str,
    link: Link,
    settings: Settings,
    data_dir: Path,
    open_node: OpenNode,
    make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
):
    """Never 401, which would make every gateway lock its callers out; never 200."""
    client = await make_client()
    through = settings.database_url.split("?")[0] + f"?host={data_dir}"
    node = await open_node(settings=replace(settings, database_url=through))
    assert await is_good(node, client.id, client.secret)

    # From now on with the limits of a server.
    monkeypatch.setattr("gql_secrets.service.verification._ANSWER_SECONDS", 0.9)
    monkeypatch.setattr("gql_secrets.storage.postgres.lookup._VERIFY_SECONDS", 0.8)
    await link.cut() if trouble == "cut" else link.swallow()
    for secret in (client.secret, "wrong"):
        with measured() as took, pytest.raises(Unavailable):
            await verify(node, client.id, secret)
        assert took.seconds < 4  # a second, and what a busy machine adds

    if trouble == "swallow":
        await link.cut()
    await link.up()
    with measured() as took:
        while took.seconds < 15:  # two seconds, and what a busy machine adds
            with contextlib.suppress(Unavailable):
                assert await is_good(node, client.id, client.secret)
                return
    pytest.fail("it did not recover")


async def test_connections_that_died_silently_cost_no_answer(
    link: Link, settings: Settings, data_dir: Path, open_node: OpenNode, make_client: MakeClient
):
    """GraphQL, health and first uses waited 15 to 62 seconds for an answer on a connection that was no more."""
    clients = [await make_client() for _ in range(2)]
    through = settings.database_url.split("?")[0] + f"?host={data_dir}"
    node = await open_node(settings=replace(settings, database_url=through))
    # Several connections, all idle afterwards.
    await asyncio.gather(*(verify(node, clients[0].id, "wrong") for _ in range(10)))
    await asyncio.sleep(0.5)

    link.forget_connections()
    for question in (
        lambda: node.queries.find_client(clients[0].id),
        lambda: is_good(node, clients[0].id, clients[0].secret),
        node.verifier.check,
        lambda: is_good(node, clients[1].id, clients[1].secret),
        lambda: node.rotation.reset_secret(clients[0].id, HARD, by=ADMIN),
    ):
        with measured() as took:
            await question()
        assert took.seconds < 5  # two seconds, and what a busy machine adds
