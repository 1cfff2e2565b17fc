"""Nodes in this process that run their membership of a cluster, as servers do."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gql_secrets.service.usage.tallies import Source
from gql_secrets.service.verification import Verdict
from gql_secrets.storage.postgres.membership import Membership
from gql_secrets.wiring import Services
from support.callers import Made

SECONDS = 60
SOURCE = Source("198.51.100.7", "curl/8")


@dataclass(slots=True)
class Node:
    """A node whose membership runs."""

    services: Services
    running: asyncio.Task[None]

    @property
    def membership(self) -> Membership:
        assert self.services.membership is not None
        return self.services.membership

    async def verify_from_memory(self, client: Made) -> Verdict:
        """The verdict from memory, as soon as there is one: it is there while the lease is held."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            verdict = self.services.verifier.verify_nowait(client.id, client.secret, SOURCE)
            if verdict is not None:
                return verdict
            await self.services.verifier.verify(client.id, client.secret, SOURCE)
            await asyncio.sleep(0.01)
        raise AssertionError("the node does not verify from memory")

    async def wait_for_lease(self) -> None:
        deadline = time.monotonic() + SECONDS
        while not self.membership.lease.is_held:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    async def die(self) -> None:
        """Stop polling without leaving, as a process that is killed."""
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.membership._drop_connection()


Join = Callable[..., Awaitable[Node]]


@asynccontextmanager
async def joining(open_node: Callable[..., Awaitable[Services]]) -> AsyncIterator[Join]:
    """Yield a function that opens a node and lets it join; they leave at the end of the block."""
    nodes: list[Node] = []

    async def join(**given: object) -> Node:
        services = await open_node(**given)
        assert services.membership is not None
        node = Node(services, asyncio.create_task(services.membership.run()))
        nodes.append(node)
        await until_joined(node)
        return node

    yield join
    for node in nodes:
        node.membership.stop()
    await asyncio.gather(*(node.running for node in nodes), return_exceptions=True)


async def until_joined(node: Node) -> None:
    deadline = time.monotonic() + SECONDS
    while not await rows_of(node.services, node.membership.id):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def rows_of(services: Services, *ids: str) -> list[dict[str, object]]:
    """The rows of these members, or of all."""
    rows = await services.database.fetch("SELECT * FROM cluster_member")
    return [row for row in rows if not ids or row["id"] in ids]
