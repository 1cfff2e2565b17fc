"""Lists of clients: the orders, and pages of client ids.

A page whose conditions at most a thousand clients meet is sorted from their list. For all others the index of the order
is walked until the page is full, which takes few steps because more than a thousand clients meet the conditions. So
neither reads the whole table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

import orjson

from gql_secrets.storage.client_conditions import RUNNING, Condition
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds

_MAX_SORTED: Final = 1000


class OrderField(StrEnum):
    """What lists of clients are sorted by."""

    NAME = "NAME"
    CREATED_AT = "CREATED_AT"
    SECRET_AGE = "SECRET_AGE"  # noqa: S105
    LAST_USED_AT = "LAST_USED_AT"
    ROLLOVER_END = "ROLLOVER_END"


@dataclass(frozen=True, slots=True)
class Order:
    """In which order clients are listed; those that are equal in it by client id, in the same direction."""

    field: OrderField = OrderField.CREATED_AT
    is_descending: bool = True


Key = str | int | None
"""A client's place in an order; None for clients without a rollover in the order of its end, which come last."""


class Place(NamedTuple):
    """The key of a client in an order, and its id."""

    key: Key
    client_id: str


class _Section(NamedTuple):
    """A part of an order: where its clients come from (`c` among it), and the key of each."""

    source: str
    condition: str
    key: str
    client_id: str
    values: tuple[object, ...] = ()


_PLAIN: Final = {
    OrderField.NAME: _Section("client c", "c.deleted_at IS NULL", "c.name_folded", "c.client_id"),
    # As in the index `client_newest_by_maximum`.
    OrderField.CREATED_AT: _Section(
        "client c", "c.deleted_at IS NULL AND c.created_at > 0", "c.created_at", "c.client_id"
    ),
    OrderField.SECRET_AGE: _Section(
        "client_secret o CROSS JOIN client c",
        "o.state = 'CURRENT' AND c.client_id = o.client_id AND c.deleted_at IS NULL",
        "o.created_at",
        "o.client_id",
    ),
    OrderField.LAST_USED_AT: _Section(
        "client_listing o CROSS JOIN client c",
        "c.client_id = o.client_id AND c.deleted_at IS NULL",
        "o.last_used_at",
        "o.client_id",
    ),
}


def _sections(order: Order, now: datetime) -> list[_Section]:
    """Return the parts of an order, in the order in which they are shown."""
    if order.field is not OrderField.ROLLOVER_END:
        return [_PLAIN[order.field]]
    moment = to_microseconds(now)
    running = _Section(
        "client_secret o CROSS JOIN client c",
        "o.state = 'RETAINED' AND o.expires_at > ? AND c.client_id = o.client_id AND c.deleted_at IS NULL",
        "o.expires_at",
        "o.client_id",
        (moment,),
    )
    test, values = Condition("client_secret", RUNNING, (moment,), is_met=False).tested
    return [running, _Section("client c", f"c.deleted_at IS NULL AND {test}", "NULL", "c.client_id", values)]


async def page_of_places(
    database: Database,
    conditions: Sequence[Condition],
    order: Order,
    *,
    now: datetime,
    beyond: Place | None,
    is_backward: bool,
    limit: int,
) -> list[Place]:
    """Return the places of the clients that meet the conditions, beginning beyond a place.

    Args:
        database: where to read.
        conditions: which clients.
        order: in which order.
        now: the database's clock.
        beyond: the place before the first one returned, in the direction of reading.
        is_backward: from the end of the order to its beginning.
        limit: how many at most.

    Raises:
        Unavailable: the database does not answer.
    """
    few = await _few(database, conditions)
    if few == []:
        return []
    sections = _sections(order, now)
    if is_backward:
        sections.reverse()
    if beyond is not None and len(sections) > 1:
        begun = next(at for at, section in enumerate(sections) if (section.key == "NULL") == (beyond.key is None))
        sections = sections[begun:]
    found: list[Place] = []
    for section in sections:
        statement, values = _statement(database, section, conditions, few, order, beyond, is_backward=is_backward)
        rows = await database.fetch_rows(f"{statement} LIMIT {limit - len(found):d}", values)
        found += [Place(key, client_id) for key, client_id in rows]
        if len(found) >= limit:
            break
        beyond = None
    return found


def _statement(
    database: Database,
    section: _Section,
    conditions: Sequence[Condition],
    few: list[str] | None,
    order: Order,
    beyond: Place | None,
    *,
    is_backward: bool,
) -> tuple[str, list[object]]:
    """Return the query of one section without its limit, and its values."""
    # The older a secret, the earlier it was created.
    is_descending = order.is_descending ^ (order.field is OrderField.SECRET_AGE) ^ is_backward
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    source, tests, values = section.source, [section.condition], list(section.values)
    if few is not None:
        source = f"{_listed_here(database)} t CROSS JOIN {source}"
        tests.insert(0, f"t.client_id = {section.client_id}")
        values.insert(0, _json(few))
    else:
        _add_tests(conditions, tests, values, one_by_one=True)
    key = section.key
    if beyond is not None and beyond.key is not None:
        tests.append(f"({key}, {section.client_id}) {sign} (?, ?)")
        values += beyond
    elif beyond is not None:
        tests.append(f"{section.client_id} {sign} ?")
        values.append(beyond.client_id)
    sorted_by = f"{section.client_id} {direction}"
    if key != "NULL":
        sorted_by = f"{key} {direction}, {sorted_by}"
    statement = f"SELECT {key}, {section.client_id} FROM {source} WHERE {' AND '.join(tests)} ORDER BY {sorted_by}"  # noqa: S608  put together from constants
    return statement, values


async def _few(database: Database, conditions: Sequence[Condition]) -> list[str] | None:
    """Return the ids of the clients that meet the conditions if these are few and found without reading all."""
    selection = _selection(conditions)
    if selection is None or not any(condition.is_met and not condition.is_common for condition in conditions):
        return None
    source, test, values = selection
    rows = await database.fetch_rows(f"SELECT c.client_id FROM {source} WHERE {test} LIMIT {_MAX_SORTED + 1}", values)  # noqa: S608
    return None if len(rows) > _MAX_SORTED else sorted({client_id for (client_id,) in rows})


async def count_places(database: Database, conditions: Sequence[Condition]) -> int:
    """Return how many clients meet the conditions.

    Raises:
        Unavailable: the database does not answer.
    """
    if not conditions:
        # A client that is not deleted has one row there, and SQLite counts the pages of its narrowest index.
        [(number,)] = await database.fetch_rows("SELECT count(*) FROM client_listing")
        return int(number)
    if len(conditions) == 1 and conditions[0].is_met and conditions[0].row_test:
        [(number,)] = await database.fetch_rows(
            f"SELECT count(*) FROM ({conditions[0].listed}) d",  # noqa: S608  conditions of our own
            conditions[0].values,
        )
        return int(number)
    selection = _selection(conditions)
    if selection is None:
        tests: list[str] = ["c.deleted_at IS NULL"]
        values: list[object] = []
        _add_tests(conditions, tests, values)
        selection = "client c", " AND ".join(tests), values
    source, test, values = selection
    [(number,)] = await database.fetch_rows(f"SELECT count(*) FROM {source} WHERE {test}", values)  # noqa: S608
    return int(number)


def _selection(conditions: Sequence[Condition]) -> tuple[str, str, list[object]] | None:
    """Return FROM, WHERE and values of the clients that meet the conditions, beginning from the list of one of them."""
    met = [condition for condition in conditions if condition.is_met]
    if not met:
        return None
    first = min(met, key=lambda condition: condition.is_common)
    tests, values = ["c.client_id = d.client_id", "c.deleted_at IS NULL"], list(first.values)
    _add_tests([condition for condition in conditions if condition is not first], tests, values)
    return f"({first.listed}) d CROSS JOIN client c", " AND ".join(tests), values


def _add_tests(
    conditions: Sequence[Condition], tests: list[str], values: list[object], *, one_by_one: bool = False
) -> None:
    for condition in conditions:
        test, own_values = condition.tested_each if one_by_one else condition.tested
        tests.append(test)
        values += own_values


def _listed_here(database: Database) -> str:
    return database.dialect.rows_of_json({"client_id": "text"})


def _json(client_ids: Sequence[str]) -> str:
    return orjson.dumps([[client_id] for client_id in client_ids]).decode()
