"""The lookup of verification on PostgreSQL."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple, Self

import asyncpg

from gql_secrets.domain.errors import PepperKeyMissing, Unavailable
from gql_secrets.domain.journal import ClientUncertain, UncertainClients
from gql_secrets.storage.database import Database
from gql_secrets.storage.errors import READ_ERRORS, translate_read
from gql_secrets.storage.fields import from_microseconds
from gql_secrets.storage.postgres.dialect import CLOCK, PostgresDialect
from gql_secrets.storage.postgres.pool import ConnectionPool
from gql_secrets.storage.secret_index.lookup import DECOY_DIGESTS, NO_DIGEST
from gql_secrets.storage.secret_index.missing_key import missing_key
from gql_secrets.storage.secret_index.stored_secret import TABLES, SecretRow, StoredSecret, columns

_VERIFY_SECONDS: Final = 0.8
_SELECTED: Final = columns("string_agg(f.feature, ',')")
_QUERY: Final = f"""
    SELECT x.*, {CLOCK} AS now, pg_is_in_recovery() AS is_standby, ARRAY(
        SELECT network FROM client_network n WHERE n.client_id = x.client_id ORDER BY position
    ) AS networks, i.revision, i.uncertain_clients, {{missing_key}} AS missing_key
    FROM (SELECT 1) one LEFT JOIN (
        SELECT {_SELECTED}, s.digest FROM {TABLES} WHERE s.digest = ANY($1::bytea[]) LIMIT 1
    ) x ON true LEFT JOIN installation i ON i.id = 1
"""  # noqa: S608  put together from constants
_IS_LOST: Final = "SELECT EXISTS (SELECT 1 FROM lost_change WHERE client_id = $1 AND NOT accepted)"
_COLUMNS: Final = len(SecretRow._fields)
_NOTHING_AHEAD: Final = 3600.0


class FoundSecret(NamedTuple):
    """What one snapshot of the database has: the secret or None, its digest, the clock and the revision."""

    secret: StoredSecret | None
    digest: bytes | None
    now: datetime
    revision: int | None
    missing_key: str | None


class PostgresLookup:
    """Reads PostgreSQL for each verification, twice for a refused one: exact on every node by construction."""

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
        self._pool = pool
        self._decoys: Iterator[bytes] | None = None

    @classmethod
    async def open(cls, database: Database, key_ids: Sequence[str]) -> Self:
        """Open it on the pool of an open database."""
        if not isinstance(database.dialect, PostgresDialect):
            raise TypeError("This lookup reads PostgreSQL.")
        return cls(database, database.dialect.pool, key_ids)

    async def find(self, client_id: str, digests: Sequence[bytes]) -> tuple[StoredSecret | None, datetime]:
        """Return the secret with one of these digests, and the database's clock, within 0.8 seconds."""
        found = await self.read(client_id, digests)
        return found.secret, found.now

    async def read(self, client_id: str, digests: Sequence[bytes]) -> FoundSecret:
        """Return what the database has, within 0.8 seconds.

        Raises:
            ClientUncertain: the database went back in time, and has lost changes of this client, or may have.
            PepperKeyMissing: the secret was not found, and may be under a key that this process lacks.
            Unavailable: it does not answer.
        """
        try:
            found = await self._read(client_id, digests)
        except READ_ERRORS as error:
            raise translate_read(error) from error
        if found.secret is None and found.missing_key is not None:
            raise PepperKeyMissing(found.missing_key)
        return found

    async def _read(self, client_id: str, digests: Sequence[bytes]) -> FoundSecret:
        connection = None
        known_revision = self._database.known_revision
        try:
            async with asyncio.timeout(_VERIFY_SECONDS):
                connection = await self._pool.acquire(for_verification=True)
                record = await connection.fetchrow(self._query, list(digests))
                if record["is_standby"]:
                    raise Unavailable("PostgreSQL is a standby: its answers may be out of date.")
                mark = record["uncertain_clients"]
                went_back = record["revision"] is not None and record["revision"] < known_revision
                is_uncertain = (
                    went_back
                    or mark == UncertainClients.ALL
                    or (mark == UncertainClients.NAMED and await connection.fetchval(_IS_LOST, client_id))
                )
                secret = await self._secret_of(record, connection)
        except BaseException:
            if connection is not None:
                connection.terminate()  # cancelling the query on the server would wait just as long
            raise
        finally:
            if connection is not None:
                await self._pool.release(connection)
        if is_uncertain:
            raise ClientUncertain
        now = self._adjust_clock(from_microseconds(record["now"]))
        return FoundSecret(secret, record["digest"], now, record["revision"], record["missing_key"])

    async def _secret_of(self, record: asyncpg.Record, connection: asyncpg.Connection) -> StoredSecret | None:
        row = _row_of(record)
        if row is not None and row.may_be_valid:
            return StoredSecret.of(row, record["networks"] if row.is_restricted else None, record["digest"])
        if self._decoys is None:
            decoys = [digest for (digest,) in await connection.fetch(DECOY_DIGESTS)]
            self._decoys = itertools.cycle(decoys or [NO_DIGEST])
        decoy = _row_of(await connection.fetchrow(self._query, [next(self._decoys) if row is None else NO_DIGEST]))
        if row is not None:
            return StoredSecret.refused(row)
        if decoy is not None:
            StoredSecret.refused(decoy)
        return None

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
