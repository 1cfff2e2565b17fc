"""How many clients meet the conditions of the overview."""

import asyncio
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from gql_secrets.domain.policies import DEFAULT_OLD_DAYS, RotationPolicy
from gql_secrets.storage.client_conditions import Conditions, never_used
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.rollover_counts import RolloverCounter

_DAY: Final = 86_400_000_000
# How many clients there are, each with one row that lists search; how many current secrets have not reached the maximum
# age of the installation; and the difference that clients with a maximum age of their own make. For a join in place of
# the inner subquery, PostgreSQL would read every secret.
_BY_AGE: Final = f"""
    (SELECT count(*) FROM client_listing),
    (SELECT count(*) FROM client_secret s WHERE s.state = 'CURRENT' AND s.created_at > ?),
    (
        SELECT COALESCE(sum((
            SELECT CASE WHEN s.created_at <= ? - k.maximum_age_days * {_DAY} THEN 1 ELSE 0 END
                - CASE WHEN s.created_at <= ? THEN 1 ELSE 0 END
            FROM client_secret s {{current}} WHERE s.client_id = k.client_id AND s.state = 'CURRENT'
        )), 0)
        FROM client k WHERE k.deleted_at IS NULL AND k.maximum_age_days IS NOT NULL
    )
"""  # noqa: S608  put together from constants


class ClientCounts(NamedTuple):
    """How many clients meet each condition, and how many there are."""

    locked_out: int
    ending_soon: int
    safe_to_revoke: int
    in_rollover: int
    due_for_rotation: int
    never_used: int
    total: int


class ClientCounter:
    """Counts the clients of one database, for one process."""

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
        self._rollovers = RolloverCounter(database, quiet_time)

    async def count(self, now: datetime) -> ClientCounts:
        """Return the counts at an instant; each is the length of the list with that filter.

        Raises:
            Unavailable: the database does not answer.
        """
        # PostgreSQL works on both at the same time.
        rollovers, (locked_out, unused, due, total) = await asyncio.gather(
            self._rollovers.count(now), self._count_the_rest(now)
        )
        return ClientCounts(
            locked_out, rollovers.ending_soon, rollovers.safe_to_revoke, rollovers.running, due, unused, total
        )

    async def _count_the_rest(self, now: datetime) -> tuple[int, int, int, int]:
        """Return how many clients are locked out, were never used, are due for rotation, and how many there are."""
        locked_out = Conditions(now, self._quiet_time, self._policy).locked_out()
        unused = never_used()
        moment, days = to_microseconds(now), self._policy.maximum_age_days
        old = moment - (DEFAULT_OLD_DAYS if days is None else days) * _DAY
        by_age = _BY_AGE.format(current=self._database.dialect.by_index("client_secret_current"))
        [row] = await self._database.fetch_rows(
            f"SELECT (SELECT count(*) FROM ({locked_out.listed}) d), (SELECT count(*) FROM ({unused.listed}) d), "  # noqa: S608  conditions of our own
            f"{by_age}",
            [*locked_out.values, *unused.values, old, moment, old],
        )
        locked, never, total, young, difference = (int(number) for number in row)
        return locked, never, total - young + difference, total
