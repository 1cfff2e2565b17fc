"""What resolvers share during one request."""

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import strawberry
from strawberry.dataloader import DataLoader

from gql_secrets.domain.access import Caller
from gql_secrets.domain.networks import address_block
from gql_secrets.service.usage.queries import Rollover, UnknownAttempts
from gql_secrets.storage.client_rows import ClientRow
from gql_secrets.storage.usage import SecretUse, Totals, UsageBucket
from gql_secrets.wiring import Services


class Loaders:
    """Reads that load many rows in one query, cached until something changes."""

    def __init__(self, services: Services) -> None:
        """Create the loaders of one request."""
        queries = services.queries

        async def clients(client_ids: list[str]) -> list[ClientRow | None]:
            found = await queries.find_clients(client_ids)
            return [found.get(client_id) for client_id in client_ids]

        async def allow_lists(client_ids: list[str]) -> list[list[str]]:
            found = await queries.allow_lists(client_ids)
            return [found[client_id] for client_id in client_ids]

        async def totals(secret_ids: list[int]) -> list[Totals]:
            found = await services.usage_queries.totals_of(secret_ids)
            return [found[secret_id] for secret_id in secret_ids]

        async def uses(secret_ids: list[int]) -> list[list[SecretUse]]:
            found = await services.usage_queries.uses_of(secret_ids)
            return [found.get(secret_id, []) for secret_id in secret_ids]

        async def usage(secret_ids: list[int]) -> list[list[UsageBucket]]:
            found = await services.usage_queries.usage_of(secret_ids)
            return [found.get(secret_id, []) for secret_id in secret_ids]

        async def rollovers(client_ids: list[str]) -> list[Rollover | None]:
            found = await services.usage_queries.rollovers_of(client_ids)
            return [found.get(client_id) for client_id in client_ids]

        async def unknown_attempts(client_ids: list[str]) -> list[UnknownAttempts]:
            found = await services.usage_queries.unknown_attempts_of(client_ids)
            return [found[client_id] for client_id in client_ids]

        self.clients: DataLoader[str, ClientRow | None] = DataLoader(clients)
        self.totals: DataLoader[int, Totals] = DataLoader(totals)
        self.uses: DataLoader[int, list[SecretUse]] = DataLoader(uses)
        self.usage: DataLoader[int, list[UsageBucket]] = DataLoader(usage)
        self.rollovers: DataLoader[str, Rollover | None] = DataLoader(rollovers)
        self.allow_lists: DataLoader[str, list[str]] = DataLoader(allow_lists)
        self.unknown_attempts: DataLoader[str, UnknownAttempts] = DataLoader(unknown_attempts)


@dataclass(slots=True)
class Context:
    """One request: its caller, its id, and the services that answer it."""

    services: Services
    caller: Caller
    request_id: str
    loaders: Loaders = field(init=False)
    _now: "asyncio.Future[datetime] | None" = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.loaders = Loaders(self.services)

    @property
    def is_anonymous(self) -> bool:
        """Whether the caller is anonymous."""
        return self.caller.is_anonymous

    @property
    def turn_key(self) -> Hashable:
        """Whose operations run one at a time."""
        return turn_key_of(self.caller)

    async def now(self) -> datetime:
        """Return the database's clock, read once per request (and again after a change)."""
        if self._now is None:
            self._now = asyncio.ensure_future(self.services.queries.now())
            # The caller may have disconnected by the time it fails; its result must still be consumed.
            self._now.add_done_callback(lambda now: now.cancelled() or now.exception())
        return await asyncio.shield(self._now)

    def forget(self) -> None:
        """Discard cached reads, because something is about to change."""
        self.loaders = Loaders(self.services)
        self._now = None


def turn_key_of(caller: Caller) -> Hashable:
    """Return whose operations run one at a time: the caller, or an anonymous caller's address (IPv6: its /64)."""
    if not caller.is_anonymous:
        return caller.actor
    return ("address", address_block(caller.address) if caller.address else None)


Info: TypeAlias = strawberry.Info[Context, Any]
