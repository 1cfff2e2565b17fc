"""`gql-secrets db …`: migrate and check the database."""

import typer

from gql_secrets.commands.context import require_database, run_to_end, with_settings
from gql_secrets.commands.output import AsJson, say, write
from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.service.integrity import find_problems, statistics
from gql_secrets.settings import Settings
from gql_secrets.storage.migrate import pending
from gql_secrets.storage.migrate import upgrade as migrate
from gql_secrets.wiring import open_database, open_services

app = typer.Typer(help="Migrate and check the database.", no_args_is_help=True)


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
