"""Who uses which secret: counted in memory, written in batches.

Counting is on the path of every verification, so it costs about a microsecond and awaits nothing. What is counted is
written every few seconds, and when the server stops: a kill -9 loses at most that. The first use of a secret is not
counted here but written before the answer (`service/verification.py`).
"""

import asyncio
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple, Self

from gql_secrets.domain.errors import Conflict
from gql_secrets.storage.database import Database, Transaction
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.usage import BUCKET, MAX_SOURCES, CountedHour, CountedSecret, CountedSource, add_usage

_MAX_USER_AGENT: Final = 256
_MAX_ADDRESS: Final = 64
# A credential that somebody put into a user agent is not for keeping.
_CREDENTIAL: Final = re.compile(r"gqls_\w+|\b(?:basic|bearer)\s+\S+", re.IGNORECASE)
_MIN_WAIT: Final = 1.0
# Uses of other processes are known after this long, unless their flushes fail.
MAX_WAIT: Final = 5.0
_WORK_TO_WAIT: Final = 20  # writing takes at most a twentieth of the time
_PIECE: Final = 1000
# On SQLite each commit empties the cache of every connection, so there are few; on PostgreSQL each row of a
# transaction is locked to its end.
_SQLITE_BATCH: Final = 20_000
_POSTGRES_BATCH: Final = 1000
_MAX_SOURCES_IN_MEMORY: Final = 100_000
_MAX_HOURS: Final = 24
_BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC)


class _Source(NamedTuple):
    address: str | None
    user_agent: str | None


class Source(_Source):
    """Where a credential came from, as the gateway says it: each text cut, one line, and without credentials."""

    __slots__ = ()

    def __new__(cls, address: str | None = None, user_agent: str | None = None) -> "Source":  # noqa: PYI034  a shared one
        """Return the source; the same ones come again and again, so they are one object."""
        return _source(address, user_agent and user_agent[: 2 * _MAX_USER_AGENT])


@lru_cache(maxsize=4096)
def _source(address: str | None, agent: str | None) -> Source:
    agent = _CREDENTIAL.sub("…", agent or "")[:_MAX_USER_AGENT]
    if not agent.isprintable():  # control characters, and lone surrogates that no database takes
        agent = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in agent)
    return tuple.__new__(Source, ((address or "")[:_MAX_ADDRESS] or None, agent or None))


class Seen:
    """Uses from one source."""

    __slots__ = ("count", "first_at", "last_at")

    def __init__(self, now: datetime) -> None:
        self.count = 1
        self.first_at = self.last_at = now


# Uses of one secret within one hour, or refused attempts with it. Under None are those whose source found no room.
Tally = dict[Source | None, Seen]


def _absorb(tally: Tally, other: Tally) -> None:
    for source, seen in other.items():
        mine = tally.get(source) or (tally.get(None) if len(tally) >= MAX_SOURCES else None)
        if mine is not None:
            mine.count += seen.count
            mine.first_at, mine.last_at = min(mine.first_at, seen.first_at), max(mine.last_at, seen.last_at)
        else:
            tally[source if len(tally) < MAX_SOURCES else None] = seen


class Hour:
    """What was counted within one hour: by secret, good uses apart from refused attempts."""

    __slots__ = ("ends_at", "refused", "starts_at", "unknown", "used")

    def __init__(self, starts_at: datetime) -> None:
        self.starts_at = starts_at
        self.ends_at = starts_at + BUCKET if starts_at != _BEFORE_ALL else _BEFORE_ALL
        self.used: dict[int, Tally] = {}
        self.refused: dict[int, Tally] = {}
        self.unknown: dict[int, Tally] = {}

    def absorb(self, other: "Hour") -> None:
        """Add what another one counted."""
        for mine, others in ((self.used, other.used), (self.refused, other.refused)):
            for secret_id, tally in others.items():
                if secret_id in mine:
                    _absorb(mine[secret_id], tally)
                else:
                    mine[secret_id] = tally


class Usage:
    """Counts uses; `flush` writes them.

    Memory is bounded: a tally for each secret that is in the database, at most `MAX_SOURCES` sources of each and
    100,000 in all. A source beyond that is counted in its secret's total alone, until the next flush makes room.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hours: list[Hour] = []
        self._hour = Hour(_BEFORE_ALL)
        self._flushing: list[Hour] = []
        self._sources = 0
        self._batch = _SQLITE_BATCH if database.is_sqlite else _POSTGRES_BATCH
        self._one_flush = asyncio.Lock()
        # Held while a batch is written; `batches` has counted it by then.
        self.writing = asyncio.Lock()
        self.batches = 0

    def used(self, secret_id: int, source: Source, now: datetime) -> None:
        """Count a use of a good secret."""
        hour = self._hour if now < self._hour.ends_at else self._begin_hour(now)
        self._count(hour.used, secret_id, source, now)

    def refused(self, secret_id: int, source: Source, now: datetime) -> None:
        """Count an attempt with a secret that has ended."""
        hour = self._hour if now < self._hour.ends_at else self._begin_hour(now)
        self._count(hour.refused, secret_id, source, now)

    def refused_unknown(self, source: Source, now: datetime) -> None:
        """Do for an attempt that is not counted what `refused` does: the time must not tell which of them it was."""
        hour = self._hour if now < self._hour.ends_at else self._begin_hour(now)
        if hour.unknown and len(hour.unknown[0]) >= MAX_SOURCES:
            hour.unknown.clear()
        self._count(hour.unknown, 0, source, now)

    def unwritten(self, secret_id: int, *, refused: bool) -> Iterator[tuple[datetime, Tally]]:
        """Yield what is counted of a secret and not written: the beginning of an hour, and its tally."""
        for hour in (*self._flushing, *self._hours):
            tally = (hour.refused if refused else hour.used).get(secret_id)
            if tally is not None:
                yield hour.starts_at, tally

    async def flush(self) -> None:
        """Write what was counted. What cannot be written stays counted, for the next flush.

        Raises:
            Unavailable: the database does not answer, or cannot write.
        """
        async with self._one_flush:
            self._flushing, self._hours, self._hour, self._sources = self._hours, [], Hour(_BEFORE_ALL), 0
            try:
                for hour in self._flushing:
                    for refused, tallies in ((False, hour.used), (True, hour.refused)):
                        await self._write(hour.starts_at, tallies, refused=refused)
            finally:
                unwritten, self._flushing = self._flushing, []
                self._put_back(unwritten)

    async def keep_flushing(self) -> float:
        """Flush once; return after how many seconds to do it again: soon while there is little to write."""
        began = time.monotonic()
        await self.flush()
        return min(max(_MIN_WAIT, _WORK_TO_WAIT * (time.monotonic() - began)), MAX_WAIT)

    def _begin_hour(self, now: datetime) -> Hour:
        self._hour = Hour(now.replace(minute=0, second=0, microsecond=0))
        self._hours.append(self._hour)
        return self._hour

    def _count(self, tallies: dict[int, Tally], secret_id: int, source: Source, now: datetime) -> None:
        tally = tallies.get(secret_id)
        if tally is None:
            tally = tallies[secret_id] = {}
        seen = tally.get(source)
        if seen is None:
            self._see(tally, source, now)
            return
        seen.count += 1
        if now > seen.last_at:  # noqa: PLR1730  a call of `max` costs as much as the rest
            seen.last_at = now

    def _see(self, tally: Tally, source: Source, now: datetime) -> None:
        if len(tally) < MAX_SOURCES and self._sources < _MAX_SOURCES_IN_MEMORY:
            self._sources += 1
            tally[source] = Seen(now)
        elif None in tally:
            tally[None].count += 1
            tally[None].last_at = max(tally[None].last_at, now)
        else:
            tally[None] = Seen(now)

    async def _write(self, hour: datetime, tallies: dict[int, Tally], *, refused: bool) -> None:
        """Write the tallies of one hour, and forget what is written."""
        ids = iter(sorted(tallies))
        while batch := list(islice(ids, self._batch)):

            async def work(tx: Transaction) -> None:
                for some in _pieces(batch):
                    rows = _Rows.of(((secret_id, tallies[secret_id]) for secret_id in some), refused=refused)
                    await add_usage(
                        tx, hour, refused=refused, secrets=rows.secrets, hours=rows.hours, sources=rows.sources
                    )

            async with self.writing:
                self.batches += 1
                try:
                    await self._database.run_tx(work)
                except Conflict:  # somebody holds a row of this batch: the others need not wait
                    continue
                for some in _pieces(batch):
                    for secret_id in some:
                        del tallies[secret_id]
                    await asyncio.sleep(0)

    def _put_back(self, hours: Iterable[Hour]) -> None:
        kept = [hour for hour in hours if hour.used or hour.refused]
        if not kept:
            return
        for hour in kept:
            same = next((other for other in self._hours if other.starts_at == hour.starts_at), None)
            if same is not None:
                same.absorb(hour)
            else:
                self._hours.insert(0, hour)
        while len(self._hours) > _MAX_HOURS:  # after a day of failing, precision goes; no count does
            oldest = min(self._hours[:-1], key=lambda hour: hour.starts_at)
            self._hours.remove(oldest)
            self._hours[-1].absorb(oldest)
        self._sources = sum(
            len(tally) for hour in self._hours for tallies in (hour.used, hour.refused) for tally in tallies.values()
        )


def total_of(tally: Tally) -> tuple[int, datetime]:
    """Return how many uses a tally has, and when the last one was."""
    uses = tally.values()
    return sum([seen.count for seen in uses]), max([seen.last_at for seen in uses])


def _pieces(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield what may be gone through without letting others wait."""
    return (ids[start : start + _PIECE] for start in range(0, len(ids), _PIECE))


@dataclass(slots=True)
class _Rows:
    """What is to be written."""

    secrets: list[CountedSecret] = field(default_factory=list)
    hours: list[CountedHour] = field(default_factory=list)
    sources: list[CountedSource] = field(default_factory=list)

    @classmethod
    def of(cls, tallies: Iterable[tuple[int, Tally]], *, refused: bool) -> Self:
        """Return the rows of these secrets' tallies."""
        rows = cls()
        for secret_id, tally in tallies:
            total = latest = elsewhere = 0
            for source, seen in tally.items():
                last_at = to_microseconds(seen.last_at)
                latest = max(latest, last_at)
                total += seen.count
                if source is None:
                    elsewhere = seen.count
                    continue
                first_at = last_at if seen.first_at is seen.last_at else to_microseconds(seen.first_at)
                rows.sources.append(
                    (secret_id, source.address or "", source.user_agent or "", first_at, last_at, seen.count)
                )
            rows.hours.append((secret_id, total))
            if elsewhere or refused:
                rows.secrets.append((secret_id, elsewhere, latest))
        return rows
