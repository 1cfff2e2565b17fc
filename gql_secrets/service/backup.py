"""Backing up an installation into one file while it is in use, and restoring it into an empty database.

A backup is a SQLite database of the same schema, from either kind of database, so it can also be restored into the
other kind. The pepper is not in it, and without the pepper no secret in it can be verified.
"""

import asyncio
import contextlib
import hmac
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.service.integrity import find_problems
from gql_secrets.service.new_files import give_name, sync
from gql_secrets.storage.address import DatabaseAddress
from gql_secrets.storage.copying import Rows, columns_of, copy_rows, filling, snapshot
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds
from gql_secrets.storage.migrate import upgrade
from gql_secrets.storage.sqlite.copying import make_single_file, read_migrations, read_tables

_EXISTS: Final = "{} exists. Give the name of a new file."
_MIGRATIONS: Final = "SELECT name FROM tortoise_migrations"
_NEWEST: Final = "SELECT revision, at FROM audit_event ORDER BY revision DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Copied:
    """What a backup has, or what was restored from it; `problems` were in the source already."""

    clients: int
    secrets: int
    events: int
    revision: int
    newest_event_at: datetime | None
    problems: tuple[str, ...]


async def back_up(database: Database, pepper: Pepper, path: Path) -> Copied:
    """Write everything that the database has at this moment to a new file, mode 0600, and verify the file.

    Verification and changes go on. The file appears when it is whole.

    Raises:
        Failure: the file exists, or cannot be written.
        SetupError: the database was migrated by a newer version.
        Unavailable: the database does not answer.
    """
    async with _new_file(path) as part:
        address = DatabaseAddress("sqlite", part)
        async with opened(address) as copy:
            await upgrade(copy)
        await _require_same_migrations(database, part, "Back it up with the version that upgraded it.")
        async with snapshot(database.address) as source, filling(address) as target:
            rows = await copy_rows(source, target, columns_of(read_tables(part)))
        async with opened(address) as copy:
            copied = await verify_copy(copy, pepper, rows)
        await asyncio.to_thread(make_single_file, part)
    return copied


async def restore(database: Database, pepper: Pepper, path: Path) -> Copied:
    """Write everything of a backup into an empty database that is migrated, and verify it: all of it, or nothing.

    Raises:
        SetupError: the file is not a backup, or is of another version or pepper; the database is not empty.
        Unavailable: the database does not answer.
    """
    if not await asyncio.to_thread(read_migrations, path):
        raise SetupError(f"{path} is not a backup of gql-secrets.")
    await _require_same_migrations(database, path, "Restore it with the version that made it, then upgrade.")
    if await database.fetch("SELECT 1 FROM installation UNION SELECT 1 FROM client"):
        raise SetupError("The database is not empty, and a restore overwrites nothing. Restore into a new database.")
    async with snapshot(DatabaseAddress("sqlite", path)) as source, filling(database.address) as target:
        await _require_pepper(source, pepper)
        rows = await copy_rows(source, target, columns_of(read_tables(path)))
    return await verify_copy(database, pepper, rows)


@contextlib.asynccontextmanager
async def _new_file(path: Path) -> AsyncIterator[Path]:
    """Yield a file that becomes `path` when the block succeeds, and is deleted otherwise."""
    if await asyncio.to_thread(path.exists):
        raise Failure(_EXISTS.format(path))
    try:
        # A directory of its own (0700): SQLite makes more files next to a database.
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as directory:
            part = Path(directory) / path.name
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            yield part
            await asyncio.to_thread(sync, part)
            await asyncio.to_thread(give_name, part, path)
    except FileExistsError:
        raise Failure(_EXISTS.format(path)) from None
    except OSError as error:
        raise Failure(f"No backup was made: cannot write {path}: {error.strerror}.") from error


@contextlib.asynccontextmanager
async def opened(address: DatabaseAddress) -> AsyncIterator[Database]:
    """Yield the database at this address, and close it."""
    database = Database(address)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def _require_same_migrations(database: Database, file: Path, advice: str) -> None:
    if {row["name"] for row in await database.fetch(_MIGRATIONS)} != read_migrations(file):
        raise SetupError(f"The database and the backup are of different versions of gql-secrets. {advice}")


async def _require_pepper(source: Rows, pepper: Pepper) -> None:
    known: dict[str, bytes] = {}
    async for rows in source.read("pepper_fingerprint", ("key_id", "fingerprint"), size=100):
        known |= {key_id: fingerprint for key_id, fingerprint in rows}  # noqa: C416  rows of any length to mypy
    own = {key.key_id: key.fingerprint for key in pepper.keys}
    if not any(key_id in known and hmac.compare_digest(known[key_id], own[key_id]) for key_id in own):
        raise SetupError(
            f"The backup belongs to the pepper key {', '.join(sorted(known))}, which is not in this pepper. Set "
            "GQL_SECRETS_PEPPER to the pepper of the installation that was backed up."
        )


async def verify_copy(copy: Database, pepper: Pepper, rows: Mapping[str, int]) -> Copied:
    """Check a copy as `db check` and `audit verify` do."""
    report = await AuditLog(copy, pepper).verify([])
    newest = await copy.fetch(_NEWEST)
    return Copied(
        clients=rows["client"],
        secrets=rows["client_secret"],
        events=rows["audit_event"],
        revision=newest[0]["revision"] if newest else 0,
        newest_event_at=from_microseconds(newest[0]["at"]) if newest else None,
        problems=(*await find_problems(copy), *([report.problem] if report.problem else [])),
    )
