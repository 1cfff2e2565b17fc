"""How many clients need attention, and why."""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from gql_secrets.domain.policies import RotationPolicy
from gql_secrets.storage.client_counts import ClientCounter
from gql_secrets.storage.database import Database

MAX_AGE: Final = 5.0


@dataclass(frozen=True, slots=True)
class Overview:
    """How many clients meet each condition, and how many there are."""

    locked_out: int
    ending_soon: int
    safe_to_revoke: int
    waiting: int
    due_for_rotation: int
    never_used: int
    total: int


class Overviews:
    """Counts for all callers of this process, at most once in five seconds."""

    def __init__(self, database: Database, quiet_time: timedelta, policy: RotationPolicy) -> None:
        """Prepare it.

        Args:
            database: where to count.
            quiet_time: how long an old secret must be unused before it is safe to revoke.
            policy: the maximum age of current secrets.
        """
        self._database = database
        self._counter = ClientCounter(database, quiet_time, policy)
        self._one_count = asyncio.Lock()
        self._latest: tuple[float, Overview] | None = None

    async def read(self) -> Overview:
        """Return the counts, at most five seconds old.

        Raises:
            Unavailable: the database does not answer.
        """
        async with self._one_count:
            if self._latest is None or time.monotonic() - self._latest[0] >= MAX_AGE:
                self._latest = time.monotonic(), await self.count()
            return self._latest[1]

    async def count(self) -> Overview:
        """Return the counts of this moment.

        Raises:
            Unavailable: the database does not answer.
        """
        counts = await self._counter.count(await self._database.now())
        return Overview(
            locked_out=counts.locked_out,
            ending_soon=counts.ending_soon,
            safe_to_revoke=counts.safe_to_revoke,
            # Each rollover is evaluated once: those that are not safe wait.
            waiting=counts.in_rollover - counts.safe_to_revoke,
            due_for_rotation=counts.due_for_rotation,
            never_used=counts.never_used,
            total=counts.total,
        )
