"""What a change decides on: locked first, then read by one statement.

A statement sees what was committed when it began. One that waits for a lock and reads in the same breath would see the
client as its predecessor left it, but not the secret that the predecessor added. So the locks have statements of their
own, and everything is read after them: the clock, the installation, the client with its active secrets, the caller.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from gql_secrets.storage.cluster import FOLLOWERS
from gql_secrets.storage.database import Database
from gql_secrets.storage.dialect import Dialect
from gql_secrets.storage.fields import from_microseconds
from gql_secrets.storage.models import Client, ClientSecret, Installation
from gql_secrets.storage.objects import object_of_row, plan_of, set_fields
from gql_secrets.storage.transaction import Transaction

# Tortoise's own lists of columns; it adds that of the foreign key only when it opens a database.
_CLIENT: Final = tuple(Client._meta.fields_db_projection)  # noqa: SLF001
SECRET_COLUMNS: Final = ("id", *sorted({*ClientSecret._meta.fields_db_projection, "client_id"} - {"id"}))  # noqa: SLF001
_INSTALLATION: Final = tuple(Installation._meta.fields_db_projection)  # noqa: SLF001
_CLIENT_PLAN: Final = plan_of(Client, _CLIENT)
SECRET_PLAN: Final = plan_of(ClientSecret, SECRET_COLUMNS)
_INSTALLATION_PLAN: Final = plan_of(Installation, _INSTALLATION)
# Where the columns of each object begin in the row, after eight other facts.
_FACTS: Final = 8
_CLIENT_AT: Final = _FACTS + len(_INSTALLATION)
_CURRENT_AT: Final = _CLIENT_AT + len(_CLIENT)
_RETAINED_AT: Final = _CURRENT_AT + len(SECRET_COLUMNS)
_CALLER_AT: Final = _RETAINED_AT + len(SECRET_COLUMNS)
_CALLER_SECRET_COLUMNS: Final = 9
_statements: Final[dict[tuple[str, bool, bool], str]] = {}
_SESSION_COLUMNS: Final = (
    "session.id, session.role, session.created_at, session.last_seen_at, session.ended_at, session.link_number, "
    "session.looked_at, session.look_failed_at"
)


class CallerSecret(NamedTuple):
    """The secret that a caller signed in with, and its client. `networks` is None where every address is allowed."""

    id: int
    state: str
    expires_at: datetime | None
    client_id: str
    enabled: bool
    self_reset: bool
    features: tuple[str, ...]
    networks: tuple[str, ...] | None


class CallerSession(NamedTuple):
    """The session of a person."""

    id: int
    role: str
    created_at: datetime
    last_seen_at: datetime
    ended_at: datetime | None
    link_number: int | None
    looked_at: datetime | None
    look_failed_at: datetime | None


class LockedRows(NamedTuple):
    """What a change reads after its locks.

    Attributes:
        now: the database's clock.
        installation: the revision, and the head of the audit log.
        client: the client, unless it was deleted.
        features: its features.
        secrets: its active secrets, with their last use.
        are_makers: whether a link or a session comes from one of them.
        followers: the nodes that verify from memory.
        new_secret_id: the id of the secret that the change will create, if it asked for one.
        caller_secret: the secret that the caller signed in with.
        caller_session: the caller's session.
    """

    now: datetime
    installation: Installation
    client: Client | None
    features: tuple[str, ...]
    secrets: tuple[ClientSecret, ...]
    are_makers: bool
    followers: tuple[str, ...]
    new_secret_id: int | None
    caller_secret: CallerSecret | None
    caller_session: CallerSession | None


async def read_locked(
    tx: Transaction,
    client_id: str | None,
    *,
    secret_id: int | None = None,
    session_id: int | None = None,
    creates_secret: bool = False,
) -> LockedRows:
    """Lock the client, its active secrets and the installation, in this order; then read what a change decides on.

    Args:
        tx: the transaction of the change.
        client_id: which client is changed; None for none.
        secret_id: the secret that the caller signed in with.
        session_id: the caller's session.
        creates_secret: whether the change needs the id of a new secret.
    """
    await tx.lock_for_change(client_id)
    caller = [each for each in (secret_id, session_id) if each is not None]
    statement = _statement(tx.dialect, for_secret=secret_id is not None, for_session=session_id is not None)
    [row] = await tx.fetch_rows(statement, (creates_secret, client_id, *caller))
    values = tuple(row)
    clock, newest, new_secret_id, followers, are_makers, features, current_used_at, retained_used_at = values[:_FACTS]
    now = tx.instant_of(clock)
    installation = object_of_row(Installation, _INSTALLATION_PLAN, values[_FACTS:_CLIENT_AT])
    client = object_of_row(Client, _CLIENT_PLAN, values[_CLIENT_AT:_CURRENT_AT])
    current = _secret(values[_CURRENT_AT:_RETAINED_AT], current_used_at)
    retained = _secret(values[_RETAINED_AT:_CALLER_AT], retained_used_at)
    session_at = _CALLER_AT if secret_id is None else _CALLER_AT + _CALLER_SECRET_COLUMNS
    if installation is None:
        raise LookupError("The row of the installation is missing.")
    # An edited row may name a revision that an event already has: a change that ends something must still be possible.
    if newest is not None and newest > installation.revision:
        set_fields(installation, revision=newest)
    return LockedRows(
        now=now,
        installation=installation,
        client=client,
        features=_words(features),
        secrets=tuple(secret for secret in (retained, current) if secret),
        are_makers=bool(are_makers),
        followers=_words(followers),
        new_secret_id=new_secret_id,
        caller_secret=None if secret_id is None else _caller_secret(values[_CALLER_AT:session_at]),
        caller_session=None if session_id is None else _caller_session(values[session_at:]),
    )


def _secret(values: Sequence[Any], last_seen_at: int | None) -> ClientSecret | None:
    secret = object_of_row(ClientSecret, SECRET_PLAN, values)
    if secret is not None and last_seen_at is not None:
        seen_at = from_microseconds(last_seen_at)
        set_fields(secret, last_used_at=max(secret.last_used_at or seen_at, seen_at))
    return secret


async def find_caller_secrets(database: Database, secret_ids: Collection[int | None]) -> list[CallerSecret]:
    """Return those of these secrets that exist.

    Raises:
        Unavailable: the database does not answer.
    """
    if not secret_ids:
        return []
    marks = ", ".join("?" * len(secret_ids))
    statement = (
        f"SELECT {_caller_secret_columns(database.dialect)} FROM client_secret own "  # noqa: S608  names of our own
        f"JOIN client own_client ON own_client.client_id = own.client_id WHERE own.id IN ({marks})"
    )
    rows = await database.fetch_rows(statement, list(secret_ids))
    return [secret for row in rows if (secret := _caller_secret(row))]


async def find_caller_sessions(database: Database, session_ids: Collection[int | None]) -> list[CallerSession]:
    """Return those of these sessions that exist.

    Raises:
        Unavailable: the database does not answer.
    """
    if not session_ids:
        return []
    marks = ", ".join("?" * len(session_ids))
    statement = f"SELECT {_SESSION_COLUMNS} FROM session WHERE session.id IN ({marks})"  # noqa: S608  names of our own
    rows = await database.fetch_rows(statement, list(session_ids))
    return [session for row in rows if (session := _caller_session(row))]


def _statement(dialect: Dialect, *, for_secret: bool, for_session: bool) -> str:
    """Return the statement that reads everything, put together once for each kind of database and of caller."""
    key = (dialect.name, for_secret, for_session)
    try:
        return _statements[key]
    except KeyError:
        made = _read_everything(dialect, for_secret=for_secret, for_session=for_session)
        return _statements.setdefault(key, dialect.placeholders(made))


def _read_everything(dialect: Dialect, *, for_secret: bool, for_session: bool) -> str:
    def columns(alias: str, names: Sequence[str]) -> str:
        return ", ".join(f"{alias}.{name}" for name in names)

    def last_use(alias: str) -> str:
        return f"(SELECT max(u.last_seen_at) FROM secret_use u WHERE u.secret_id = {alias}.id AND NOT u.refused)"  # noqa: S608  names of our own

    made = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} x WHERE x.maker_secret_id IN (cur.id, ret.id))"  # noqa: S608
        for table in ("session", "sign_in_link")
    )
    features = f"(SELECT {dialect.joined('f.feature')} FROM client_feature f WHERE f.client_id = c.client_id)"  # noqa: S608
    followers = f"({FOLLOWERS})" if dialect.name == "postgres" else "NULL"
    caller, joins = "", ""
    if for_secret:
        caller += f", {_caller_secret_columns(dialect)}"
        joins += """
        LEFT JOIN client_secret own ON own.id = ?
        LEFT JOIN client own_client ON own_client.client_id = own.client_id"""
    if for_session:
        caller += f", {_SESSION_COLUMNS}"
        joins += """
        LEFT JOIN session ON session.id = ?"""
    return f"""
        SELECT {dialect.clock}, (SELECT max(e.revision) FROM audit_event e),
            CASE WHEN ? THEN {dialect.next_secret_id} END, {followers}, {made}, {features},
            {last_use("cur")}, {last_use("ret")}, {columns("i", _INSTALLATION)}, {columns("c", _CLIENT)},
            {columns("cur", SECRET_COLUMNS)}, {columns("ret", SECRET_COLUMNS)}{caller}
        FROM installation i
        LEFT JOIN client c ON c.client_id = ? AND c.deleted_at IS NULL
        LEFT JOIN client_secret cur ON cur.client_id = c.client_id AND cur.state = 'CURRENT'
        LEFT JOIN client_secret ret ON ret.client_id = c.client_id AND ret.state = 'RETAINED'{joins}
        WHERE i.id = 1
    """  # noqa: S608  names of our own


def _caller_secret_columns(dialect: Dialect) -> str:
    return f"""
        own.id, own.state, own.expires_at, own.client_id, own_client.enabled, own_client.is_restricted,
        own_client.self_reset,
        (SELECT {dialect.joined("f.feature")} FROM client_feature f WHERE f.client_id = own.client_id),
        CASE WHEN own_client.is_restricted THEN (
            SELECT {dialect.joined("n.network")} FROM client_network n WHERE n.client_id = own.client_id
        ) END
    """  # noqa: S608  names of our own


def _caller_secret(row: Sequence[Any]) -> CallerSecret | None:
    secret_id, state, expires_at, client_id, enabled, is_restricted, self_reset, features, networks = row
    if secret_id is None:
        return None
    return CallerSecret(
        secret_id,
        state,
        _instant(expires_at),
        client_id,
        bool(enabled),
        bool(self_reset),
        _words(features),
        _words(networks) if is_restricted else None,
    )


def _caller_session(row: Sequence[Any]) -> CallerSession | None:
    session_id, role, created_at, last_seen_at, ended_at, link_number, looked_at, look_failed_at = row
    if session_id is None:
        return None
    return CallerSession(
        session_id,
        role,
        from_microseconds(created_at),
        from_microseconds(last_seen_at),
        _instant(ended_at),
        link_number,
        _instant(looked_at),
        _instant(look_failed_at),
    )


def _words(joined: str | None) -> tuple[str, ...]:
    return tuple(joined.split(",")) if joined else ()


def _instant(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_microseconds(microseconds)
