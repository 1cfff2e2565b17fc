"""Pruning the audit log: old events are exported to a file, and deleted once the file has been written and verified.

The event of a pruning names the last event that was pruned by its hash, so the audit log is verified from there on, and
the files can be verified against it. A pruning that is interrupted has lost nothing: the next one goes on.
"""

import asyncio
import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BufferedWriter
from pathlib import Path
from typing import Final

from tortoise.backends.base.client import BaseDBAsyncClient

from gql_secrets.domain.access import Caller, Role, require_role
from gql_secrets.domain.audit import AuditAction, parse_reason
from gql_secrets.domain.errors import BadRequest, Conflict, Failure
from gql_secrets.domain.instants import rfc3339_seconds
from gql_secrets.pauses import pause
from gql_secrets.service.audit_export import read_lines
from gql_secrets.service.audit_log import AuditLog, Start, read_start
from gql_secrets.service.changes import Change, Changes
from gql_secrets.service.new_files import give_name, sync
from gql_secrets.storage.models import AuditEvent
from gql_secrets.storage.transaction import Transaction

# A rollover lasts 7 days, and its events are shown with it.
MIN_KEPT: Final = timedelta(days=8)
_BATCH: Final = 5000
# How many bytes are written at a time.
_CHUNK: Final = 1 << 18
# The end of the name of a file that is being written.
PART: Final = ".part"


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was pruned: the events of these revisions, both included."""

    first: int
    last: int


async def prune_audit(
    changes: Changes,
    *,
    by: Caller,
    before: datetime,
    export: Callable[[int, int], Path],
    reason: str | None = None,
    until: int | None = None,
) -> Pruned:
    """Export the events before an instant to a file, and delete them.

    The file has its name only once it is whole and on the disk. Where there is a file of that name already, it must
    hold the same events: a pruning that was interrupted left it, and this one goes on. The same pruning again has the
    same result.

    Args:
        changes: the installation.
        by: who prunes.
        before: events are kept from the first one at or after this instant on, and those of the last 8 days.
        export: returns the path of the file for the events of these revisions.
        reason: why, in the person's words.
        until: no later event than this one is pruned.

    Raises:
        BadRequest: `before` is too recent, there is nothing to prune, or the audit log was accepted after an edit.
        InvalidReason: the reason is too long, or has control characters.
        Failure: the audit log is not intact, or the file cannot be written. Nothing was deleted.
        Conflict: another process pruned at the same time. Nothing was deleted.
    """
    require_role(by, Role.ADMIN)
    why = parse_reason(reason)
    database = changes.database
    if before > await database.now() - MIN_KEPT:
        raise BadRequest("The events of the last 8 days cannot be pruned.", argument="before")
    audit_log = AuditLog(database, changes.pepper)
    problem = (await audit_log.verify()).problem
    if problem is not None:
        raise Failure(f"Nothing was pruned, because the audit log is not intact. {problem}")
    start = await database.read(read_start)
    await _delete_until(changes, start.revision)
    last = await _last_before(changes, before)
    last = last if until is None else min(last, until)
    if last <= start.revision:
        earlier = await asyncio.to_thread(_read_pruned, export(start.revision, start.revision), start)
        if earlier is None:
            raise BadRequest(f"There are no events before {rfc3339_seconds(before)} to prune.", argument="before")
        return earlier
    path = export(start.revision + 1, last)
    await _export(audit_log, start, last, path)

    async def work(change: Change) -> None:
        require_role(change.caller, Role.ADMIN)
        event = await AuditEvent.filter(revision=last).using_db(change.connection).only("hash").first()
        if event is None or await read_start(change.connection) != start:
            raise Conflict("Another process pruned the audit log at the same time.")
        await change.record(AuditAction.AUDIT_PRUNED, accepted=event.hash.hex(), reason=why)

    # If this fails, the file stays: after a lost connection nobody knows whether the event was committed.
    await changes.change_installation(by, work)
    await _delete_until(changes, last)
    return Pruned(start.revision + 1, last)


async def find_prunable(changes: Changes, before: datetime) -> Pruned | None:
    """Return the events that a pruning of everything before this instant would move to a file, None without any.

    Raises:
        BadRequest: some of them can only be pruned together with later ones.
    """
    start = await changes.database.read(read_start)
    last = await _last_before(changes, before)
    return Pruned(start.revision + 1, last) if last > start.revision else None


async def _last_before(changes: Changes, before: datetime) -> int:
    """Return the last revision before the first event at or after an instant; the newest event is always kept."""

    async def read(connection: BaseDBAsyncClient) -> int:
        events = AuditEvent.all().using_db(connection).order_by("revision").only("revision")
        newest = await events.order_by("-revision").first()
        first_kept = await events.filter(at__gte=before).first() or newest
        last = first_kept.revision - 1 if first_kept else 0
        accepted = await events.filter(action=AuditAction.AUDIT_ACCEPTED, revision__gt=last).first()
        if accepted:
            raise BadRequest(
                f"Event {accepted.revision} accepted the events before it, and can only be pruned together with them.",
                argument="before",
            )
        return last

    return await changes.database.read(read)


async def _export(audit_log: AuditLog, start: Start, last: int, path: Path) -> None:
    """Write the events to a file, sync it to the disk, and read it again."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    try:
        if await asyncio.to_thread(path.exists):
            await _require_same(audit_log, start, last, path)
            return
        try:
            written, content = await _write(audit_log, start, last, part)
            if written != last - start.revision or await asyncio.to_thread(_digest, part) != content:
                raise Failure(f"Nothing was pruned: {path} does not have what was written to it.")
            try:
                await asyncio.to_thread(give_name, part, path)
            except FileExistsError:  # of a pruning at the same time, such as another node's
                await _require_same(audit_log, start, last, path)
        finally:
            await asyncio.to_thread(part.unlink, missing_ok=True)
    except OSError as error:
        raise Failure(f"Nothing was pruned: cannot write {path}: {error.strerror}.") from error


async def _write(audit_log: AuditLog, start: Start, last: int, path: Path) -> tuple[int, bytes]:
    """Write the events to a new file that only its owner can read; return how many there were, and their digest.

    A thread waits for the disk, which may be one of the network that does not answer.
    """
    written, content, lines = 0, hashlib.sha256(), bytearray()
    file = await asyncio.to_thread(_create, path)
    try:
        async for line in audit_log.export(after=start.revision, until=last):
            lines += f"{line}\n".encode()
            written += 1
            if len(lines) >= _CHUNK:
                content.update(lines)
                await asyncio.to_thread(file.write, lines)
                lines = bytearray()
            await pause()
        content.update(lines)
        await asyncio.to_thread(file.write, lines)
        await asyncio.to_thread(file.flush)
        await asyncio.to_thread(os.fsync, file.fileno())
    finally:
        await asyncio.to_thread(file.close)
    return written, content.digest()


def _create(path: Path) -> BufferedWriter:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


async def _require_same(audit_log: AuditLog, start: Start, last: int, path: Path) -> None:
    """Pass if the file has exactly these events, and sync it: it may be of a pruning that was interrupted.

    Raises:
        Failure: it has not.
        OSError: it cannot be read or synced.
    """
    content = hashlib.sha256()
    async for line in audit_log.export(after=start.revision, until=last):
        content.update(f"{line}\n".encode())
        await pause()
    if not await asyncio.to_thread(path.is_file) or await asyncio.to_thread(_digest, path) != content.digest():
        raise Failure(f"Nothing was pruned: {path} has other events. Move it away, or name a new file.")
    await asyncio.to_thread(sync, path)
    await asyncio.to_thread(sync, path.parent)


def _read_pruned(path: Path, start: Start) -> Pruned | None:
    """Return which events a file has, if it is of the last pruning: then it ends where the audit log starts."""
    try:
        with path.open(encoding="utf-8") as lines:
            events = list(read_lines(lines))
    except (OSError, UnicodeError, BadRequest):  # there is none, or it is something else
        return None
    if not events or events[-1].hash != start.hash.hex():
        return None
    return Pruned(events[0].revision, start.revision)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


async def _delete_until(changes: Changes, last: int) -> None:
    """Delete the events up to this revision, oldest first, in transactions that nobody waits for."""
    while True:

        async def work(tx: Transaction) -> bool:
            rows = await tx.fetch(
                "SELECT revision FROM audit_event WHERE revision <= ? ORDER BY revision LIMIT ?", [last, _BATCH]
            )
            if rows:
                until = rows[-1]["revision"]
                await tx.execute("DELETE FROM audit_ended_secret WHERE event_id <= ?", until)
                await tx.execute("DELETE FROM audit_event WHERE revision <= ?", until)
            return bool(rows)

        if not await changes.database.run_tx(work):
            return
