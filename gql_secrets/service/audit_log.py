"""Whether the audit is whole, and its way out.

Three things hold it: each event's hash covers the event and the hash before it, revisions have no gap, and the
installation's row holds the last hash under a MAC that needs the pepper. Whoever edits the database alone cannot
make these agree again; against somebody who has the pepper too, an exported copy speaks.
"""

import hmac
import itertools
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tortoise.backends.base.client import BaseDBAsyncClient

from gql_secrets.domain.audit import FIRST_HASH, AuditEntry
from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.errors import BadRequest, Failure
from gql_secrets.service.changes import sign_head
from gql_secrets.storage.database import Database
from gql_secrets.storage.models import AuditEvent, Installation

_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a check of the whole chain found; `problem` is None for a whole one."""

    events: int
    head: str
    problem: str | None


class Auditing:
    """Checks and exports the audit; changes nothing."""

    def __init__(self, database: Database, pepper: Pepper) -> None:
        """Make it for one open database and its pepper."""
        self._database = database
        self._pepper = pepper

    async def verify(self, exported: Iterable[str] = ()) -> AuditReport:
        """Check every event against the chain, the chain against its signed head, and both against an export.

        Changes may go on meanwhile: what is checked is the audit up to the head that was read first.

        Args:
            exported: the lines of an earlier export; each must still be in the audit, as it was.

        Raises:
            BadRequest: a line of the export is not one.
            Failure: an event was edited so that it cannot even be read.
        """
        head = await self._database.read(_read_head)
        copies = _hashes_of(exported)
        copy = next(copies, None)
        expected, previous = 1, FIRST_HASH
        async for event in self._events(after=0, until=head.revision):
            if event.revision != expected:
                return _broken(expected, previous, f"Event {expected} is missing.")
            if not _follows(event, previous):
                return _broken(expected, previous, f"Event {expected} was edited, or the one before it was replaced.")
            previous = event.hash
            if copy and copy[0] == event.revision:
                if copy[1] != event.hash.hex():
                    return _broken(expected, previous, f"Event {expected} is not the one that was exported.")
                copy = next(copies, None)
            expected += 1
        if expected != head.revision + 1:
            return _broken(expected, previous, f"Events {expected} to {head.revision} are missing.")
        if copy:
            return _broken(expected, previous, f"Event {copy[0]} was exported and is not in the audit any more.")
        return AuditReport(head.revision, previous.hex(), self._problem_of_head(head, previous))

    def _problem_of_head(self, head: Installation, last: bytes) -> str | None:
        if head.audit_head != last:
            return "The last event is not the one that the head names: the end of the audit was cut off or replaced."
        key = self._pepper.key(head.audit_key_id)
        if key is None:
            return f"The head is signed with the pepper key {head.audit_key_id}, which is not in the pepper."
        if not hmac.compare_digest(sign_head(Pepper((key,)), head.revision, head.audit_head), head.audit_mac):
            return "The head's signature is wrong: the head was edited without the pepper."
        return None

    async def export(self, *, after: int = 0) -> AsyncIterator[str]:
        """Yield the events after this revision, one JSON object a line, with GraphQL's field names and the hash."""
        head = await self._database.read(_read_head)
        async for event in self._events(after=after, until=head.revision):
            yield json.dumps(_exported(event), ensure_ascii=False)

    async def _events(self, *, after: int, until: int) -> AsyncIterator[AuditEvent]:
        while after < until:
            begin = after

            async def read(connection: BaseDBAsyncClient, begin: int = begin) -> list[AuditEvent]:
                query = AuditEvent.filter(revision__gt=begin, revision__lte=until).using_db(connection)
                return await query.order_by("revision").limit(_BATCH)

            try:
                rows = await self._database.read(read)
            except (TypeError, ValueError, OverflowError) as error:
                raise Failure(f"The events after {after} cannot be read: one of them was edited.") from error
            if not rows:
                return
            for row in rows:
                yield row
            after = rows[-1].revision


def entry_of(event: AuditEvent) -> AuditEntry:
    """Return the entry that the event's hash covers."""
    return AuditEntry(**{field: getattr(event, field) for field in AuditEntry.__slots__})


def last_revision_of(exported: Iterable[str]) -> int:
    """Return the revision of an export's last line; 0 for an empty one.

    Raises:
        BadRequest: a line is not one of an export.
    """
    return next(reversed([0, *(revision for revision, _ in _hashes_of(exported))]))


def _follows(event: AuditEvent, previous: bytes) -> bool:
    try:
        return entry_of(event).hash_after(previous) == event.hash
    except (TypeError, ValueError, AttributeError, OverflowError):  # an edit put in what no column of ours holds
        return False


async def _read_head(connection: BaseDBAsyncClient) -> Installation:
    return await Installation.get(id=1, using_db=connection)


def _broken(revision: int, head: bytes, problem: str) -> AuditReport:
    return AuditReport(revision - 1, head.hex(), problem)


def _hashes_of(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    previous = 0
    for number, line in enumerate(itertools.filterfalse(str.isspace, lines), start=1):
        try:
            content = json.loads(line)
            revision, digest = int(content["revision"]), str(content["hash"])
        except (ValueError, TypeError, KeyError):
            raise BadRequest(f"Line {number} is not a line of an export.") from None
        if revision <= previous:
            raise BadRequest(f"Line {number} of the export is out of order.")
        previous = revision
        yield revision, digest


def _exported(event: AuditEvent) -> dict[str, object]:
    return {
        "revision": event.revision,
        "at": _stamp(event.at),
        "action": event.action,
        "actor": event.actor,
        "actorKind": event.actor_kind,
        "surface": event.surface,
        "requestId": event.request_id,
        "address": event.address,
        "clientId": event.client_id,
        "generationBefore": event.generation_before,
        "generationAfter": event.generation_after,
        "secretId": event.secret_id,
        "endedSecretIds": [int(part) for part in event.ended_secret_ids.split(",") if part],
        "hoursToLive": event.hours_to_live,
        "expiresAt": _stamp(event.expires_at),
        "reason": event.reason,
        "hash": event.hash.hex(),
    }


def _stamp(instant: datetime | None) -> str | None:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z") if instant else None
