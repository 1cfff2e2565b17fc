"""The pepper is changed from one key to another, as docs/operations.md says, while secrets are verified and reset."""

import asyncio
import base64
import contextlib
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest
from support.callers import ADMIN, CLI, DAY
from support.installation import PEPPER

from gql_secrets.domain.errors import Unavailable
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.service.pepper_migration import begin_migration
from gql_secrets.service.pepper_status import clients_of_older_keys, key_statuses
from gql_secrets.service.usage.tallies import Source
from gql_secrets.service.verification import Accepted
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services, background, open_services

NEW = "k2:" + base64.urlsafe_b64encode(hashlib.sha256(b"second key of the tests").digest()).decode().rstrip("=")
SECONDS = 120


class Node:
    """A node that verifies every valid secret again and again, also right after a restart with another pepper."""

    def __init__(self, settings: Settings, valid: list[tuple[str, str]]) -> None:
        self.services: Services
        self.refused: list[object] = []
        self.rounds = 0
        self._settings = settings
        self._valid = valid
        self._pepper = PEPPER
        self._running = contextlib.AsyncExitStack()
        self._verifying: asyncio.Task[None]

    async def start(self, pepper: str) -> None:
        self.services = await open_services(replace(self._settings, pepper=pepper))
        self._running.push_async_callback(self.services.close)
        await self._running.enter_async_context(background(self.services))
        self._verifying = asyncio.create_task(self._keep_verifying())

    async def stop(self) -> None:
        self._is_stopping = True
        await self._verifying
        await self._running.aclose()

    async def _keep_verifying(self) -> None:
        self._is_stopping = False
        while not self._is_stopping:
            for client_id, secret in list(self._valid):
                with contextlib.suppress(Unavailable):  # a busy machine
                    verdict = await self.services.verifier.verify(client_id, secret, Source("192.0.2.1"))
                    if not isinstance(verdict, Accepted):
                        self.refused.append((self.services.changes.pepper.key_ids, verdict))
            self.rounds += 1
            await asyncio.sleep(0.001)


@dataclass
class Installation:
    nodes: list[Node]
    valid: list[tuple[str, str]] = field(default_factory=list)

    async def change(self, node: Node) -> None:
        """Create a client, and reset the one before: its old secret is valid too."""
        made = await node.services.clients.create_client("Shop", by=ADMIN)
        if len(self.valid) > 1:
            client_id = self.valid[-1][0]
            reset = await node.services.rotation.reset_secret(client_id, DAY, by=ADMIN)
            self.valid.append((client_id, reset.new_secret.reveal()))
        self.valid.append((made.client.client_id, made.secret.reveal()))
        await self.verify_all()

    async def restart(self, pepper: str) -> None:
        """Restart one node after the other with this pepper; secrets are changed between the restarts."""
        for node in self.nodes:
            await node.stop()
            await node.start(pepper)
            for each in self.nodes:
                await self.change(each)

    async def verify_all(self) -> None:
        """Wait until every node has verified every secret."""
        before = [node.rounds for node in self.nodes]
        await until(lambda: all(node.rounds >= rounds + 2 for node, rounds in zip(self.nodes, before, strict=True)))


async def until(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_done():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


@pytest.fixture
async def installation(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Installation]:
    monkeypatch.setattr("gql_secrets.storage.postgres.membership._LEAVE_SECONDS", 60.0)
    if settings.database_url.startswith("postgres"):
        settings = replace(settings, verify_from="memory")
    valid: list[tuple[str, str]] = []
    nodes = [Node(settings, valid) for _ in range(2)]
    for node in nodes:
        await node.start(PEPPER)
    owner = nodes[0].services.first_owner
    assert owner is not None
    valid.append((owner.client.client_id, owner.secret.reveal()))
    yield Installation(nodes, valid)
    for node in nodes:
        await node.stop()


async def test_no_valid_secret_is_refused_while_the_pepper_is_changed(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = installation.nodes
    for node in nodes:
        await installation.change(node)
    await installation.restart(f"{PEPPER},{NEW}")
    await installation.restart(f"{NEW},{PEPPER}")

    services = nodes[0].services
    await begin_migration(services.changes, by=CLI)
    for _ in range(SECONDS):
        for node in nodes:
            await node.services.usage.flush()
        if not await clients_of_older_keys(services.database, services.changes.pepper, 1):
            break
        await installation.verify_all()
    old, new = await key_statuses(services.database, services.changes.pepper)
    assert (old.active_secrets, old.may_be_removed) == (0, True)
    assert new.active_secrets == len(installation.valid)

    await installation.restart(NEW)
    assert [node.refused for node in nodes] == [[], []]
    assert (await AuditLog(nodes[0].services.database, nodes[0].services.changes.pepper).verify()).problem is None
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
