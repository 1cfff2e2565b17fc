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

# The ids come from an index alone, however many secrets a client has had.
_NEWEST: Final = f"""
    SELECT {", ".join(SECRET_COLUMNS)} FROM client_secret WHERE id IN (
        SELECT id FROM (
            SELECT s.id, row_number() OVER (PARTITION BY s.client_id ORDER BY s.id DESC) AS place
            FROM client_secret s WHERE s.client_id IN (SELECT client_id FROM {{wanted}} wanted)
        ) numbered WHERE place <= ?
    ) ORDER BY id DESC
"""  # noqa: S608  put together from constants
_COUNTS: Final = """
    SELECT client_id, count(*) FROM client_secret WHERE client_id IN (SELECT client_id FROM {wanted} wanted)
    GROUP BY client_id
"""


async def newest_secrets(database: Database, client_ids: Collection[str], count: int) -> dict[str, list[ClientSecret]]:
    """Return the newest secrets of each client that has any, at most this many, newest first.

    Raises:
        Unavailable: the database does not answer.
    """
    wanted = orjson.dumps([[client_id] for client_id in client_ids]).decode()
    statement = _NEWEST.format(wanted=database.dialect.rows_of_json({"client_id": "text"}))
    rows = await database.fetch_rows(statement, (wanted, count))
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
