"""The audit archive: a server moves old audit events to files in a directory, as `gql-secrets audit prune` does.

One node does it at a time, the one that holds a lease in the database. The lease only saves work: where two nodes do it
at the same time, the later one finds that the audit log was pruned, and deletes nothing.

A file is named by the revisions of its first and its last event. Where one was written and the events are still in the
audit log, the next run prunes just these: so no file is replaced, and no event is in two files.
"""

import asyncio
import logging
import re
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from gql_secrets.domain.access import system_caller
from gql_secrets.domain.errors import BadRequest, Conflict, Failure, SetupError, Unavailable
from gql_secrets.pauses import LongWork
from gql_secrets.service.audit_pruning import PART, Pruned, find_prunable, prune_audit
from gql_secrets.service.changes import Changes
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds

_log: Final = logging.getLogger(__name__)
LEASE: Final = timedelta(hours=1)
# A failure is reported for as long as some node goes on to try.
_SECONDS: Final = 1800.0
_SECONDS_AFTER_FAILURE: Final = 600.0
_REPORTED: Final = timedelta(hours=1)
_PROBE_SECONDS: Final = 1.0
_NAME: Final = re.compile(r"audit-([0-9]{12,})-([0-9]{12,})\.jsonl", re.ASCII)
_NOT_WHOLE: Final = f".audit-*{PART}"


class AuditArchive:
    """Archives the audit log of one installation while this node holds the lease."""

    def __init__(self, changes: Changes, directory: Path | None, retention: timedelta) -> None:
        """Archive in this directory what is older than the retention; None archives nothing."""
        self._changes = changes
        self._database = changes.database
        self._directory = directory
        self._retention = retention
        self._holder = uuid.uuid4().hex

    async def run(self) -> float:
        """Archive what is old enough; return the number of seconds until the next run.

        Raises:
            Unavailable: the database does not answer.
        """
        if self._directory is None:
            return _SECONDS
        now = await self._database.now()
        # Whole days, so that there is one file a day.
        before = (now - self._retention).replace(hour=0, minute=0, second=0, microsecond=0)
        try:
            prunable = await find_prunable(self._changes, before)
        except BadRequest as waits:  # an acceptance of the audit log is not old enough yet
            _log.debug("audit_archive_waits", extra={"reason": str(waits)})
            return _SECONDS
        if prunable is None or not await self._take_lease(now):
            return _SECONDS
        try:
            with LongWork():
                has_failed = not await self._archive(self._directory, prunable, before)
        except BaseException:
            await self._release()  # what is known of the last try stays
            raise
        await self._report(now, has_failed=has_failed)
        await self._release()
        return _SECONDS_AFTER_FAILURE if has_failed else _SECONDS

    async def probe(self) -> str:
        """Return the state of the archive: "none", "ok", "failing", or "unavailable" if it cannot be read now."""
        if self._directory is None:
            return "none"
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                return "failing" if await is_archive_failing(self._database) else "ok"
        except (Unavailable, TimeoutError):
            return "unavailable"

    async def _archive(self, directory: Path, prunable: Pruned, before: datetime) -> bool:
        """Archive the events, and return whether that was done; log why it was not."""
        try:
            until = await asyncio.to_thread(_look_into, directory, prunable)
            if until is not None and until > prunable.last:
                return True  # its events are kept for longer since it was written
            pruned = await prune_audit(
                self._changes,
                by=system_caller(),
                before=before,
                export=_path_in(directory),
                reason=f"Older than {self._retention.days} days, so moved to the archive.",
                until=until,
            )
        except (Conflict, Unavailable):  # another node archived, or the database is the problem
            raise
        except Failure as failure:
            _log.error("audit_archive_failed", extra={"directory": str(directory), "reason": str(failure)})
            return False
        except OSError as error:
            reason = f"Nothing was pruned: cannot use {directory}: {error.strerror}."
            _log.error("audit_archive_failed", extra={"directory": str(directory), "reason": reason})
            return False
        _log.info("audit_archived", extra={"directory": str(directory), "first": pruned.first, "last": pruned.last})
        return True

    async def _take_lease(self, now: datetime) -> bool:
        statement = "UPDATE audit_archive SET holder = ?, expires_at = ? WHERE id = 1 AND expires_at <= ?"
        values = (self._holder, to_microseconds(now + LEASE), to_microseconds(now))
        return bool(await self._database.run_tx(lambda tx: tx.execute(statement, *values)))

    async def _report(self, now: datetime, *, has_failed: bool) -> None:
        statement = "UPDATE audit_archive SET failed_at = ? WHERE id = 1 AND holder = ?"
        values = (to_microseconds(now) if has_failed else None, self._holder)
        await self._database.run_tx(lambda tx: tx.execute(statement, *values))

    async def _release(self) -> None:
        statement = "UPDATE audit_archive SET expires_at = 0 WHERE id = 1 AND holder = ?"
        await self._database.run_tx(lambda tx: tx.execute(statement, self._holder))


async def is_archive_failing(database: Database) -> bool:
    """Return whether the last try of a node to archive failed, and was made within the last hour.

    Raises:
        Unavailable: the database does not answer.
    """
    since = to_microseconds(await database.now() - _REPORTED)
    return bool(await database.fetch("SELECT 1 FROM audit_archive WHERE failed_at > ?", [since]))


def require_archive(directory: Path) -> None:
    """Pass if files can be written to this directory.

    Raises:
        SetupError: they cannot; the text says why.
    """
    probe = directory / f".audit-{uuid.uuid4().hex}{PART}"
    try:
        probe.touch(mode=0o600, exist_ok=False)
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(
            f"GQL_SECRETS_AUDIT_ARCHIVE: cannot write to {directory}: {error.strerror}. Give a directory that exists "
            "and that this user can write to."
        ) from error


def _look_into(directory: Path, prunable: Pruned) -> int | None:
    """Delete what interrupted runs left; return the last event of a whole file that one of them wrote, else None."""
    for part in directory.glob(_NOT_WHOLE):
        part.unlink(missing_ok=True)
    names = (_NAME.fullmatch(path.name) for path in directory.iterdir())
    return max((int(name[2]) for name in names if name and int(name[1]) == prunable.first), default=None)


def _path_in(directory: Path) -> Callable[[int, int], Path]:
    return lambda first, last: directory / f"audit-{first:012d}-{last:012d}.jsonl"
