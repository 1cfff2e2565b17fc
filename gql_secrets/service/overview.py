"""How many clients need attention, and why."""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from gql_secrets.domain.policies import RotationPolicy
from gql_secrets.storage import client_conditions, client_lists
from gql_secrets.storage.allowed_uses import conditions_at
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
        self._quiet_time = quiet_time
        self._policy = policy
        self._one_count = asyncio.Lock()
        self._latest: tuple[float, Overview] | None = None

    async def read(self) -> Overview:
        """Return the counts, at most five seconds old.

        Raises:
            Unavailable: the database does not answer.
        """
        async with self._one_count:
            if self._latest is None or time.monotonic() - self._latest[0] >= MAX_AGE:
                self._latest = time.monotonic(), await self._count()
            return self._latest[1]

    async def _count(self) -> Overview:
        at = await conditions_at(self._database, await self._database.now(), self._quiet_time, self._policy)
        conditions = [
            at.locked_out(),
            at.ending_soon(),
            at.safe_to_revoke(),
            at.in_rollover(),
            at.due_for_rotation(),
            client_conditions.never_used(),
        ]
        locked_out, ending_soon, safe, in_rollover, due, never_used, total = await client_lists.count_each(
            self._database, conditions
        )
        # Each rollover is evaluated once: those that are not safe wait.
        return Overview(locked_out, ending_soon, safe, in_rollover - safe, due, never_used, total)
