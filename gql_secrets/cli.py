"""The command line: one of the two doors."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from gql_secrets import __version__
from gql_secrets.commands import audit, clients, database
from gql_secrets.commands.client_import import import_clients
from gql_secrets.commands.installation import DatabaseUrl, DataDir
from gql_secrets.commands.output import say
from gql_secrets.commands.schema import schema
from gql_secrets.commands.server import serve
from gql_secrets.commands.sign_in import sign_in_link
from gql_secrets.commands.wait import wait_unused
from gql_secrets.domain.errors import Failure, Refusal, RolloverInProgress

app = typer.Typer(
    help="Changes the secrets of API clients without an outage.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they print local variables, secrets among them
    add_completion=False,
)
app.command()(serve)
app.command()(sign_in_link)
clients.app.command("import")(import_clients)
clients.app.command("wait-unused")(wait_unused)
app.add_typer(clients.app, name="client")
app.add_typer(database.app, name="db")
app.add_typer(audit.app, name="audit")
app.command()(schema)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gql-secrets {__version__}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    version: Annotated[  # noqa: ARG001  the callback acts on it
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that hold for every command."""
    given = {"data_dir": data_dir, "database_url": database_url}
    ctx.obj = {name: value for name, value in given.items() if value is not None}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 when it did what it was told, 1 when it could not, 2 when it was not understood."""
    os.umask(0o077)  # database, pepper and whatever else is made here is its owner's alone
    try:
        app(arguments)
    except Failure as failure:
        say(_told(failure))
        sys.exit(1)


def _told(failure: Failure) -> str:
    code = f"{failure.code}: " if isinstance(failure, Refusal) else ""
    hint = " Here that is --end-active-rollover." if isinstance(failure, RolloverInProgress) else ""
    return f"gql-secrets: {code}{failure}{hint}"


if __name__ == "__main__":
    main()
