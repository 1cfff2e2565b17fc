"""The figures of the installation that operators watch: rollovers, stragglers, the oldest secret, changes.

They are the same on every node, and are read from the database at most every 15 seconds, however often they are asked
for. Uses that a process has counted and not yet written are missing.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gql_secrets.domain.advice import is_safe_to_revoke
from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.credentials import Pepper
from gql_secrets.service.audit_archive import is_archive_failing
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.service.replication import ASYNCHRONOUS, probe_replication
from gql_secrets.storage.allowed_uses import find_only_refused
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds, to_microseconds

MAX_AGE_SECONDS: Final = 15.0
ENDING_SOON: Final = timedelta(hours=24)
STRAGGLING: Final = timedelta(hours=1)
# How many rollovers are processed before others get their turn on the event loop.
_PIECE: Final = 1000
_ROLLOVERS: Final = """
    SELECT o.id, o.replaced_at, o.expires_at, n.first_used_at, o.last_used_at,
        (SELECT max(u.last_seen_at) FROM secret_use u WHERE u.secret_id = o.id AND u.refused = ?)
    FROM client_secret o JOIN client_secret n ON n.client_id = o.client_id AND n.state = 'CURRENT'
    WHERE o.state = 'RETAINED' AND o.expires_at > ?
"""
_STRAGGLERS: Final = """
    SELECT count(DISTINCT client_id) FROM client_secret
    WHERE last_refused_at > ? AND state IN ('EXPIRED', 'REVOKED')
"""
_OLDEST: Final = "SELECT min(created_at) FROM client_secret WHERE state = 'CURRENT'"
# Changes that no delivery was written for count too: it may be that no node delivers.
_UNDELIVERED: Final = """
    SELECT min(x.at) FROM (
        SELECT min(d.created_at) AS at FROM webhook_delivery d JOIN webhook w ON w.id = d.webhook_id
        WHERE d.state = 'PENDING' AND w.enabled
        UNION ALL
        SELECT min(e.at) FROM audit_event e
        WHERE e.revision = (SELECT min(last_revision) + 1 FROM webhook WHERE enabled)
    ) x
"""
_REVISION: Final = "SELECT revision FROM installation"
_CHANGES: Final = "SELECT action, count(*) FROM audit_event WHERE revision > ? AND revision <= ? GROUP BY action"


@dataclass(frozen=True, slots=True)
class Figures:
    """The installation at one moment.

    Attributes:
        rollovers: rollovers in progress.
        ending_in_use: those that end within 24 hours although the old secret was used since the reset, and it is not
            safe to revoke.
        safe_to_revoke: those whose old secret is safe to revoke.
        stragglers: clients of which an ended secret was tried within the last hour.
        oldest_secret_age: the age of the oldest current secret, None without any.
        changes: how many changes there were of each kind since the first reading, by any node or command.
        archive_fails: whether old audit events cannot be moved to the archive.
        is_head_invalid: whether the signature of the audit's head is not valid.
        may_lose_changes: whether a failover of the database may lose changes that were already answered.
        webhook_lag: how long the oldest event that a webhook has not got is waiting.
    """

    rollovers: int
    ending_in_use: int
    safe_to_revoke: int
    stragglers: int
    oldest_secret_age: timedelta | None
    changes: Mapping[str, int]
    archive_fails: bool = False
    is_head_invalid: bool = False
    may_lose_changes: bool = False
    webhook_lag: timedelta = timedelta(0)


class FigureQueries:
    """Reads the figures of one installation, and keeps them for 15 seconds."""

    def __init__(self, database: Database, pepper: Pepper, wait: timedelta) -> None:
        """Read from an open database; `wait` is how long an old secret must be unused to be safe to revoke."""
        self._database = database
        self._audit_log = AuditLog(database, pepper)
        self._wait = wait
        self._one_reading = asyncio.Lock()
        self._kept: Figures | None = None
        self._read_at = 0.0
        self._revision: int | None = None
        self._changes: Counter[str] = Counter(dict.fromkeys(map(str, AuditAction), 0))

    async def read(self) -> Figures:
        """Return the figures, at most 15 seconds old.

        Raises:
            Unavailable: the database does not answer.
        """
        async with self._one_reading:
            now = asyncio.get_running_loop().time()
            if self._kept is None or now - self._read_at >= MAX_AGE_SECONDS:
                self._kept = await self._read()
                self._read_at = now
            return self._kept

    async def _read(self) -> Figures:
        now = await self._database.now()
        rollovers, ending_in_use, safe = await self._count_rollovers(now)
        [[stragglers]] = await self._database.fetch_rows(_STRAGGLERS, [to_microseconds(now - STRAGGLING)])
        [[created_at]] = await self._database.fetch_rows(_OLDEST)
        [[undelivered_at]] = await self._database.fetch_rows(_UNDELIVERED)
        await self._count_changes()
        return Figures(
            rollovers,
            ending_in_use,
            safe,
            stragglers,
            oldest_secret_age=_age(created_at, now),
            changes=dict(self._changes),
            archive_fails=await is_archive_failing(self._database),
            is_head_invalid=await self._audit_log.probe_head() == "invalid",
            may_lose_changes=await probe_replication(self._database) == ASYNCHRONOUS,
            webhook_lag=_age(undelivered_at, now) or timedelta(0),
        )

    async def _count_rollovers(self, now: datetime) -> tuple[int, int, int]:
        """Return how many there are, how many end soon although in use, and how many are safe to revoke."""
        ending_in_use = safe = 0
        rows = await self._database.fetch_rows(_ROLLOVERS, [False, to_microseconds(now)])
        only_refused = set(await find_only_refused(self._database, now, self._wait))
        for number, (secret_id, replaced_at, expires_at, new_used_at, *old_used_at) in enumerate(rows, 1):
            last_used_at = max((at for at in old_used_at if at is not None), default=None)
            is_safe = secret_id not in only_refused and is_safe_to_revoke(
                new_first_used_at=None if new_used_at is None else from_microseconds(new_used_at),
                old_last_used_at=None if last_used_at is None else from_microseconds(last_used_at),
                wait=self._wait,
                now=now,
            )
            is_in_use = last_used_at is not None and last_used_at >= replaced_at and not is_safe
            safe += is_safe
            ending_in_use += is_in_use and from_microseconds(expires_at) <= now + ENDING_SOON
            if number % _PIECE == 0:
                await asyncio.sleep(0)
        return len(rows), ending_in_use, safe

    async def _count_changes(self) -> None:
        [[revision]] = await self._database.fetch_rows(_REVISION)
        # A restored backup is behind what was counted: go on from where it is.
        if self._revision is not None and revision > self._revision:
            rows = await self._database.fetch_rows(_CHANGES, [self._revision, revision])
            self._changes.update({action: count for action, count in rows})  # noqa: C416  rows are not pairs to mypy
        self._revision = revision


def _age(microseconds: int | None, now: datetime) -> timedelta | None:
    return None if microseconds is None else max(timedelta(0), now - from_microseconds(microseconds))
