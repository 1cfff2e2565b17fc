"""The nodes of the installation, for people who watch them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from gql_secrets import __version__
from gql_secrets.domain.leases import LeaseState
from gql_secrets.storage.cluster import FROM_MEMORY, read_members
from gql_secrets.storage.database import Database
from gql_secrets.storage.node_lease import LEASE_SECONDS
from gql_secrets.storage.postgres.membership import Membership

_LEASE: Final = timedelta(seconds=LEASE_SECONDS)
# A node that reads the database is seen every 5 seconds. One that was not seen for this long stopped.
_GONE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class ClusterMember:
    """A node.

    Attributes:
        lag: how many changes it has not followed yet; None where it reads the database for each verification.
        is_own: whether it is this process.
    """

    id: str
    version: str
    lease: LeaseState
    lag: int | None
    started_at: datetime
    last_seen_at: datetime
    is_own: bool


class Process(NamedTuple):
    """A process that serves: its id and its start."""

    id: str
    started_at: datetime


class ClusterNodes:
    """Reads the nodes that run on one database."""

    def __init__(self, database: Database, membership: Membership | None) -> None:
        self._database = database
        self._membership = membership
        self._id = membership.id if membership else secrets.token_hex(8)
        self._started_at: datetime | None = None
        # The other workers of this server. On PostgreSQL each of them has a row, as every node.
        self.siblings: Sequence[Process] = ()

    @property
    def own(self) -> Process | None:
        """This process, if it serves."""
        return None if self._started_at is None else Process(self._id, self._started_at)

    async def note_start(self) -> None:
        """Note that this process serves requests from now on.

        Raises:
            Unavailable: the database does not answer.
        """
        self._started_at = await self._database.now()

    @property
    def own_lease(self) -> LeaseState:
        """The state of the lease of this process."""
        if self._membership is None or not self._membership.has_memory:
            return LeaseState.NOT_NEEDED
        return LeaseState.HELD if self._membership.lease.is_held else LeaseState.EXPIRED

    @property
    def own_lag(self) -> int | None:
        """How many changes this process had not followed at its last poll; None where it needs no lease."""
        return self._membership.lag if self._membership is not None else None

    async def members(self) -> list[ClusterMember]:
        """Return the nodes in the order in which they started.

        SQLite keeps no list of them: a server sees only itself with all its workers, and a command sees none.

        Raises:
            Unavailable: the database does not answer.
        """
        now = await self._database.now()
        if self._membership is None:
            own = self.own
            if own is None:
                return []
            processes = [own, *(each for each in self.siblings if each.id != own.id)]
            return [
                ClusterMember(
                    each.id, __version__, LeaseState.NOT_NEEDED, None, each.started_at, now, is_own=each is own
                )
                for each in sorted(processes, key=lambda each: (each.started_at, each.id))
            ]
        return [
            ClusterMember(
                row.id,
                row.version,
                _lease_of(row.serves_from, now - row.last_seen_at),
                row.lag,
                row.started_at,
                row.last_seen_at,
                is_own=row.id == self._id,
            )
            for row in await read_members(self._database)
            if row.serves_from == FROM_MEMORY or now - row.last_seen_at < _GONE
        ]


def _lease_of(serves_from: str, unseen: timedelta) -> LeaseState:
    if serves_from != FROM_MEMORY:
        return LeaseState.NOT_NEEDED
    return LeaseState.HELD if unseen < _LEASE else LeaseState.EXPIRED
