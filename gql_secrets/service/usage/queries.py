"""Who uses which secret, and the advice that follows for a rollover: from stored counts and those not yet written.

Uses that other processes have counted but not written are missing: as a rule, those of the last five seconds.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from gql_secrets.domain.advice import Opinion, RolloverAdvice, advise
from gql_secrets.domain.errors import NoRollover
from gql_secrets.domain.networks import AllowList, stored_allow_list
from gql_secrets.domain.rotation import SecretState
from gql_secrets.domain.sources import first_allowed_use
from gql_secrets.pauses import pause
from gql_secrets.service.active_secrets import retained_secret
from gql_secrets.service.changes import ClientChange
from gql_secrets.service.clients import allow_list_of
from gql_secrets.service.queries import Queries
from gql_secrets.service.usage.counter import Source, Usage, total_of
from gql_secrets.storage.database import Database
from gql_secrets.storage.models import ClientSecret
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

_ATTEMPTS: Final = 3
_KINDS: Final = (False, True)


@dataclass(frozen=True, slots=True)
class UnknownAttempts:
    """Attempts that named a client with a secret that was never issued."""

    count: int
    last_at: datetime | None


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
            stored = _by_secret(await find_buckets(self._database, secret_ids, now))
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
            uses = [use for _, use in await find_uses(change.tx, [new.id])]
            first_used_at = self._first_allowed_use(new.id, first_used_at, allow_list, uses)
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
            # The clock first: a use that comes after it counts against the revoke, never for it.
            now = await self._queries.now()
            living = (await self._queries.active_secrets(client_ids)).values()
            pairs = [(secrets.get(SecretState.CURRENT), secrets.get(SecretState.RETAINED)) for secrets in living]
            totals = await find_totals(self._database, [old.id for _, old in pairs if old])
            first_uses = await self._first_allowed_uses([new for new, old in pairs if new and old])
            rollovers = {}
            for new, old in pairs:
                if new is None or old is None:
                    continue
                await pause()
                retained = retained_secret(old)
                opinion = advise(
                    new_first_used_at=first_uses[new.id],
                    old_last_used_at=totals[old.id]
                    .plus(used=self._unwritten_total(old.id, refused=False))
                    .last_used_at,
                    ends_at=retained.expires_at,
                    quiet_time=self._quiet_time if quiet_time is None else quiet_time,
                    reporting_time=self._usage.longest_wait,
                    now=now,
                )
                rollovers[old.client_id] = Rollover(
                    old_secret=old,
                    new_secret=new,
                    started_at=retained.replaced_at,
                    ends_at=retained.expires_at,
                    remaining_seconds=max(0, int((retained.expires_at - now).total_seconds())),
                    safe_to_revoke=opinion.is_safe_to_revoke,
                    advice=opinion.advice,
                    reason=opinion.reason,
                )
            return rollovers

        return await self._steadily(read)

    async def _first_allowed_uses(self, secrets: Sequence[ClientSecret]) -> dict[int, datetime | None]:
        """Return when each secret was first used; a use that the allow list refused does not show that it is in use."""
        first_uses = {secret.id: secret.first_used_at for secret in secrets}
        used = [secret for secret in secrets if secret.first_used_at]
        if not used:
            return first_uses
        texts = await self._queries.allow_lists([secret.client_id for secret in used])
        restricted = {}
        for secret in used:
            await pause()
            allow_list = stored_allow_list(tuple(texts[secret.client_id]))
            if not allow_list.is_everywhere:
                restricted[secret.id] = allow_list
        if restricted:
            uses = _by_secret(await find_uses(self._database, list(restricted)))
            for number, allow_list in restricted.items():
                await pause()
                first_uses[number] = self._first_allowed_use(
                    number, first_uses[number], allow_list, uses.get(number, [])
                )
        return first_uses

    def _first_allowed_use(
        self, secret_id: int, first_used_at: datetime | None, allow_list: AllowList, stored: Sequence[SecretUse]
    ) -> datetime | None:
        uses = [use for use in self._with_unwritten(secret_id, stored) if not use.refused]
        return first_allowed_use(
            first_used_at, [(use.address, use.first_seen_at) for use in uses], allows=allow_list.allows
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


def _by_secret(rows: Iterable[tuple[int, T]]) -> dict[int, list[T]]:
    """Return what there is of each secret, in the same order. Ten thousand rows take less than a millisecond."""
    found: dict[int, list[T]] = {}
    for secret_id, each in rows:
        found.setdefault(secret_id, []).append(each)
    return found
