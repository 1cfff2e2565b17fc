"""The audit log: verify and export.

Three things protect it: each event's hash covers the event and the hash before it, revisions have no gap, and the
installation's row holds the last hash under a MAC that needs the pepper. Somebody who edits the database alone
cannot make these agree again. Against somebody who has the pepper too, an exported copy is the proof.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from tortoise.backends.base.client import BaseDBAsyncClient

from gql_secrets.domain.audit import FIRST_HASH, AuditAction
from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.errors import Failure, Unavailable
from gql_secrets.pauses import can_pause, pause
from gql_secrets.service.audit_events import add_content, entry_of, follows, is_head_signed
from gql_secrets.service.audit_export import ExportedEvent, line_of, read_lines
from gql_secrets.storage.database import Database
from gql_secrets.storage.models import AuditEvent, Installation

_BATCH: Final = 1000
# As many where others wait for the event loop: converting a row takes some 30 microseconds.
_BATCH_WITH_PAUSES: Final = 100
# How many lines of an export one page has, at most.
MAX_EXPORT: Final = 500
_PROBE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result of a check of the whole audit log; `problem` is None if it is intact."""

    events: int
    head: str
    problem: str | None


class Start(NamedTuple):
    """What the audit log starts after: the revision and the hash of the event before its first one."""

    revision: int
    hash: bytes


_BEFORE_ALL: Final = Start(0, FIRST_HASH)


class AuditLog:
    """Verifies and exports the audit log; changes nothing."""

    def __init__(self, database: Database, pepper: Pepper) -> None:
        """Create it for one open database and its pepper."""
        self._database = database
        self._pepper = pepper

    async def verify(self, exported: Iterable[str] = (), *, verified: Start | None = None) -> AuditReport:
        """Check every event against the chain, the chain against its signed head, and both against an export.

        Changes may go on at the same time: the events up to the head that was read first are checked.

        Args:
            exported: the lines of an earlier export; each must still be in the audit log, unchanged. Those of pruned
                events must begin with the first event and lead to the first one that is still there.
            verified: the last event that was verified before: only those after it are checked.

        Raises:
            BadRequest: a line of the export is malformed.
            Failure: an event was edited so that it cannot even be read.
        """
        head = await self._database.read(_read_head)
        start = await self._database.read(read_start) if verified is None else verified
        copies = read_lines(exported)
        copy, unproven = _check_pruned(copies, start)
        expected, previous, content = start.revision + 1, start.hash, hashlib.sha256()
        first_problem: AuditReport | None = None
        async for event in self._events(after=start.revision, until=head.revision):
            problem = None
            if event.revision != expected:
                problem = f"Event {expected} is missing."
            elif not follows(event, previous):
                problem = f"Event {expected} was edited, or the one before it was replaced."
            first_problem = first_problem or (problem and _broken(expected, previous, problem)) or None
            if event.action == AuditAction.AUDIT_ACCEPTED and event.accepted == content.hexdigest():
                # Everything before is as it was when an administrator accepted it. The event itself must be intact.
                first_problem = None if follows(event, previous) else first_problem
            add_content(content, event)
            previous = event.hash
            if copy and copy.revision <= event.revision:
                if (copy.revision, copy.hash) != (event.revision, event.hash.hex()):
                    return _broken(copy.revision, previous, f"Event {copy.revision} differs from the exported one.")
                copy = next(copies, None)
            expected = event.revision + 1
            await pause()
        if first_problem:
            return first_problem
        if expected != head.revision + 1:
            return _broken(expected, previous, f"Events {expected} to {head.revision} are missing.")
        if copy:
            gone = f"Event {copy.revision} was exported and is no longer in the audit log."
            return _broken(expected, previous, gone)
        return AuditReport(head.revision, previous.hex(), self._problem_of_head(head, previous) or unproven)

    async def probe_head(self) -> str:
        """Return the state of the head's signature: "ok", "invalid", or "unavailable" if it cannot be read now."""
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                head = await self._database.read(_read_head)
            return "ok" if is_head_signed(head, self._pepper) else "invalid"
        except (TypeError, ValueError):  # a column has a value of another type
            return "invalid"
        except (Unavailable, TimeoutError):
            return "unavailable"

    def _problem_of_head(self, head: Installation, last: bytes) -> str | None:
        if head.audit_head != last:
            return "The last event is not the one that the head names: the end of the audit was cut off or replaced."
        if not head.audit_mac:
            return "The head is unsigned: its signature was not valid when the last changes were made."
        if self._pepper.key(head.audit_key_id) is None:
            return f"The head is signed with the pepper key {head.audit_key_id}, which is not in the pepper."
        if not is_head_signed(head, self._pepper):
            return "The head's signature is wrong: the head was edited without the pepper."
        return None

    async def export(self, *, after: int = 0, until: int | None = None) -> AsyncIterator[str]:
        """Yield the events after this revision, up to `until` or the newest, one JSON object a line."""
        if until is None:
            until = (await self._database.read(_read_head)).revision
        async for event in self._events(after=after, until=until):
            yield line_of(entry_of(event), written_in=event.format, digest=event.hash)

    async def page(self, *, after: int, count: int) -> list[str]:
        """Return the first lines of an export after this revision, at most this many."""

        async def read(connection: BaseDBAsyncClient) -> list[AuditEvent]:
            query = AuditEvent.filter(revision__gt=after).using_db(connection)
            return await query.prefetch_related("ended_secrets").order_by("revision").limit(count)

        rows = await self._database.read(read) if count else []
        return [line_of(entry_of(event), written_in=event.format, digest=event.hash) for event in rows]

    async def _events(self, *, after: int, until: int) -> AsyncIterator[AuditEvent]:
        size = _BATCH_WITH_PAUSES if can_pause() else _BATCH
        while after < until:
            begin = after

            async def read(connection: BaseDBAsyncClient, begin: int = begin) -> list[AuditEvent]:
                query = AuditEvent.filter(revision__gt=begin, revision__lte=until).using_db(connection)
                return await query.prefetch_related("ended_secrets").order_by("revision").limit(size)

            try:
                rows = await self._database.read(read)
            except (TypeError, ValueError, OverflowError) as error:
                raise Failure(f"The events after {after} cannot be read: one of them was edited.") from error
            if not rows:
                return
            for row in rows:
                yield row
            after = rows[-1].revision


async def read_start(connection: BaseDBAsyncClient) -> Start:
    """Return what the audit log starts after: the last event that was pruned, or nothing.

    The event of the pruning names it by its hash. It is part of the chain, so nobody can change it unnoticed.
    """
    events = AuditEvent.all().using_db(connection).prefetch_related("ended_secrets")
    pruning = await events.filter(action=AuditAction.AUDIT_PRUNED).order_by("-revision").first()
    first = await events.order_by("revision").first()
    if pruning is None or first is None:
        return _BEFORE_ALL
    try:
        last_pruned = bytes.fromhex(pruning.accepted or "")
    except ValueError:  # edited: the walk along the chain finds it
        return _BEFORE_ALL
    if follows(first, last_pruned):
        return Start(first.revision - 1, last_pruned)
    # The deletion was interrupted, or events were removed in another way.
    left = await AuditEvent.filter(hash=last_pruned).using_db(connection).first()
    return Start(left.revision, last_pruned) if left else _BEFORE_ALL


async def _read_head(connection: BaseDBAsyncClient) -> Installation:
    return await Installation.get(id=1, using_db=connection)


def _broken(revision: int, head: bytes, problem: str) -> AuditReport:
    return AuditReport(revision - 1, head.hex(), problem)


def _check_pruned(copies: Iterator[ExportedEvent], start: Start) -> tuple[ExportedEvent | None, str | None]:
    """Check the lines of pruned events by themselves; return the first line after them, and the problem."""
    expected, previous, problem = 1, FIRST_HASH, None
    for copy in copies:
        if copy.revision > start.revision:
            break
        if copy.revision != expected and expected == 1:
            problem = problem or f"The exports begin with event {copy.revision}. Pass the earlier ones too."
        elif copy.revision != expected:
            problem = problem or f"Event {expected} is missing from the exports."
        elif not copy.follows(previous):
            problem = problem or f"Event {expected} was edited in the export, or the one before it was replaced."
        expected, previous = copy.revision + 1, bytes.fromhex(copy.hash)
    else:
        copy = None
    if expected > 1 and (expected, previous) != (start.revision + 1, start.hash):
        problem = problem or f"The exports end before event {start.revision}, the last one that was pruned."
    return copy, problem
