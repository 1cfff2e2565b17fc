"""Pages of the audit log, read without the ORM's queries: a page is one read of events, and one of what they ended."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final, TypeAlias

import orjson

from gql_secrets.pauses import make_all
from gql_secrets.storage.database import Database
from gql_secrets.storage.dialect import Dialect
from gql_secrets.storage.models import AuditEndedSecret, AuditEvent
from gql_secrets.storage.objects import object_of_row, plan_of, set_related

Condition: TypeAlias = tuple[str, Sequence[object]]
"""SQL about the columns of `audit_event` with `?` placeholders, and their values."""

Fetch: TypeAlias = Callable[[str, Sequence[object]], Awaitable[Sequence[Sequence[Any]]]]
"""Returns the rows of a statement with these values."""

_COLUMNS: Final = ("revision", *sorted(AuditEvent._meta.fields_db_projection.keys() - {"revision"}))  # noqa: SLF001  Tortoise's own list
_PLAN: Final = plan_of(AuditEvent, _COLUMNS)
_ENDED_COLUMNS: Final = ("id", "event_id", "secret_id", "reason", "state_before")
_ENDED_PLAN: Final = plan_of(AuditEndedSecret, _ENDED_COLUMNS)

_PAGE: Final = f"SELECT {', '.join(_COLUMNS)} FROM audit_event WHERE {{where}} ORDER BY revision {{order}} LIMIT ?"  # noqa: S608  put together from constants
_COUNT: Final = "SELECT count(*) FROM audit_event WHERE {where}"
# The index on client and revision leads to the oldest event of each client's page, however many it has before that.
_NEWEST: Final = f"""
    SELECT {", ".join(f"e.{name}" for name in _COLUMNS)} FROM {{wanted}} w CROSS JOIN audit_event e
    WHERE e.client_id = w.client_id AND e.revision >= coalesce((
        SELECT o.revision FROM audit_event o WHERE o.client_id = w.client_id ORDER BY o.revision DESC LIMIT 1 OFFSET ?
    ), 0)
    ORDER BY e.revision DESC
"""  # noqa: S608  put together from constants
_COUNTS: Final = """
    SELECT client_id, count(*) FROM audit_event WHERE client_id IN (SELECT client_id FROM {wanted} w) GROUP BY client_id
"""
_ENDED: Final = f"""
    SELECT {", ".join(_ENDED_COLUMNS)} FROM audit_ended_secret
    WHERE event_id IN (SELECT event_id FROM {{wanted}} w) ORDER BY id
"""  # noqa: S608  put together from constants


async def page_of_events(
    database: Database, conditions: Sequence[Condition], *, is_backward: bool, limit: int
) -> list[AuditEvent]:
    """Return at most this many events that meet all conditions, with what they ended.

    The newest come first, or the oldest where it is backward.

    Raises:
        Unavailable: the database does not answer.
    """
    where, values = _where(conditions)
    statement = _PAGE.format(where=where, order="ASC" if is_backward else "DESC")
    rows = await database.fetch_rows(statement, (*values, limit))
    return await _events_of(database.fetch_rows, database.dialect, rows)


async def newest_events(database: Database, client_ids: Collection[str], count: int) -> dict[str, list[AuditEvent]]:
    """Return the newest events of each client that has any, at most this many (1 or more), newest first.

    Raises:
        Unavailable: the database does not answer.
    """
    statement = _NEWEST.format(wanted=database.dialect.rows_of_json({"client_id": "text"}))
    fetch = database.fetch_quickly if len(client_ids) == 1 else database.fetch_rows
    rows = await fetch(statement, (_json_of(client_ids), count - 1))
    events: dict[str, list[AuditEvent]] = defaultdict(list)
    for event in await _events_of(fetch, database.dialect, rows):
        if event.client_id is not None:
            events[event.client_id].append(event)
    return events


async def count_events(database: Database, conditions: Sequence[Condition]) -> int:
    """Return how many events meet all conditions.

    Raises:
        Unavailable: the database does not answer.
    """
    where, values = _where(conditions)
    [[count]] = await database.fetch_rows(_COUNT.format(where=where), values)
    return int(count)


async def count_of_clients(database: Database, client_ids: Collection[str]) -> dict[str, int]:
    """Return how many events each client has that has any.

    Raises:
        Unavailable: the database does not answer.
    """
    statement = _COUNTS.format(wanted=database.dialect.rows_of_json({"client_id": "text"}))
    return {client_id: int(count) for client_id, count in await database.fetch_rows(statement, (_json_of(client_ids),))}


def _where(conditions: Sequence[Condition]) -> tuple[str, list[object]]:
    return (
        " AND ".join(sql for sql, _ in conditions) or "1 = 1",
        [value for _, values in conditions for value in values],
    )


def _json_of(keys: Collection[object]) -> str:
    return orjson.dumps([[key] for key in keys]).decode()


async def _events_of(fetch: Fetch, dialect: Dialect, rows: Sequence[Sequence[Any]]) -> list[AuditEvent]:
    if not rows:
        return []
    statement = _ENDED.format(wanted=dialect.rows_of_json({"event_id": "bigint"}))
    ended: dict[int, list[AuditEndedSecret]] = defaultdict(list)
    wanted = _json_of([row[0] for row in rows])
    for row in await fetch(statement, (wanted,)):
        if (secret := object_of_row(AuditEndedSecret, _ENDED_PLAN, row)) is not None:
            ended[secret.event_id].append(secret)

    def event_of(row: Sequence[Any]) -> AuditEvent | None:
        event = object_of_row(AuditEvent, _PLAN, row)
        if event is not None:
            set_related(event, "ended_secrets", ended.get(event.revision, ()))
        return event

    return [event for event in await make_all(event_of, rows) if event is not None]
