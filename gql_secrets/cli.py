"""The command line: one of the two entry points, next to `api/app.py`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from gql_secrets import __version__
from gql_secrets.commands import audit, client, client_rollover, cluster, db, pepper, session, webhook
from gql_secrets.commands.backup import backup, restore_app
from gql_secrets.commands.client_import import import_clients
from gql_secrets.commands.client_wait import wait_unused
from gql_secrets.commands.collector import look_as_usual, look_rarely
from gql_secrets.commands.context import REMOTE, DatabaseUrl, DataDir
from gql_secrets.commands.installation import RefusedByServer
from gql_secrets.commands.output import OutputLost, guarded_stdout, say, write_text
from gql_secrets.commands.remote.profile import Remote
from gql_secrets.commands.schema import schema
from gql_secrets.commands.serve import serve
from gql_secrets.commands.sign_in_link import sign_in_link
from gql_secrets.domain.errors import Failure, Refusal, RolloverInProgress

_OUTPUT_LOST: Final = 4

app = typer.Typer(
    help="Changes the secrets of API clients without an outage.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they print local variables, secrets among them
    add_completion=False,
)
app.command()(serve)
app.command()(sign_in_link)
client.app.command()(client_rollover.reset)
client.app.command("revoke-old")(client_rollover.revoke_old)
client.app.command("change-retention")(client_rollover.change_retention)
client.app.command("cancel-rollover")(client_rollover.cancel_rollover)
client.app.command("wait-unused")(wait_unused)
client.app.command("import")(import_clients)
app.add_typer(client.app, name="client")
app.add_typer(cluster.app, name="cluster")
app.add_typer(db.app, name="db")
app.add_typer(session.app, name="session")
app.add_typer(webhook.app, name="webhook")
app.add_typer(audit.app, name="audit")
app.add_typer(pepper.app, name="pepper")
app.command()(schema)
app.command()(backup)
app.add_typer(restore_app, name="restore")


def _print_version(wanted: bool) -> None:
    if wanted:
        write_text(f"gql-secrets {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Act on this server over GraphQL, such as https://secrets.example.com")
    ] = None,
    client_id: Annotated[
        str | None,
        typer.Option("--client-id", help="The client to sign in as at that server. [env: GQL_SECRETS_CLIENT_ID]"),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option("--profile", help="A file (0600) with url=…, client_id=… and client_secret=… of a server."),
    ] = None,
    version: Annotated[  # noqa: ARG001  the callback acts on it
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Remember the options that apply to every command."""
    given = {"data_dir": data_dir, "database_url": database_url}
    ctx.obj = {name: value for name, value in given.items() if value is not None}
    remote = Remote.find(url=url, client_id=client_id, profile=profile)
    if remote is None:
        return
    if ctx.obj:
        raise typer.BadParameter("--data-dir and --database-url are for a database, not for a remote server.")
    ctx.meta[REMOTE] = remote


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit.

    The exit code is 0 on success, 1 if the command failed and changed nothing (an import, `revoke-old --all`: not
    everything), 2 if the command line is wrong, 3 if `wait-unused` timed out, 4 if the command did its work but could
    not write its output, and 130 or 143 if Ctrl-C or SIGTERM interrupted it.
    """
    os.umask(0o077)  # the database, the pepper and every other new file are readable by their owner only
    look_rarely()
    try:
        with guarded_stdout():
            app(arguments)
    except OutputLost as lost:
        say(_message(lost))
        sys.exit(_OUTPUT_LOST)
    except Failure as failure:
        say(_message(failure))
        sys.exit(1)
    finally:
        look_as_usual()


def _message(failure: Failure) -> str:
    code = failure.code if isinstance(failure, Refusal | RefusedByServer) else None
    hint = " On the command line, that is --end-active-rollover." if code == RolloverInProgress.code else ""
    return f"gql-secrets: {f'{code}: ' if code else ''}{failure}{hint}"


if __name__ == "__main__":
    main()
