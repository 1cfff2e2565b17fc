"""When which source used a secret, as little as decides how far a rollover has come.

A page of rollovers has thousands of sources, of which it shows only how many there are. So the database gathers those
of each secret into a few values, and instants stay whole microseconds.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

import orjson

from gql_secrets.storage.allowed_uses import json_column
from gql_secrets.storage.database import Database
from gql_secrets.storage.dialect import Dialect
from gql_secrets.storage.transaction import Transaction

_SIGHTINGS: Final = """
    SELECT u.secret_id, u.refused, {columns}
    FROM {wanted} t CROSS JOIN secret_use u WHERE u.secret_id = t.secret_id
    GROUP BY u.secret_id, u.refused
"""
_COLUMNS: Final = ("u.address", "u.user_agent", "u.first_seen_at", "u.last_seen_at")
# Up to this number of secrets, their sources are read within a millisecond.
_FEW: Final = 10

SourceKey = tuple[str, str]
"""An address and a user agent; an unknown one is the empty string."""


class Sightings(NamedTuple):
    """When each source was first and last seen, in microseconds. The sources are in no order."""

    sources: Sequence[SourceKey] = ()
    first_seen_at: Sequence[int] = ()
    last_seen_at: Sequence[int] = ()

    def last_by_source(self) -> dict[SourceKey, int]:
        """Return when each source was last seen."""
        return dict(zip(self.sources, self.last_seen_at, strict=True))


class SecretSightings(NamedTuple):
    """The recent sources of the uses of a secret, and those of refused attempts."""

    used: Sightings = Sightings()
    refused: Sightings = Sightings()


async def find_sightings(database: Database | Transaction, secret_ids: Collection[int]) -> dict[int, SecretSightings]:
    """Return the stored sightings of those of these secrets that have any.

    Raises:
        Unavailable: the database does not answer.
    """
    wanted, is_short = json_column(list(set(secret_ids))), len(secret_ids) <= _FEW
    found: dict[int, SecretSightings] = {}
    for secret_id, refused, *columns in await database.fetch_as(
        tuple, _statement(database.dialect), [wanted], is_short=is_short
    ):
        sightings = _sightings_of(columns)
        others = found.get(secret_id, SecretSightings())
        found[secret_id] = others._replace(refused=sightings) if refused else others._replace(used=sightings)
    return found


def _statement(dialect: Dialect) -> str:
    wanted = dialect.rows_of_json({"secret_id": "bigint"})
    return _SIGHTINGS.format(wanted=wanted, columns=", ".join(map(dialect.gathered, _COLUMNS)))


def _sightings_of(columns: Iterable[Any]) -> Sightings:
    addresses, user_agents, first_seen_at, last_seen_at = map(orjson.loads, columns)
    return Sightings(list(zip(addresses, user_agents, strict=True)), first_seen_at, last_seen_at)
