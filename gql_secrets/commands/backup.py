"""`gql-secrets backup` and `gql-secrets restore`: the whole database in one file, while the server runs."""

from pathlib import Path
from typing import Annotated

import typer

from gql_secrets.commands.context import run_to_end, with_services, with_settings
from gql_secrets.commands.output import AsJson, say, write
from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.domain.instants import rfc3339
from gql_secrets.service.backup import Copied, back_up
from gql_secrets.service.backup import restore as restore_backup
from gql_secrets.settings import PEPPER_FILE, Settings
from gql_secrets.storage.migrate import upgrade
from gql_secrets.wiring import Services, open_database

_NewFile = Annotated[Path, typer.Argument(metavar="FILE", help="A new file, which nobody but this user can read.")]
_Backup = Annotated[Path, typer.Argument(metavar="FILE", help="What gql-secrets backup wrote.")]


@with_services
async def backup(services: Services, file: _NewFile, as_json: AsJson = False) -> None:
    """Write the whole database to a new file while the server runs, and verify the file. The pepper is not in it."""
    copied = await back_up(services.database, services.changes.pepper, file)
    done = f"{file} has {copied.clients} clients and {copied.events} audit events."
    say(f"{done} Keep the pepper in another place: a backup is worthless without it.")
    write(copied_data(copied), as_json=as_json, done=done)
    require_sound(copied, f"The backup {file} was written, but the database has problems, and so has the backup")


@with_settings
def restore(settings: Settings, file: _Backup, as_json: AsJson = False) -> None:
    """Write a backup into an empty database, and verify it. A SQLite file is created, and so are the tables."""
    copied = run_to_end(_restore(settings, file))
    done = f"Restored {copied.clients} clients and {copied.events} audit events, up to revision {copied.revision}."
    say(done)
    say(
        "Secrets that were revoked after the backup are valid again, and secrets that were created after it are "
        "unknown. Run gql-secrets client revoke-old --all, and reset each client that was reset after the backup."
    )
    write(copied_data(copied), as_json=as_json, done=done)
    require_sound(copied, "The backup was restored, but it has problems")


async def _restore(settings: Settings, file: Path) -> Copied:
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


def copied_data(copied: Copied) -> dict[str, object]:
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


def require_sound(copied: Copied, what: str) -> None:
    """Pass unless what was copied has problems.

    Raises:
        Failure: it has some; `what` says what was done.
    """
    if copied.problems:
        raise Failure(f"{what}: {' '.join(copied.problems)}")
