"""The lookup of verification on PostgreSQL."""

import asyncio
import itertools
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple, Self

import asyncpg

from gql_secrets.domain.errors import PepperKeyMissing, Unavailable
from gql_secrets.domain.journal import ClientUncertain, UncertainClients
from gql_secrets.storage.database import Database
from gql_secrets.storage.errors import READ_ERRORS, translate_read
from gql_secrets.storage.fields import from_microseconds
from gql_secrets.storage.postgres.connection import PooledConnection
from gql_secrets.storage.postgres.dialect import CLOCK, PostgresDialect
from gql_secrets.storage.postgres.pool import ConnectionPool
from gql_secrets.storage.postgres.rounds import Rounds
from gql_secrets.storage.secret_index.lookup import DECOY_DIGESTS, NO_DIGEST
from gql_secrets.storage.secret_index.missing_key import missing_key
from gql_secrets.storage.secret_index.stored_secret import TABLES, SecretRow, StoredSecret, columns

_VERIFY_SECONDS: Final = 0.8
_SELECTED: Final = columns("string_agg(f.feature, ',')")
_QUERY: Final = f"""
    SELECT x.*, (SELECT {CLOCK}) AS now, pg_is_in_recovery() AS is_standby, CASE WHEN x.is_restricted THEN ARRAY(
        SELECT network FROM client_network n WHERE n.client_id = x.client_id ORDER BY position
    ) END AS networks, i.revision, i.uncertain_clients, {{missing_key}} AS missing_key
    FROM installation i LEFT JOIN (
        SELECT {_SELECTED}, s.digest FROM {TABLES} WHERE s.digest = ANY($1::bytea[])
    ) x ON true WHERE i.id = 1
"""  # noqa: S608  put together from constants
_LOST: Final = "SELECT client_id FROM lost_change WHERE client_id = ANY($1::text[]) AND NOT accepted"
# PostgreSQL expects ten values of an array that it does not know. A statement with fewer looks cheaper than that, so it
# would be planned again for each read, which takes three times as long as the read. A value that is there twice costs
# nothing.
_LEAST_DIGESTS: Final = 12
_COLUMNS: Final = len(SecretRow._fields)
_NOTHING_AHEAD: Final = 3600.0


class FoundSecret(NamedTuple):
    """What one snapshot of the database has: the secret or None, its digest, the clock and the revision."""

    secret: StoredSecret | None
    digest: bytes | None
    now: datetime
    revision: int
    missing_key: str | None


class _Asked(NamedTuple):
    client_id: str
    digests: Sequence[bytes]


class _Answer(NamedTuple):
    """The row of a secret, or None; what holds for all of a round; whether the client is uncertain."""

    record: asyncpg.Record | None
    now: datetime
    revision: int
    missing_key: str | None
    is_uncertain: bool


class PostgresLookup:
    """Reads PostgreSQL for each verification, twice for a refused one: exact on every node by construction.

    Verifications that arrive together are read by one statement, which begins after all of them arrived.
    """

    def __init__(self, database: Database, pool: ConnectionPool, key_ids: Sequence[str]) -> None:
        """Use the pool of the process, which keeps some of its connections free for verification.

        Args:
            database: an open database.
            pool: its pool.
            key_ids: the keys of the pepper.
        """
        self._query = _QUERY.format(missing_key=missing_key(key_ids))
        self._database = database
        self._adjust_clock = database.adjust_clock
        self._rounds = Rounds(pool, self._read_all)
        self._decoys: Iterator[bytes] | None = None

    @classmethod
    async def open(cls, database: Database, key_ids: Sequence[str]) -> Self:
        """Open it on the pool of an open database."""
        if not isinstance(database.dialect, PostgresDialect):
            raise TypeError("This lookup reads PostgreSQL.")
        return cls(database, database.dialect.pool, key_ids)

    async def find(
        self, client_id: str, digests: Sequence[bytes], *, deadline: float | None = None
    ) -> tuple[StoredSecret | None, datetime]:
        """Return the secret with one of these digests, and the database's clock, within 0.8 seconds."""
        found = await self.read(client_id, digests, deadline=deadline)
        return found.secret, found.now

    async def read(self, client_id: str, digests: Sequence[bytes], *, deadline: float | None = None) -> FoundSecret:
        """Return what the database has, within 0.8 seconds and before `deadline`.

        Raises:
            ClientUncertain: the database went back in time, and has lost changes of this client, or may have.
            PepperKeyMissing: the secret was not found, and may be under a key that this process lacks.
            Unavailable: it does not answer.
        """
        try:
            found = await self._read(client_id, digests, math.inf if deadline is None else deadline)
        except READ_ERRORS as error:
            raise translate_read(error) from error
        if found.secret is None and found.missing_key is not None:
            raise PepperKeyMissing(found.missing_key)
        return found

    async def _read(self, client_id: str, digests: Sequence[bytes], deadline: float) -> FoundSecret:
        deadline = min(deadline, asyncio.get_running_loop().time() + _VERIFY_SECONDS)
        answer = await self._rounds.ask(_Asked(client_id, digests), deadline=deadline)
        record = answer.record
        row = None if record is None else _row_of(record)
        if record is not None and row is not None and row.may_be_valid:
            secret: StoredSecret | None = StoredSecret.of(row, record["networks"], record["digest"])
        else:
            secret = await self._refused(client_id, row, deadline)
        if answer.is_uncertain:
            raise ClientUncertain
        digest = None if record is None else record["digest"]
        return FoundSecret(secret, digest, answer.now, answer.revision, answer.missing_key)

    async def _refused(self, client_id: str, row: SecretRow | None, deadline: float) -> StoredSecret | None:
        """Return the secret of a row that cannot be valid, or None without one, after the same work."""
        decoy = NO_DIGEST if row is not None or self._decoys is None else next(self._decoys)
        answer = await self._rounds.ask(_Asked(client_id, [decoy]), deadline=deadline)
        found = None if answer.record is None else _row_of(answer.record)
        if row is not None:
            return StoredSecret.refused(row)
        if found is not None:
            StoredSecret.refused(found)
        return None

    async def _read_all(self, connection: PooledConnection, asked: Sequence[_Asked]) -> list[_Answer]:
        """Return what the database has about each of these, by one statement."""
        known_revision = self._database.known_revision
        digests = [digest for each in asked for digest in each.digests]
        digests += digests[-1:] * (_LEAST_DIGESTS - len(digests))
        records = await connection.fetch(self._query, digests)
        if not records:
            raise Unavailable("The database has no installation.")
        common = records[0]
        if common["is_standby"]:
            raise Unavailable("PostgreSQL is a standby: its answers may be out of date.")
        mark = common["uncertain_clients"]
        went_back = common["revision"] < known_revision
        all_uncertain = went_back or mark == UncertainClients.ALL
        uncertain: set[str] = set()
        if mark == UncertainClients.NAMED:
            clients = [each.client_id for each in asked]
            uncertain.update(client_id for (client_id,) in await connection.fetch(_LOST, clients))
        if self._decoys is None:
            decoys = [digest for (digest,) in await connection.fetch(DECOY_DIGESTS)]
            self._decoys = itertools.cycle(decoys or [NO_DIGEST])
        of_digest = {record["digest"]: record for record in records}
        now = self._adjust_clock(from_microseconds(common["now"]))
        revision, missing = common["revision"], common["missing_key"]
        return [
            _Answer(
                next(filter(None, map(of_digest.get, each.digests)), None),
                now,
                revision,
                missing,
                all_uncertain or each.client_id in uncertain,
            )
            for each in asked
        ]

    def find_nowait(self, client_id: str, digests: Sequence[bytes]) -> None:
        """Return None: the answer comes over a network."""

    def is_current(self) -> bool:
        """Return True: every verification reads the database."""
        return True

    def expire_view(self) -> None:
        """Do nothing: every verification reads the database."""

    def forget_client(self, client_id: str) -> None:
        """Do nothing: nothing is remembered."""

    async def read_ahead(self) -> float:
        """Read nothing: a cache would not be exact on several nodes."""
        return _NOTHING_AHEAD

    async def close(self) -> None:
        """Do nothing: the pool is the database's."""


def _row_of(record: asyncpg.Record) -> SecretRow | None:
    return None if record["secret_id"] is None else SecretRow._make(record[:_COLUMNS])
