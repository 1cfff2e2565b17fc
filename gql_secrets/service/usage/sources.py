"""Which sources have moved to the new secret of a rollover: what `domain/sources.py` says of the stored uses."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tortoise.backends.base.client import BaseDBAsyncClient

from gql_secrets.domain.networks import stored_allow_list
from gql_secrets.domain.rotation import SecretState
from gql_secrets.domain.sources import RolloverSource, RolloverSourceState, SeenSource, by_danger, evaluate_unsorted
from gql_secrets.pauses import pause
from gql_secrets.service.queries import Queries
from gql_secrets.service.usage.queries import UsageQueries
from gql_secrets.storage.database import Database
from gql_secrets.storage.models import ClientSecret
from gql_secrets.storage.usage import SecretUse

MAX_ROLLOVER_SOURCES: Final = 100
_LOCKED_OUT: Final = timedelta(days=1)
_ENDED: Final = (SecretState.EXPIRED.value, SecretState.REVOKED.value)


@dataclass(frozen=True, slots=True)
class RolloverKey:
    """A rollover whose sources are asked for."""

    client_id: str
    new_secret_id: int
    old_secret_id: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class RolloverSources:
    """The sources of a rollover, and how many of those that must move have moved."""

    evaluated: list[RolloverSource]
    moved: int
    total: int

    @property
    def sources(self) -> list[RolloverSource]:
        """The sources in the greatest danger. Sorted only here, because most pages show only how many there are."""
        return by_danger(self.evaluated)[:MAX_ROLLOVER_SOURCES]


class SourceQueries:
    """Reads the sources of rollovers; changes nothing."""

    def __init__(self, database: Database, queries: Queries, usage_queries: UsageQueries) -> None:
        self._database = database
        self._queries = queries
        self._usage_queries = usage_queries

    async def sources_of(self, rollovers: Sequence[RolloverKey]) -> dict[RolloverKey, RolloverSources]:
        """Return the sources of each rollover, in a fixed number of queries."""
        now = await self._queries.now()
        client_ids = [rollover.client_id for rollover in rollovers]
        allow_lists = await self._queries.allow_lists(client_ids)
        ended = await self._recently_refused(client_ids, now)
        active = [number for each in rollovers for number in (each.new_secret_id, each.old_secret_id)]
        uses = await self._usage_queries.uses_of([*active, *(number for ids in ended.values() for number in ids)])
        found = {}
        for rollover in rollovers:
            await pause()
            seen = _seen(
                uses.get(rollover.new_secret_id, []),
                uses.get(rollover.old_secret_id, []),
                [use for number in ended.get(rollover.client_id, ()) for use in uses.get(number, [])],
            )
            evaluated = evaluate_unsorted(
                seen,
                allows=stored_allow_list(tuple(allow_lists[rollover.client_id])).allows,
                started_at=rollover.started_at,
                now=now,
            )
            found[rollover] = RolloverSources(
                evaluated,
                sum(each.state is RolloverSourceState.MOVED for each in evaluated),
                sum(each.is_concerned for each in evaluated),
            )
        return found

    async def _recently_refused(self, client_ids: Sequence[str], now: datetime) -> dict[str, list[int]]:
        """Return the ended secrets of each client that were tried in the last day."""

        async def read(connection: BaseDBAsyncClient) -> list[tuple[int, str]]:
            rows = ClientSecret.filter(
                client_id__in=list(client_ids), state__in=_ENDED, last_refused_at__gt=now - _LOCKED_OUT
            ).using_db(connection)
            return [(row.id, row.client_id) for row in await rows]

        ended: dict[str, list[int]] = defaultdict(list)
        for number, client_id in await self._database.read(read):
            ended[client_id].append(number)
        return ended


def _seen(new: list[SecretUse], old: list[SecretUse], ended: list[SecretUse]) -> list[SeenSource]:
    """Join the uses of each source."""
    new_at = {(use.address, use.user_agent): use.last_seen_at for use in new if not use.refused}
    old_at = {(use.address, use.user_agent): use.last_seen_at for use in old if not use.refused}
    refused_at: dict[tuple[str | None, str | None], datetime] = {}
    for use in ended:
        if use.refused:
            key = use.address, use.user_agent
            refused_at[key] = max(use.last_seen_at, refused_at.get(key) or use.last_seen_at)
    return [
        SeenSource(*key, new_at.get(key), old_at.get(key), refused_at.get(key))
        for key in dict.fromkeys((*new_at, *old_at, *refused_at))
    ]
