"""The allow lists of many clients, gathered by the database: a page may have ten thousand networks."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import orjson

from gql_secrets.storage.allowed_uses import json_column
from gql_secrets.storage.database import Database

_NETWORKS: Final = """
    SELECT w.client_id, {networks}, {positions}
    FROM {wanted} t CROSS JOIN client_network w WHERE w.client_id = t.client_id GROUP BY w.client_id
"""
# Up to this number of clients, their networks are read within a millisecond.
_FEW: Final = 10


async def find_networks(database: Database, client_ids: Collection[str]) -> dict[str, list[str]]:
    """Return the networks of each of these clients that has any, in their order.

    Raises:
        Unavailable: the database does not answer.
    """
    dialect = database.dialect
    statement = _NETWORKS.format(
        networks=dialect.gathered("w.network"),
        positions=dialect.gathered("w.position"),
        wanted=dialect.rows_of_json({"client_id": "text"}),
    )
    wanted = json_column(list(set(client_ids)))
    return dict(await database.fetch_as(_list_of, statement, [wanted], is_short=len(client_ids) <= _FEW))


def _list_of(row: Sequence[Any]) -> tuple[str, list[str]]:
    client_id, networks, positions = row
    places: list[int] = orjson.loads(positions)
    texts: list[str] = orjson.loads(networks)
    if places != sorted(places):
        texts = [text for _, text in sorted(zip(places, texts, strict=True))]
    return client_id, texts
