"""`gql-secrets backup` and `gql-secrets restore`: the whole database in one file, while the server runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup

from gql_secrets.commands.audit import exported_lines
from gql_secrets.commands.caller import cli_caller
from gql_secrets.commands.context import run_to_end, with_services, with_settings
from gql_secrets.commands.output import AsJson, say, write
from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.domain.instants import rfc3339
from gql_secrets.settings import PEPPER_FILE, Settings

if TYPE_CHECKING:
    from gql_secrets.service.backup import Copied
    from gql_secrets.wiring import Services

_RESTORE_FILE: Final = "file"
_NewFile = Annotated[Path, typer.Argument(metavar="FILE", help="A new file that only this user can read.")]
_Backup = Annotated[Path, typer.Argument(metavar="FILE", help="What gql-secrets backup wrote.")]


@with_services
async def backup(services: "Services", file: _NewFile, as_json: AsJson = False) -> None:
    """Write the whole database to a new file, and verify it. The server can run. The pepper is not in the file."""
    from gql_secrets.service.backup import back_up

    copied = await back_up(services.database, services.changes.pepper, file)
    done = f"{file} has {copied.clients} clients and {copied.events} audit events."
    say(f"{done} Keep the pepper in another place: a backup is worthless without it.")
    write(copied_data(copied), as_json=as_json, done=done)
    require_sound(copied, f"The backup {file} was written, but the database has problems, and so has the backup")


class _FileOrCommand(TyperGroup):
    """Reads `restore FILE` as `restore file FILE`, also for a file named `file`; one named `accept` is `./accept`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401  Typer does not export these types
        """Return the command that the first argument names, or the one that restores the file of this name."""
        is_file_named_so = args[0] == _RESTORE_FILE and all(each.startswith("-") for each in args[1:])
        is_command = args[0] in self.commands and not is_file_named_so
        return super().resolve_command(ctx, args if is_command else [_RESTORE_FILE, *args])


restore_app = typer.Typer(
    cls=_FileOrCommand,
    help="Restore a backup: gql-secrets restore FILE. Then accept what it lost: gql-secrets restore accept.",
    no_args_is_help=True,
    context_settings={"ignore_unknown_options": True},  # those of the command that is left out
)


@restore_app.command(_RESTORE_FILE)
@with_settings
def restore(settings: Settings, file: _Backup, as_json: AsJson = False) -> None:
    """Write a backup into an empty database, and verify it. A SQLite file is created, and so are the tables."""
    copied = run_to_end(_restore(settings, file))
    done = f"Restored {copied.clients} clients and {copied.events} audit events, up to revision {copied.revision}."
    say(done)
    say(
        "What was changed after the backup is lost. Each node that knows of such changes says so when it starts: the "
        "clients that they are about are not verified, and only changes that end something are made, until you run "
        "gql-secrets restore accept. If no node has its journal, secrets that were revoked after the backup are "
        "valid again: run gql-secrets client revoke-old --all, and reset each client that was reset after the backup."
    )
    write(copied_data(copied), as_json=as_json, done=done)
    require_sound(copied, "The backup was restored, but it has problems")


@restore_app.command()
@with_services
async def accept(
    services: "Services",
    reason: Annotated[str, typer.Option(help="Why the restored database is accepted: at most 200 characters.")],
    end_retained: Annotated[
        bool, typer.Option("--end-retained", help="First end the old secret of every client in a rollover.")
    ] = False,
    as_it_is: Annotated[
        bool, typer.Option("--as-it-is", help="End nothing: a secret that had ended may be valid again.")
    ] = False,
    replay: Annotated[
        bool, typer.Option("--replay", help="First end again what the lost changes in the nodes' journals had ended.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option(help="With --replay: an exported audit, for changes that no journal has.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Accept a database that went back in time. Then all clients are verified and can be changed again.

    The audit log records it.
    """
    from gql_secrets.service.restore_acceptance import Acceptance, accept_restore

    if end_retained + as_it_is + replay != 1:
        raise typer.BadParameter("Pass one of --replay, --end-retained and --as-it-is.")
    if export is not None and not replay:
        raise typer.BadParameter("--export requires --replay.")
    how = Acceptance.REPLAY if replay else Acceptance.END_RETAINED if end_retained else Acceptance.AS_IT_IS
    accepted = await accept_restore(
        services.changes,
        services.rotation,
        by=cli_caller(),
        how=how,
        reason=reason,
        exported=exported_lines(export) if export else (),
    )
    done = f"The database is accepted. The journals have {accepted.lost_changes} changes that it lost."
    say(done)
    if accepted.need_reset:
        say("Reset each client that is listed in needReset: nobody has its current secret.")
    elif accepted.changed and not replay:
        say("Reset each client that is listed in changed: its current secret may be one that had ended.")
    data = {
        "lostChanges": accepted.lost_changes,
        "changed": list(accepted.changed),
        "unknown": list(accepted.unknown),
        "oldSecretsEnded": list(accepted.ended),
        "needReset": list(accepted.need_reset),
    }
    write(data, as_json=as_json, done=done)


async def _restore(settings: Settings, file: Path) -> "Copied":
    from gql_secrets.service.backup import restore as restore_backup
    from gql_secrets.storage.migrate import upgrade
    from gql_secrets.wiring import open_database

    settings.make_data_dir()
    pepper = settings.load_pepper()
    if pepper is None:
        raise SetupError(
            "Without the pepper of the installation that was backed up, no secret can be verified. Set "
            f"GQL_SECRETS_PEPPER, or copy {PEPPER_FILE} into {settings.data_dir}."
        )
    database = await open_database(settings)
    try:
        await upgrade(database)
        return await restore_backup(database, pepper, file)
    finally:
        await database.close()


def copied_data(copied: "Copied") -> dict[str, object]:
    """Return what was copied, with the names that commands write."""
    newest = copied.newest_event_at
    return {
        "clients": copied.clients,
        "secrets": copied.secrets,
        "auditEvents": copied.events,
        "revision": copied.revision,
        "newestEventAt": None if newest is None else rfc3339(newest),
        "problems": list(copied.problems),
    }


def require_sound(copied: "Copied", what: str) -> None:
    """Pass unless what was copied has problems.

    Raises:
        Failure: it has some; `what` says what was done.
    """
    if copied.problems:
        raise Failure(f"{what}: {' '.join(copied.problems)}")
