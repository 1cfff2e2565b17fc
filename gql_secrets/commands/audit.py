"""`gql-secrets audit …`: prove that the audit is whole, and take it out."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gql_secrets.commands.installation import with_services
from gql_secrets.commands.output import AsJson, say, write
from gql_secrets.domain.errors import Failure
from gql_secrets.service.audit_log import AuditLog, last_revision_of
from gql_secrets.wiring import Services

app = typer.Typer(help="Verify and export the audit.", no_args_is_help=True)


@app.command()
@with_services
async def verify(
    services: Services,
    against: Annotated[
        Path | None, typer.Option(help="An export: each of its events must still be in the audit, as it was.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find any edited, removed or reordered event; exit 1 where there is one."""
    audit_log = AuditLog(services.database, services.changes.pepper)
    lines = _lines_of(against) if against else []
    report = await audit_log.verify(lines)
    write({"events": report.events, "head": report.head, "problem": report.problem}, as_json=as_json)
    if report.problem:
        raise Failure(f"The audit is broken. {report.problem}")
    say("The audit is whole.")


@app.command()
@with_services
async def export(
    services: Services,
    output: Annotated[
        Path | None, typer.Option(help="A file to append to: the export goes on after its last event. Default: stdout.")
    ] = None,
    after: Annotated[int, typer.Option(help="Begin after this revision (without --output).", min=0)] = 0,
) -> None:
    """Write the events as JSON lines, oldest first."""
    audit_log = AuditLog(services.database, services.changes.pepper)
    if output is None:
        async for line in audit_log.export(after=after):
            sys.stdout.write(line + "\n")
        return
    written = 0
    lines = _whole_lines_of(output)
    with output.open("a", encoding="utf-8") as file:
        async for line in audit_log.export(after=last_revision_of(lines)):
            file.write(line + "\n")
            written += 1
    say(f"Wrote {written} events to {output}.")


def _lines_of(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}.") from error


def _whole_lines_of(path: Path) -> list[str]:
    """Return the lines of an earlier export; a last line that was cut off in writing is taken away first."""
    if not path.exists():
        return []
    lines = _lines_of(path)
    if lines and not lines[-1].endswith("\n"):
        path.write_text("".join(lines[:-1]), encoding="utf-8")
        return lines[:-1]
    return lines
