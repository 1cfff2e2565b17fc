"""What resolvers share during one request."""

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

import strawberry
from strawberry.dataloader import DataLoader

from gql_secrets.domain.access import Caller
from gql_secrets.domain.networks import address_block
from gql_secrets.service.usage.queries import Rollover, UnknownAttempts
from gql_secrets.service.usage.sources import RolloverKey, RolloverSources
from gql_secrets.storage.client_rows import ClientRow
from gql_secrets.storage.usage import SecretUse, Totals, UsageBucket
from gql_secrets.wiring import Services


class Loaders:
    """Reads that load many rows in one query, cached until something changes. Each loader is made when first used."""

    def __init__(self, services: Services) -> None:
        """Load through these services."""
        self._queries = services.queries
        self._usage = services.usage_queries
        self._sources = services.source_queries

    @cached_property
    def clients(self) -> DataLoader[str, ClientRow | None]:
        """Clients by client id, None for one that does not exist."""

        async def load(client_ids: list[str]) -> list[ClientRow | None]:
            found = await self._queries.find_clients(client_ids)
            return [found.get(client_id) for client_id in client_ids]

        return DataLoader(load)

    @cached_property
    def allow_lists(self) -> DataLoader[str, list[str]]:
        """The allow lists of clients, by client id."""

        async def load(client_ids: list[str]) -> list[list[str]]:
            found = await self._queries.allow_lists(client_ids)
            return [found[client_id] for client_id in client_ids]

        return DataLoader(load)

    @cached_property
    def totals(self) -> DataLoader[int, Totals]:
        """The counts of secrets, by the id of the secret."""

        async def load(secret_ids: list[int]) -> list[Totals]:
            found = await self._usage.totals_of(secret_ids)
            return [found[secret_id] for secret_id in secret_ids]

        return DataLoader(load)

    @cached_property
    def uses(self) -> DataLoader[int, list[SecretUse]]:
        """The sources that used secrets, by the id of the secret."""

        async def load(secret_ids: list[int]) -> list[list[SecretUse]]:
            found = await self._usage.uses_of(secret_ids)
            return [found.get(secret_id, []) for secret_id in secret_ids]

        return DataLoader(load)

    @cached_property
    def usage(self) -> DataLoader[int, list[UsageBucket]]:
        """The uses of secrets by the hour, by the id of the secret."""

        async def load(secret_ids: list[int]) -> list[list[UsageBucket]]:
            found = await self._usage.usage_of(secret_ids)
            return [found.get(secret_id, []) for secret_id in secret_ids]

        return DataLoader(load)

    @cached_property
    def rollovers(self) -> DataLoader[str, Rollover | None]:
        """The rollovers of clients by client id, None without one."""

        async def load(client_ids: list[str]) -> list[Rollover | None]:
            found = await self._usage.rollovers_of(client_ids)
            return [found.get(client_id) for client_id in client_ids]

        return DataLoader(load)

    @cached_property
    def sources(self) -> DataLoader[RolloverKey, RolloverSources]:
        """The sources of rollovers."""

        async def load(rollovers: list[RolloverKey]) -> list[RolloverSources]:
            found = await self._sources.sources_of(rollovers)
            return [found[rollover] for rollover in rollovers]

        return DataLoader(load)

    @cached_property
    def unknown_attempts(self) -> DataLoader[str, UnknownAttempts]:
        """The attempts with unknown secrets that named clients, by client id."""

        async def load(client_ids: list[str]) -> list[UnknownAttempts]:
            found = await self._usage.unknown_attempts_of(client_ids)
            return [found[client_id] for client_id in client_ids]

        return DataLoader(load)


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
