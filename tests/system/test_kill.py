"""A server killed at any instant: every change that it answered is there, and nothing is half."""

import asyncio
import http.client
import json
import random
import signal
import sqlite3
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.audits import check_chain
from support.databases import PostgresServer, temporary_directory
from support.installation import PEPPER
from support.serving import Serving, serving, start

from gql_secrets.service.integrity import find_problems
from gql_secrets.settings import DATABASE_FILE, Settings
from gql_secrets.wiring import Services, open_services

RESET = """mutation($id: ID!, $hours: Int!) { resetSecret(clientId: $id, hoursToLive: $hours, endActiveRollover: true) {
    newSecret client { generation } userErrors { code } } }"""
REVOKE = "mutation($id: ID!) { revokeOldSecret(clientId: $id) { client { generation } userErrors { code } } }"
CREATE = 'mutation { createClient(name: "x") { client { clientId } userErrors { code } } }'
AT_LEAST = 300
WORKERS = 3
HOURS = (0, 1, 24)


@dataclass
class Answered:
    """What the server answered about one client before it died."""

    generation: int = 1
    secrets: dict[int, str] = field(default_factory=dict)


def ask(connection: http.client.HTTPConnection, owner: str, query: str, **variables: object) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables})
    authorization = f"Basic {b64encode(owner.encode()).decode()}"
    connection.request("POST", "/graphql", body, {"Content-Type": "application/json", "Authorization": authorization})
    [payload] = json.loads(connection.getresponse().read())["data"].values()
    assert payload["userErrors"] == []
    return payload


class Load:
    """Workers that change a client each until the server is gone."""

    def __init__(self, server: Serving, owner: str, clients: dict[str, Answered], chance: random.Random) -> None:
        self.count = 0
        self.defects: list[Exception] = []
        self._server, self._owner = server, owner
        self._threads = [
            threading.Thread(target=self._work, args=(client_id, answered, random.Random(chance.random())))  # noqa: S311
            for client_id, answered in clients.items()
        ]

    def run_until(self, count: int) -> None:
        for thread in self._threads:
            thread.start()
        deadline = time.monotonic() + 60
        while self.count < count and time.monotonic() < deadline:
            time.sleep(0.0005)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)
        if self.defects:
            raise self.defects[0]

    def _work(self, client_id: str, answered: Answered, chance: random.Random) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=30)
        try:
            while True:
                if chance.random() < 0.2:
                    payload = ask(connection, self._owner, REVOKE, id=client_id)
                else:
                    payload = ask(connection, self._owner, RESET, id=client_id, hours=chance.choice(HOURS))
                    self.count += 1
                    answered.secrets[payload["client"]["generation"]] = payload["newSecret"]
                answered.generation = payload["client"]["generation"]
        except (OSError, http.client.HTTPException):
            pass  # the server is gone
        except Exception as defect:  # noqa: BLE001  reported by `join`
            self.defects.append(defect)
        finally:
            connection.close()


async def check(settings: Settings, clients: dict[str, Answered]) -> None:
    services = await open_services(settings)
    try:
        assert await find_problems(services.database) == []
        events = await check_chain(services)
        for client_id, answered in clients.items():
            client = await services.queries.find_client(client_id)
            assert client is not None
            # Of one worker at most one change was under way.
            assert client.generation - answered.generation in (0, 1)
            of_client = [event for event in events if event.client_id == client_id]
            assert [event.generation_after for event in of_client] == list(range(1, client.generation + 1))
            await check_secrets(services, client_id, answered, client.generation)
            answered.generation = client.generation
    finally:
        await services.close()


async def check_secrets(services: Services, client_id: str, answered: Answered, generation: int) -> None:
    rows = await services.database.fetch("SELECT digest, state FROM client_secret WHERE client_id = ?", [client_id])
    states = {bytes(row["digest"]): row["state"] for row in rows}
    assert list(states.values()).count("CURRENT") == 1
    assert list(states.values()).count("RETAINED") <= 1
    [key] = services.changes.pepper.keys
    for secret in answered.secrets.values():
        assert key.digest(client_id, secret) in states, "an answered secret is lost"
    if answered.secrets and (last := max(answered.secrets)) == generation:
        assert states[key.digest(client_id, answered.secrets[last])] == "CURRENT"


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_directory() as directory:
        yield Path(directory)


def kill_again_and_again(folder: Path, rounds: int, at_least: int, seed: int, **settings: str) -> None:
    chance = random.Random(seed)  # noqa: S311
    opened = Settings(data_dir=folder / ".gql-secrets", pepper=PEPPER, database_url=settings.get("database_url", ""))
    clients: dict[str, Answered] = {}
    owner, total = "", 0
    for _ in range(rounds):
        with serving(folder, pepper=PEPPER, rate_limits="off", log_level="WARNING", **settings) as server:
            if not owner:
                owner = server.owner
                with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
                    made = [ask(connection, owner, CREATE) for _ in range(WORKERS)]
                clients = {each["client"]["clientId"]: Answered() for each in made}
            load = Load(server, owner, clients, chance)
            load.run_until(chance.randint(at_least // rounds, 2 * at_least // rounds))
            time.sleep(chance.random() * 0.01)
            assert server.stop(signal.SIGKILL) == -signal.SIGKILL, server.stderr
            load.join()
            total += load.count
        asyncio.run(check(opened, clients))
    assert total >= at_least


def test_what_was_answered_survives_kill_9_at_any_instant_on_sqlite(folder: Path) -> None:
    kill_again_and_again(folder, rounds=8, at_least=AT_LEAST, seed=1)
    with closing(sqlite3.connect(folder / ".gql-secrets" / DATABASE_FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_was_answered_survives_kill_9_of_a_node_on_postgres(folder: Path, postgres_server: PostgresServer) -> None:
    url = postgres_server.create()
    try:
        kill_again_and_again(folder, rounds=3, at_least=60, seed=2, database_url=url)
    finally:
        postgres_server.drop(url)


def test_a_first_start_that_is_killed_can_be_started_again(folder: Path) -> None:
    """Pepper, tables, owner: the next start makes what a killed one left out."""
    chance = random.Random(3)  # noqa: S311
    for _ in range(4):
        process = start(folder, "--port", "0")
        data = folder / ".gql-secrets"
        deadline = time.monotonic() + 30
        while not data.exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(chance.random() * 0.4)
        process.kill()
        process.wait()
    with serving(folder) as server:
        assert "listens on" in server.stderr
    settings = Settings(data_dir=folder / ".gql-secrets")

    async def look() -> None:
        services = await open_services(settings)
        try:
            assert await find_problems(services.database) == []
            owners = await services.database.fetch("SELECT client_id FROM client_feature WHERE feature = 'owner'")
            assert owners
        finally:
            await services.close()

    asyncio.run(look())
