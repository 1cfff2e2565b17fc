"""The read of the verification path: one secret by its digest, outside the ORM.

By digest, never by client first: how long it takes does not tell whether a client exists. Nor does it tell whether a
secret that is not good is there at all, ended or of a disabled client: each such question makes one read that finds a
row and one that finds none, in the one order or in the other (tests/benchmarks/oracle.py measures it).
"""

import asyncio
import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol, Self

import asyncpg

from gql_secrets.domain.networks import EVERYWHERE, AllowList
from gql_secrets.domain.rotation import SecretState
from gql_secrets.storage.database import Database, PooledConnection
from gql_secrets.storage.fields import from_microseconds

_COLUMNS: Final = """
    SELECT s.id, s.client_id, s.state, s.expires_at, s.first_used_at, c.enabled, c.is_restricted
    FROM client_secret s JOIN client c ON c.client_id = s.client_id
"""
_QUESTION: Final = f"{_COLUMNS} WHERE s.digest = ?"
_CHANGES: Final = "SELECT revision, client_id, hash FROM audit_event WHERE revision >= ? ORDER BY revision LIMIT ?"
_LATEST: Final = """
    SELECT i.revision, e.hash FROM installation i LEFT JOIN audit_event e ON e.revision = i.revision
"""
_DIGESTS: Final = "SELECT digest FROM client_secret WHERE client_id = ?"
_NETWORKS: Final = "SELECT network FROM client_network WHERE client_id = ? ORDER BY position"
# Some 180 bytes each, 370 where there is more to remember than an id: half a gigabyte for a million clients.
_MOST_REMEMBERED: Final = 2_000_000
_MOST_CHANGES: Final = 1000
_WHOLE_FILE: Final = 2**31 - 2**16  # what SQLite maps at most: a page that is not mapped costs five times as much
_CLOCK: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now"
_VERIFY_SECONDS: Final = 0.8
_POSTGRES_QUESTION: Final = f"""
    SELECT x.*, {_CLOCK}, ARRAY(
        SELECT network FROM client_network n WHERE n.client_id = x.client_id ORDER BY position
    ) AS networks
    FROM (SELECT 1) one LEFT JOIN ({_COLUMNS} WHERE s.digest = ANY($1::bytea[]) LIMIT 1) x ON true
"""  # noqa: S608  put together from constants
_SOME_DIGESTS: Final = "SELECT digest FROM client_secret ORDER BY id LIMIT 64"
_NOBODYS_DIGEST: Final = bytes(32)
_LIVING: Final = frozenset({SecretState.CURRENT.value, SecretState.RETAINED.value})


class Found(NamedTuple):
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

    async def find(self, client_id: str, digests: Sequence[bytes]) -> tuple[Found | None, datetime]:
        """Return the secret, or None, and the database's clock at that moment.

        The client id is the one that the digests are made with.

        Raises:
            sqlite3.Error, asyncpg errors, OSError: the database does not answer.
        """

    def find_at_once(
        self, client_id: str, digests: Sequence[bytes], arrivals: int | None
    ) -> tuple[Found | None, datetime] | None:
        """Return what `find` would, without awaiting; None where that cannot be.

        `arrivals` is how often anything has arrived at the server so far, the question itself included; None where
        nobody counts. What was known to be true after the last arrival is true for every question that has arrived.

        Raises:
            sqlite3.Error: the database does not answer.
        """

    async def close(self) -> None:
        """Give the connections back."""


class SqliteLookup:
    """Reads a SQLite file on the event loop: about 14 microseconds, less than handing it to a thread.

    A good secret in use is remembered, no other: most of them, which are current and have no allow list, by their id
    alone. `PRAGMA data_version` tells that another connection, of whatever process, committed; then the audit is read
    from the revision that was seen last, and the secrets of each client that changed are forgotten. A commit without
    a change (a first use, a flush of counters) has no revision. So what is remembered is what the file holds at the
    moment of asking: a revoke by another process is seen by the next verification. Of the questions that arrived
    together the first asks for all of them.
    """

    def __init__(self, database: Database) -> None:
        """Open a connection of its own on the database's file."""
        self._adjust_clock = database.adjust_clock
        self._connection = sqlite3.connect(str(database.address.path), isolation_level=None, timeout=0.5)
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.execute(f"PRAGMA mmap_size = {_WHOLE_FILE}")
        self._version: int | None = None
        self._arrivals: int | None = None
        self._revision: int
        self._hash: bytes | None
        self._remembered: dict[bytes, int | Found]
        self._forget()
        some = [digest for (digest,) in self._connection.execute(_SOME_DIGESTS)]
        self._some_digests = itertools.cycle(some or [_NOBODYS_DIGEST])

    async def find(self, client_id: str, digests: Sequence[bytes]) -> tuple[Found | None, datetime]:
        """Return the secret with one of these digests, and the machine's clock."""
        return self.find_at_once(client_id, digests, None)

    def find_at_once(
        self, client_id: str, digests: Sequence[bytes], arrivals: int | None
    ) -> tuple[Found | None, datetime]:
        """Return the secret with one of these digests, and the machine's clock."""
        if arrivals is None or arrivals != self._arrivals:
            self._forget_what_changed()
            self._arrivals = arrivals
        for digest in digests:
            found = self._remembered.get(digest)
            if found is not None:
                return (_plain(found, client_id) if isinstance(found, int) else found), self._now()
        return self._look_up(digests), self._now()

    def _look_up(self, digests: Sequence[bytes]) -> Found | None:
        row, own = None, _NOBODYS_DIGEST
        for digest in digests:  # all of them: when the reading ends does not tell which key the secret is under
            if (here := self._read(digest)) is not None:
                row, own = here, digest
        if row is None:
            if (other := self._read(next(self._some_digests))) is not None:
                _ended_of(other)
            return None
        if not _may_be_good(row):
            self._read(_NOBODYS_DIGEST)
            return _ended_of(row)
        networks = [text for (text,) in self._connection.execute(_NETWORKS, (row[1],))] if row[6] else None
        found = _found_of(row, networks)
        # Before its first use, each verification must look again. Whatever ends is forgotten, so room comes by itself.
        if found.was_used and len(self._remembered) < _MOST_REMEMBERED:
            self._remembered[own] = found.secret_id if found == _plain(found.secret_id, found.client_id) else found
        return found

    def _now(self) -> datetime:
        return self._adjust_clock(datetime.now(UTC))

    def _forget_what_changed(self) -> None:
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        seen, *changes = self._connection.execute(_CHANGES, (self._revision, _MOST_CHANGES + 2)).fetchall() or [None]
        went_back = seen is None or seen[2] != self._hash  # a backup was restored: its revisions are others
        for revision, client_id, digest in changes:
            self._revision, self._hash = revision, digest
            went_back = went_back or client_id is None  # no client's change, but something's
            for (own,) in self._connection.execute(_DIGESTS, (client_id,)):
                self._remembered.pop(own, None)
        if went_back or len(changes) > _MOST_CHANGES:
            self._forget()
        self._version = version

    def _forget(self) -> None:
        self._revision, self._hash = self._connection.execute(_LATEST).fetchone()
        self._remembered = {}

    def _read(self, digest: bytes) -> Any:  # noqa: ANN401  a row, or None
        return self._connection.execute(_QUESTION, (digest,)).fetchone()

    async def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class PostgresLookup:
    """Reads PostgreSQL for each verification, twice for a refused one: exact on every node by construction."""

    def __init__(self, database: Database, pool: asyncpg.Pool) -> None:
        """Make it on a pool of its own."""
        self._adjust_clock = database.adjust_clock
        self._pool = pool
        self._some_digests: Iterator[bytes] | None = None

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Make it with a pool that connects with the first question."""
        pool = await asyncpg.create_pool(
            **dict(database.address.credentials),
            min_size=0,
            max_size=database.pool.size,
            statement_cache_size=database.pool.statement_cache_size,
            connection_class=PooledConnection,
        )
        return cls(database, pool)

    async def find(self, client_id: str, digests: Sequence[bytes]) -> tuple[Found | None, datetime]:  # noqa: ARG002
        """Return the secret with one of these digests, and the database's clock, within 0.8 seconds."""
        connection = None
        try:
            async with asyncio.timeout(_VERIFY_SECONDS):
                connection = await self._pool.acquire()
                row = await connection.fetchrow(_POSTGRES_QUESTION, list(digests))
                found = await self._judged(row, connection)
        except BaseException:
            if connection is not None:
                connection.terminate()  # asking it to cancel would wait for the same silence again
            raise
        finally:
            if connection is not None:
                await self._pool.release(connection)
        return found, self._adjust_clock(from_microseconds(row["now"]))

    async def _judged(self, row: asyncpg.Record, connection: asyncpg.Connection) -> Found | None:
        if row["id"] is not None and _may_be_good(row):
            return _found_of(row, row["networks"] if row["is_restricted"] else None)
        if self._some_digests is None:
            some = [digest for (digest,) in await connection.fetch(_SOME_DIGESTS)]
            self._some_digests = itertools.cycle(some or [_NOBODYS_DIGEST])
        other_digest = next(self._some_digests) if row["id"] is None else _NOBODYS_DIGEST
        other = await connection.fetchrow(_POSTGRES_QUESTION, [other_digest])
        if row["id"] is not None:
            return _ended_of(row)
        if other["id"] is not None:
            _ended_of(other)
        return None

    def find_at_once(self, client_id: str, digests: Sequence[bytes], arrivals: int | None) -> None:
        """Find nothing: the answer comes over a network."""

    async def close(self) -> None:
        """Close the pool, in good order if the database lets it."""
        try:
            async with asyncio.timeout(_VERIFY_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()


async def open_lookup(database: Database) -> Lookup:
    """Return the look-up that fits the database."""
    return SqliteLookup(database) if database.is_sqlite else await PostgresLookup.open(database)


def _may_be_good(row: Any) -> bool:  # noqa: ANN401  a row of either driver
    """Whether only the clock can say that this secret is not good."""
    return bool(row[5]) and row[2] in _LIVING


def _ended_of(row: Any) -> Found:  # noqa: ANN401  a row of either driver
    state, expires_at = SecretState(row[2]), from_microseconds(row[3] or 0)
    return Found(
        row[0],
        row[1],
        state,
        expires_at if state is SecretState.RETAINED else None,  # a disabled client's secret goes on ageing
        was_used=False,
        enabled=bool(row[5]),
        allow_list=None,
    )


def _plain(secret_id: int, client_id: str) -> Found:
    """Return a current secret in use, of an enabled client that may call from everywhere."""
    return Found(secret_id, client_id, SecretState.CURRENT, None, was_used=True, enabled=True, allow_list=None)


def _found_of(row: Any, networks: list[str] | None) -> Found:  # noqa: ANN401  a row of either driver
    return Found(
        secret_id=row[0],
        client_id=row[1],
        state=SecretState(row[2]),
        expires_at=None if row[3] is None else from_microseconds(row[3]),
        was_used=row[4] is not None,
        enabled=bool(row[5]),
        allow_list=None if networks is None else AllowList.parse(networks) if networks else EVERYWHERE,
    )
