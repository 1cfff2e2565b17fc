"""The read of the verification path: one secret by its digest, outside the ORM.

By digest, never by client first: how long it takes does not tell whether a client exists. Nor does it tell whether a
secret that is not good is there at all, ended or of a disabled client: each such question makes one read that finds a
row and one that finds none, in the one order or in the other (tests/benchmarks/oracle.py measures it).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from gql_secrets.domain.networks import EVERYWHERE, AllowList
from gql_secrets.domain.rotation import SecretState
from gql_secrets.storage.fields import from_microseconds

COLUMNS: Final = "s.id, s.client_id, s.state, s.expires_at, s.first_used_at, c.enabled, c.is_restricted"
TABLES: Final = "client_secret s JOIN client c ON c.client_id = s.client_id"
# What is read in vain in place of a secret that is not there.
SOME_DIGESTS: Final = "SELECT digest FROM client_secret ORDER BY id LIMIT 64"
NOBODYS_DIGEST: Final = bytes(32)
_LIVING: Final = frozenset({SecretState.CURRENT.value, SecretState.RETAINED.value})


class StoredSecret(NamedTuple):
    """A secret as verification sees it; of one that cannot be good only as much as says so."""

    secret_id: int
    client_id: str
    state: SecretState
    expires_at: datetime | None
    was_used: bool
    enabled: bool
    allow_list: AllowList | None


class Lookup(Protocol):
    """Finds the secret that has one of these digests."""

    async def find(self, client_id: str, digests: Sequence[bytes]) -> tuple[StoredSecret | None, datetime]:
        """Return the secret, or None, and the database's clock at that moment.

        The client id is the one that the digests are made with.

        Raises:
            sqlite3.Error, asyncpg errors, OSError: the database does not answer.
        """

    def find_nowait(self, client_id: str, digests: Sequence[bytes]) -> tuple[StoredSecret | None, datetime] | None:
        """Return what `find` would, without awaiting; None where that is not possible.

        The database is looked at once after each `expire_view`: only for a caller that calls it when anything has
        arrived from outside. What was true then is true for every question that has arrived so far.

        Raises:
            sqlite3.Error: the database does not answer.
        """

    def expire_view(self) -> None:
        """Let the next `find_nowait` look at the database again."""

    async def read_ahead(self) -> float:
        """Read some of what will be asked for, before it is; return after how many seconds to go on.

        Raises:
            Unavailable: the database does not answer.
        """

    async def close(self) -> None:
        """Give the connections back."""


def may_be_good(row: Any) -> bool:  # noqa: ANN401  a row of either driver
    """Return whether only the clock can say that this secret is not good."""
    return bool(row[5]) and row[2] in _LIVING


def ended_of(row: Any) -> StoredSecret:  # noqa: ANN401  a row of either driver
    """Return the secret of a row that cannot be good."""
    state, expires_at = SecretState(row[2]), from_microseconds(row[3] or 0)
    return StoredSecret(
        row[0],
        row[1],
        state,
        expires_at if state is SecretState.RETAINED else None,  # a disabled client's secret goes on ageing
        was_used=False,
        enabled=bool(row[5]),
        allow_list=None,
    )


def found_of(row: Any, networks: list[str] | None) -> StoredSecret:  # noqa: ANN401  a row of either driver
    """Return the secret of a row, with the networks that its client may call from, None for everywhere."""
    return StoredSecret(
        secret_id=row[0],
        client_id=row[1],
        state=SecretState(row[2]),
        expires_at=None if row[3] is None else from_microseconds(row[3]),
        was_used=row[4] is not None,
        enabled=bool(row[5]),
        allow_list=None if networks is None else AllowList.parse(networks) if networks else EVERYWHERE,
    )
