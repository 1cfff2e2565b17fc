"""`gql-secrets client import`: brings in the clients of another system, as its `/clients/list` shows them (seed B)."""

import codecs
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Final

import orjson
import typer

from gql_secrets.commands.installation import cli_caller, with_services
from gql_secrets.commands.output import AsJson, say, to_json
from gql_secrets.domain.credentials import is_client_id
from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.domain.networks import EVERYWHERE, AllowList, parse_whitelist, shown
from gql_secrets.service.client_import import MAX_BATCH, Import, Imported, ImportedClient, Outcome, RowRefused
from gql_secrets.wiring import Services

_NOT_THIS_FILE: Final = (
    'Write what /clients/list answers, {"results": [...]}, an array of such clients, or one client on each line.'
)
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class _Row:
    """One client of the file and what became of it; `number` counts from 1."""

    number: int
    client_id: str | None
    imported: Imported


@with_services
async def import_clients(
    services: Services,
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(metavar="FILE", help="What /clients/list answers, or JSON lines; - for stdin."),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would become of each; change nothing.")] = False,
    allow_weak: Annotated[
        bool, typer.Option("--allow-weak", help="Take secrets that can be guessed from a copy of the database, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring in clients with the secrets they have. Each row is created, unchanged, or refused with a reason."""
    values = clients_of_file(file.read())
    run = Import(services.changes, by=cli_caller(), allow_weak=allow_weak, dry_run=dry_run)
    rows: list[_Row] = []
    try:
        with typer.progressbar(
            length=len(values), label="Importing", file=sys.stderr, hidden=not sys.stderr.isatty()
        ) as bar:
            for start in range(0, len(values), MAX_BATCH):
                batch = values[start : start + MAX_BATCH]
                rows += await _import_batch(run, batch, start + 1)
                bar.update(len(batch))
    finally:  # what is done is said, whatever came in between
        counts = _report(rows, dry_run=dry_run, as_json=as_json)
    if counts[Outcome.REFUSED]:
        raise typer.Exit(1)


def clients_of_file(raw: bytes) -> list[object]:
    """Return the clients that a file holds, each as it is written; a line that is no JSON comes as a `ValueError`.

    Raises:
        SetupError: it is none of the formats.
    """
    if raw.startswith(_UTF16):  # what PowerShell's > writes
        raw = raw.decode("utf-16", "replace").encode()
    text = raw.removeprefix(codecs.BOM_UTF8).strip()
    first_line = text.partition(b"\n")[0]
    if not text.startswith(b"[") and _is_client(_parsed(first_line)):
        return [_parsed(line) for line in text.splitlines() if line.strip()]
    value = _parsed(text)
    if isinstance(value, dict):
        value = [value] if _is_client(value) else value.get("results")
    if isinstance(value, list):
        return value
    why = f" ({value})" if isinstance(value, ValueError) else ""
    raise SetupError(f"The file holds no clients{why}. {_NOT_THIS_FILE}")


def _parsed(text: bytes) -> Any:  # noqa: ANN401  JSON
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return ValueError(f"not JSON: {error.msg}, at character {error.colno}")


def _is_client(value: object) -> bool:
    return isinstance(value, dict) and "client_id" in value


async def _import_batch(run: Import, values: Sequence[object], first_number: int) -> list[_Row]:
    """Import the rows that can be read, in one transaction; return all of them in their order."""
    read: list[ImportedClient | str] = []
    for value in values:
        try:
            read.append(_read(value))
        except Failure as failure:
            read.append(str(failure))
    results = iter(await run.take([each for each in read if isinstance(each, ImportedClient)]))
    return [
        _Row(
            first_number + place,
            _id_to_show(value),
            Imported(Outcome.REFUSED, each) if isinstance(each, str) else next(results),
        )
        for place, (value, each) in enumerate(zip(values, read, strict=True))
    ]


def _read(value: object) -> ImportedClient:
    """Return the client that a row of the file means.

    Raises:
        Failure: it means none; the text says why, and never holds the secret.
    """
    if isinstance(value, ValueError):
        raise RowRefused(str(value))
    if not isinstance(value, dict):
        raise RowRefused("a row is a JSON object with client_id and client_secret")
    client_id, secret, description = value.get("client_id"), value.get("client_secret"), value.get("description")
    if not isinstance(client_id, str):
        raise RowRefused("it has no client_id")
    if not isinstance(secret, str):
        raise RowRefused("it has no client_secret: take the list from the system that shows it")
    if description is not None and not isinstance(description, str):
        raise RowRefused("its description is no text")
    whitelist = value.get("whitelist")
    return ImportedClient.of(
        client_id,
        secret,
        description=description,
        features=_texts(value.get("features"), "features"),
        allow_list=EVERYWHERE if whitelist is None else _allow_list(tuple(_texts(whitelist, "whitelist"))),
    )


# Many clients of a file have the same list, and reading one costs more than all else of a row.
@lru_cache(maxsize=1024)
def _allow_list(whitelist: tuple[str, ...]) -> AllowList:
    return parse_whitelist(whitelist)


def _texts(value: object, name: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise RowRefused(f"its {name} are no list of texts")
    return value


def _id_to_show(value: object) -> str | None:
    client_id = value.get("client_id") if isinstance(value, dict) else None
    if not isinstance(client_id, str):
        return None
    return client_id if is_client_id(client_id) else shown(client_id)


def _report(rows: Sequence[_Row], *, dry_run: bool, as_json: bool) -> dict[Outcome, int]:
    """Write what became of each row; return how many became what."""
    counts = {outcome: sum(row.imported.outcome is outcome for row in rows) for outcome in Outcome}
    if as_json:
        told = [
            {
                "row": row.number,
                "clientId": row.client_id,
                "outcome": row.imported.outcome,
                "reason": row.imported.reason,
                "isWeak": row.imported.is_weak,
            }
            for row in rows
        ]
        totals = {outcome.value: count for outcome, count in counts.items()}
        typer.echo(to_json({"dryRun": dry_run, **totals, "rows": told}))
    else:
        sys.stdout.writelines(_line(row) for row in rows)
    total = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    say(f"A dry run: nothing was changed. It would be {total}." if dry_run else f"{total}.")
    return counts


def _line(row: _Row) -> str:
    notes = [row.imported.reason] if row.imported.reason else []
    if row.imported.is_weak and row.imported.outcome is not Outcome.REFUSED:
        notes.insert(0, "weak secret")
    note = f": {'; '.join(notes)}" if notes else ""
    return f"{row.imported.outcome:<9}  {row.number:>6}  {row.client_id or '-'}{note}\n"
