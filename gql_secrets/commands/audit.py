"""`gql-secrets audit …`: verify, export, prune and accept the audit log."""

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gql_secrets.commands.caller import cli_caller
from gql_secrets.commands.context import with_installation, with_services
from gql_secrets.commands.installation import Installation
from gql_secrets.commands.output import AsJson, say, write
from gql_secrets.domain.errors import Failure

if TYPE_CHECKING:
    from gql_secrets.wiring import Services

app = typer.Typer(help="Verify, export, prune and accept the audit log.", no_args_is_help=True)


@app.command()
@with_services
async def verify(
    services: "Services",
    against: Annotated[
        list[Path] | None,
        typer.Option(
            help="An earlier export. Each of its events must still be in the audit log, unchanged. For pruned events, "
            "repeat the option with every file, the oldest first, or name the directory of the audit archive."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no event was edited, removed or reordered. The exit code is 1 if one was."""
    from gql_secrets.service.audit_log import AuditLog

    audit_log = AuditLog(services.database, services.changes.pepper)
    report = await audit_log.verify(line for path in against or () for line in exported_lines(path))
    write({"events": report.events, "head": report.head, "problem": report.problem}, as_json=as_json)
    if report.problem:
        raise Failure(f"Audit verification failed. {report.problem}")
    say("The audit log is intact.")


@app.command()
@with_services
async def accept(
    services: "Services",
    reason: Annotated[str, typer.Option(help="Why the edited audit log is accepted: at most 200 characters.")],
    as_json: AsJson = False,
) -> None:
    """Accept an audit log that was edited, and sign it again. The audit log records it."""
    from gql_secrets.service.audit_acceptance import accept_audit

    problem = await accept_audit(services.changes, by=cli_caller(), reason=reason)
    done = "The audit log is signed again."
    say(done)
    write({"accepted": problem}, as_json=as_json, done=f"{done} The problem that was accepted: {problem}")


@app.command()
@with_installation
async def export(
    installation: Installation,
    output: Annotated[
        Path | None,
        typer.Option(help="A file to append to; the export continues after its last event. Default: stdout."),
    ] = None,
    after: Annotated[
        int, typer.Option(metavar="REVISION", help="Start after this revision (without --output).", min=0)
    ] = 0,
) -> None:
    """Write the events as JSON lines, oldest first."""
    from gql_secrets.service.audit_export import last_revision_of

    if output is None:
        if (reconfigure := getattr(sys.stdout, "reconfigure", None)) is not None:
            reconfigure(encoding="utf-8")  # as in a file: the terminal's own encoding may lack characters
        async for line in installation.audit_lines(after=after):
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        return
    written = 0
    try:
        lines = _whole_lines_of(output)
        with output.open("a", encoding="utf-8") as file:
            async for line in installation.audit_lines(after=last_revision_of(lines)):
                file.write(f"{line}\n")
                written += 1
    except OSError as error:
        raise Failure(f"Cannot write {output}: {error.strerror}.") from error
    say(f"Wrote {written} events to {output}.")


@app.command()
@with_services
async def prune(
    services: "Services",
    before: Annotated[
        datetime,
        typer.Option(
            formats=["%Y-%m-%d"], metavar="DAY", help="Prune the events before this day (UTC), such as 2026-01-31."
        ),
    ],
    export: Annotated[
        Path, typer.Option(help="A new file for the events. Keep it: afterwards, nothing else has them.")
    ],
    reason: Annotated[str | None, typer.Option(help="Why, for the audit log: at most 200 characters.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write old events to a file, verify it, and delete them. The audit log records it."""
    from gql_secrets.service.audit_pruning import prune_audit

    pruned = await prune_audit(
        services.changes,
        by=cli_caller(),
        before=before.replace(tzinfo=UTC),
        export=lambda _first, _last: export,
        reason=reason,
    )
    done = f"Events {pruned.first} to {pruned.last} are in {export} and were deleted from the audit log."
    say(done)
    write({"first": pruned.first, "last": pruned.last, "export": str(export)}, as_json=as_json, done=done)


def exported_lines(path: Path) -> Iterator[str]:
    """Yield the lines of an export, or of all files in the directory of an audit archive."""
    if not path.is_dir():
        yield from _lines_of(path)
        return
    files = sorted(path.glob("audit-*.jsonl"))  # the names have leading zeros
    if not files:
        raise Failure(f"Cannot read {path}: it has no file of an audit archive.")
    for file in files:
        yield from _lines_of(file)


def _lines_of(path: Path) -> list[str]:
    try:
        return _decoded(path, path.read_bytes())
    except OSError as error:
        raise Failure(f"Cannot read {path}: {error.strerror}.") from error


def _whole_lines_of(path: Path) -> list[str]:
    """Return the lines of an earlier export, after removing a last line that was written only in part."""
    from gql_secrets.service.audit_export import is_beginning_of_line

    if not path.exists():
        return []
    if not path.is_file():
        raise Failure(f"Cannot write {path}: it is not a regular file. To write to stdout, omit --output.")
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    lines = _decoded(path, content[:end])
    if end < len(content):
        if not is_beginning_of_line(content[end:]):
            raise _not_an_export(path)
        # Cut off, not written again: the lines before it are kept even if this process is killed.
        os.truncate(path, end)
    return lines


def _decoded(path: Path, content: bytes) -> list[str]:
    try:
        return content.decode().splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise _not_an_export(path) from error


def _not_an_export(path: Path) -> Failure:
    return Failure(f"Cannot read {path}: it is not an export of the audit log.")
