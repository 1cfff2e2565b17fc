"""What resolvers share during one request."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import strawberry
from graphql import FieldNode

from gql_secrets.api.graphql.types.usage import SecretUse, UsageBucket
from gql_secrets.domain.access import Caller
from gql_secrets.domain.networks import address_block
from gql_secrets.graphql_server.loading import Loader, loads
from gql_secrets.pauses import make_all
from gql_secrets.service.pages import Page, PageRequest
from gql_secrets.service.usage.queries import Rollover, UnknownAttempts
from gql_secrets.service.usage.sources import RolloverKey, RolloverSources
from gql_secrets.storage.client_rows import ClientRow
from gql_secrets.storage.models import AuditEvent, ClientSecret
from gql_secrets.storage.usage import Totals
from gql_secrets.wiring import Services

K = TypeVar("K")
Row = TypeVar("Row")
Shown = TypeVar("Shown")


class Loaders:
    """Reads that load many rows in one query, cached until something changes. Each loader is made when first used."""

    def __init__(self, services: Services) -> None:
        """Load through these services.

        No loader refers to the request: what it read would be kept until garbage is collected, which then takes long.
        """
        self._queries = services.queries
        self._usage = services.usage_queries
        self._sources = services.source_queries

    @cached_property
    def clients(self) -> Loader[str, ClientRow]:
        """Clients by client id."""
        return Loader(self._queries.find_clients)

    @cached_property
    def allow_lists(self) -> Loader[str, list[str]]:
        """The allow lists of clients, by client id."""
        return Loader(self._queries.allow_lists)

    @cached_property
    def totals(self) -> Loader[int, Totals]:
        """The counts of secrets, by the id of the secret."""
        return Loader(self._usage.totals_of)

    @cached_property
    def uses(self) -> Loader[int, list[SecretUse]]:
        """The sources that used secrets, by the id of the secret."""
        return Loader(_shown(self._usage.uses_of, SecretUse.of))

    @cached_property
    def usage(self) -> Loader[int, list[UsageBucket]]:
        """The uses of secrets by the hour, by the id of the secret."""
        return Loader(_shown(self._usage.usage_of, UsageBucket.of))

    @cached_property
    def secrets(self) -> Loader[tuple[str, PageRequest], Page[ClientSecret]]:
        """The first pages of the secrets of clients, by client id and page."""
        return Loader(self._queries.first_pages_of_secrets)

    @cached_property
    def audit_events(self) -> Loader[tuple[str, PageRequest], Page[AuditEvent]]:
        """The first pages of the audit events of clients, by client id and page."""
        return Loader(self._queries.first_pages_of_audit_events)

    @cached_property
    def rollovers(self) -> Loader[str, Rollover]:
        """The rollovers in progress, by client id."""
        return Loader(self._usage.rollovers_of)

    @cached_property
    def sources(self) -> Loader[RolloverKey, RolloverSources]:
        """The sources of rollovers."""
        return Loader(self._sources.sources_of)

    @cached_property
    def unknown_attempts(self) -> Loader[str, UnknownAttempts]:
        """The attempts with unknown secrets that named clients, by client id."""
        return Loader(self._usage.unknown_attempts_of)


@dataclass(slots=True)
class Context:
    """One request: its caller, its id, and the services that answer it.

    `last_event_ids` are the values of its `Last-Event-ID` headers; `event_id` is that of the event that a subscription
    delivers now.
    """

    services: Services
    caller: Caller
    request_id: str
    last_event_ids: tuple[str, ...] = ()
    event_id: str | None = field(init=False, default=None)
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


def _shown(
    read: Callable[[list[K]], Awaitable[Mapping[K, Sequence[Row]]]], show: Callable[[Row], Shown]
) -> Callable[[list[K]], Awaitable[dict[K, list[Shown]]]]:
    """Return what reads rows and makes the view of each once, however many fields show it."""

    async def read_and_show(keys: list[K]) -> dict[K, list[Shown]]:
        return {key: await make_all(show, rows) for key, rows in (await read(keys)).items()}

    return read_and_show


def loaded_by(loader: Callable[[Loaders], Loader[Any, Any]]) -> Mapping[Any, Any]:
    """Return the metadata of a field that awaits only what this loader has for the key of its object."""

    async def load(context: Context, sources: list[Any], _: Mapping[str, Any]) -> bool:
        await loader(context.loaders).load_all([source.key for source in sources])
        return True

    return loads(load)


Info: TypeAlias = strawberry.Info[Context, Any]


def is_only_field(info: Info) -> bool:
    """Return whether the operation selects this field alone, so that no other field asks together with it."""
    selections = info.operation.selection_set.selections
    return len(selections) == 1 and isinstance(selections[0], FieldNode)
