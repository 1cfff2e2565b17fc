"""How many clients meet the conditions of the overview: from indexes, and from one pass over running rollovers."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from gql_secrets.domain.policies import DEFAULT_OLD_DAYS, RotationPolicy
from gql_secrets.storage.allowed_uses import refused_among
from gql_secrets.storage.client_conditions import (
    IS_QUIET,
    OLD_USED_SINCE,
    RUNNING,
    SOON,
    Conditions,
    never_used,
    quiet_values,
)
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds

_DAY: Final = 86_400_000_000
_STILL_USED: Final = OLD_USED_SINCE.format(since="x.replaced_at")
_NEW: Final = "FROM client_secret n WHERE n.client_id = r.client_id AND n.state = 'CURRENT'"
# The counts, in a row without an id, and the rollovers that their allow list may keep from being safe to revoke. For
# joins in place of the subqueries, SQLite would read every client into a Bloom filter.
_ROLLOVERS: Final = f"""
    WITH r AS MATERIALIZED (
        SELECT x.id, x.client_id, CASE WHEN {IS_QUIET} THEN 1 ELSE 0 END AS is_quiet,
            CASE WHEN x.expires_at <= ? AND {_STILL_USED} THEN 1 ELSE 0 END AS is_ending
        FROM client_secret x WHERE {RUNNING}
    )
    SELECT NULL, NULL, count(*), COALESCE(sum(r.is_quiet), 0), COALESCE(sum((1 - r.is_quiet) * r.is_ending), 0) FROM r
    UNION ALL
    SELECT r.id, r.client_id, (SELECT n.id {_NEW}), (SELECT n.first_used_at {_NEW}), r.is_ending
    FROM r
    WHERE r.is_quiet = 1 AND EXISTS (SELECT 1 FROM client k WHERE k.client_id = r.client_id AND k.is_restricted)
"""  # noqa: S608  put together from constants
# How many secrets have reached the maximum age of the installation, and how many have not: together all clients, since
# each has exactly one current secret. Then the difference that clients with a maximum age of their own make; for a join
# in place of the inner subquery, PostgreSQL would read every secret.
_BY_AGE: Final = f"""
    (SELECT count(*) FROM client_secret s WHERE s.state = 'CURRENT' AND s.created_at <= ?),
    (SELECT count(*) FROM client_secret s WHERE s.state = 'CURRENT' AND s.created_at > ?),
    (
        SELECT COALESCE(sum((
            SELECT CASE WHEN s.created_at <= ? - k.maximum_age_days * {_DAY} THEN 1 ELSE 0 END
                - CASE WHEN s.created_at <= ? THEN 1 ELSE 0 END
            FROM client_secret s WHERE s.client_id = k.client_id AND s.state = 'CURRENT'
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


async def count_clients(
    database: Database, now: datetime, quiet_time: timedelta, policy: RotationPolicy
) -> ClientCounts:
    """Return the counts at an instant; each is the length of the list with that filter.

    Args:
        database: where to read.
        now: the instant.
        quiet_time: how long an old secret must be unused before it is safe to revoke.
        policy: the maximum age of current secrets.

    Raises:
        Unavailable: the database does not answer.
    """
    in_rollover, safe, ending_soon = await _count_rollovers(database, now, quiet_time)
    locked_out, unused = Conditions(now, quiet_time, policy).locked_out(), never_used()
    moment = to_microseconds(now)
    days = DEFAULT_OLD_DAYS if policy.maximum_age_days is None else policy.maximum_age_days
    old = moment - days * _DAY
    [row] = await database.fetch_rows(
        f"SELECT (SELECT count(*) FROM ({locked_out.listed}) d), (SELECT count(*) FROM ({unused.listed}) d), {_BY_AGE}",  # noqa: S608  conditions of our own
        [*locked_out.values, *unused.values, old, old, moment, old],
    )
    locked, never, aged, young, difference = (int(number) for number in row)
    return ClientCounts(locked, ending_soon, safe, in_rollover, aged + difference, never, aged + young)


async def _count_rollovers(database: Database, now: datetime, quiet_time: timedelta) -> tuple[int, int, int]:
    """Return how many rollovers are in progress, are safe to revoke, and end soon while the old secret is used."""
    moment, soon = to_microseconds(now), to_microseconds(now + SOON)
    rows = await database.fetch_rows(_ROLLOVERS, [*quiet_values(now, quiet_time), soon, moment])
    [counts] = [row for row in rows if row[0] is None]
    restricted = [row for row in rows if row[0] is not None]
    running, quiet, ending = (int(number) for number in counts[2:])
    refused = set(await refused_among(database, [row[:4] for row in restricted], now - quiet_time))
    return running, quiet - len(refused), ending + sum(int(row[4]) for row in restricted if row[0] in refused)
