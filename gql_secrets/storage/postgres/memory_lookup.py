"""The lookup of verification on PostgreSQL that answers from memory while the node holds its lease."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from gql_secrets.domain.journal import ClientUncertain
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds
from gql_secrets.storage.node_lease import NodeLease
from gql_secrets.storage.postgres.lookup import PostgresLookup
from gql_secrets.storage.secret_index.memory import SecretMemory
from gql_secrets.storage.secret_index.stored_secret import StoredSecret

_NOTHING_AHEAD: Final = 3600.0


class MemoryLookup:
    """Answers for valid secrets in use from memory, while the node holds its lease; everything else from PostgreSQL.

    A refusal is never remembered, so a new secret is valid on every node as soon as it is committed.
    """

    def __init__(self, database: Database, reader: PostgresLookup, memory: SecretMemory, lease: NodeLease) -> None:
        """Read with `reader` what is not in `memory`; the node's membership keeps both it and the lease."""
        self._adjust_clock = database.adjust_clock
        self._reader = reader
        self._memory = memory
        self._lease = lease

    async def find(
        self, client_id: str, digests: Sequence[bytes], *, deadline: float | None = None
    ) -> tuple[StoredSecret | None, datetime]:
        """Return the secret with one of these digests that the database has, and its clock; remember a valid one.

        Raises:
            ClientUncertain: the database went back in time, and has lost changes of this client, or may have.
            PepperKeyMissing: the secret was not found, and may be under a key that this process lacks.
            Unavailable: the database does not answer.
        """
        epoch, known_revision = self._memory.epoch, self._memory.oldest_read
        found = await self._reader.read(client_id, digests, deadline=deadline)
        went_back = found.revision < known_revision
        if went_back or self._lease.is_database_doubtful:
            raise ClientUncertain
        if found.secret is not None and found.digest is not None:
            if found.secret.was_used:  # as only those are read that may be valid
                self._memory.remember(found.digest, found.secret, revision=found.revision, epoch=epoch)
            else:
                self._memory.forget_client(found.secret.client_id)
        return found.secret, found.now

    def find_nowait(self, client_id: str, digests: Sequence[bytes]) -> tuple[StoredSecret | None, datetime] | None:
        """Return a remembered secret, and an upper bound of the database's clock; None if there is none, or no lease.

        A secret that may have expired is read from the database, whose clock decides.
        """
        for digest in digests:
            secret = self._memory.find(client_id, digest)
            if secret is not None:
                # Not asked for a secret that must be read anyway: it reads two clocks.
                database_now = self._lease.database_now()
                if database_now is None:
                    return None
                now = self._adjust_clock(from_microseconds(database_now))
                return (secret, now) if secret.expires_at is None or now < secret.expires_at else None
        return None

    def is_current(self) -> bool:
        """Return whether the node still holds its lease."""
        return self._lease.is_held

    def expire_view(self) -> None:
        """Do nothing: the lease is checked at each verification."""

    def forget_client(self, client_id: str) -> None:
        """Read the secrets of this client from the database again."""
        self._memory.forget_client(client_id)

    async def read_ahead(self) -> float:
        """Read nothing: what is in use comes into memory with its first verification."""
        return _NOTHING_AHEAD

    async def close(self) -> None:
        """Do nothing: the pool is the database's."""
