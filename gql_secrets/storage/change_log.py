"""The change log answers one question: what came after a revision with this hash?

The audit is the log: each change has one event, a revision one higher than the change before, and a hash that chains it
to that change. Revisions become visible in order. A database that was replaced by an older copy of itself has other
hashes, or lower revisions: then the answer is `Rewound`, and the reader must read everything again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from tortoise.backends.base.client import BaseDBAsyncClient

from gql_secrets.storage.database import Database
from gql_secrets.storage.models import AuditEvent

# For lookups that read outside the ORM.
LATEST: Final = """
    SELECT i.revision, e.hash FROM installation i LEFT JOIN audit_event e ON e.revision = i.revision
"""
SINCE: Final = "SELECT revision, hash, client_id FROM audit_event WHERE revision >= ? ORDER BY revision LIMIT ?"


class Position(NamedTuple):
    """A place in the log: a revision, and the hash of its event. Revision 0 is before the first change."""

    revision: int
    hash: bytes | None


class Rewound(NamedTuple):
    """The database went back in time: what was read before may never have happened."""


class Pruned(NamedTuple):
    """What came after the revision was deleted from the log."""


class Change(Protocol):
    """A row of the log."""

    @property
    def revision(self) -> int:
        """The revision that the change created."""

    @property
    def hash(self) -> bytes:
        """The hash of its event, which covers the change before it."""


class ChangedClient(NamedTuple):
    """A row of the log, as far as a cache needs it; without a client it changed something else."""

    revision: int
    hash: bytes
    client_id: str | None


ChangeT = TypeVar("ChangeT", bound=Change)
ChangeT_co = TypeVar("ChangeT_co", bound=Change, covariant=True)


@dataclass(frozen=True, slots=True)
class Changes(Generic[ChangeT_co]):
    """The changes after a position, the position of the last one, and whether there are more."""

    changes: Sequence[ChangeT_co]
    position: Position
    has_more: bool


def compare(position: Position, latest: Position, since: Sequence[ChangeT], limit: int) -> Changes[ChangeT] | Rewound:
    """Return what came after a position.

    Args:
        position: what was seen last.
        latest: where the log is now, read before `since`.
        since: the rows from the position's revision on, itself included, at most `limit` and two more.
        limit: how many changes to return at most.
    """
    if latest.revision < position.revision:
        return Rewound()
    changes = list(since)
    if position.revision > 0:
        if not changes or (changes[0].revision, changes[0].hash) != position:
            return Rewound()
        del changes[0]
    has_more = len(changes) > limit
    del changes[limit:]
    end = Position(changes[-1].revision, changes[-1].hash) if changes else position
    return Changes(changes, end, has_more)


class ChangeLog:
    """Asks the change log of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def latest(self) -> Position:
        """Return the position of the newest change.

        Raises:
            Unavailable: the database does not answer.
        """
        [row] = await self._database.fetch(LATEST)
        return Position(row["revision"], row["hash"])

    async def between(
        self, revision: int, latest: Position, limit: int, *, client_id: str | None = None
    ) -> Changes[AuditEvent] | Rewound | Pruned:
        """Return the changes of clients after a revision that a reader remembers without its hash, up to a position.

        Args:
            revision: the last one that the reader knows. If it is above the position, the database went back in time.
            latest: the position.
            limit: how many changes to return at most.
            client_id: only the changes of this client; None for those of all clients.

        Raises:
            Unavailable: the database does not answer.
        """
        if revision > latest.revision:
            return Rewound()
        if revision == latest.revision:
            return Changes((), latest, has_more=False)

        async def read(connection: BaseDBAsyncClient) -> list[AuditEvent] | Pruned:
            since = AuditEvent.filter(revision__gt=revision, revision__lte=latest.revision).using_db(connection)
            wanted = since.filter(client_id__isnull=False) if client_id is None else since.filter(client_id=client_id)
            rows = await wanted.prefetch_related("ended_secrets").order_by("revision").limit(limit + 1)
            # Checked last: the oldest are deleted first, so if this one is still there, all were there.
            is_complete = await AuditEvent.filter(revision=revision + 1).using_db(connection).exists()
            return rows if is_complete else Pruned()

        rows = await self._database.read(read)
        return rows if isinstance(rows, Pruned) else Changes(rows[:limit], latest, has_more=len(rows) > limit)

    async def after(self, position: Position, limit: int) -> Changes[AuditEvent] | Rewound:
        """Return at most `limit` changes after this position, or that the database went back in time.

        Raises:
            Unavailable: the database does not answer.
        """
        latest = await self.latest()
        if latest == position:
            return Changes((), position, has_more=False)
        if latest.revision < position.revision:
            return Rewound()

        async def read(connection: BaseDBAsyncClient) -> list[AuditEvent]:
            since = AuditEvent.filter(revision__gte=position.revision).using_db(connection)
            return await since.prefetch_related("ended_secrets").order_by("revision").limit(limit + 2)

        return compare(position, latest, await self._database.read(read), limit)
