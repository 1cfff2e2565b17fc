"""Tortoise's SQLite backend with the transactions that several processes on one file need."""

import asyncio
import sqlite3
from typing import Final, cast

from tortoise.backends.base.client import TransactionalDBClient, TransactionContext
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionContext, SqliteTransactionWrapper
from tortoise.connection import get_connections
from tortoise.exceptions import OperationalError

LOCK_SECONDS: Final = 5.0


class ImmediateTransaction(SqliteTransactionWrapper):
    """A transaction that takes the write lock when it begins.

    SQLite's own default takes it at the first write: a transaction that has read by then fails at once with
    "database is locked", whatever the busy time-out (measured: 64 of 150 resets from three processes).
    """

    async def begin(self) -> None:
        """Wait for the write lock, at most the connection's busy time-out.

        Raises:
            OperationalError: it was not had.
        """
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise OperationalError(error) from error

    async def execute_script(self, query: str) -> None:
        """Run one statement: sqlite3's own `executescript` would commit what the transaction did so far."""
        await self.execute_query(query)

    async def commit(self) -> None:
        """Commit; a commit that failed leaves nothing open, so that the next transaction can begin.

        Raises:
            OperationalError: the disk is full or broken; nothing of the transaction is there.
        """
        try:
            await super().commit()
        except sqlite3.OperationalError as error:
            await self.rollback()
            raise OperationalError(error) from error


class ImmediateContext(SqliteTransactionContext):
    """A transaction context that waits a bounded time, and leaves no lock behind when it could not begin."""

    async def __aenter__(self) -> TransactionalDBClient:
        async with asyncio.timeout(LOCK_SECONDS):
            await self._trxlock.acquire()
        try:
            await self.ensure_connection()
            await self.connection.begin()
            self.token = get_connections().set(self.connection_name, self.connection)
        except BaseException:
            self._trxlock.release()
            raise
        return cast(TransactionalDBClient, self.connection)


class ImmediateSqliteClient(SqliteClient):
    """A SQLite client whose transactions begin IMMEDIATE."""

    def _in_transaction(self) -> TransactionContext:
        return ImmediateContext(ImmediateTransaction(self), self._lock)


client_class = ImmediateSqliteClient
