"""Who uses which secret, as it is stored: written in batches, outside the ORM.

`secret_use` holds the recent sources of a secret, uses apart from refused attempts; an unknown address or user agent is
the empty string. `secret_usage_hour` counts by the hour. Uses whose source is not (or no longer) stored are counted in
`client_secret`: in `use_count` and `refused_attempts`, the first use in `last_used_at`. `last_refused_at` is always up
to date, because events follow it. A total is the sum of both, and a last use the later of both: so a use writes one
page less, and locks no row that a change waits for. `unknown_secret_attempt` counts attempts that name a client with a
secret that was never issued.

A statement writes many rows: SQLite then processes them without passing Python's lock back and forth for each row, and
PostgreSQL in one round trip. PostgreSQL first updates the rows that there are: an insert that meets a row writes a lock
to the WAL before its update.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import orjson

from gql_secrets.storage.database import Database
from gql_secrets.storage.dialect import Statement
from gql_secrets.storage.fields import from_microseconds, to_microseconds
from gql_secrets.storage.models import ClientSecret
from gql_secrets.storage.transaction import Transaction

MAX_SOURCES: Final = 50
BUCKET: Final = timedelta(hours=1)
# A rollover lasts at most 168 hours; the day before shows the usual use.
MAX_KEPT: Final = (168 + 24) * BUCKET

# Up to this number, all that there is of them is read within a millisecond: 100 sources and 193 hours each.
_FEW_SECRETS: Final = 5
# Up to this number, their sources are summed up within a millisecond.
_FEW_TOTALS: Final = 10
_HOUR: Final = BUCKET // timedelta(microseconds=1)

_ADD_TOTALS: Final = """
    UPDATE client_secret SET
        {count} = client_secret.{count} + t.count,
        {last} = CASE WHEN client_secret.{last} >= t.last_at THEN client_secret.{last} ELSE t.last_at END
    FROM {rows} t WHERE client_secret.id = t.secret_id
"""
_ADD_HOURS: Final = """
    INSERT INTO secret_usage_hour (starts_at, secret_id, count, refused)
    SELECT {starts_at}, t.secret_id, {count}, {refused} FROM {rows} t WHERE true
    ON CONFLICT (starts_at, secret_id) DO UPDATE SET
        count = secret_usage_hour.count + excluded.count, refused = secret_usage_hour.refused + excluded.refused
"""
_UPDATE_HOURS: Final = """
    WITH t AS MATERIALIZED (SELECT * FROM {rows} t), known AS (
        UPDATE secret_usage_hour u SET count = u.count + {count}, refused = u.refused + {refused}
        FROM t WHERE u.starts_at = {starts_at} AND u.secret_id = t.secret_id RETURNING u.secret_id
    ), new AS (SELECT * FROM t WHERE secret_id NOT IN (SELECT secret_id FROM known))
"""
_ADD_USES: Final = """
    INSERT INTO secret_use (secret_id, refused, address, user_agent, first_seen_at, last_seen_at, count)
    SELECT t.secret_id, {refused}, t.address, t.user_agent, t.first_seen_at, t.last_seen_at, t.count
    FROM {rows} t WHERE true
    ON CONFLICT (secret_id, refused, address, user_agent) DO UPDATE SET
        count = secret_use.count + excluded.count,
        last_seen_at = CASE
            WHEN secret_use.last_seen_at >= excluded.last_seen_at THEN secret_use.last_seen_at
            ELSE excluded.last_seen_at END
"""
_UPDATE_USES: Final = """
    WITH t AS MATERIALIZED (SELECT * FROM {rows} t), known AS (
        UPDATE secret_use u SET count = u.count + t.count, last_seen_at = greatest(u.last_seen_at, t.last_seen_at)
        FROM t WHERE u.secret_id = t.secret_id AND u.refused = {refused} AND u.address = t.address
        AND u.user_agent = t.user_agent RETURNING u.secret_id, u.address, u.user_agent
    ), new AS (
        SELECT * FROM t
        WHERE (secret_id, address, user_agent) NOT IN (SELECT secret_id, address, user_agent FROM known)
    )
"""
_ADD_UNKNOWN: Final = """
    INSERT INTO unknown_secret_attempt (client_id, count, last_at)
    SELECT c.client_id, t.count, t.last_at
    FROM {rows} t JOIN client c ON c.client_id = t.client_id WHERE c.deleted_at IS NULL
    ON CONFLICT (client_id) DO UPDATE SET
        count = unknown_secret_attempt.count + excluded.count,
        last_at = CASE
            WHEN unknown_secret_attempt.last_at >= excluded.last_at THEN unknown_secret_attempt.last_at
            ELSE excluded.last_at END
"""
_UNKNOWN: Final = "SELECT client_id, count, last_at FROM unknown_secret_attempt WHERE client_id IN ({marks})"
_FIND_TOO_MANY: Final = """
    SELECT t.secret_id FROM {rows} t WHERE EXISTS (
        SELECT 1 FROM secret_use u WHERE u.secret_id = t.secret_id AND u.refused = {refused} LIMIT 1 OFFSET ?
    )
"""
_OLDEST: Final = """
    FROM secret_use WHERE secret_id = ? AND refused = {refused}
    ORDER BY last_seen_at DESC LIMIT 1000000 OFFSET ?
"""
_KEEP_COUNTS: Final = """
    UPDATE client_secret SET {count} = {count} + (
        SELECT CAST(sum(count) AS BIGINT) FROM (SELECT count {oldest}) dropped
    ) WHERE id = ?
"""
_DROP_OLDEST: Final = """
    DELETE FROM secret_use WHERE (secret_id, refused, address, user_agent) IN (
        SELECT secret_id, refused, address, user_agent {oldest}
    )
"""
_USES: Final = """
    SELECT secret_id, address, user_agent, first_seen_at, last_seen_at, count, refused
    FROM secret_use WHERE secret_id IN ({marks}) ORDER BY last_seen_at DESC, refused
"""
_BUCKETS: Final = """
    SELECT secret_id, starts_at, count, refused
    FROM secret_usage_hour WHERE starts_at IN ({hours}) AND secret_id IN ({marks}) ORDER BY starts_at
"""
_TOTALS: Final = """
    SELECT s.id, s.use_count, s.last_used_at, s.refused_attempts, s.last_refused_at,
        u.refused, CAST(sum(u.count) AS BIGINT) AS count, max(u.last_seen_at) AS last_seen_at
    FROM client_secret s LEFT JOIN secret_use u ON u.secret_id = s.id
    WHERE s.id IN ({marks}) GROUP BY s.id, u.refused
"""


# A page has thousands of these two; frozen ones take three times as long to make.
@dataclass(slots=True)
class SecretUse:
    """One source of a secret."""

    address: str | None
    user_agent: str | None
    first_seen_at: datetime
    last_seen_at: datetime
    count: int
    refused: bool


@dataclass(slots=True)
class UsageBucket:
    """The uses of a secret within the hour that begins at `starts_at`."""

    starts_at: datetime
    count: int
    refused: int


Counted = tuple[int, datetime | None]


@dataclass(frozen=True, slots=True)
class Totals:
    """All uses of a secret, and all attempts with it that were refused."""

    use_count: int
    last_used_at: datetime | None
    refused_attempts: int
    last_refused_at: datetime | None

    def plus(self, *, used: Counted = (0, None), refused: Counted = (0, None)) -> "Totals":
        """Return the totals with these uses and refused attempts added: how many, and when the last one was."""
        return Totals(
            self.use_count + used[0],
            _later(self.last_used_at, used[1]),
            self.refused_attempts + refused[0],
            _later(self.last_refused_at, refused[1]),
        )


# Uses or refused attempts that are not written yet; instants are microseconds. Those of a secret: its id, how many have
# a source that is not kept, and when the last of all was.
CountedSecret = tuple[int, int, int]
_SECRET_COLUMNS: Final = {"secret_id": "bigint", "count": "bigint", "last_at": "bigint"}
_HOUR_COLUMNS: Final = {"secret_id": "bigint", "count": "bigint"}
_SOURCE_COLUMNS: Final = {
    "secret_id": "bigint",
    "address": "text",
    "user_agent": "text",
    "first_seen_at": "bigint",
    "last_seen_at": "bigint",
    "count": "bigint",
}
# Of a client id: how many attempts named it with an unknown secret, and when the last one did.
CountedClient = tuple[str, int, int]
_CLIENT_COLUMNS: Final = {"client_id": "text", "count": "bigint", "last_at": "bigint"}


async def add_usage(
    tx: Transaction,
    hour: datetime,
    *,
    refused: bool,
    secrets: Sequence[CountedSecret],
    hours: Sequence[int],
    sources: Sequence[int | str],
) -> None:
    """Add the counts of one hour.

    Of each secret the `MAX_SOURCES` most recent sources are kept. Everything is in ascending order of its secrets, so
    that no two nodes wait for each other's rows.

    Args:
        tx: the transaction.
        hour: when the hour began.
        refused: whether these are refused attempts.
        secrets: what has no source that is kept.
        hours: each secret's id and how often it was used, one after the other.
        sources: likewise each source: the id of its secret, address, user agent, first and last use, how many.
    """
    counts = {"count": "0", "refused": "t.count"} if refused else {"count": "t.count", "refused": "0"}
    await tx.run_all(
        [
            *_additions(tx, _UPDATE_HOURS, _ADD_HOURS, _HOUR_COLUMNS, hours, starts_at=to_microseconds(hour), **counts),
            *_additions(tx, _UPDATE_USES, _ADD_USES, _SOURCE_COLUMNS, sources, refused=refused),
        ]
    )
    await add_totals(tx, secrets, refused=refused)
    too_many = [
        (_FIND_TOO_MANY.format(rows=rows, refused=refused), [*values, MAX_SOURCES])
        for rows, values in tx.tables_of(_HOUR_COLUMNS, hours)
    ]
    for found in await tx.run_all(too_many):
        for (secret_id,) in found:
            await _drop_oldest(tx, secret_id, refused=refused)


async def _drop_oldest(tx: Transaction, secret_id: int, *, refused: bool) -> None:
    """Drop all sources of a secret but the `MAX_SOURCES` most recent ones, and keep their counts."""
    count, oldest = "refused_attempts" if refused else "use_count", _OLDEST.format(refused=refused)
    await tx.execute(_KEEP_COUNTS.format(count=count, oldest=oldest), secret_id, MAX_SOURCES, secret_id)
    await tx.execute(_DROP_OLDEST.format(oldest=oldest), secret_id, MAX_SOURCES)


def _additions(
    tx: Transaction, update: str, add: str, columns: Mapping[str, str], values: Sequence[object], **terms: object
) -> Iterator[Statement]:
    """Yield what adds counts to the rows that there are, and inserts the others."""
    for rows, own in tx.tables_of(columns, values):
        if tx.dialect.name == "sqlite":
            yield add.format(rows=rows, **terms), own
        else:
            yield update.format(rows=rows, **terms) + add.format(rows="new", **terms), own


async def add_totals(tx: Transaction, secrets: Sequence[CountedSecret], *, refused: bool) -> None:
    """Add uses whose source is not stored to the totals of their secrets. The sequence is in ascending order."""
    if not secrets:
        return
    count, last = ("refused_attempts", "last_refused_at") if refused else ("use_count", "last_used_at")
    rows = tx.rows_of_json(_SECRET_COLUMNS)
    await tx.execute(_ADD_TOTALS.format(rows=rows, count=count, last=last), orjson.dumps(secrets).decode())


async def add_unknown_attempts(tx: Transaction, clients: Sequence[CountedClient]) -> None:
    """Add attempts with unknown secrets; drop those that name no client. The sequence is in ascending order."""
    rows = tx.rows_of_json(_CLIENT_COLUMNS)
    await tx.execute(_ADD_UNKNOWN.format(rows=rows), orjson.dumps(clients).decode())


async def find_unknown_attempts(database: Database, client_ids: Sequence[str]) -> dict[str, Counted]:
    """Return how many attempts named each of these clients with an unknown secret, and when the last one did."""
    if not client_ids:
        return {}
    # One row of each client, found by its key: a page of them is read within a millisecond.
    rows = await database.fetch_quickly(_UNKNOWN.format(marks=_marks(client_ids)), client_ids)
    return {client_id: (count, from_microseconds(last_at)) for client_id, count, last_at in rows}


async def find_uses(database: Database | Transaction, secret_ids: Sequence[int]) -> list[tuple[int, SecretUse]]:
    """Return the sources of these secrets with the secret's id, the most recent first; uses before refused attempts."""
    statement = _USES.format(marks=_marks(secret_ids))
    return await database.fetch_as(_use_of, statement, secret_ids, is_short=len(secret_ids) <= _FEW_SECRETS)


def _use_of(row: Sequence[Any]) -> tuple[int, SecretUse]:
    secret_id, address, user_agent, first_seen_at, last_seen_at, count, refused = row
    return secret_id, SecretUse(
        address or None,
        user_agent or None,
        from_microseconds(first_seen_at),
        from_microseconds(last_seen_at),
        count,
        bool(refused),
    )


async def find_buckets(database: Database, secret_ids: Sequence[int], now: datetime) -> dict[int, list[UsageBucket]]:
    """Return the hours in which each of these secrets was used or refused, the oldest first, where there are any."""
    # Each hour is named, so that the key (hour, secret) answers without a scan.
    this_hour = to_microseconds(now) // _HOUR * _HOUR
    hours = range(this_hour, this_hour - _microseconds(MAX_KEPT) - 1, -_HOUR)
    found: dict[int, list[UsageBucket]] = defaultdict(list)

    def add(row: Sequence[Any]) -> None:
        secret_id, hour, count, refused = row
        found[secret_id].append(UsageBucket(_start_of(hour), count, refused))

    statement = _BUCKETS.format(hours=_marks(hours), marks=_marks(secret_ids))
    is_short = len(secret_ids) <= _FEW_SECRETS
    await database.fetch_as(add, statement, [*hours, *secret_ids], is_short=is_short)
    return found


# Every secret has the same hours, and each hour brings one more.
_start_of: Final = lru_cache(maxsize=2 * (MAX_KEPT // BUCKET))(from_microseconds)


async def add_last_uses(database: Database | Transaction, secrets: Sequence[ClientSecret]) -> None:
    """Set the last use of rows that were read: the row itself holds only the first one."""
    totals = await find_totals(database, [secret.id for secret in secrets])
    for secret in secrets:
        secret.last_used_at = totals[secret.id].last_used_at


async def find_totals(database: Database | Transaction, secret_ids: Sequence[int]) -> dict[int, Totals]:
    """Return the totals of these secrets."""
    found: dict[int, Totals] = {}
    if not secret_ids:
        return found
    statement = _TOTALS.format(marks=_marks(secret_ids))
    rows = await database.fetch_as(tuple, statement, secret_ids, is_short=len(secret_ids) <= _FEW_TOTALS)
    for secret_id, use_count, last_used_at, refused_attempts, last_refused_at, refused, count, last_seen_at in rows:
        totals = found.get(secret_id) or Totals(
            use_count, _instant(last_used_at), refused_attempts, _instant(last_refused_at)
        )
        if count is not None:
            more = (count, _instant(last_seen_at))
            totals = totals.plus(refused=more) if refused else totals.plus(used=more)
        found[secret_id] = totals
    return found


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


def _instant(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_microseconds(microseconds)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((each for each in (one, other) if each is not None), default=None)
