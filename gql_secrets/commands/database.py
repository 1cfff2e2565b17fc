"""`gql-secrets db …`: bring the database to the newest migration, and look whether it is sound."""

import typer

from gql_secrets.commands.installation import require_database, run_to_end, with_settings
from gql_secrets.commands.output import AsJson, say, write
from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.service.integrity import find_problems, statistics
from gql_secrets.settings import Settings
from gql_secrets.storage.migrate import pending
from gql_secrets.storage.migrate import upgrade as migrate
from gql_secrets.wiring import open_database, open_services

app = typer.Typer(help="Upgrade and check the database.", no_args_is_help=True)


@app.command()
@with_settings
def upgrade(settings: Settings, as_json: AsJson = False) -> None:
    """Apply the migrations that are missing; make the database where there is none. The server does it too."""
    applied = run_to_end(_upgrade(settings))
    say(f"Applied: {', '.join(applied)}." if applied else "The database is at the newest migration.")
    if as_json:
        write({"applied": applied}, as_json=True)


@app.command()
@with_settings
def check(settings: Settings, as_json: AsJson = False) -> None:
    """Say whether the database is at the newest migration, belongs to this pepper, and is sound."""
    require_database(settings)
    figures, damage = run_to_end(_check(settings))
    write(figures | {"damage": damage}, as_json=as_json)
    if damage:
        raise Failure("The database is damaged. Restore the backup.")
    say("The database is sound.")


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
        raise SetupError(f"These migrations are missing: {', '.join(missing)}. Run: gql-secrets db upgrade")
    services = await open_services(settings, migrate=False, with_owner=False)
    try:
        return await statistics(services.database), await find_problems(services.database)
    finally:
        await services.close()
