"""Brings the database to the newest migration, one process at a time.

Migrations only add: a column is dropped one release after its last reader. So programs of two adjacent releases can run
on one database at the same time, both changing, auditing and verifying. The table `schema_version` has one row, which
names the oldest migration that a program must know to run on this database; a migration that removes something raises
it (`operations.RaiseOldestSchema`). A program that knows that migration starts, no matter how many later ones it does
not know.
"""

import asyncio
import logging
import pkgutil
from collections.abc import Coroutine
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.connection import get_connection
from tortoise.transactions import in_transaction

from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.storage.database import Database
from gql_secrets.storage.errors import translate_start

if TYPE_CHECKING:
    from tortoise.migrations.executor import MigrationExecutor

_log: Final = logging.getLogger(__name__)
# What Tortoise calls all of our models together.
_APP: Final = "models"


async def upgrade(database: Database) -> list[str]:
    """Apply the migrations that are missing; return their names.

    Several processes may start at the same time: one migrates, the others wait for it. On SQLite foreign keys are off
    during a migration, because rebuilding a table with them on deletes its children; they are checked before it is
    committed.

    Raises:
        SetupError: this program is too old for the database.
        Unavailable: the database does not answer, or another process has been migrating it for too long.
    """
    if not await pending(database):
        return []
    async with database.patient() as patient:
        return await _in_context(patient, _upgrade(patient))


async def pending(database: Database) -> list[str]:
    """Return the names of the migrations that are missing; change nothing.

    Raises:
        SetupError: this program is too old for the database.
        Unavailable: the database does not answer.
    """
    return await _in_context(database, _pending(database))


async def _in_context(database: Database, coroutine: Coroutine[Any, Any, list[str]]) -> list[str]:
    try:
        return await asyncio.get_running_loop().create_task(coroutine, context=database.context)
    except Failure:
        raise
    except Exception as error:
        failure = translate_start(error, database.address)
        if failure is None:
            raise
        raise failure from error


async def _upgrade(database: Database) -> list[str]:
    dialect = database.dialect
    async with dialect.migration_lock():
        missing = await _pending(database)
        if not missing:
            return []
        connection = get_connection(dialect.writer)
        before = _executor(database, connection)
        await before.recorder.ensure_schema(before._schema_editor(atomic=False))  # noqa: SLF001  as it does itself
        # All of it, and the record that it is done, or nothing: Tortoise itself writes the record in a separate
        # transaction, and a crash between the two would stop every later start.
        async with dialect.foreign_keys_deferred(connection), in_transaction(dialect.writer) as transaction:
            await _executor(database, transaction).migrate(direction="forward")
            await dialect.check_foreign_keys(transaction)
        return missing


async def _pending(database: Database) -> list[str]:
    connection = get_connection(database.dialect.writer)
    if await _has_exactly_own(database, connection):
        return []
    executor = _executor(database, connection)
    plan = await executor.plan()
    known = {key.name for key in executor.loader.graph.nodes}
    newer = sorted(key.name for key in executor.loader.applied_migrations if key.name not in known)
    missing = [step.migration.name for step in plan]
    if newer:
        await _require_compatible(database, connection, max(map(_number_of, known)), newer, missing)
    return missing


async def _has_exactly_own(database: Database, connection: BaseDBAsyncClient) -> bool:
    """Return whether the database has the migrations of this program and no others.

    Nearly every start and command finds that. It takes their names alone: the migrations themselves are not loaded.
    """
    if not await database.dialect.table_exists(connection, "tortoise_migrations"):
        return False
    _, rows = await connection.execute_query("SELECT app, name FROM tortoise_migrations")
    package = import_module(database.tortoise_config()["apps"][_APP]["migrations"])
    own = {(_APP, module.name) for module in pkgutil.iter_modules(package.__path__)}
    return own == {(row["app"], row["name"]) for row in rows}


async def _require_compatible(
    database: Database, connection: BaseDBAsyncClient, own: int, newer: list[str], missing: list[str]
) -> None:
    """Pass if a program that knows the migrations up to `own` may run on a database with these newer ones."""
    names = ", ".join(newer)
    if missing:
        raise SetupError(
            f"The database has migrations that this version of gql-secrets does not know ({names}), and lacks others "
            f"({', '.join(missing)}). Start the version that upgraded it."
        )
    oldest = None
    if await database.dialect.table_exists(connection, "schema_version"):
        rows = await connection.execute_query_dict("SELECT oldest_migration FROM schema_version")
        oldest = rows[0]["oldest_migration"] if rows else None
    if oldest is None or own < oldest:
        raise SetupError(
            f"The database was upgraded by a newer version of gql-secrets ({names}) that this version cannot run with. "
            "Start the newer version."
        )
    _log.warning("database_newer_than_program", extra={"migrations": names})


def _number_of(name: str) -> int:
    return int(name.partition("_")[0])


def _executor(database: Database, connection: BaseDBAsyncClient) -> "MigrationExecutor":
    from tortoise.migrations.executor import MigrationExecutor  # noqa: PLC0415  starts are faster without it

    return MigrationExecutor(connection, database.tortoise_config()["apps"])
