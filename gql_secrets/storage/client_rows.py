"""Clients as they are shown: each with its features and its active secrets, in one read.

A console reads lists of clients more often than anything else, so these rows are read by one statement and as plain
tuples; the models in `models.py` stay the definition of the tables.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Flag, auto
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple

from gql_secrets.storage.database import Database
from gql_secrets.storage.dialect import Dialect
from gql_secrets.storage.fields import from_microseconds, to_microseconds

Convert = Callable[[Any], object]
"""Returns the value of a column as Python has it."""


class ClientPart(Flag):
    """What is read of clients, and of their active secrets, in addition to what every list shows."""

    DETAILS = auto()
    """The description, the contact, the maximum age, and whether the client may reset itself."""
    CURRENT_SECRET = auto()
    """The current secret, or that there is none."""
    OLD_SECRET = auto()
    """The retained secret, or that there is none, and when it expires."""
    IDS = auto()
    """The ids of those secrets."""
    HINTS = auto()
    """The hints of those secrets."""
    CREATION = auto()
    """When those secrets were created."""
    SECRETS = auto()
    """Everything else of those secrets."""
    FEATURES = auto()
    LABELS = auto()


WHOLE_CLIENT: Final = ~ClientPart(0)


def _same(value: Any) -> Any:  # noqa: ANN401
    return value


def _instant(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_microseconds(microseconds)


def _texts(joined: str | None) -> tuple[str, ...]:
    return tuple(sorted(joined.split(","))) if joined else ()


# The columns of each part, and what converts their values.
_CLIENT_COLUMNS: Final[Mapping[str, Convert]] = {
    "client_id": _same,
    "name": _same,
    "enabled": bool,
    "created_at": from_microseconds,
    "generation": _same,
}
_DETAILS: Final[Mapping[str, Convert]] = {
    "description": _same,
    "self_reset": bool,
    "contact": _same,
    "maximum_age_days": _same,
}
_SECRET_COLUMNS: Final[Mapping[ClientPart, Mapping[str, Convert]]] = {
    ClientPart.IDS: {"id": _same},
    ClientPart.HINTS: {"hint": _same},
    ClientPart.CREATION: {"created_at": from_microseconds},
    ClientPart.SECRETS: {
        "is_weak": bool,
        "state": _same,
        "created_by": _same,
        "created_by_name": _same,
        "first_used_at": _instant,
    },
}
_CURRENT: Final = "cur"
_OLD: Final = "ret"
_ACTIVE: Final = {
    _CURRENT: "cur.client_id = c.client_id AND cur.state = 'CURRENT'",
    _OLD: "ret.client_id = c.client_id AND ret.state = 'RETAINED'",
}


class ActiveSecretRow(tuple[Any, ...]):
    """An active secret, without its digest. It has an attribute for each column that was read."""

    __slots__ = ()

    client_id: str
    id: int
    hint: str
    is_weak: bool
    state: str
    created_at: datetime
    created_by: str
    created_by_name: str | None
    # A current secret has neither, as the table's constraint says; of an old one, both are columns.
    replaced_at: datetime | None = None
    expires_at: datetime | None = None
    first_used_at: datetime | None
    ended_at: Final = None
    end_reason: Final = None


class ClientRow(tuple[Any, ...]):
    """A client with its active secrets when it was read. It has an attribute for each column that was read.

    It is the row as the database has it: a value is converted when it is asked for, since most lists show few of them.
    Features and labels are in alphabetical order.
    """

    __slots__ = ()

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
    labels: tuple[str, ...]
    current_secret: ActiveSecretRow | None
    old_secret: ActiveSecretRow | None


async def find_clients(
    database: Database, client_ids: Sequence[str], parts: ClientPart = WHOLE_CLIENT
) -> list[ClientRow]:
    """Return those of these clients that exist, in any order.

    Raises:
        Unavailable: the database does not answer.
    """
    return await _read(database, _found(database.dialect, len(client_ids), parts), client_ids)


def find_client_now(database: Database, client_id: str, parts: ClientPart = WHOLE_CLIENT) -> ClientRow | None:
    """Return the client if it exists.

    Raises:
        MustAwait: `find_clients` has to be awaited instead.
    """
    statement, shape = _found(database.dialect, 1, parts)
    clients = _clients_of(database, shape, database.fetch_now(statement, (client_id,)))
    return clients[0] if clients else None


async def page_of_clients(
    database: Database,
    *,
    beyond: tuple[datetime, str] | None,
    is_backward: bool,
    limit: int,
    parts: ClientPart = WHOLE_CLIENT,
) -> list[ClientRow]:
    """Return clients in the order of their creation, the newest first, or the oldest first when going backward.

    Args:
        database: where to read.
        beyond: the creation time and the id of the client before the first one returned.
        is_backward: the oldest first.
        limit: how many at most.
        parts: what is read of them.

    Raises:
        Unavailable: the database does not answer.
    """
    values = () if beyond is None else (to_microseconds(beyond[0]), beyond[1])
    read = _page(database.dialect, parts, limit, has_place=beyond is not None, is_backward=is_backward)
    return await _read(database, read, values)


async def _read(database: Database, read: "_Read", values: Sequence[object]) -> list[ClientRow]:
    statement, shape = read
    return _clients_of(database, shape, await database.fetch_quickly(statement, values))


def _clients_of(database: Database, shape: "_Shape", rows: Sequence[Sequence[Any]]) -> list[ClientRow]:
    if not rows:
        return []
    # A few tenths of a microsecond each, so without pauses.
    if shape.clock_at is None:
        return list(map(shape.row, rows))
    return shape.clients_of(rows, to_microseconds(database.instant_of(rows[0][shape.clock_at])))


class _Shape(NamedTuple):
    """What is selected, and what the rows are.

    Attributes:
        select: a statement up to its FROM.
        row: the class of its rows.
        old_secret_at: the places of the columns of the old secret; the first one is the time at which it expires.
        clock_at: the place of the database's clock; None where no old secret is read, which alone needs it.
    """

    select: str
    row: type[ClientRow]
    old_secret_at: range
    clock_at: int | None

    def clients_of(self, rows: Sequence[Sequence[Any]], now: int) -> list[ClientRow]:
        """Return the clients of rows, each without an old secret that has expired."""
        make, at = self.row, self.old_secret_at.start
        return [
            make(values if (expires_at := values[at]) is None or expires_at > now else self._without_old_secret(values))
            for values in rows
        ]

    def _without_old_secret(self, values: Sequence[Any]) -> Sequence[Any]:
        return [None if at in self.old_secret_at else value for at, value in enumerate(values)]


class _Read(NamedTuple):
    """A statement with the database's own placeholders, and what its rows are."""

    statement: str
    shape: _Shape


@lru_cache(maxsize=256)
def _found(dialect: Dialect, number: int, parts: ClientPart) -> _Read:
    """Return the read of this many clients by their ids."""
    shape, joins = _shape(dialect, parts), _joins(dialect, parts, of_many=number > 1)
    condition = f"c.deleted_at IS NULL AND c.client_id IN ({', '.join('?' * number)})"
    return _Read(dialect.placeholders(f"{shape.select} FROM client c {joins} WHERE {condition}"), shape)


@lru_cache(maxsize=256)
def _page(dialect: Dialect, parts: ClientPart, limit: int, *, has_place: bool, is_backward: bool) -> _Read:
    """Return the read of a page of clients; its values are the place before it, if it has one."""
    shape = _shape(dialect, parts)
    sign, direction = (">", "ASC") if is_backward else ("<", "DESC")
    condition = "c.deleted_at IS NULL"
    if has_place:
        condition += f" AND (c.created_at, c.client_id) {sign} (?, ?)"
    order = f"c.created_at {direction}, c.client_id {direction}"
    page = dialect.page_with("client c", _joins(dialect, parts), condition, order, limit)
    return _Read(dialect.placeholders(f"{shape.select} FROM {page}"), shape)


@lru_cache(maxsize=64)
def _shape(dialect: Dialect, parts: ClientPart) -> _Shape:
    own = {**_CLIENT_COLUMNS, **(_DETAILS if ClientPart.DETAILS in parts else {})}
    columns, attributes = [f"c.{name}" for name in own], _attributes(own, 0)
    old_secret_at = range(0)
    for alias, name in _secrets(parts).items():
        secret, begin = _secret_columns(alias, parts), len(columns)
        columns += [f"{alias}.{column}" for column in secret]
        attributes[name] = _secret(secret, begin)
        if alias == _OLD:
            old_secret_at = range(begin, len(columns))
    feature, label = dialect.joined("f.feature"), dialect.joined("l.key || '=' || l.value")
    for part, name, joined in (
        (ClientPart.FEATURES, "features", f"(SELECT {feature} FROM client_feature f WHERE f.client_id = c.client_id)"),  # noqa: S608  put together from constants
        (ClientPart.LABELS, "labels", f"(SELECT {label} FROM client_label l WHERE l.client_id = c.client_id)"),  # noqa: S608  the same
    ):
        if part in parts:
            attributes |= _attributes({name: _texts}, len(columns))
            columns.append(joined)
    if old_secret_at:
        columns.append(f"(SELECT {dialect.clock})")  # the clock is read once, not for each row
    return _Shape(
        f"SELECT {', '.join(columns)}",
        type(ClientRow.__name__, (ClientRow,), attributes),
        old_secret_at,
        len(columns) - 1 if old_secret_at else None,
    )


def _joins(dialect: Dialect, parts: ClientPart, *, of_many: bool = True) -> str:
    """Return the joins of the active secrets. Those of many clients are found client by client, not read in full."""
    return " ".join(
        dialect.row_of("client_secret", alias, _ACTIVE[alias])
        if of_many
        else f"LEFT JOIN client_secret {alias} ON {_ACTIVE[alias]}"
        for alias in _secrets(parts)
    )


def _secrets(parts: ClientPart) -> Mapping[str, str]:
    """Return the aliases of the secrets that are read, each with its attribute of a client."""
    read = {
        _CURRENT: (ClientPart.CURRENT_SECRET, "current_secret"),
        _OLD: (ClientPart.OLD_SECRET, "old_secret"),
    }
    return {alias: name for alias, (part, name) in read.items() if part in parts}


def _secret_columns(alias: str, parts: ClientPart) -> Mapping[str, Convert]:
    """Return the columns that are read of a secret. The first one is never null where there is a secret."""
    read = {
        name: convert for part, columns in _SECRET_COLUMNS.items() if part in parts for name, convert in columns.items()
    }
    if alias == _CURRENT:
        return read or {"id": _same}
    replaced_at = {"replaced_at": from_microseconds} if ClientPart.SECRETS in parts else {}
    return {"expires_at": from_microseconds, **read, **replaced_at}


def _attributes(columns: Mapping[str, Convert], begin: int) -> dict[str, object]:
    """Return what a class of rows has for columns that begin at this place."""
    attributes = {name: _attribute(at, convert) for at, (name, convert) in enumerate(columns.items(), begin)}
    return {"__slots__": (), **attributes}


def _attribute(at: int, convert: Convert) -> property:
    read = itemgetter(at)
    return property(read if convert is _same else lambda row: convert(read(row)))


def _secret(columns: Mapping[str, Convert], begin: int) -> property:
    """Return the attribute of a client for its secret whose columns begin at this place, with its client id."""
    attributes = {"client_id": _attribute(list(_CLIENT_COLUMNS).index("client_id"), _same)}
    class_ = type(ActiveSecretRow.__name__, (ActiveSecretRow,), {**attributes, **_attributes(columns, begin)})
    end = begin + len(columns)
    # Cut off first: of anything but a plain tuple, a tuple is made value by value.
    return property(lambda row: None if row[begin] is None else class_(row[:end]))
