"""Tortoise's PostgreSQL backend, on the pool that the whole process shares."""

from typing import cast

from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import TransactionalDBClient, TransactionContext, TransactionContextPooled
from tortoise.connection import get_connections

from gql_secrets.storage.postgres.pool import ConnectionPool
from gql_secrets.storage.urgency import IS_URGENT


class SharedPoolContext(TransactionContextPooled):
    """A transaction context that gives its connection back also where the transaction cannot begin."""

    async def __aenter__(self) -> TransactionalDBClient:
        await self.ensure_connection()
        pool = self.client._parent._pool  # noqa: SLF001  Tortoise's own place for it
        connection = await pool.acquire(for_verification=IS_URGENT.get())
        self.client._connection = connection  # noqa: SLF001
        try:
            await self.client.begin()
        except BaseException:
            connection.terminate()
            await pool.release(connection)
            raise
        self.token = get_connections().set(self.connection_name, self.client)
        return self.client


class SharedPoolClient(AsyncpgDBClient):
    """A PostgreSQL client that borrows its connections from a `ConnectionPool`, and closes it in the end."""

    async def create_connection(self, with_db: bool) -> None:  # noqa: ARG002  Tortoise's signature
        """Use the pool, once a first connection could be made."""
        self._pool = cast("ConnectionPool", self.extra["pool"])
        await self._pool.release(await self._pool.acquire())

    def _in_transaction(self) -> TransactionContext:
        return SharedPoolContext(TransactionWrapper(self), self._pool_init_lock)

    async def _close(self) -> None:
        if self._pool:
            await self._pool.close()
            self._pool = None


client_class = SharedPoolClient
