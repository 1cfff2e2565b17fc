"""`gql-secrets client reset --ids`, and `client revoke-old --safe` and `--all`: the secrets of many clients."""

import hashlib
import json
import os
import sys
import uuid
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, TypeVar
from urllib.parse import quote

import typer

from gql_secrets.commands.client import confirm
from gql_secrets.commands.installation import BulkReset, BulkRevoke, Installation, RevokeDone
from gql_secrets.commands.output import effect_fields, printable, say, to_json, write_text
from gql_secrets.domain.credentials import is_client_id
from gql_secrets.domain.effects import NOT_CHANGED, Effect
from gql_secrets.domain.errors import Failure
from gql_secrets.domain.rotation import Retention
from gql_secrets.settings.private_files import require_private

T = TypeVar("T")

# A run that is killed loses the answers of one batch, which the next run asks for again.
_BATCH: Final = 10
# Of all old secrets: each batch waits for the other nodes once.
_REVOKED_TOGETHER: Final = 1000
_RUN_FILE: Final = "run.json"
_MAX_FILE_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class _Row:
    """What became of one client of the file."""

    client_id: str
    outcome: str
    file: str | None = None
    old_secret_expires_at: str | None = None
    code: str | None = None
    message: str | None = None
    effect: Effect = NOT_CHANGED


async def reset_many(
    installation: Installation, ids: IO[str], hours: int, directory: Path, *, yes: bool, as_json: bool
) -> None:
    """Reset the clients of a file, and write each new secret into a file of its own (0600) in the directory.

    The same command again continues a run that was interrupted: it skips clients whose file is there, and the keys of
    the run return a secret again that was made and not written.
    """
    retention = Retention(hours)
    client_ids = _ids_of(ids)
    if not yes and await installation.has_owner_among(client_ids):
        confirm("Some of these clients administer gql-secrets. Reset the secrets of all clients in the file?")
    key = _open_run(directory, hours)
    done = {client_id for client_id in client_ids if (directory / _file_name(client_id)).exists()}
    rows = [_Row(client_id, "skipped", _file_name(client_id)) for client_id in client_ids if client_id in done]
    waiting = [client_id for client_id in client_ids if client_id not in done]
    try:
        with typer.progressbar(
            length=len(waiting), label="Resetting", file=sys.stderr, hidden=not (sys.stderr and sys.stderr.isatty())
        ) as bar:
            for batch in _batches(waiting, _BATCH):
                outcomes = await installation.reset_secrets(batch, retention, idempotency_key=key)
                bar.update(len(batch))
                _write_all(directory, outcomes, rows)
    finally:  # what was done is reported even if a later batch fails
        _report(rows, directory, as_json=as_json)
    if any(row.outcome == "refused" for row in rows):
        raise typer.Exit(1)


async def revoke_safe(installation: Installation, *, as_json: bool) -> None:
    """Revoke the old secret of every client whose advice is REVOKE, evaluated again for each."""
    from gql_secrets.service.pages import MAX_PAGE

    batches = _batches(await installation.safe_to_revoke(), MAX_PAGE)
    await _revoke_each(map(installation.revoke_if_safe, batches), as_json=as_json)


async def revoke_all(installation: Installation, reason: str | None, *, yes: bool, as_json: bool) -> None:
    """Revoke the old secret of every client that has one."""
    from gql_secrets.service.client_filter import ClientFilter

    in_rollover = ClientFilter(in_rollover=True)
    client_ids = [str(data["clientId"]) async for data in installation.each_client(None, in_rollover)]
    if client_ids and not yes:
        confirm(f"Old secrets: {len(client_ids)}. Revoke all of them now, including those that are still in use?")
    batches = _batches(client_ids, _REVOKED_TOGETHER)
    await _revoke_each((installation.revoke_old_secrets(batch, reason=reason) for batch in batches), as_json=as_json)


async def _revoke_each(batches: Iterable[Awaitable[Sequence[BulkRevoke]]], *, as_json: bool) -> None:
    """Revoke one batch after the other, and report what was revoked.

    Raises:
        Failure: some old secrets were not revoked.
    """
    outcomes: list[BulkRevoke] = []
    try:
        for batch in batches:
            outcomes += await batch
    finally:  # what was done is reported even if a later batch fails
        _report_revokes(outcomes, as_json=as_json)
    if refused := sum(outcome.done is None for outcome in outcomes):
        raise Failure(f"Old secrets that were not revoked: {refused}. Run the command again later.")


def _report_revokes(outcomes: Sequence[BulkRevoke], *, as_json: bool) -> None:
    for outcome in outcomes:
        if outcome.done is None:
            say(f"{outcome.client_id}: {outcome.message}")
    revoked = [(outcome.client_id, outcome.done) for outcome in outcomes if outcome.done]
    summary = f"Old secrets revoked: {len(revoked)}."
    _say_once([done.effect for _, done in revoked])
    say(summary)
    if as_json:
        rows = [revoked_fields(client_id, done) | effect_fields(done.effect) for client_id, done in revoked]
        text = f"{to_json(rows)}\n"
    else:
        text = "".join(f"{client_id}\n" for client_id, _ in revoked)
    write_text(text, done=summary)


def revoked_fields(client_id: str, done: RevokeDone) -> dict[str, object]:
    """Return what a revoke did, with GraphQL's names."""
    return {"clientId": client_id, "revokedSecret": done.revoked_secret, "alreadyEnded": done.already_ended}


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _ids_of(file: IO[str]) -> list[str]:
    """Return the client ids of the file, one a line; blank lines and lines that begin with # are left out.

    Raises:
        Failure: a line is not a client id or a repetition, or there is none; or the file cannot be read.
    """
    client_ids: list[str] = []
    seen = set()
    for number, line in enumerate(_lines_of(file), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if not is_client_id(text):
            raise Failure(f"Nothing was changed: line {number} is not a client id.")
        if text in seen:
            raise Failure(f"Nothing was changed: line {number} repeats the client id {text}.")
        seen.add(text)
        client_ids.append(text)
    if not client_ids:
        raise Failure("Nothing was changed: the file has no client ids. Write one on each line.")
    return client_ids


def _lines_of(file: IO[str]) -> list[str]:
    try:
        return file.readlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise Failure(f"Nothing was changed: cannot read the file of client ids: {why}.") from error


def _open_run(directory: Path, hours: int) -> str:
    """Create the directory (0700) if there is none, and return the idempotency key of the run that it belongs to.

    Raises:
        Failure: the directory cannot be used, or belongs to a run with other hours.
        SetupError: other users could read or change what is in it.
    """
    path = directory / _RUN_FILE
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_private(directory, files=(_RUN_FILE,))
        if not path.exists():
            if any(directory.iterdir()):
                raise Failure(f"Nothing was changed: {directory} is not empty and was not written by an earlier run.")
            _write_private(path, json.dumps({"idempotencyKey": str(uuid.uuid4()), "hours": hours}) + "\n")
        run = json.loads(path.read_text("utf-8"))
        key, hours_of_run = str(run["idempotencyKey"]), run["hours"]
    except OSError as error:
        raise Failure(f"Nothing was changed: cannot use the directory {directory}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError):
        raise Failure(f"Nothing was changed: {path} is damaged. Choose another directory.") from None
    if hours_of_run != hours:
        raise Failure(
            f"Nothing was changed: {directory} belongs to a run with --hours {hours_of_run}. Pass the same hours to "
            "continue it, or choose another directory."
        )
    return key


def _write_all(directory: Path, outcomes: Iterable[BulkReset], rows: list[_Row]) -> None:
    """Write the new secrets of a batch into their files, and add what became of each client to the rows.

    Raises:
        Failure: some files cannot be written; the text says how to get the secrets.
    """
    unwritten: list[str] = []
    why = None
    for outcome in outcomes:
        client_id = outcome.client_id
        if outcome.new_secret is None:
            rows.append(_Row(client_id, "refused", code=outcome.code, message=outcome.message))
            continue
        name: str | None = _file_name(client_id)
        try:
            _write_private(directory / str(name), outcome.new_secret.reveal() + "\n")
        except OSError as error:
            unwritten.append(client_id)
            name, why = None, error.strerror
        message = None if name else "its file could not be written"
        rows.append(
            _Row(client_id, "reset", name, outcome.old_secret_expires_at, message=message, effect=outcome.effect)
        )
    if unwritten:
        raise Failure(
            f"These clients were reset, and the files of their new secrets in {directory} cannot be written: "
            f"{', '.join(unwritten)} ({why}). Run the same command again within ten minutes to get the same secrets."
        )


def _file_name(client_id: str) -> str:
    """Return a file name that no other client id has: ids may contain slashes and dots."""
    name = quote(client_id, safe="")
    if len(name) > _MAX_FILE_NAME:
        digest = hashlib.sha256(client_id.encode()).hexdigest()
        name = f"{name[: _MAX_FILE_NAME - len(digest)]}-{digest}"
    return f"{name}.secret"


def _write_private(path: Path, text: str) -> None:
    """Write a file (0600) that is complete or does not exist, and is on the disk when this returns."""
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _report(rows: Sequence[_Row], directory: Path, *, as_json: bool) -> None:
    counts = {outcome: sum(row.outcome == outcome for row in rows) for outcome in ("reset", "skipped", "refused")}
    summary = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    _say_once([row.effect for row in rows])
    say(f"{summary}. The new secrets are in {directory}.")
    if as_json:
        text = to_json({**counts, "rows": [_data(row) for row in rows]}) + "\n"
    else:
        text = "".join(f"{row.outcome:<7}  {row.client_id}{_note(row)}\n" for row in rows)
    write_text(text, done=f"The run was done: {summary}. Running it again skips clients that already have a file.")


def _say_once(effects: Sequence[Effect]) -> None:
    """Tell the user why some node may not follow a change; all changes of a batch have the same reason."""
    for reason in dict.fromkeys(effect.reason for effect in effects if effect.reason is not None):
        say(reason)


def _note(row: _Row) -> str:
    if row.code:
        return f": {row.code}: {printable(row.message or '')}"
    return f"  {row.file}" if row.file else f": {row.message}"


def _data(row: _Row) -> dict[str, Any]:
    return {
        "clientId": row.client_id,
        "outcome": row.outcome,
        "file": row.file,
        "oldSecretExpiresAt": row.old_secret_expires_at,
        "code": row.code,
        "message": row.message,
        **effect_fields(row.effect),
    }
