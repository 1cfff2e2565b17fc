"""No verification that starts after the answer to a revoke accepts the secret, regardless of who revoked it."""

import asyncio
import base64
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from support.callers import ADMIN, DAY, Made
from support.installation import PEPPER
from support.paths import TESTS

from gql_secrets.api.app import build_app
from gql_secrets.api.keys import SERVICES
from gql_secrets.api.web.aiohttp_internals.server import BoundedRunner
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

ROUNDS = 60
OTHER_PROCESS = """
import asyncio, sys
from support.callers import ADMIN
from gql_secrets.wiring import open_services
from gql_secrets.settings import Settings

async def main():
    services = await open_services(Settings.from_environment(), with_owner=False)
    print("ready", flush=True)
    while client_id := (await asyncio.to_thread(sys.stdin.readline)).strip():
        await services.rotation.revoke_old_secret(client_id, by=ADMIN)
        print(client_id, flush=True)
    await services.close()

asyncio.run(main())
"""


class Gateway:
    """One keep-alive connection that asks /verify."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, client: Made) -> None:
        basic = base64.b64encode(f"{client.id}:{client.secret}".encode()).decode()
        self._writer.write(f"GET /verify HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {basic}\r\n\r\n".encode())

    async def status(self) -> int:
        head = await self._reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1])

    async def ask(self, client: Made) -> int:
        self.send(client)
        return await self.status()


class Serving:
    def __init__(self, services: Services, port: int) -> None:
        self.services = services
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> Gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(writer)
        return Gateway(reader, writer)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@pytest.fixture
async def serving(settings: Settings) -> AsyncIterator[Serving]:
    """The server as it runs, in this process."""
    app = build_app(settings)
    runner = BoundedRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one = Serving(app[SERVICES], runner.addresses[0][1])
    yield one
    one.close()
    await runner.cleanup()


@pytest.fixture
async def other_process(settings: Settings, serving: Serving) -> AsyncIterator[Process]:
    del serving
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        OTHER_PROCESS,
        stdin=PIPE,
        stdout=PIPE,
        env={
            "PYTHONPATH": str(TESTS),
            "GQL_SECRETS_DATA_DIR": str(settings.data_dir),
            "GQL_SECRETS_DATABASE_URL": settings.database_url,
            "GQL_SECRETS_PEPPER": PEPPER,
        },
    )
    assert process.stdout
    assert process.stdin
    assert await process.stdout.readline() == b"ready\n"
    yield process
    process.stdin.write_eof()
    await process.wait()


async def begin_rollover(services: Services) -> tuple[Made, Made]:
    """A client in a rollover: its old and its new secret."""
    made = await services.clients.create_client("Shop", by=ADMIN)
    reset = await services.rotation.reset_secret(made.client.client_id, DAY, by=ADMIN)
    client_id = made.client.client_id
    return Made(client_id, made.secret.reveal()), Made(client_id, reset.new_secret.reveal())


async def test_a_revoke_by_another_process_is_seen_by_the_next_verification_under_load(
    serving: Serving, other_process: Process
) -> None:
    assert other_process.stdin
    assert other_process.stdout
    clients = [await begin_rollover(serving.services) for _ in range(ROUNDS)]
    bystander, _ = await begin_rollover(serving.services)
    stop = asyncio.Event()

    async def keep_asking(gateway: Gateway) -> int:
        count = 0
        while not stop.is_set():
            assert await gateway.ask(bystander) == 200
            count += 1
        return count

    async with asyncio.TaskGroup() as load:
        asking = [load.create_task(keep_asking(await serving.connect())) for _ in range(8)]
        with contextlib.ExitStack() as stack:
            stack.callback(stop.set)
            gateways = [await serving.connect() for _ in range(4)]
            for old, new in clients:
                for gateway in gateways:
                    assert await gateway.ask(old) == 200  # it is remembered now
                assert await gateways[0].ask(new) == 200
                other_process.stdin.write(f"{old.id}\n".encode())
                assert await other_process.stdout.readline() == f"{old.id}\n".encode()
                assert await asyncio.gather(*(gateway.ask(old) for gateway in gateways)) == [401] * 4
                assert await gateways[0].ask(new) == 200
    assert min(task.result() for task in asking) > 0


async def test_a_question_that_comes_with_others_is_judged_by_what_is_true_when_it_comes(serving: Serving) -> None:
    """The server asks once whether anything changed for all questions that arrived together, and for no later one."""
    gateways = [await serving.connect() for _ in range(16)]
    for _ in range(20):
        old, new = await begin_rollover(serving.services)
        for gateway in gateways:
            assert [await gateway.ask(old), await gateway.ask(new)] == [200, 200]  # both are remembered now
        for gateway in gateways[:8]:
            gateway.send(new)
        await serving.services.rotation.revoke_old_secret(old.id, by=ADMIN)
        for gateway in gateways:  # eight of them behind a question that was not answered yet
            gateway.send(old)
        assert [await gateway.status() for gateway in gateways[:8]] == [200] * 8
        assert [await gateway.status() for gateway in gateways] == [401] * 16
