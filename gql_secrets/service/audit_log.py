"""The audit log: append, sign, verify, export.

Three things protect it: each event's hash covers the event and the hash before it, revisions have no gap, and the
installation's row holds the last hash under a MAC that needs the pepper. Somebody who edits the database alone
cannot make these agree again. Against somebody who has the pepper too, an exported copy is the proof.
"""

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, NamedTuple

from tortoise.backends.base.client import BaseDBAsyncClient

from gql_secrets.domain.audit import FIRST_HASH, AuditAction, AuditEntry, EndedSecret, FirstFormatEntry
from gql_secrets.domain.changes_pause import require_no_pause
from gql_secrets.domain.credentials import Pepper, PepperKey
from gql_secrets.domain.errors import AuditHeadInvalid, Failure, Unavailable
from gql_secrets.domain.journal import JournaledChange, RestoreNotAccepted, UncertainClients
from gql_secrets.domain.rotation import SecretEndReason, SecretState
from gql_secrets.pauses import can_pause, pause
from gql_secrets.service.active_secrets import SecretHasEnded
from gql_secrets.service.audit_export import ExportedEvent, line_of, read_lines
from gql_secrets.storage.database import Database
from gql_secrets.storage.dialect import Writes
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.models import AuditEndedSecret, AuditEvent, Installation
from gql_secrets.storage.objects import set_fields
from gql_secrets.storage.transaction import Transaction, insertion

_log: Final = logging.getLogger(__name__)
_BATCH: Final = 1000
# As many where others wait for the event loop: converting a row takes some 30 microseconds.
_BATCH_WITH_PAUSES: Final = 100
# How many lines of an export one page has, at most.
MAX_EXPORT: Final = 500
_MOVE_HEAD: Final = """
    UPDATE installation SET revision = ?, audit_head = ?, audit_key_id = ?, audit_mac = ? WHERE id = 1
"""
_PROBE_SECONDS: Final = 1.0
# The columns that hold a field of an entry as it is.
_SAME_FIELDS: Final = tuple(name for name in AuditEntry.__slots__ if name not in ("ended", "edited_fields"))
_values_of_same_fields: Final = attrgetter(*_SAME_FIELDS)
# The facts about people, whose columns were added last; no event of format 1 fills them.
_PEOPLE: Final = (
    "actor_name",
    "link_number",
    "session_number",
    "person_name",
    "person_role",
    "session_end_reason",
    "webhook_number",
    "pepper_key_id",
)


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


async def append_to_audit(
    tx: Transaction,
    installation: Installation,
    entries: Sequence[AuditEntry],
    pepper: Pepper,
    *,
    accepting: bool = False,
    replaying: bool = False,
    only_ends: bool = False,
    also: Writes | None = None,
) -> None:
    """Add the entries to the chain, one revision each, and move the installation's revision and signed head along.

    What else the change writes, in `also`, goes to the database in the same round trip. It must be rolled back if it
    raises.

    Signing a head that was edited would make the edit look intact, so the signature of the head is checked first. If it
    is not valid, only changes that end something or sign somebody in are made, and the head is left unsigned. Nor are
    other changes made in a database that went back in time, until a person accepts it. `only_ends` declares
    that the changes only end something, which their actions alone do not show. None is made while changes are paused
    for a copy, which would not have it.

    Raises:
        ChangesPaused: changes are paused.
        AuditHeadInvalid: the signature of the head is not valid, and a change is not one of those.
        RestoreNotAccepted: the database went back in time, and a change is not one of those.
        SecretHasEnded: an update in `also` changed no row.
    """
    if not entries:
        return
    is_always_made = only_ends or all(entry.is_always_made for entry in entries)
    # Where one of two copies went on, the journals know, and that the other lacks changes is noted in spite of a pause.
    if entries[0].action != AuditAction.DATABASE_REWOUND:
        require_no_pause(installation.changes_pause, installation.paused_until, entries[0].at)
    is_certain = replaying or installation.uncertain_clients == UncertainClients.NONE
    if not is_certain and not is_always_made:
        raise RestoreNotAccepted
    is_signed = accepting or is_head_signed(installation, pepper)
    if not is_signed:
        _log.error("audit_head_invalid", extra={"revision": installation.revision, "action": entries[0].action})
        if not is_always_made:
            raise AuditHeadInvalid
    rows: list[dict[str, object]] = []
    ended: list[dict[str, object]] = []
    head = installation.audit_head
    for revision, entry in enumerate(entries, start=installation.revision + 1):
        if entry.revision != revision:
            raise ValueError("Each event has the revision after the one before it.")
        previous, head = head, entry.hash_after(head)
        tx.changes.append(_journaled(entry, head, previous))
        rows.append(
            {
                **dict(zip(_SAME_FIELDS, _values_of_same_fields(entry), strict=True)),
                "ended_secret_ids": "",
                "edited_fields": ",".join(entry.edited_fields) or None,
                "format": entry.FORMAT,
                "hash": head,
            }
        )
        ended += [
            {
                "event_id": revision,
                "secret_id": secret.secret_id,
                "reason": secret.reason.value,
                "state_before": secret.state_before.value,
            }
            for secret in entry.ended
        ]
    revision, key_id = entries[-1].revision, pepper.first.key_id
    mac = sign_head(pepper, revision, head) if is_signed else b""
    set_fields(installation, revision=revision, audit_head=head, audit_key_id=key_id, audit_mac=mac)
    moved = (_MOVE_HEAD, (revision, head, key_id, mac))
    writes = also or Writes()
    if len(rows) == 1:
        writes.others += [insertion(AuditEvent, rows[0]), *(insertion(AuditEndedSecret, row) for row in ended)]
    else:
        await tx.insert_all([(AuditEvent, rows), (AuditEndedSecret, ended)])
    writes.others.append(moved)
    if not await tx.write_together(writes):
        raise SecretHasEnded


def _journaled(entry: AuditEntry, digest: bytes, previous: bytes) -> JournaledChange:
    return JournaledChange(
        revision=entry.revision,
        hash=digest,
        previous=previous,
        client_id=entry.client_id,
        action=str(entry.action),
        secret_id=entry.secret_id,
        hours_to_live=entry.hours_to_live,
        expires_at=None if entry.expires_at is None else to_microseconds(entry.expires_at),
        session_number=entry.session_number if entry.action == AuditAction.SESSION_ENDED else None,
        ended=tuple(each.secret_id for each in entry.ended),
    )


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


def sign_head(pepper: Pepper, revision: int, head: bytes) -> bytes:
    """Return the MAC of the chain's head under a key derived from the pepper's first key."""
    return _sign(pepper.first, revision, head)


def _sign(key: PepperKey, revision: int, head: bytes) -> bytes:
    return hmac.digest(key.subkey("audit head"), revision.to_bytes(8, "big") + head, "sha256")


def is_head_signed(head: Installation, pepper: Pepper) -> bool:
    """Return whether the head of the audit log has a valid signature by one of the pepper's keys."""
    key = pepper.key(head.audit_key_id)
    return key is not None and hmac.compare_digest(_sign(key, head.revision, head.audit_head), head.audit_mac)


def add_content(content: "hashlib._Hash", event: AuditEvent) -> None:
    """Add everything that is stored of an event, edited or not, to a digest."""
    names = sorted(event._meta.db_fields)  # noqa: SLF001  Tortoise's own list
    columns = [str(getattr(event, name)) for name in names if name not in _PEOPLE]
    # An event without these has the digest that it had before there were such columns.
    columns += [f"{name}={value}" for name in _PEOPLE if (value := getattr(event, name)) is not None]
    ended = sorted(f"{row.secret_id} {row.reason} {row.state_before}" for row in event.ended_secrets)
    content.update(json.dumps([columns, ended]).encode())


def entry_of(event: AuditEvent) -> AuditEntry:
    """Return the entry of an event, which was read together with its `ended_secrets`.

    Raises:
        ValueError: the row was edited, or a newer version wrote it.
    """
    stored = _stored_entry(event)
    return stored.to_entry() if isinstance(stored, FirstFormatEntry) else stored


def _stored_entry(event: AuditEvent) -> AuditEntry | FirstFormatEntry:
    edited_fields = tuple(event.edited_fields.split(",")) if event.edited_fields is not None else ()
    ended = tuple(
        EndedSecret(row.secret_id, SecretEndReason(row.reason), SecretState(row.state_before))
        for row in event.ended_secrets
    )
    if event.format == AuditEntry.FORMAT and not event.ended_secret_ids:
        values: dict[str, Any] = {field: getattr(event, field) for field in _SAME_FIELDS}
        return AuditEntry(**values, ended=ended, edited_fields=edited_fields)
    if event.format == FirstFormatEntry.FORMAT and not (
        ended
        or edited_fields
        or event.clamped
        or event.weak_secret
        or event.accepted
        or any(getattr(event, name) is not None for name in _PEOPLE)
    ):
        return FirstFormatEntry(**{field: getattr(event, field) for field in FirstFormatEntry.__slots__})
    raise ValueError("unknown format, or fields that this format does not have")


def follows(event: AuditEvent, previous: bytes) -> bool:
    """Return whether the event's hash is that of the event as it is now, after the previous hash."""
    try:
        return _stored_entry(event).hash_after(previous) == event.hash
    except (TypeError, ValueError, AttributeError, OverflowError):  # an edited column with a value of another type
        return False


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
