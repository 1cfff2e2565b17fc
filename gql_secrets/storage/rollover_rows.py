"""The rollovers of many clients, in one read past the ORM: a list shows a hundred of them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, cast

from gql_secrets.pauses import make_all
from gql_secrets.storage.allowed_uses import json_column
from gql_secrets.storage.change_rows import SECRET_COLUMNS, SECRET_PLAN
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.models import ClientSecret
from gql_secrets.storage.objects import object_of_row

_WANTED: Final = {"client_id": "text"}
_COLUMNS: Final = ", ".join(f"{alias}.{name}" for alias in ("old", "new") for name in SECRET_COLUMNS)
_NEW_AT: Final = len(SECRET_COLUMNS)
_RESTRICTED_AT: Final = 2 * len(SECRET_COLUMNS)
# The order of the joins is that of the indexes: a client, its retained secret, and only then its current one.
_RUNNING: Final = f"""
    SELECT {_COLUMNS}, c.is_restricted, (SELECT {{clock}})
    FROM {{wanted}} t CROSS JOIN client c CROSS JOIN client_secret old CROSS JOIN client_secret new
    WHERE c.client_id = t.client_id AND old.client_id = t.client_id AND old.state = 'RETAINED'
        AND new.client_id = t.client_id AND new.state = 'CURRENT'
"""  # noqa: S608  put together from constants


_TRIED: Final = """
    SELECT s.id, s.client_id FROM {wanted} t CROSS JOIN client_secret s
    WHERE s.client_id = t.client_id AND s.state IN ('EXPIRED', 'REVOKED') AND s.last_refused_at > ?
"""


class RolloverRow(NamedTuple):
    """The secrets of a rollover, whether its client has an allow list, and the database's clock as they were read."""

    old: ClientSecret
    new: ClientSecret
    is_restricted: bool
    now: datetime


async def find_rollovers(database: Database, client_ids: Collection[str]) -> list[RolloverRow]:
    """Return the rollover of each of these clients that has one, in any order.

    One whose old secret has expired is left out, even if the expiry is not recorded yet.

    Raises:
        Unavailable: the database does not answer.
    """
    dialect = database.dialect
    statement = _RUNNING.format(clock=dialect.clock, wanted=dialect.rows_of_json(_WANTED))
    rows = await database.fetch_quickly(statement, (json_column(list(client_ids)),))
    if not rows:
        return []
    now = database.instant_of(rows[0][-1])
    found = await make_all(
        lambda row: RolloverRow(
            cast("ClientSecret", object_of_row(ClientSecret, SECRET_PLAN, row[:_NEW_AT])),
            cast("ClientSecret", object_of_row(ClientSecret, SECRET_PLAN, row[_NEW_AT:_RESTRICTED_AT])),
            bool(row[_RESTRICTED_AT]),
            now,
        ),
        rows,
    )
    return [row for row in found if row.old.expires_at is not None and now < row.old.expires_at]


async def find_tried_secrets(
    database: Database, client_ids: Collection[str], since: datetime
) -> Sequence[Sequence[Any]]:
    """Return the id and the client of each secret of these clients that had ended and was tried after an instant.

    Raises:
        Unavailable: the database does not answer.
    """
    statement = _TRIED.format(wanted=database.dialect.rows_of_json(_WANTED))
    return await database.fetch_quickly(statement, (json_column(list(client_ids)), to_microseconds(since)))
