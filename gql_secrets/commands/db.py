"""`gql-secrets db …`: migrate, check and copy the database, and resume its changes."""

import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gql_secrets.commands.backup import copied_data, require_sound
from gql_secrets.commands.caller import cli_caller
from gql_secrets.commands.context import require_database, run_to_end, warn_of_password, with_services, with_settings
from gql_secrets.commands.output import AsJson, say, write
from gql_secrets.domain.changes_pause import ChangesPause
from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.settings import Settings
from gql_secrets.storage.address import DatabaseAddress

if TYPE_CHECKING:
    from gql_secrets.service.backup import Copied
    from gql_secrets.storage.database import Database
    from gql_secrets.wiring import Services

app = typer.Typer(help="Migrate, check and copy the database.", no_args_is_help=True)

_DISCARDED: Final = "Delete the copy, and start no server on it: it does not learn of a revoke in this database."
_ALONE: Final = (
    "Start no server on the other database: it does not learn of a revoke in this one. Secrets that were first used "
    "there since the copy count as unused here."
)
_AFTER_RESUME: Final[Mapping[ChangesPause, str]] = {
    ChangesPause.COPYING: _DISCARDED,
    ChangesPause.COPIED: _DISCARDED,
    ChangesPause.MOVED: _ALONE,
    ChangesPause.READY: _ALONE,
}


@app.command()
@with_settings
def upgrade(settings: Settings, as_json: AsJson = False) -> None:
    """Apply pending migrations. A database that does not exist is created. The server does both when it starts."""
    applied = run_to_end(_upgrade(settings))
    say(f"Applied: {', '.join(applied)}." if applied else "The database is up to date.")
    if as_json:
        write({"applied": applied}, as_json=True)


@app.command()
@with_settings
def check(settings: Settings, as_json: AsJson = False) -> None:
    """Check that the database is consistent. It must also be up to date, and belong to this pepper."""
    require_database(settings)
    figures, damage = run_to_end(_check(settings))
    write(figures | {"damage": damage}, as_json=as_json)
    if damage:
        raise Failure("The database is damaged. Restore it from a backup.")
    say("The database is consistent.")


@app.command()
@with_services
async def copy(
    services: "Services",
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="The new database: postgres://… or sqlite:///…")
    ] = None,
    to_file: Annotated[
        Path | None, typer.Option("--to-file", metavar="FILE", help="A file that holds this URL instead.")
    ] = None,
    online: Annotated[
        bool,
        typer.Option("--online", help="Copy while the servers run. At the end, changes are paused on both databases."),
    ] = False,
    finish: Annotated[
        bool,
        typer.Option("--finish", help="End the pause on the new database, after every server was moved to it."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy everything into an empty database of either kind. It is verified. Stop the servers, or use --online."""
    from gql_secrets.service.database_copy import copy_database

    if (to is None) == (to_file is None):
        raise typer.BadParameter("Pass --to or --to-file.")
    if online and finish:
        raise typer.BadParameter("Pass --online first, and --finish when every server runs on the new database.")
    warn_of_password(to or "", "--to", "pass its path with --to-file")
    address = DatabaseAddress.parse(to or _read_url(to_file))
    if finish:
        await _finish(services, address, as_json=as_json)
        return
    if online:
        await _copy_online(services, address, as_json=as_json)
        return
    with _progress() as begin:
        async with _new_target(address) as target:
            copied = await copy_database(services.database, target, services.changes.pepper, begin=begin)
    done = _summary(copied)
    say(f"{done} Start the servers on the new database with the same pepper, and no server on the old one.")
    write(copied_data(copied), as_json=as_json, done=done)
    require_sound(copied, "The database was copied, but it has problems, and so has the copy")


@app.command()
@with_services
async def resume(
    services: "Services",
    after_move: Annotated[
        bool,
        typer.Option("--after-move", help="Also on a database that was moved, if the new one is abandoned."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Accept changes again after db copy --online. On the old database, this discards the copy."""
    from gql_secrets.service.changes_pause import resume_changes

    pause = await resume_changes(services.changes, by=cli_caller(), after_move=after_move)
    done = "The database accepts changes."
    say(f"{done} {_AFTER_RESUME[pause]}")
    write({"was": pause.value}, as_json=as_json, done=done)


async def _copy_online(services: "Services", address: DatabaseAddress, *, as_json: bool) -> None:
    from gql_secrets.service.online_copy import copy_online

    with _progress() as begin:
        async with _new_target(address) as target:
            copy = await copy_online(services.changes, target, by=cli_caller(), begin=begin)
    done = _summary(copy.copied)
    say(f"{done} The last changes took {copy.pause_seconds:.1f} seconds.")
    say(
        "Both databases are verified, and neither accepts changes now. Restart the servers on the new one, one after "
        "the other, with the same pepper. When no server uses the old one, run this command again with --finish "
        "instead of --online. Until then you can go back: move the servers to the old database, run gql-secrets db "
        "resume on it, and delete the new one. Of the uses that are counted on the old database from now on, only the "
        "first one of each secret is kept."
    )
    write(copied_data(copy.copied) | {"pauseSeconds": round(copy.pause_seconds, 3)}, as_json=as_json, done=done)


async def _finish(services: "Services", address: DatabaseAddress, *, as_json: bool) -> None:
    from gql_secrets.service.backup import opened
    from gql_secrets.service.online_copy import finish_move

    if address.path is not None and not address.path.exists():
        raise SetupError(f"There is no database at {address.path}.")
    async with opened(address) as target:
        await finish_move(services.changes, target, by=cli_caller())
    done = "The move is finished: the new database accepts changes."
    say(f"{done} Keep servers away from the old one, and delete it when you have a backup of the new one.")
    write({"finished": True}, as_json=as_json, done=done)


def _summary(copied: "Copied") -> str:
    return f"Copied {copied.clients} clients and {copied.events} audit events, up to revision {copied.revision}."


@contextlib.asynccontextmanager
async def _new_target(address: DatabaseAddress) -> "AsyncIterator[Database]":
    """Yield the database that is copied into; if the block fails, delete a new one with the files next to it."""
    from gql_secrets.service.backup import opened

    is_new_file = address.path is not None and not address.path.exists()
    try:
        async with opened(address) as target:
            yield target
    except BaseException:
        if address.path is not None and is_new_file:
            for suffix in ("", "-wal", "-shm", "-reserve", ".migration-lock"):
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
    from gql_secrets.storage.migrate import upgrade as migrate
    from gql_secrets.wiring import open_database

    settings.make_data_dir()
    database = await open_database(settings)
    try:
        return await migrate(database)
    finally:
        await database.close()


async def _check(settings: Settings) -> tuple[dict[str, object], list[str]]:
    from gql_secrets.service.integrity import find_problems, statistics
    from gql_secrets.storage.migrate import pending
    from gql_secrets.wiring import open_database, open_services

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
