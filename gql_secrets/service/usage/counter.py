"""Who uses which secret: counted in memory, written in batches.

Counting is on the path of every verification, so it costs about a microsecond and awaits nothing. Counts are written
after a second where there are few, after up to `GQL_SECRETS_USAGE_FLUSH` where there are many, earlier where memory
fills up, and when the server stops: a kill -9 loses no more than that. The first use of a secret is not counted here
but written before the answer (`service/verification.py`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Final

from gql_secrets.domain.credentials import is_client_id
from gql_secrets.domain.errors import Conflict
from gql_secrets.service.usage.rows import CountedRows
from gql_secrets.service.usage.tallies import (
    BEFORE_ALL,
    Counted,
    Hour,
    K,
    Source,
    SourceCount,
    Tally,
    absorb,
    tally_of,
    total_of,
)
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.listing import LISTED_FOR, LastUse, list_last_uses
from gql_secrets.storage.transaction import Transaction
from gql_secrets.storage.usage import (
    MAX_SOURCES,
    add_unknown_attempts,
    add_usage,
)

_MIN_WAIT: Final = timedelta(seconds=1)
_WORK_TO_WAIT: Final = 20  # writing takes at most a twentieth of the time
# Each row costs PostgreSQL some 90 bytes of WAL (tests/benchmarks/usage_wal.py), and a secret's next uses cost no more
# when they are written together with these.
_SECRETS_PER_SECOND: Final = 100
# How many secrets are processed before others get their turn on the event loop.
_PIECE: Final = 1000
# Of sources that are the first ones of their secrets; of all others, half as many: each takes twice the memory.
_MAX_SOURCES_IN_MEMORY: Final = 180_000
# How many are written without waiting for more, and likewise half as many. The more secrets are written together, the
# more of them share a page of the database. A use that finds no room costs several times as much to write.
_SOURCES_TO_WRITE: Final = 160_000
_MAX_HOURS: Final = 24
MAX_UNKNOWN_CLIENTS: Final = 10_000
_MAX_CLIENT_ID: Final = 129  # one character more than a client id has: what is longer names no client
_OTHER_CLIENTS: Final = ""


# Attempts with unknown secrets keep no source, but the same work is done for them.
_NO_SOURCE: Final = Source()


class Usage:
    """Counts uses; `flush` writes them.

    Memory is bounded: a tally for each secret in the database, at most `MAX_SOURCES` sources of each, and in all
    180,000 that are the first ones of their secrets and 90,000 others. A use from a source beyond that is counted in
    its secret's total alone, until the next flush makes room. Of the client ids that attempts with unknown secrets
    name, `MAX_UNKNOWN_CLIENTS` are kept, whether they exist or not.
    """

    def __init__(self, database: Database, longest_wait: timedelta) -> None:
        """Count for a database; after `longest_wait` other processes know the counts, unless the flushes fail."""
        self._database = database
        self.longest_wait = longest_wait
        self._hours: list[Hour] = []
        self._hour = Hour(BEFORE_ALL)
        self._flushing: list[Hour] = []
        # When the first of what is not being written yet was counted, by `time.monotonic`.
        self._counting_since = 0.0
        self._last_work = timedelta(0)
        self._first_sources = self._other_sources = 0
        # Set when there is hardly room for more sources, until the next flush.
        self.fills_up = asyncio.Event()
        # Whether it may be set: after a flush that left something, nothing is gained by hurrying.
        self._may_hurry = True
        # The last use of each secret that was listed in the last hour, in microseconds.
        self._listed: dict[int, int] = {}
        self._unknown: dict[str, Counted] = {}
        self._flushing_unknown: dict[str, Counted] = {}
        self._batch = database.dialect.usage_batch
        self._flush_lock = asyncio.Lock()
        # Written with the counts, after them.
        self.also_flushed: list[Callable[[], Awaitable[None]]] = []
        # Held while a batch is written. `batches` counts it before that.
        self.writing = asyncio.Lock()
        self.batches = 0

    def used(self, secret_id: int, source: Source, now: datetime) -> None:
        """Count a use of a valid secret."""
        hour = self._hour if now < self._hour.ends_at else self._begin_hour(now)
        self._count(hour.used, secret_id, source, now)

    def refused(self, secret_id: int, source: Source, now: datetime) -> None:
        """Count an attempt with a secret that has ended, or whose client is disabled."""
        hour = self._hour if now < self._hour.ends_at else self._begin_hour(now)
        self._count(hour.refused, secret_id, source, now)

    def refused_unknown(self, client_id: str, now: datetime) -> None:
        """Count an attempt with a secret that was never issued, by the client id that it names.

        This does the same work as `refused`, whether the client exists or not: the time must not reveal it.
        """
        if now >= self._hour.ends_at:
            self._begin_hour(now)
        unknown = self._unknown
        client_id = client_id[:_MAX_CLIENT_ID]
        if client_id not in unknown and len(unknown) >= MAX_UNKNOWN_CLIENTS:
            client_id = _OTHER_CLIENTS
        self._count(unknown, client_id, _NO_SOURCE, now)

    def unwritten(self, secret_id: int, *, refused: bool) -> Iterator[tuple[datetime, Tally]]:
        """Yield the counts of a secret that are not written yet: the beginning of an hour, and its tally."""
        for hour in (*self._flushing, *self._hours):
            counted = (hour.refused if refused else hour.used).get(secret_id)
            if counted is not None:
                yield hour.starts_at, tally_of(counted)

    def unwritten_unknown(self, client_id: str) -> Iterator[Tally]:
        """Yield the counts of attempts that named this client with an unknown secret and are not written yet."""
        for tallies in (self._flushing_unknown, self._unknown):
            if client_id in tallies:
                yield tally_of(tallies[client_id])

    async def flush(self) -> None:
        """Write the counts. What cannot be written is kept for the next flush.

        Raises:
            Unavailable: the database does not answer, or cannot write.
        """
        async with self._flush_lock:
            self._flushing, self._hours, self._hour = self._hours, [], Hour(BEFORE_ALL)
            self._first_sources = self._other_sources = 0
            self._flushing_unknown, self._unknown = self._unknown, {}
            self.fills_up.clear()
            try:
                for hour in self._flushing:
                    for refused, tallies in ((False, hour.used), (True, hour.refused)):
                        await self._write(hour.starts_at, tallies, refused=refused)
                await self._write_unknown(self._flushing_unknown)
            finally:
                unwritten, self._flushing = self._flushing, []
                self._may_hurry = not any(hour.used or hour.refused for hour in unwritten)
                unwritten_unknown, self._flushing_unknown = self._flushing_unknown, {}
                self._put_back(unwritten)
                self._put_back_unknown(unwritten_unknown)
            for write in self.also_flushed:
                await write()

    async def keep_flushing(self) -> float:
        """Flush, unless more is to be counted first; return after how many seconds to look again.

        What decides is how much was counted since the last flush, not how much that one wrote: a few uses at the
        beginning of a busy time would change nearly as many pages of the database as all that follow.
        """
        if (seconds := self._seconds_to_wait()) > 0:
            return seconds
        began, since = time.monotonic(), self._counting_since
        try:
            await self.flush()
        except BaseException:
            self._counting_since = since  # what could not be written is due
            raise
        self._last_work = timedelta(seconds=time.monotonic() - began)
        return _MIN_WAIT.total_seconds()

    def _seconds_to_wait(self) -> float:
        """Return for how many more seconds to count, from what is counted now: more may follow until then."""
        if not self._hours or self.fills_up.is_set():
            return 0.0
        secrets = sum(len(hour.used) + len(hour.refused) for hour in self._hours)
        counted_for = timedelta(seconds=time.monotonic() - self._counting_since)
        return (self.wait_after(secrets, self._last_work) - counted_for).total_seconds()

    def wait_after(self, secrets: int, work: timedelta) -> timedelta:
        """Return how long to count from the first use on, if so much is counted and the last flush took `work`."""
        pause = max(_MIN_WAIT, secrets * timedelta(seconds=1) / _SECRETS_PER_SECOND, _WORK_TO_WAIT * work)
        return min(pause, self.longest_wait)

    def _begin_hour(self, now: datetime) -> Hour:
        if not self._hours:
            self._counting_since = time.monotonic()
        self._hour = Hour(now.replace(minute=0, second=0, microsecond=0))
        self._hours.append(self._hour)
        return self._hour

    def _count(self, tallies: dict[K, Counted], key: K, source: Source, now: datetime) -> None:
        counted = tallies.get(key)
        if counted is None:
            tallies[key] = source if self._take_room_for_first() else None, now
            return
        if isinstance(counted, tuple):
            counted = tallies[key] = tally_of(counted)
        tally = counted
        seen = tally.get(source)
        if seen is None:
            self._see(tally, source, now)
            return
        seen.count += 1
        if now > seen.last_at:  # noqa: PLR1730  a call of `max` costs as much as the rest
            seen.last_at = now

    def _see(self, tally: Tally, source: Source, now: datetime) -> None:
        if len(tally) < MAX_SOURCES and self._take_room_for_other():
            tally[source] = SourceCount(now)
        elif None in tally:
            tally[None].count += 1
            tally[None].last_at = max(tally[None].last_at, now)
        else:
            tally[None] = SourceCount(now)

    def _take_room_for_first(self) -> bool:
        """Return whether there is room for the first source of a secret, which has it then."""
        if self._first_sources >= _MAX_SOURCES_IN_MEMORY:
            return False
        self._first_sources += 1
        if self._first_sources >= _SOURCES_TO_WRITE:
            self._hurry()
        return True

    def _take_room_for_other(self) -> bool:
        """Return whether there is room for one more source of a secret, which has it then."""
        if self._other_sources >= _MAX_SOURCES_IN_MEMORY // 2:
            return False
        self._other_sources += 1
        if self._other_sources >= _SOURCES_TO_WRITE // 2:
            self._hurry()
        return True

    def _hurry(self) -> None:
        if self._may_hurry:
            self._may_hurry = False
            self.fills_up.set()

    async def _write(self, hour: datetime, tallies: dict[int, Counted], *, refused: bool) -> None:
        """Write the counts of one hour, and forget what is written."""
        due: list[LastUse] = []
        ids = iter(sorted(tallies))
        while batch := list(islice(ids, self._batch)):

            async def work(tx: Transaction) -> list[LastUse]:
                unlisted: list[LastUse] = []
                for some in _pieces(batch):
                    rows = CountedRows(self._listed, refused=refused)
                    rows.add_all(some, tallies)
                    await add_usage(
                        tx, hour, refused=refused, secrets=rows.secrets, hours=rows.hours, sources=rows.sources
                    )
                    unlisted += rows.unlisted
                return unlisted

            async with self.writing:
                self.batches += 1
                try:
                    unlisted = await self._database.run_tx(work)
                except Conflict:  # another transaction holds a row of this batch: the other batches need not wait
                    continue
                for some in _pieces(batch):
                    for secret_id in some:
                        del tallies[secret_id]
                    await asyncio.sleep(0)
            due += unlisted
        if due:
            await self._list(due)

    async def _list(self, uses: Sequence[LastUse]) -> None:
        """Write the last uses that lists sort by, in a transaction that holds no lock which a change waits for."""
        latest = max(last_at for _, last_at in uses)
        self._listed = {secret_id: at for secret_id, at in self._listed.items() if at > latest - LISTED_FOR}
        for start in range(0, len(uses), self._batch):
            some = uses[start : start + self._batch]
            try:
                self._listed.update(await self._database.run_tx(partial(list_last_uses, uses=some)))
            except Conflict:  # the next use is listed instead
                continue

    async def _write_unknown(self, tallies: dict[str, Counted]) -> None:
        """Write the attempts with unknown secrets that name a client, and forget all of them."""
        named = [
            (client_id, count, to_microseconds(last_at))
            for client_id in sorted(filter(is_client_id, tallies))
            for count, last_at in [total_of(tally_of(tallies[client_id]))]
        ]
        if named:
            async with self.writing:
                self.batches += 1
                try:
                    await self._database.run_tx(lambda tx: add_unknown_attempts(tx, named))
                except Conflict:
                    return
        tallies.clear()

    def _put_back_unknown(self, tallies: dict[str, Counted]) -> None:
        for client_id, counted in tallies.items():
            if client_id in self._unknown or len(self._unknown) < MAX_UNKNOWN_CLIENTS:
                absorb(self._unknown, client_id, counted)

    def _put_back(self, hours: Iterable[Hour]) -> None:
        kept = [hour for hour in hours if hour.used or hour.refused]
        if not kept:
            return
        for hour in reversed(kept):  # in their order, before the hour that is being counted
            same = next((other for other in self._hours if other.starts_at == hour.starts_at), None)
            if same is not None:
                same.absorb(hour)
            else:
                self._hours.insert(0, hour)
        while len(self._hours) > _MAX_HOURS:  # after a day of failures the hours get coarser; no count is lost
            oldest = min(self._hours[:-1], key=lambda hour: hour.starts_at)
            self._hours.remove(oldest)
            self._hours[-1].absorb(oldest)
        counted = [each for hour in self._hours for tallies in (hour.used, hour.refused) for each in tallies.values()]
        self._first_sources = len(counted)
        self._other_sources = sum(len(each) - 1 for each in counted if isinstance(each, dict))


def _pieces(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield the pieces that may be processed without making others wait."""
    return (ids[start : start + _PIECE] for start in range(0, len(ids), _PIECE))
