"""Notices a database that went back in time: one that was restored, or a replica that was promoted without all changes.

Each process compares its journal with the database when it starts, and follows the changes of others while it runs. If
the journal has changes that the database does not have, they are written to the database as lost, and the installation
is marked: every node refuses to verify the clients that they are about (`UncertainClients`), and every change but those
that end something, until a person accepts it (service/restore_acceptance.py).
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from gql_secrets.domain.audit import FIRST_HASH, AuditAction
from gql_secrets.domain.journal import JournaledChange, UncertainClients, has_gap
from gql_secrets.service.changes import Change, Changes
from gql_secrets.storage.change_log import LATEST, Position
from gql_secrets.storage.cluster_models import LostChange
from gql_secrets.storage.errors import log_rarely
from gql_secrets.storage.journal import MAX_CHANGES, Journal

_log: Final = logging.getLogger(__name__)
_SECONDS: Final = 1.0
_ADVICE: Final = "Run gql-secrets restore accept."
_BATCH: Final = 1000
_CREATED: Final = "SELECT created_at FROM installation"
_OLDEST: Final = "SELECT min(revision) FROM audit_event"
_FIRST_FROM: Final = "SELECT revision, hash FROM audit_event WHERE revision >= ? ORDER BY revision LIMIT 1"
_HASHES: Final = "SELECT revision, hash FROM audit_event WHERE revision >= ? AND revision <= ?"
_KNOWN: Final = "SELECT hash FROM lost_change"
_MARK: Final = "SELECT uncertain_clients FROM installation"
_SET_MARK: Final = "UPDATE installation SET uncertain_clients = ?"
_EVENTS: Final = """
    SELECT revision, hash, client_id, action, secret_id, hours_to_live, expires_at, session_number FROM audit_event
    WHERE revision >= ? ORDER BY revision LIMIT ?
"""
_ENDED: Final = "SELECT event_id, secret_id FROM audit_ended_secret WHERE event_id >= ? AND event_id <= ? ORDER BY id"


class History:
    """Keeps the journal of this process, and compares it with the database."""

    def __init__(self, changes: Changes, data_dir: Path) -> None:
        """Prepare it; `open` begins."""
        self._changes = changes
        self._database = changes.database
        self._data_dir = data_dir
        self._journal: Journal | None = None
        # Up to where the journal has the changes that the database has.
        self._position = Position(0, None)

    async def open(self) -> None:
        """Compare the journal with the database, and keep it from now on.

        Raises:
            Unavailable: the database does not answer.
        """
        [[created_at]] = await self._database.fetch_rows(_CREATED)
        # Of an installation, this is never pruned, as its first event may be. Every copy of the database has it.
        self._journal = Journal(self._data_dir, self._changes.pepper, str(created_at).encode(), max_changes=MAX_CHANGES)
        tail = await asyncio.to_thread(self._journal.read_tail)
        await self._compare(tail)
        await self._begin_at_newest(tail)
        self._database.on_changes.append(self._note)
        await self.follow()
        if await self.uncertain_clients() is not UncertainClients.NONE:
            _log.error("restore_not_accepted", extra={"advice": _ADVICE})

    def report_memory(self) -> None:
        """Log what it means if the journal cannot be written."""
        if not self._require_journal().try_to_write():
            _log.warning(
                "journal_in_memory",
                extra={
                    "path": str(self._require_journal().path),
                    "meaning": "After a restart, this node does not notice that the database went back in time.",
                },
            )

    async def uncertain_clients(self) -> UncertainClients:
        """Return which clients are not verified, because the database went back in time.

        Raises:
            Unavailable: the database does not answer.
        """
        [[mark]] = await self._database.fetch_quickly(_MARK)
        return UncertainClients(mark)

    async def follow(self) -> float:
        """Write down what other processes changed; return after how many seconds to look again.

        Raises:
            Unavailable: the database does not answer.
        """
        journal = self._require_journal()
        while (position := self._position) != (latest := tuple((await self._database.fetch_quickly(LATEST))[0])):
            changes = await self._read_after(position)
            if changes is None:
                journaled = await asyncio.to_thread(journal.read)
                await self._compare(journaled)
                await self._begin_at_newest(journaled)
            elif not changes:
                # The row of the installation was edited: there is nothing to write down.
                self._database.known_revision = min(self._database.known_revision, latest[0])
                break
            elif self._position == position:  # this process made no change while it read
                journal.append(changes)
                self._move_to(Position(changes[-1].revision, changes[-1].hash))
                if any(change.action == AuditAction.DATABASE_REWOUND for change in changes):
                    _log.error("database_rewound", extra={"advice": _ADVICE})
        journal.append(())
        try:
            await asyncio.to_thread(journal.shorten)
        except OSError as error:
            log_rarely(_log, "journal_not_shortened", path=str(journal.path), reason=error.strerror)
        return _SECONDS

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()

    def _note(self, changes: Sequence[JournaledChange]) -> None:
        """Write down what this process changed, before it is answered."""
        self._require_journal().append(changes[-MAX_CHANGES:])
        revision, digest = self._position
        if changes[0].revision == revision + 1 and changes[0].previous == (digest or FIRST_HASH):
            self._move_to(Position(changes[-1].revision, changes[-1].hash))

    def _move_to(self, position: Position) -> None:
        self._position = position
        self._database.known_revision = position.revision

    async def _begin_at_newest(self, journaled: Sequence[JournaledChange]) -> None:
        """Follow from the newest change that the journal has, or from as many before the newest as it keeps."""
        hashes = await self._hashes_of(journaled)
        [[latest, _]] = await self._database.fetch_rows(LATEST)
        # What a journal does not keep is not worth reading: a node that was away for months would start late.
        kept = [
            change
            for change in journaled
            if hashes.get(change.revision) == change.hash and change.revision >= latest - MAX_CHANGES
        ]
        if kept:
            newest = max(kept, key=lambda change: change.revision)
            self._move_to(Position(newest.revision, newest.hash))
            return
        first = await self._database.fetch_rows(_FIRST_FROM, (max(1, latest - MAX_CHANGES),))
        # Without a change before it, the first one is written down too.
        is_first = not first or first[0][0] == 1
        self._move_to(Position(0, None) if is_first else Position(first[0][0], bytes(first[0][1])))

    async def _hashes_of(self, journaled: Collection[JournaledChange]) -> dict[int, bytes]:
        """Return the hashes that the database has from the revision before these changes to the last of them."""
        if not journaled:
            return {}
        revisions = [change.revision for change in journaled]
        rows = await self._database.fetch_rows(_HASHES, (min(revisions) - 1, max(revisions)))
        return {revision: bytes(digest) for revision, digest in rows}

    async def _read_after(self, position: Position) -> list[JournaledChange] | None:
        """Return some changes after a position; None if the database does not have it."""
        rows = list(await self._database.fetch_rows(_EVENTS, (position.revision, _BATCH)))
        previous = FIRST_HASH
        if position.revision > 0:
            if not rows or (rows[0][0], bytes(rows[0][1])) != position:
                return None
            previous = bytes(rows.pop(0)[1])
        if not rows:
            return []
        ended: dict[int, list[int]] = {}
        for event_id, secret_id in await self._database.fetch_rows(_ENDED, (rows[0][0], rows[-1][0])):
            ended.setdefault(event_id, []).append(secret_id)
        changes = []
        for revision, digest, client_id, action, secret_id, hours_to_live, expires_at, session_number in rows:
            session = session_number if action == AuditAction.SESSION_ENDED else None
            facts = (client_id, action, secret_id, hours_to_live, expires_at, session, tuple(ended.get(revision, ())))
            changes.append(JournaledChange(revision, bytes(digest), previous, *facts))
            previous = bytes(digest)
        return changes

    async def _compare(self, tail: Sequence[JournaledChange]) -> None:
        """Mark the installation if the journal has changes that the database does not have, and nobody accepted yet.

        Args:
            tail: the last changes of the journal. All of them are compared only where one of these is lost: those that
                a later one follows in the database were compared before that was written.
        """
        if not await self._find_lost(tail):
            return
        journaled = await asyncio.to_thread(self._require_journal().read)
        lost = await self._find_lost(journaled)
        hashes = set((await self._hashes_of(lost)).values())

        async def work(change: Change) -> UncertainClients | None:
            known = await self._read_known(change)
            new = [each for each in lost if each.hash not in known]
            if not new:
                return None
            mark = UncertainClients.ALL if has_gap(lost, hashes | known) else UncertainClients.NAMED
            if change.installation.uncertain_clients == UncertainClients.ALL:
                mark = UncertainClients.ALL
            await change.tx.insert(LostChange, [_row_of(each) for each in new])
            await change.tx.execute(_SET_MARK, mark.value)
            newest = max(new, key=lambda each: each.revision)
            await change.record(AuditAction.DATABASE_REWOUND, accepted=newest.hash.hex())
            return mark

        mark = await self._changes.change_installation_as_system(work)
        if mark is not None:
            clients = {each.client_id for each in lost if each.client_id is not None}
            _log.error(
                "database_rewound",
                extra={"lost_changes": len(lost), "clients": len(clients), "refused": mark.value, "advice": _ADVICE},
            )

    async def _find_lost(self, journaled: Sequence[JournaledChange]) -> list[JournaledChange]:
        """Return those of these changes that the database does not have; what was pruned cannot be compared."""
        if not journaled:
            return []
        [[oldest]] = await self._database.fetch_rows(_OLDEST)
        hashes = await self._hashes_of(journaled)
        return [
            change
            for change in journaled
            if hashes.get(change.revision) != change.hash and (oldest is None or change.revision >= oldest)
        ]

    async def _read_known(self, change: Change) -> set[bytes]:
        return {bytes.fromhex(row["hash"]) for row in await change.tx.fetch(_KNOWN)}

    def _require_journal(self) -> Journal:
        if self._journal is None:
            raise RuntimeError("The history was not opened.")
        return self._journal


def _row_of(change: JournaledChange) -> dict[str, object]:
    return {
        "hash": change.hash.hex(),
        "revision": change.revision,
        "client_id": change.client_id,
        "content": change.to_json(),
        "accepted": False,
    }
