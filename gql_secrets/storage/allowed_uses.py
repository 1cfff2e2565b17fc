"""Which rollovers only look safe to revoke, because the allow list refused the uses of their new secret.

Addresses are compared with allow lists in Python, as everywhere else: no database folds them in the same way.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import orjson

from gql_secrets.domain.networks import EVERYWHERE, AllowList
from gql_secrets.domain.policies import RotationPolicy
from gql_secrets.domain.sources import first_allowed_use
from gql_secrets.storage.client_conditions import IS_QUIET, RUNNING, Conditions, quiet_values
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds, to_microseconds

# How many rollovers are read and evaluated together, before others get their turn on the event loop.
_PIECE: Final = 500
_LOOK_SAFE: Final = f"""
    SELECT x.id, x.client_id, n.id, n.first_used_at
    FROM client_secret x CROSS JOIN client k CROSS JOIN client_secret n
    WHERE k.client_id = x.client_id AND k.is_restricted AND n.client_id = x.client_id AND n.state = 'CURRENT'
        AND {RUNNING} AND {IS_QUIET}
"""  # noqa: S608  put together from constants
_CLIENT: Final = {"client_id": "text"}
_SECRET: Final = {"secret_id": "bigint"}
_NETWORKS: Final = """
    SELECT w.client_id, w.network FROM {rows} t CROSS JOIN client_network w WHERE w.client_id = t.client_id
    ORDER BY w.client_id, w.position
"""
_ADDRESSES: Final = """
    SELECT u.secret_id, u.address, min(u.first_seen_at)
    FROM {rows} t CROSS JOIN secret_use u WHERE u.secret_id = t.secret_id AND NOT u.refused
    GROUP BY u.secret_id, u.address
"""


async def conditions_at(database: Database, now: datetime, quiet_time: timedelta, policy: RotationPolicy) -> Conditions:
    """Return the conditions of lists at an instant, which agree with the advice of each rollover.

    Args:
        database: where to read.
        now: the instant.
        quiet_time: how long an old secret must be unused before it is safe to revoke.
        policy: the maximum age of current secrets.

    Raises:
        Unavailable: the database does not answer.
    """
    refused = await find_only_refused(database, now, quiet_time)
    rows = database.dialect.rows_of_json(_SECRET)
    return Conditions(now, quiet_time, policy, except_for=(rows, json_column(refused)) if refused else None)


async def find_only_refused(database: Database, now: datetime, quiet_time: timedelta) -> list[int]:
    """Return the old secrets that are not safe to revoke because of the allow list of their client alone.

    Their new secret was used, and the old one has been quiet for long enough, but the new secret was first used from an
    allowed address later than that, or never.

    Raises:
        Unavailable: the database does not answer.
    """
    rows = await database.fetch_rows(_LOOK_SAFE, (to_microseconds(now), *quiet_values(now, quiet_time)))
    return await refused_among(database, rows, now - quiet_time)


async def refused_among(database: Database, rows: Sequence[Sequence[Any]], quiet_since: datetime) -> list[int]:
    """Return the old secrets of these rollovers whose new secret had no use that the allow list allows, or too late.

    Args:
        database: where to read.
        rows: the ids of the old secret, the client and the new secret, and when the new secret was first used.
        quiet_since: until when the new secret must have been used from an allowed address.

    Raises:
        Unavailable: the database does not answer.
    """
    refused: list[int] = []
    for start in range(0, len(rows), _PIECE):
        some = rows[start : start + _PIECE]
        networks: dict[str, list[str]] = defaultdict(list)
        for client_id, network in await _read(database, _NETWORKS, _CLIENT, [row[1] for row in some]):
            networks[client_id].append(network)
        seen: dict[int, list[tuple[str | None, datetime]]] = defaultdict(list)
        for secret_id, address, at in await _read(database, _ADDRESSES, _SECRET, [row[2] for row in some]):
            seen[secret_id].append((address or None, from_microseconds(at)))
        for old_id, client_id, new_id, first_used_at in some:
            first = first_allowed_use(
                from_microseconds(first_used_at),
                seen[new_id],
                allows=_allow_list(tuple(networks[client_id])).allows,
            )
            if first is None or first > quiet_since:
                refused.append(old_id)
    return refused


async def _read(
    database: Database, statement: str, columns: Mapping[str, str], values: Sequence[str] | Sequence[int]
) -> Sequence[Sequence[Any]]:
    statement = statement.format(rows=database.dialect.rows_of_json(columns))
    return await database.fetch_rows(statement, [json_column(values)])


def json_column(values: Sequence[str] | Sequence[int]) -> str:
    """Return the text of a table of one column, for `rows_of_json`."""
    return orjson.dumps([[value] for value in values]).decode()


@lru_cache(maxsize=4096)
def _allow_list(networks: tuple[str, ...]) -> AllowList:
    # The allow list may have been removed after the rollover was read.
    return AllowList.parse(networks) if networks else EVERYWHERE
