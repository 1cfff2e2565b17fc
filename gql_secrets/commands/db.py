"""`gql-secrets db …`: migrate, check and copy the database."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from gql_secrets.commands.backup import copied_data, require_sound
from gql_secrets.commands.context import (
    require_database,
    run_to_end,
    warn_of_password,
    with_services,
    with_settings,
)
from gql_secrets.commands.output import AsJson, say, write
from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.service.backup import Copied
from gql_secrets.service.database_copy import copy_database
from gql_secrets.service.integrity import find_problems, statistics
from gql_secrets.settings import Settings
from gql_secrets.storage.address import DatabaseAddress
from gql_secrets.storage.database import Database
from gql_secrets.storage.migrate import pending
from gql_secrets.storage.migrate import upgrade as migrate
from gql_secrets.wiring import Services, open_database, open_services

app = typer.Typer(help="Migrate, check and copy the database.", no_args_is_help=True)


@app.command()
@with_settings
def upgrade(settings: Settings, as_json: AsJson = False) -> None:
    """Apply pending migrations, and create the database if there is none. The server does this at its start."""
    applied = run_to_end(_upgrade(settings))
    say(f"Applied: {', '.join(applied)}." if applied else "The database is up to date.")
    if as_json:
        write({"applied": applied}, as_json=True)


@app.command()
@with_settings
def check(settings: Settings, as_json: AsJson = False) -> None:
    """Check that the database is up to date, belongs to this pepper, and is consistent."""
    require_database(settings)
    figures, damage = run_to_end(_check(settings))
    write(figures | {"damage": damage}, as_json=as_json)
    if damage:
        raise Failure("The database is damaged. Restore it from a backup.")
    say("The database is consistent.")


@app.command()
@with_services
async def copy(
    services: Services,
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="The new database: postgres://… or sqlite:///…")
    ] = None,
    to_file: Annotated[
        Path | None, typer.Option("--to-file", metavar="FILE", help="A file that holds this URL instead.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy everything into an empty database of either kind, and verify the copy. Stop the servers first."""
    if (to is None) == (to_file is None):
        raise typer.BadParameter("Pass --to or --to-file.")
    warn_of_password(to or "", "--to", "pass its path with --to-file")
    address = DatabaseAddress.parse(to or _read_url(to_file))
    copied = await _copy(services, address)
    done = f"Copied {copied.clients} clients and {copied.events} audit events, up to revision {copied.revision}."
    say(f"{done} Start the servers on the new database with the same pepper, and no server on the old one.")
    write(copied_data(copied), as_json=as_json, done=done)
    require_sound(copied, "The database was copied, but it has problems, and so has the copy")


async def _copy(services: Services, address: DatabaseAddress) -> Copied:
    is_new_file = address.path is not None and not address.path.exists()
    target = Database(address)
    try:
        await target.open()
        try:
            with _progress() as begin:
                return await copy_database(services.database, target, services.changes.pepper, begin=begin)
        finally:
            await target.close()
    except BaseException:
        if address.path is not None and is_new_file:
            for suffix in ("", "-wal", "-shm"):
                address.path.with_name(f"{address.path.name}{suffix}").unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int], Callable[[int], None]]]:
    """Show a bar on a terminal, from the moment when the number of rows is known."""
    with contextlib.ExitStack() as stack:

        def begin(rows: int) -> Callable[[int], None]:
            is_terminal = bool(sys.stderr and sys.stderr.isatty())
            bar = stack.enter_context(
                typer.progressbar(length=rows, label="Copying", file=sys.stderr, hidden=not is_terminal)
            )
            return bar.update

        yield begin


def _read_url(path: Path | None) -> str:
    try:
        return path.read_text("utf-8").strip() if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"Cannot read {path}: {getattr(error, 'strerror', None) or 'it is not text'}.") from error


async def _upgrade(settings: Settings) -> list[str]:
    settings.make_data_dir()
    database = await open_database(settings)
    try:
        return await migrate(database)
    finally:
        await database.close()


async def _check(settings: Settings) -> tuple[dict[str, object], list[str]]:
    database = await open_database(settings)
    try:
        missing = await pending(database)
    finally:
        await database.close()
    if missing:
        raise SetupError(f"Pending migrations: {', '.join(missing)}. Run: gql-secrets db upgrade")
    services = await open_services(settings, migrate=False, with_owner=False)
    try:
        return await statistics(services.database), await find_problems(services.database)
    finally:
        await services.close()
