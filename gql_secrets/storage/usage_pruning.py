"""Deletes usage that is no longer needed or may no longer be kept, a few thousand rows at a time.

Hours serve the chart of a rollover. Sources are addresses and user agents of callers, which are personal data: after
`GQL_SECRETS_SOURCE_RETENTION` only their counts and the instant of the last use remain.
"""

from datetime import datetime, timedelta
from typing import Final

from gql_secrets.domain.errors import Conflict
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.transaction import Transaction
from gql_secrets.storage.urgency import waiting_briefly
from gql_secrets.storage.usage import BUCKET, MAX_KEPT, CountedSecret, add_totals

_MIN_KEPT: Final = 24 * BUCKET
_BATCH: Final = 5000
# Sources have no index by time, which each use would have to update. So all of them are read now and then.
_READ_SOURCES_EVERY: Final = timedelta(hours=6)
_SECRETS: Final = 1000
_BEFORE_ALL: Final = -1

_OLDEST_SOURCES: Final = """
    SELECT secret_id, min(last_seen_at) AS oldest FROM secret_use WHERE secret_id > ?
    GROUP BY secret_id ORDER BY secret_id LIMIT ?
"""
_DROP_SOURCES: Final = """
    DELETE FROM secret_use WHERE secret_id > ? AND secret_id <= ? AND last_seen_at < ?
    RETURNING secret_id, refused, count, last_seen_at
"""


class Pruning:
    """Prunes one database; what it has looked at already is remembered in memory only."""

    def __init__(self, database: Database, source_retention: timedelta) -> None:
        self._database = database
        self._source_retention = source_retention
        self._looked_at_until = (0, 0)
        self._sources_read_at: datetime | None = None
        # Ranges of secrets with old sources, that a lock kept: after which secret, and until which one.
        self._locked: list[tuple[int, int]] = []

    async def prune_hours(self, now: datetime) -> None:
        """Delete hours older than 192, and hours older than a day of clients without a reset in the last 192.

        The next run skips the hours that this one kept, until they are older than 192.
        """
        oldest, yesterday = to_microseconds(now - MAX_KEPT), to_microseconds(now - _MIN_KEPT)
        while await self._delete(
            """
            DELETE FROM secret_usage_hour WHERE (starts_at, secret_id) IN (
                SELECT starts_at, secret_id FROM secret_usage_hour WHERE starts_at < ? ORDER BY starts_at LIMIT ?
            )
            """,
            oldest - _microseconds(BUCKET),
            _BATCH,
        ):
            pass
        while keys := await self._database.fetch(
            """
            SELECT starts_at, secret_id FROM secret_usage_hour WHERE (starts_at, secret_id) > (?, ?) AND starts_at < ?
            ORDER BY starts_at, secret_id LIMIT ?
            """,
            [*self._looked_at_until, yesterday - _microseconds(BUCKET), _BATCH],
        ):
            until = (keys[-1]["starts_at"], keys[-1]["secret_id"])
            await self._delete(
                """
                DELETE FROM secret_usage_hour WHERE (starts_at, secret_id) > (?, ?) AND (starts_at, secret_id) <= (?, ?)
                AND NOT EXISTS (
                    SELECT 1 FROM client_secret s JOIN client_secret other ON other.client_id = s.client_id
                    WHERE s.id = secret_usage_hour.secret_id AND other.replaced_at > ?
                )
                """,
                *self._looked_at_until,
                *until,
                oldest,
            )
            self._looked_at_until = until

    async def prune_sources(self, now: datetime) -> None:
        """Delete the sources that were last seen before the retention time, but keep their counts in the totals.

        Where a change, or another session, holds a secret, the sources of the others are deleted, and its own in a
        later run. Only the first lock is waited for as long as by a change.
        """
        limit = to_microseconds(now - self._source_retention)
        ranges, self._locked = self._locked, []
        if self._sources_read_at is None or abs(now - self._sources_read_at) >= _READ_SOURCES_EVERY:
            ranges = await self._ranges_with_sources_before(limit)
            self._sources_read_at = now
        for after, until in ranges:
            try:
                with waiting_briefly(bool(self._locked)):
                    await self._drop_sources(after, until, limit)
            except Conflict:
                self._locked.append((after, until))

    async def _ranges_with_sources_before(self, limit: int) -> list[tuple[int, int]]:
        ranges = []
        after = _BEFORE_ALL
        while rows := await self._database.fetch(_OLDEST_SOURCES, [after, _SECRETS]):
            until = rows[-1]["secret_id"]
            if any(row["oldest"] < limit for row in rows):
                ranges.append((after, until))
            after = until
        return ranges

    async def _drop_sources(self, after: int, until: int, limit: int) -> None:
        async def work(tx: Transaction) -> None:
            # What the deletion returns is counted: a use that comes in between keeps its row.
            dropped = await tx.fetch(_DROP_SOURCES, [after, until, limit])
            for refused in (False, True):
                totals: dict[int, CountedSecret] = {}
                for row in dropped:
                    if bool(row["refused"]) is refused:
                        _, count, last_at = totals.get(row["secret_id"], (0, 0, 0))
                        totals[row["secret_id"]] = (
                            row["secret_id"],
                            count + row["count"],
                            max(last_at, row["last_seen_at"]),
                        )
                await add_totals(tx, [totals[secret_id] for secret_id in sorted(totals)], refused=refused)

        await self._database.run_tx(work)

    async def _delete(self, statement: str, *values: object) -> int:
        async def work(tx: Transaction) -> int:
            return await tx.execute(statement, *values)

        return await self._database.run_tx(work)


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
