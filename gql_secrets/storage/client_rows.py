"""Clients as they are shown: each with its features and its active secrets, in one read.

A console reads lists of clients more often than anything else, so these rows are read by one statement and as plain
tuples; the models in `models.py` stay the definition of the tables.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import Flag, auto
from functools import lru_cache
from typing import Any, Final, NamedTuple

from gql_secrets.pauses import make_all
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds, to_microseconds

_SECRET_COLUMNS: Final = (
    "id",
    "hint",
    "is_weak",
    "state",
    "created_at",
    "created_by",
    "created_by_name",
    "replaced_at",
    "expires_at",
    "first_used_at",
)
_CLIENT_COLUMNS: Final = (
    "client_id",
    "name",
    "description",
    "enabled",
    "created_at",
    "generation",
    "self_reset",
    "contact",
    "maximum_age_days",
)
# Those of a secret that are always read: whether there is one, and when it expires.
_ALWAYS: Final = frozenset(("id", "expires_at"))
_OFTEN: Final = frozenset(("hint", "created_at"))
_CURRENT_AT: Final = len(_CLIENT_COLUMNS)
_RETAINED_AT: Final = _CURRENT_AT + len(_SECRET_COLUMNS)
_EXPIRES_AT: Final = _RETAINED_AT + _SECRET_COLUMNS.index("expires_at")
_FEATURES_AT: Final = _RETAINED_AT + len(_SECRET_COLUMNS)
_LABELS_AT: Final = _FEATURES_AT + 1
_CLOCK_AT: Final = _LABELS_AT + 1
_FROM: Final = """
    FROM client c
    LEFT JOIN client_secret cur ON cur.client_id = c.client_id AND cur.state = 'CURRENT'
    LEFT JOIN client_secret ret ON ret.client_id = c.client_id AND ret.state = 'RETAINED'
"""


class ClientPart(Flag):
    """What is read of clients in addition to their own columns. What is not read is not there: it must not be used."""

    HINTS = auto()
    """Of their active secrets: the hint and the time of creation."""
    SECRETS = auto()
    """Everything else of their active secrets."""
    FEATURES = auto()
    LABELS = auto()


WHOLE_CLIENT: Final = ClientPart.HINTS | ClientPart.SECRETS | ClientPart.FEATURES | ClientPart.LABELS


class ActiveSecretRow:
    """An active secret, without its digest. A value is converted when it is asked for: most lists show one of them."""

    __slots__ = ("_values", "client_id")

    ended_at: Final = None
    end_reason: Final = None

    def __init__(self, client_id: str, values: Sequence[Any]) -> None:
        """Make it of the values of `_SECRET_COLUMNS`."""
        self.client_id = client_id
        self._values = values

    @property
    def id(self) -> int:  # noqa: D102  the columns of `models.ClientSecret`
        return int(self._values[0])

    @property
    def hint(self) -> str:  # noqa: D102
        return str(self._values[1])

    @property
    def is_weak(self) -> bool:  # noqa: D102
        return bool(self._values[2])

    @property
    def state(self) -> str:  # noqa: D102
        return str(self._values[3])

    @property
    def created_at(self) -> datetime:  # noqa: D102
        return from_microseconds(self._values[4])

    @property
    def created_by(self) -> str:  # noqa: D102
        return str(self._values[5])

    @property
    def created_by_name(self) -> str | None:  # noqa: D102
        name: str | None = self._values[6]
        return name

    @property
    def replaced_at(self) -> datetime | None:  # noqa: D102
        return _instant(self._values[7])

    @property
    def expires_at(self) -> datetime | None:  # noqa: D102
        return _instant(self._values[8])

    @property
    def first_used_at(self) -> datetime | None:  # noqa: D102
        return _instant(self._values[9])


class ClientRow(NamedTuple):
    """A client with its features in alphabetical order, and its active secrets when it was read."""

    client_id: str
    name: str
    description: str | None
    enabled: bool
    created_at: datetime
    generation: int
    self_reset: bool
    contact: str | None
    maximum_age_days: int | None
    features: tuple[str, ...]
    current_secret: ActiveSecretRow | None
    old_secret: ActiveSecretRow | None
    labels: tuple[str, ...] = ()


class ClientQuery(NamedTuple):
    """Conditions that clients must meet, as SQL with `?` placeholders, and their values."""

    conditions: tuple[str, ...] = ("c.deleted_at IS NULL",)
    values: tuple[object, ...] = ()

    def where(self, condition: str, *values: object) -> "ClientQuery":
        """Return the query with one condition more."""
        return ClientQuery((*self.conditions, condition), (*self.values, *values))

    @property
    def sql(self) -> str:
        """All conditions in one expression."""
        return " AND ".join(self.conditions)


async def find_clients(
    database: Database, client_ids: Sequence[str], parts: ClientPart = WHOLE_CLIENT
) -> list[ClientRow]:
    """Return those of these clients that exist, in any order.

    Raises:
        Unavailable: the database does not answer.
    """
    marks = ", ".join("?" * len(client_ids))
    return await _read(database, ClientQuery().where(f"c.client_id IN ({marks})", *client_ids), parts)


async def page_of_clients(
    database: Database,
    query: ClientQuery,
    *,
    beyond: tuple[datetime, str] | None,
    is_backward: bool,
    limit: int,
    parts: ClientPart = WHOLE_CLIENT,
) -> list[ClientRow]:
    """Return clients in the order of their creation, the newest first, or the oldest first when going backward.

    Args:
        database: where to read.
        query: the conditions.
        beyond: the creation time and the id of the client before the first one returned.
        is_backward: the oldest first.
        limit: how many at most.
        parts: what is read of them.

    Raises:
        Unavailable: the database does not answer.
    """
    sign, direction = (">", "ASC") if is_backward else ("<", "DESC")
    if beyond is not None:
        created_at, client_id = beyond
        query = query.where(f"(c.created_at, c.client_id) {sign} (?, ?)", to_microseconds(created_at), client_id)
    end = f"ORDER BY c.created_at {direction}, c.client_id {direction} LIMIT {limit:d}"
    return await _read(database, query, parts, end)


async def _read(database: Database, query: ClientQuery, parts: ClientPart, end: str = "") -> list[ClientRow]:
    dialect = database.dialect
    select = _select(dialect.joined("f.feature"), dialect.joined("l.key || '=' || l.value"), dialect.clock, parts)
    statement = f"{select} WHERE {query.sql} {end}"
    rows = await database.fetch_quickly(statement, query.values)
    if not rows:
        return []
    now = to_microseconds(database.instant_of(rows[0][_CLOCK_AT]))
    return await make_all(lambda row: _client_of(row, now), rows)


@lru_cache(maxsize=32)
def _select(feature: str, label: str, clock: str, parts: ClientPart) -> str:
    """Return the statement without its conditions. A column that is not read is NULL, so each has one place."""
    wanted = _ALWAYS
    if ClientPart.HINTS in parts:
        wanted |= _OFTEN
    if ClientPart.SECRETS in parts:
        wanted |= frozenset(_SECRET_COLUMNS)
    columns = [f"c.{name}" for name in _CLIENT_COLUMNS]
    for alias in ("cur", "ret"):
        columns += [f"{alias}.{name}" if name in wanted else "NULL" for name in _SECRET_COLUMNS]
    features = f"(SELECT {feature} FROM client_feature f WHERE f.client_id = c.client_id)"  # noqa: S608  put together from constants
    labels = f"(SELECT {label} FROM client_label l WHERE l.client_id = c.client_id)"  # noqa: S608  the same
    columns += [
        features if ClientPart.FEATURES in parts else "NULL",
        labels if ClientPart.LABELS in parts else "NULL",
        f"(SELECT {clock})",  # once, not for each row
    ]
    return f"SELECT {', '.join(columns)} {_FROM}"


def _client_of(row: Sequence[Any], now: int) -> ClientRow:
    client_id, name, description, enabled, created_at, generation, self_reset, contact, maximum_age_days = row[
        :_CURRENT_AT
    ]
    current = old = None
    if row[_CURRENT_AT] is not None:
        current = ActiveSecretRow(client_id, row[_CURRENT_AT:_RETAINED_AT])
    if row[_RETAINED_AT] is not None:
        expires_at = row[_EXPIRES_AT]
        if expires_at is None or now < expires_at:
            old = ActiveSecretRow(client_id, row[_RETAINED_AT:_FEATURES_AT])
    features, labels = row[_FEATURES_AT], row[_LABELS_AT]
    return ClientRow(
        client_id,
        name,
        description,
        bool(enabled),
        from_microseconds(created_at),
        generation,
        bool(self_reset),
        contact,
        maximum_age_days,
        tuple(sorted(features.split(","))) if features else (),
        current,
        old,
        tuple(sorted(labels.split(","))) if labels else (),
    )


def _instant(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_microseconds(microseconds)
