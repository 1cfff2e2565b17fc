"""The newest secrets of many clients, in one read: a list that shows some of each would ask once for each client."""

from collections import defaultdict
from collections.abc import Collection
from typing import Final

import orjson

from gql_secrets.pauses import make_all
from gql_secrets.storage.change_rows import SECRET_COLUMNS, SECRET_PLAN
from gql_secrets.storage.database import Database
from gql_secrets.storage.models import ClientSecret
from gql_secrets.storage.objects import object_of_row

# The index on client and id leads to the oldest secret of each client's page, however many it has had before that.
_NEWEST: Final = f"""
    SELECT {", ".join(f"s.{name}" for name in SECRET_COLUMNS)} FROM {{wanted}} w CROSS JOIN client_secret s
    WHERE s.client_id = w.client_id AND s.id >= coalesce((
        SELECT o.id FROM client_secret o WHERE o.client_id = w.client_id ORDER BY o.id DESC LIMIT 1 OFFSET ?
    ), 0)
    ORDER BY s.id DESC
"""  # noqa: S608  put together from constants
_COUNTS: Final = """
    SELECT client_id, count(*) FROM client_secret WHERE client_id IN (SELECT client_id FROM {wanted} wanted)
    GROUP BY client_id
"""


async def newest_secrets(database: Database, client_ids: Collection[str], count: int) -> dict[str, list[ClientSecret]]:
    """Return the newest secrets of each client that has any, at most this many (1 or more), newest first.

    Raises:
        Unavailable: the database does not answer.
    """
    wanted = orjson.dumps([[client_id] for client_id in client_ids]).decode()
    statement = _NEWEST.format(wanted=database.dialect.rows_of_json({"client_id": "text"}))
    fetch = database.fetch_quickly if len(client_ids) == 1 else database.fetch_rows
    rows = await fetch(statement, (wanted, count - 1))
    secrets: dict[str, list[ClientSecret]] = defaultdict(list)
    for secret in await make_all(lambda row: object_of_row(ClientSecret, SECRET_PLAN, row), rows):
        if secret is not None:
            secrets[secret.client_id].append(secret)
    return secrets


async def count_of_clients(database: Database, client_ids: Collection[str]) -> dict[str, int]:
    """Return how many secrets each client has or had, if any.

    Raises:
        Unavailable: the database does not answer.
    """
    wanted = orjson.dumps([[client_id] for client_id in client_ids]).decode()
    statement = _COUNTS.format(wanted=database.dialect.rows_of_json({"client_id": "text"}))
    return {client_id: int(count) for client_id, count in await database.fetch_rows(statement, (wanted,))}
