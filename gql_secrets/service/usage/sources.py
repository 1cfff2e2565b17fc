"""Which sources have moved to the new secret of a rollover: what `domain/sources.py` says of the stored uses."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import Final, TypeAlias

from gql_secrets.domain.networks import AddressRanges, stored_allow_list
from gql_secrets.domain.sources import (
    Bounds,
    RolloverSource,
    SeenSource,
    bounds_of,
    by_danger,
    count_sources,
    evaluate_sources,
    state_of,
)
from gql_secrets.pauses import pause
from gql_secrets.service.queries import Queries
from gql_secrets.service.usage.queries import RolloverReads, UsageQueries
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds, to_microseconds
from gql_secrets.storage.rollover_rows import find_tried_secrets
from gql_secrets.storage.sightings import SecretSightings, Sightings, SourceKey

MAX_ROLLOVER_SOURCES: Final = 100
_LOCKED_OUT: Final = timedelta(days=1)

_SeenAt: TypeAlias = tuple[SourceKey, int | None, int | None, int | None]
"""A source, and when it last used the new and the old secret and tried one that had ended, in microseconds."""


@dataclass(frozen=True, slots=True)
class RolloverKey:
    """A rollover whose sources are asked for; `reads` is what was read of it already, if anything."""

    client_id: str
    new_secret_id: int
    old_secret_id: int
    started_at: datetime
    reads: RolloverReads | None = field(default=None, compare=False)


class RolloverSources:
    """The sources of a rollover, and how many of those that must move have moved.

    Most pages show only how many there are. So they are counted by whole microseconds, and made when they are shown.
    """

    def __init__(self, seen: Sequence[_SeenAt], allow_list: AddressRanges, started_at: datetime, now: datetime) -> None:
        self._seen = seen
        self._allows = allow_list.allows
        self._started_at = started_at
        self._now = now
        bounds = Bounds(*map(to_microseconds, bounds_of(started_at, now)))
        self.moved, self.total = count_sources(
            state_of(address or None, *seen_at, allows=self._allows, bounds=bounds) for (address, _), *seen_at in seen
        )

    @property
    def sources(self) -> list[RolloverSource]:
        """The sources in the greatest danger."""
        seen = [
            SeenSource(address or None, user_agent or None, *map(_instant, seen_at))
            for (address, user_agent), *seen_at in self._seen
        ]
        evaluated = evaluate_sources(seen, allows=self._allows, started_at=self._started_at, now=self._now)
        return by_danger(evaluated)[:MAX_ROLLOVER_SOURCES]


class SourceQueries:
    """Reads the sources of rollovers; changes nothing."""

    def __init__(self, database: Database, queries: Queries, usage_queries: UsageQueries) -> None:
        self._database = database
        self._queries = queries
        self._usage_queries = usage_queries

    async def sources_of(self, rollovers: Sequence[RolloverKey]) -> dict[RolloverKey, RolloverSources]:
        """Return the sources of each rollover, in a fixed number of queries."""
        reads = await self._reads_of(rollovers)
        now = min((known.now for known in reads.values()), default=None)
        if now is None:
            return {}
        ended = await self._recently_refused([each.client_id for each in rollovers], now)
        seen = await self._sightings_of(rollovers, reads, ended)
        found = {}
        for rollover in rollovers:
            await pause()
            known = reads[rollover]
            sources = _seen(
                seen[rollover.new_secret_id].used,
                seen[rollover.old_secret_id].used,
                [seen[number].refused for number in ended.get(rollover.client_id, ())],
            )
            found[rollover] = RolloverSources(sources, known.allow_list, rollover.started_at, known.now)
        return found

    async def _reads_of(self, rollovers: Sequence[RolloverKey]) -> dict[RolloverKey, RolloverReads]:
        """Return what is known of each rollover, after reading that of others."""
        reads = {rollover: rollover.reads for rollover in rollovers if rollover.reads is not None}
        others = [rollover for rollover in rollovers if rollover.reads is None]
        if others:
            now = await self._queries.now()
            texts = await self._queries.allow_lists([rollover.client_id for rollover in others])
            for rollover in others:
                await pause()
                reads[rollover] = RolloverReads(now, stored_allow_list(tuple(texts[rollover.client_id])))
        return reads

    async def _sightings_of(
        self,
        rollovers: Sequence[RolloverKey],
        reads: Mapping[RolloverKey, RolloverReads],
        ended: Mapping[str, Sequence[int]],
    ) -> dict[int, SecretSightings]:
        seen = {
            rollover.new_secret_id: sightings
            for rollover in rollovers
            if (sightings := reads[rollover].new_sightings) is not None
        }
        active = [number for each in rollovers for number in (each.new_secret_id, each.old_secret_id)]
        wanted = [*active, *chain.from_iterable(ended.values())]
        return seen | await self._usage_queries.sightings_of([number for number in wanted if number not in seen])

    async def _recently_refused(self, client_ids: Sequence[str], now: datetime) -> dict[str, list[int]]:
        """Return the ended secrets of each client that were tried in the last day."""
        ended: dict[str, list[int]] = defaultdict(list)
        for number, client_id in await find_tried_secrets(self._database, client_ids, now - _LOCKED_OUT):
            ended[client_id].append(number)
        return ended


def _instant(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_microseconds(microseconds)


def _seen(new: Sightings, old: Sightings, ended: Iterable[Sightings]) -> list[_SeenAt]:
    """Join the sightings of each source."""
    new_at, old_at = new.last_by_source(), old.last_by_source()
    refused_at: dict[SourceKey, int] = {}
    for each in ended:
        for source, at in each.last_by_source().items():
            refused_at[source] = max(at, refused_at.get(source, at))
    return [
        (source, new_at.get(source), old_at.get(source), refused_at.get(source))
        for source in new_at | old_at | refused_at
    ]
