"""Tortoise's SQLite backend with what several processes on one file need."""

import asyncio
import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Final, cast

from tortoise.backends.base.client import TransactionalDBClient, TransactionContext
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionContext, SqliteTransactionWrapper
from tortoise.connection import get_connections
from tortoise.exceptions import OperationalError

from gql_secrets.domain.errors import SetupError

LOCK_SECONDS: Final = 5.0
_BETWEEN_TRIES: Final = 0.01  # seconds


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


def is_busy(error: object) -> bool:
    """Return whether another connection was in the way."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorname.startswith(
        ("SQLITE_BUSY", "SQLITE_LOCKED")
    )


def prepare_file(path: Path) -> None:
    """Make this file a SQLite database in WAL mode: before a thread holds it that only closing ends.

    Where several switch a new file at once, SQLite refuses some of them without waiting: the switch is an upgrade of a
    lock, for which its busy time-out does not hold.

    Raises:
        SetupError: it is something else, or cannot be opened.
    """
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.Error as error:
            if not is_busy(error) or time.monotonic() > until:
                raise SetupError(f"{path} cannot be opened as a database: {error}.") from error
            time.sleep(_BETWEEN_TRIES)
        else:
            return


client_class = ImmediateSqliteClient
