"""Brings the database to the newest migration, one process at a time."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final

import asyncpg
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.connection import get_connection
from tortoise.migrations.executor import MigrationExecutor
from tortoise.transactions import in_transaction

from gql_secrets.domain.errors import SetupError
from gql_secrets.storage.database import Database

_LOCK_KEY: Final = 0x67716C73  # "gqls"
_LOCK_SECONDS: Final = 120.0


async def upgrade(database: Database) -> list[str]:
    """Apply the migrations that are missing; return their names.

    Several processes may start at once: one migrates, the others wait for it. On SQLite foreign keys are off
    meanwhile, for a table that is made anew with them on deletes its children, and checked before anyone goes on.

    Raises:
        SetupError: the database is of a newer version than this program.
    """
    if not await pending(database):
        return []
    async with database.patient() as patient:
        return await _in_context(patient, _upgrade(patient))


async def pending(database: Database) -> list[str]:
    """Return the names of the migrations that are missing; change nothing.

    Raises:
        SetupError: the database is of a newer version than this program.
    """
    return await _in_context(database, _pending(database))


async def _in_context(database: Database, coroutine: Coroutine[Any, Any, list[str]]) -> list[str]:
    return await asyncio.get_running_loop().create_task(coroutine, context=database.context)


async def _upgrade(database: Database) -> list[str]:
    async with _only_one(database):
        missing = await _pending(database)
        if not missing:
            return []
        connection = get_connection(database.writer_name)
        before = _executor(database, connection)
        await before.recorder.ensure_schema(before._schema_editor(atomic=False))  # noqa: SLF001  as it does itself
        if database.is_sqlite:
            await connection.execute_query("PRAGMA foreign_keys = OFF")  # within a transaction it would do nothing
        try:
            # All of it and the note that it is done, or nothing: Tortoise itself writes the note in a transaction
            # of its own, and a crash between the two would stop every later start.
            async with in_transaction(database.writer_name) as transaction:
                await _executor(database, transaction).migrate(direction="forward")
                if database.is_sqlite:
                    await _check_foreign_keys(transaction)
        finally:
            if database.is_sqlite:
                await connection.execute_query("PRAGMA foreign_keys = ON")
        return missing


async def _check_foreign_keys(connection: BaseDBAsyncClient) -> None:
    _, broken = await connection.execute_query("PRAGMA foreign_key_check")
    if broken:
        raise SetupError(f"After the migration {len(broken)} rows would point nowhere, so it was not made.")


async def _pending(database: Database) -> list[str]:
    executor = _executor(database, get_connection(database.writer_name))
    plan = await executor.plan()
    known = {key.name for key in executor.loader.graph.nodes}
    unknown = sorted(key.name for key in executor.loader.applied_migrations if key.name not in known)
    if unknown:
        raise SetupError(
            f"The database was upgraded by a newer gql-secrets ({', '.join(unknown)}). Start that version."
        )
    return [step.migration.name for step in plan]


def _executor(database: Database, connection: BaseDBAsyncClient) -> MigrationExecutor:
    return MigrationExecutor(connection, database.tortoise_config()["apps"])


@contextlib.asynccontextmanager
async def _only_one(database: Database) -> AsyncIterator[None]:
    if database.address.path is not None:
        # Tortoise's migrations take no lock of their own; an exclusive transaction on a file beside it is one.
        lock = sqlite3.connect(
            f"{database.address.path}.migration-lock", timeout=_LOCK_SECONDS, check_same_thread=False
        )
        try:
            await asyncio.to_thread(lock.execute, "BEGIN EXCLUSIVE")
            yield
        finally:
            lock.close()
        return
    connection = await asyncpg.connect(**dict(database.address.credentials), statement_cache_size=0)
    try:
        async with connection.transaction():
            # Of a transaction, not of a session: so it holds through PgBouncer too.
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_KEY, timeout=_LOCK_SECONDS)
            yield
    finally:
        await connection.close()
