"""Who uses which secret, and the advice that follows for a rollover: from stored counts and those not yet written.

Uses that other processes have counted but not written are missing: those of the last `GQL_SECRETS_USAGE_FLUSH` at most.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Final, TypeVar

from gql_secrets.domain.advice import Opinion, RolloverAdvice, advise
from gql_secrets.domain.errors import NoRollover
from gql_secrets.domain.networks import EVERYWHERE, AddressRanges, AllowList, stored_allow_list
from gql_secrets.domain.sources import first_allowed_use
from gql_secrets.pauses import pause
from gql_secrets.service.active_secrets import retained_secret
from gql_secrets.service.changes import ClientChange
from gql_secrets.service.clients import allow_list_of
from gql_secrets.service.queries import Queries
from gql_secrets.service.usage.counter import Usage
from gql_secrets.service.usage.tallies import Source, Tally, total_of
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds, to_microseconds
from gql_secrets.storage.models import ClientSecret
from gql_secrets.storage.rollover_rows import RolloverRow, find_rollovers
from gql_secrets.storage.sightings import SecretSightings, Sightings, find_sightings
from gql_secrets.storage.usage import (
    MAX_SOURCES,
    SecretUse,
    Totals,
    UsageBucket,
    find_buckets,
    find_totals,
    find_unknown_attempts,
    find_uses,
)

T = TypeVar("T")

_NOT_SEEN: Final = SecretSightings()

_ATTEMPTS: Final = 3
_KINDS: Final = (False, True)


@dataclass(frozen=True, slots=True)
class UnknownAttempts:
    """Attempts that named a client with a secret that was never issued."""

    count: int
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class RolloverReads:
    """What was read to advise on a rollover. Its sources need the same.

    Attributes:
        now: the database's clock, before anything else was read.
        allow_list: that of the client.
        new_sightings: those of the new secret, where its first use may have been refused.
    """

    now: datetime
    allow_list: AddressRanges
    new_sightings: SecretSightings | None = None


@dataclass(frozen=True, slots=True)
class Rollover:
    """A rollover in progress, and whether it is safe to revoke the old secret."""

    old_secret: ClientSecret
    new_secret: ClientSecret
    started_at: datetime
    ends_at: datetime
    remaining_seconds: int
    safe_to_revoke: bool
    advice: RolloverAdvice
    reason: str
    reads: RolloverReads


class UsageQueries:
    """Reads the use of secrets; changes nothing. Every query takes many secrets or clients."""

    def __init__(self, database: Database, queries: Queries, usage: Usage, quiet_time: timedelta) -> None:
        """Prepare it; `quiet_time` is how long the old secret must be unused before it is safe to revoke."""
        self._database = database
        self._queries = queries
        self._usage = usage
        self._quiet_time = quiet_time

    async def uses_of(self, secret_ids: Sequence[int]) -> dict[int, list[SecretUse]]:
        """Return each secret's recent sources, the most recent first: at most 50 of uses and 50 of refused attempts."""

        async def read() -> dict[int, list[SecretUse]]:
            stored = _by_secret(await find_uses(self._database, secret_ids))
            uses = {}
            for secret_id in secret_ids:
                await pause()
                uses[secret_id] = self._with_unwritten(secret_id, stored.get(secret_id, []))
            return uses

        return await self._steadily(read)

    async def usage_of(self, secret_ids: Sequence[int]) -> dict[int, list[UsageBucket]]:
        """Return the hours in which each secret was used or refused, the oldest first."""
        now = await self._queries.now()

        async def read() -> dict[int, list[UsageBucket]]:
            stored = await find_buckets(self._database, secret_ids, now)
            usage = {}
            for secret_id in secret_ids:
                await pause()
                usage[secret_id] = self._with_unwritten_hours(secret_id, stored.get(secret_id, []))
            return usage

        return await self._steadily(read)

    async def totals_of(self, secret_ids: Sequence[int]) -> dict[int, Totals]:
        """Return each secret's totals."""

        async def read() -> dict[int, Totals]:
            totals = await find_totals(self._database, secret_ids)
            for secret_id, stored in totals.items():
                totals[secret_id] = stored.plus(
                    used=self._unwritten_total(secret_id, refused=False),
                    refused=self._unwritten_total(secret_id, refused=True),
                )
            return totals

        return await self._steadily(read)

    async def advise_now(self, change: ClientChange) -> Opinion:
        """Return the advice for the rollover of a client that a change has locked, at the instant of the change.

        Raises:
            NoRollover: no secret is retained.
        """
        new, old = change.active.current, change.active.retained
        if old is None:
            raise NoRollover
        first_used_at = new.first_used_at
        if first_used_at and change.client.is_restricted:
            allow_list = AllowList.parse(await allow_list_of(change, change.client))
            stored = (await find_sightings(change.tx, [new.id])).get(new.id, _NOT_SEEN)
            first_used_at = _first_allowed_use(first_used_at, self._all_sightings(new.id, stored), allow_list)
        _, unwritten = self._unwritten_total(old.id, refused=False)
        return advise(
            new_first_used_at=first_used_at,
            old_last_used_at=max((at for at in (old.last_used_at, unwritten) if at), default=None),
            ends_at=old.expires_at,
            quiet_time=self._quiet_time,
            reporting_time=self._usage.longest_wait,
            now=change.now,
        )

    async def rollovers_of(
        self, client_ids: Sequence[str], *, quiet_time: timedelta | None = None
    ) -> dict[str, Rollover]:
        """Return the rollover of each client that has one.

        Args:
            client_ids: which clients.
            quiet_time: instead of the installation's.
        """

        async def read() -> dict[str, Rollover]:
            # The clock is read with the secrets, before their uses: one that comes after it counts against the revoke,
            # never for it.
            rows = await find_rollovers(self._database, client_ids)
            totals = await find_totals(self._database, [row.old.id for row in rows])
            allow_lists = await self._allow_lists_of(rows)
            seen = await self._sightings_that_decide(rows, allow_lists)
            rollovers = {}
            for row in rows:
                await pause()
                reads = RolloverReads(row.now, allow_lists[row.new.id], seen.get(row.new.id))
                used = self._unwritten_total(row.old.id, refused=False)
                rollovers[row.old.client_id] = _rollover_of(
                    row,
                    advise(
                        new_first_used_at=_first_allowed_use(
                            row.new.first_used_at, reads.new_sightings, reads.allow_list
                        ),
                        old_last_used_at=totals[row.old.id].plus(used=used).last_used_at,
                        ends_at=retained_secret(row.old).expires_at,
                        quiet_time=self._quiet_time if quiet_time is None else quiet_time,
                        reporting_time=self._usage.longest_wait,
                        now=row.now,
                    ),
                    reads,
                )
            return rollovers

        return await self._steadily(read)

    async def sightings_of(self, secret_ids: Collection[int]) -> dict[int, SecretSightings]:
        """Return each secret's recent sources as `uses_of` does, with as little as is known of them."""

        async def read() -> dict[int, SecretSightings]:
            stored = await find_sightings(self._database, secret_ids) if secret_ids else {}
            seen = {}
            for secret_id in secret_ids:
                await pause()
                seen[secret_id] = self._all_sightings(secret_id, stored.get(secret_id, _NOT_SEEN))
            return seen

        return await self._steadily(read)

    def _all_sightings(self, secret_id: int, stored: SecretSightings) -> SecretSightings:
        """Return stored sightings with what is not written yet."""
        return SecretSightings(
            *(
                _with_tallies(sightings, [tally for _, tally in self._usage.unwritten(secret_id, refused=refused)])
                for refused, sightings in zip(_KINDS, stored, strict=True)
            )
        )

    async def _allow_lists_of(self, rows: Sequence[RolloverRow]) -> dict[int, AddressRanges]:
        """Return the allow list of each rollover's client, by the id of the new secret."""
        restricted = [row.new.client_id for row in rows if row.is_restricted]
        texts = await self._queries.allow_lists(restricted) if restricted else {}
        allow_lists = {}
        for row in rows:
            await pause()
            allow_lists[row.new.id] = (
                stored_allow_list(tuple(texts[row.new.client_id])) if row.is_restricted else EVERYWHERE
            )
        return allow_lists

    async def _sightings_that_decide(
        self, rows: Sequence[RolloverRow], allow_lists: Mapping[int, AddressRanges]
    ) -> dict[int, SecretSightings]:
        """Return the sightings of those new secrets whose first use the allow list may have refused."""
        return await self.sightings_of(
            [row.new.id for row in rows if row.new.first_used_at and not allow_lists[row.new.id].is_everywhere]
        )

    async def unknown_attempts_of(self, client_ids: Sequence[str]) -> dict[str, UnknownAttempts]:
        """Return how many attempts named each client with a secret that was never issued."""

        async def read() -> dict[str, UnknownAttempts]:
            stored = await find_unknown_attempts(self._database, client_ids)
            attempts = {}
            for client_id in client_ids:
                totals = [stored.get(client_id, (0, None)), *map(total_of, self._usage.unwritten_unknown(client_id))]
                attempts[client_id] = UnknownAttempts(
                    sum(count for count, _ in totals), max((at for _, at in totals if at is not None), default=None)
                )
            return attempts

        return await self._steadily(read)

    async def rollover_of(self, client_id: str, *, quiet_time: timedelta | None = None) -> Rollover | None:
        """Return the client's rollover, or None without one."""
        return (await self.rollovers_of([client_id], quiet_time=quiet_time)).get(client_id)

    async def _steadily(self, read: Callable[[], Awaitable[T]]) -> T:
        """Read while no batch is written, so that each use is counted once: stored, or not yet written."""
        for _ in range(_ATTEMPTS):
            async with self._usage.writing:
                batches = self._usage.batches
            result = await read()
            if self._usage.batches == batches:
                break
        return result

    def _unwritten_total(self, secret_id: int, *, refused: bool) -> tuple[int, datetime | None]:
        totals = [total_of(tally) for _, tally in self._usage.unwritten(secret_id, refused=refused)]
        return sum(count for count, _ in totals), max((last_at for _, last_at in totals), default=None)

    def _with_unwritten_hours(self, secret_id: int, stored: list[UsageBucket]) -> list[UsageBucket]:
        """Return hours, the oldest first, with what is not written yet; `stored` are in this order."""
        unwritten = [
            (refused, hour, tally)
            for refused in _KINDS
            for hour, tally in self._usage.unwritten(secret_id, refused=refused)
        ]
        if not unwritten:
            return stored
        hours = {bucket.starts_at: bucket for bucket in stored}
        for refused, hour, tally in unwritten:
            bucket = hours.get(hour) or UsageBucket(hour, 0, 0)
            count, _ = total_of(tally)
            hours[hour] = UsageBucket(
                hour, bucket.count + (0 if refused else count), bucket.refused + (count if refused else 0)
            )
        return [hours[hour] for hour in sorted(hours)]

    def _with_unwritten(self, secret_id: int, stored: Sequence[SecretUse]) -> list[SecretUse]:
        """Return sources, the most recent first, with what is not written yet; `stored` are in this order."""
        unwritten = [
            (refused, source, seen)
            for refused in _KINDS
            for _, tally in self._usage.unwritten(secret_id, refused=refused)
            for source, seen in tally.items()
            if source is not None
        ]
        if not unwritten and len(stored) <= MAX_SOURCES:
            return list(stored)
        uses = {(Source(use.address, use.user_agent), use.refused): use for use in stored}
        for refused, source, seen in unwritten:
            use = uses.get((source, refused))
            uses[source, refused] = SecretUse(
                source.address,
                source.user_agent,
                use.first_seen_at if use else seen.first_at,
                max(use.last_seen_at, seen.last_at) if use else seen.last_at,
                (use.count if use else 0) + seen.count,
                refused,
            )
        newest = sorted(uses.values(), key=lambda use: use.last_seen_at, reverse=True)
        kept = [[use for use in newest if use.refused is refused][:MAX_SOURCES] for refused in _KINDS]
        return sorted((*kept[0], *kept[1]), key=lambda use: use.last_seen_at, reverse=True)


def _rollover_of(row: RolloverRow, opinion: Opinion, reads: RolloverReads) -> Rollover:
    retained = retained_secret(row.old)
    return Rollover(
        old_secret=row.old,
        new_secret=row.new,
        started_at=retained.replaced_at,
        ends_at=retained.expires_at,
        remaining_seconds=max(0, int((retained.expires_at - row.now).total_seconds())),
        safe_to_revoke=opinion.is_safe_to_revoke,
        advice=opinion.advice,
        reason=opinion.reason,
        reads=reads,
    )


def _first_allowed_use(
    first_used_at: datetime | None, seen: SecretSightings | None, allow_list: AddressRanges
) -> datetime | None:
    """Return when a secret was first used; a use that the allow list refused does not show that it is in use."""
    if first_used_at is None or seen is None:
        return first_used_at
    addresses = [address or None for address, _ in seen.used.sources]
    first = first_allowed_use(
        to_microseconds(first_used_at),
        list(zip(addresses, seen.used.first_seen_at, strict=True)),
        allows=allow_list.allows,
    )
    return None if first is None else from_microseconds(first)


def _with_tallies(stored: Sightings, tallies: Sequence[Tally]) -> Sightings:
    """Return sightings with those of tallies: the most recent ones, as many as are stored of a secret."""
    if not tallies:
        return stored
    first_at, last_at = dict(zip(stored.sources, stored.first_seen_at, strict=True)), stored.last_by_source()
    for tally in tallies:
        for source, seen in tally.items():
            if source is None:
                continue
            key, at = (source.address or "", source.user_agent or ""), to_microseconds(seen.last_at)
            last = last_at.get(key)
            if last is None:
                first_at[key], last_at[key] = to_microseconds(seen.first_at), at
            elif at > last:
                last_at[key] = at
    if len(last_at) > MAX_SOURCES:
        last_at = dict(sorted(last_at.items(), key=itemgetter(1), reverse=True)[:MAX_SOURCES])
        first_at = {key: first_at[key] for key in last_at}
    # Both have the same sources in the same order.
    return Sightings(list(last_at), list(first_at.values()), list(last_at.values()))


def _by_secret(rows: Iterable[tuple[int, T]]) -> dict[int, list[T]]:
    """Return what there is of each secret, in the same order. Ten thousand rows take less than a millisecond."""
    found: dict[int, list[T]] = {}
    for secret_id, each in rows:
        found.setdefault(secret_id, []).append(each)
    return found
