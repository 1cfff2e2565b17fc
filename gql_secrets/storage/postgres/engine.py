"""Tortoise's PostgreSQL backend, on the pool that the whole process shares."""

import contextlib
from typing import cast

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import (
    NestedTransactionContext,
    TransactionalDBClient,
    TransactionContext,
    TransactionContextPooled,
)
from tortoise.connection import get_connections
from tortoise.exceptions import OperationalError

from gql_secrets.storage.postgres.connection import PooledConnection
from gql_secrets.storage.postgres.pool import ConnectionPool
from gql_secrets.storage.postgres.stopped_sessions import StoppedSessions
from gql_secrets.storage.urgency import CLIENT_TO_LOCK, IS_URGENT


class SharedPoolTransaction(TransactionWrapper):
    """A transaction that may have locked a client as it began."""

    locked_client: str | None = None

    def _in_transaction(self) -> TransactionContext:
        return NestedTransactionContext(SharedPoolTransaction(self))

    async def savepoint(self) -> None:
        """Begin a transaction within this one: asyncpg's own way needs a transaction that asyncpg began."""
        await self._connection.execute("SAVEPOINT nested")

    async def release_savepoint(self) -> None:
        """Keep what the inner transaction did."""
        await self._connection.execute("RELEASE SAVEPOINT nested")

    async def savepoint_rollback(self) -> None:
        """Undo what the inner transaction did."""
        await self._connection.execute("ROLLBACK TO SAVEPOINT nested; RELEASE SAVEPOINT nested")


class SharedPoolContext(TransactionContextPooled):
    """A transaction context that gives its connection back also where the transaction cannot begin."""

    client: SharedPoolTransaction

    async def __aenter__(self) -> TransactionalDBClient:
        await self.ensure_connection()
        self._pool = cast("ConnectionPool", self.client._parent._pool)  # noqa: SLF001  Tortoise's own place for it
        connection = await self._pool.acquire(for_verification=IS_URGENT.get())
        self.client._connection = connection  # noqa: SLF001
        client_id = CLIENT_TO_LOCK.get()
        self._look = cast("SharedPoolClient", self.client._parent).stopped_sessions.look_later()  # noqa: SLF001
        try:
            if await connection.begin(client_id):
                self.client.locked_client = client_id
        except BaseException as error:
            self._look.cancel()
            try:
                await self._roll_back(connection, error)
            finally:  # it may be cancelled
                await self._pool.release(connection)
            raise
        self.token = get_connections().set(self.connection_name, self.client)
        return self.client

    async def __aexit__(self, exc_type: object, exc_val: object, exc_tb: object) -> None:
        connection = cast("PooledConnection", self.client._connection)  # noqa: SLF001
        self._look.cancel()
        try:
            if exc_type is not None:
                if not connection.is_closed():
                    await connection.execute("ROLLBACK")
            elif (done := await connection.execute("COMMIT")) != "COMMIT":
                # PostgreSQL rolls back at a COMMIT after an error, without an error.
                raise OperationalError(f"the transaction was not committed: {done}")
        finally:
            await self._pool.release(connection)
            get_connections().reset(self.token)

    async def _roll_back(self, connection: PooledConnection, error: BaseException) -> None:
        """Make a connection ready again after a begin that failed, such as for a lock that was not free in time."""
        if isinstance(error, asyncpg.PostgresError) and not connection.is_closed():
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.execute("ROLLBACK")
                return
        connection.terminate()


class SharedPoolClient(AsyncpgDBClient):
    """A PostgreSQL client that borrows its connections from a `ConnectionPool`, and closes it in the end."""

    async def create_connection(self, with_db: bool) -> None:  # noqa: ARG002  Tortoise's signature
        """Use the pool, once a first connection could be made."""
        self._pool = cast("ConnectionPool", self.extra["pool"])
        self.stopped_sessions = StoppedSessions(self._pool)
        await self._pool.release(await self._pool.acquire())

    def _in_transaction(self) -> TransactionContext:
        return SharedPoolContext(SharedPoolTransaction(self), self._pool_init_lock)

    async def _close(self) -> None:
        if self._pool:
            await self._pool.close()
            await self.stopped_sessions.close()
            self._pool = None


client_class = SharedPoolClient
