"""How many rollovers are safe to revoke, or end soon: without asking every client for its new secret each time.

Once the new secret of a rollover was used, and its client has no allow list, only time and the uses of its old secret
decide whether it is safe to revoke, until the client changes: such a rollover is settled. A process remembers the
clients whose rollovers were not settled, and the position of the change log that this holds for. The next count looks
at these and at the clients that changed since in full, and at the old secrets alone of all others. Everything is read
by one statement, so it belongs to one position. A database that went back in time, or in which too much changed, is
counted from the beginning.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from gql_secrets.storage.allowed_uses import json_column, refused_among
from gql_secrets.storage.change_log import Position
from gql_secrets.storage.client_conditions import SOON
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds

# After more changes, all rollovers are read in full; with more clients than this, each time.
_MAX_CHANGES: Final = 2000
_MAX_UNSETTLED: Final = 20_000
_CLIENT: Final = {"client_id": "text"}
_CHANGED: Final = """
    SELECT t.client_id FROM {rows} t
    UNION SELECT a.client_id FROM audit_event a WHERE a.revision > ? AND a.revision <= ? AND a.client_id IS NOT NULL
"""
_IS_QUIET: Final = "CASE WHEN r.counted_at <= ? AND r.seen_at <= ? THEN 1 ELSE 0 END"
_IS_ENDING: Final = """
    CASE WHEN r.expires_at <= ? AND (r.counted_at >= r.replaced_at OR r.seen_at >= r.replaced_at) THEN 1 ELSE 0 END
"""
# The position, with the hash of the last count's revision, as the row of number 0; then the number of settled rollovers
# of each kind; then each rollover that is not settled, with its new secret.
_ROLLOVERS: Final = f"""
    WITH t AS MATERIALIZED ({{changed}}), r AS MATERIALIZED (
        SELECT x.id, x.client_id, x.replaced_at, x.expires_at, COALESCE(x.last_used_at, 0) AS counted_at,
            COALESCE((SELECT max(u.last_seen_at) FROM secret_use u WHERE u.secret_id = x.id AND NOT u.refused), 0)
                AS seen_at,
            CASE WHEN x.client_id IN (SELECT t.client_id FROM t) THEN 0 ELSE 1 END AS is_settled
        FROM client_secret x {{running}}
        WHERE x.state = 'RETAINED' AND x.expires_at > ?
    )
    SELECT i.revision AS id, '' AS client_id, 0 AS new_id, 0 AS first_used_at, 0 AS is_quiet, 0 AS is_ending,
        0 AS is_restricted, 0 AS number, h.hash, (SELECT p.hash FROM audit_event p WHERE p.revision = ?) AS last_hash
    FROM installation i LEFT JOIN audit_event h ON h.revision = i.revision
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, e.is_quiet, e.is_ending, 0, count(*), NULL, NULL
    FROM (SELECT {_IS_QUIET} AS is_quiet, {_IS_ENDING} AS is_ending FROM r WHERE r.is_settled = 1) e
    GROUP BY e.is_quiet, e.is_ending
    UNION ALL
    SELECT r.id, r.client_id, n.id, n.first_used_at, {_IS_QUIET}, {_IS_ENDING},
        CASE WHEN EXISTS (SELECT 1 FROM client_network w WHERE w.client_id = r.client_id) THEN 1 ELSE 0 END,
        1, NULL, NULL
    FROM r CROSS JOIN client_secret n {{current}}
    WHERE r.is_settled = 0 AND n.client_id = r.client_id AND n.state = 'CURRENT'
"""  # noqa: S608  put together from constants
_EVERY_RUNNING: Final = "SELECT y.client_id FROM client_secret y WHERE y.state = 'RETAINED' AND y.expires_at > ?"


class RolloverCounts(NamedTuple):
    """How many rollovers are in progress, are safe to revoke, and end soon while the old secret is used."""

    running: int
    safe_to_revoke: int
    ending_soon: int


class _Unsettled(NamedTuple):
    """The clients whose rollovers were not settled, at a position and by an instant of the database's clock."""

    position: Position
    quiet_since: int
    client_ids: Sequence[str]


class _Row(NamedTuple):
    """A row of the statement."""

    id: int | None
    client_id: str
    new_id: int
    first_used_at: int | None
    is_quiet: int
    is_ending: int
    is_restricted: int
    number: int
    hash: bytes | None
    last_hash: bytes | None

    def was_used_by(self, quiet_since: int) -> bool:
        """Return whether the new secret was used early enough."""
        return self.first_used_at is not None and self.first_used_at <= quiet_since


class RolloverCounter:
    """Counts the rollovers of one database, for one process."""

    def __init__(self, database: Database, quiet_time: timedelta) -> None:
        """Prepare it; `quiet_time` is how long an old secret must be unused before it is safe to revoke."""
        self._database = database
        self._quiet_time = quiet_time
        self._known: _Unsettled | None = None

    async def count(self, now: datetime) -> RolloverCounts:
        """Return the counts at an instant.

        Raises:
            Unavailable: the database does not answer.
        """
        quiet_since = to_microseconds(now - self._quiet_time)
        known = self._known
        if known is not None and known.quiet_since > quiet_since:
            known = None  # by a clock that went back, a new secret may have been used too late again
        head, *rows = await self._read(known, now)
        if known is not None and not _is_ahead(head, known.position):
            head, *rows = await self._read(None, now)
        unsettled = [row for row in rows if row.id is not None]
        used = [row for row in unsettled if row.was_used_by(quiet_since)]
        refused = await refused_among(
            self._database, [row[:4] for row in used if row.is_quiet and row.is_restricted], now - self._quiet_time
        )
        safe = {row.id for row in used if row.is_quiet} - set(refused)
        waiting = [row for row in rows if row.id not in safe and (row.id is not None or not row.is_quiet)]
        client_ids = [row.client_id for row in unsettled if row.is_restricted or not row.was_used_by(quiet_since)]
        self._known = None
        if len(client_ids) <= _MAX_UNSETTLED:
            self._known = _Unsettled(Position(head.id or 0, head.hash), quiet_since, client_ids)
        running = sum(row.number for row in rows)
        return RolloverCounts(
            running,
            running - sum(row.number for row in waiting),
            sum(row.number for row in waiting if row.is_ending),
        )

    async def _read(self, known: _Unsettled | None, now: datetime) -> list[_Row]:
        """Return the rows of the statement, that of the position first."""
        dialect = self._database.dialect
        moment, soon, quiet_since = (to_microseconds(at) for at in (now, now + SOON, now - self._quiet_time))
        values: list[object] = [moment]
        changed, revision = _EVERY_RUNNING, 0
        if known is not None:
            changed, revision = _CHANGED, known.position.revision
            values = [json_column(known.client_ids), revision, revision + _MAX_CHANGES]
        statement = _ROLLOVERS.format(
            changed=changed.format(rows=dialect.rows_of_json(_CLIENT)),
            running=dialect.by_index("client_secret_running"),
            current=dialect.by_index("client_secret_current"),
        )
        kinds = [quiet_since, quiet_since, soon]
        rows = await self._database.fetch_rows(statement, [*values, moment, revision, *kinds, *kinds])
        return sorted(map(_Row._make, rows), key=lambda row: row.number)


def _is_ahead(head: _Row, position: Position) -> bool:
    """Return whether the log has this position, and not too many changes after it."""
    distance = (head.id or 0) - position.revision
    return 0 <= distance <= _MAX_CHANGES and head.last_hash == position.hash
