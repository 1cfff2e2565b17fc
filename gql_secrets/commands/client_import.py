"""`gql-secrets client import`: import clients of another system with the secrets they have.

The file is what the vendor's /clients/list answers, or the same clients one per line.
"""

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gql_secrets.commands.caller import cli_caller
from gql_secrets.commands.context import with_services
from gql_secrets.commands.output import AsJson

if TYPE_CHECKING:
    from gql_secrets.wiring import Services

# For how long SQLite's thread waits for Python after each statement, while the next rows are computed: not 5 ms. The
# process ends with the command.
_SECONDS_TO_SWITCH: Final = 0.0002


@with_services
async def import_clients(
    services: "Services",
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(metavar="FILE", help="The answer of /clients/list, or JSON lines; - for stdin."),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report what would happen, and change nothing.")] = False,
    allow_weak: Annotated[
        bool,
        typer.Option("--allow-weak", help="Also import secrets that could be guessed from a copy of the database."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import clients with the secrets they have. Each row is created, unchanged, or refused with a reason."""
    from gql_secrets.commands.imported_file import ImportedRow, clients_of_file, import_all, report
    from gql_secrets.service.client_import import Import, Outcome

    sys.setswitchinterval(_SECONDS_TO_SWITCH)
    values = clients_of_file(file.read())
    run = Import(services.changes, by=cli_caller(), allow_weak=allow_weak, dry_run=dry_run)
    rows: list[ImportedRow] = []
    try:
        with typer.progressbar(
            length=len(values), label="Importing", file=sys.stderr, hidden=not (sys.stderr and sys.stderr.isatty())
        ) as bar:
            async for imported in import_all(run, values):
                rows += imported
                bar.update(len(imported))
    finally:  # finished batches are reported even if a later one fails
        rows.sort(key=lambda row: row.number)
        report(rows, dry_run=dry_run, as_json=as_json)
    if any(row.imported.outcome is Outcome.REFUSED for row in rows):
        raise typer.Exit(1)
