"""Replaying what lost changes ended: of each client that they were about, and of people's sessions."""

import contextlib
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final

from gql_secrets.domain.access import Caller
from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.errors import BadRequest, ClientNotFound, LastOwner
from gql_secrets.domain.journal import JournaledChange, has_gap
from gql_secrets.domain.lost_history import Replay, plan_replay, plan_replay_of_old, was_deleted, was_disabled
from gql_secrets.domain.rotation import HOUR
from gql_secrets.domain.sessions import SessionNotFound
from gql_secrets.service.audit_export import ExportedEvent, read_lines
from gql_secrets.service.changes import Changes, ClientChange
from gql_secrets.service.clients import Clients
from gql_secrets.service.idempotent_resets import mint_secret
from gql_secrets.service.sessions import Sessions
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds

_OLDEST: Final = "SELECT min(revision) FROM audit_event"
_HASHES: Final = "SELECT hash FROM audit_event WHERE revision >= ? AND revision <= ?"
_RESETS_SINCE: Final = "SELECT client_id, secret_id FROM audit_event WHERE revision >= ? AND action = 'SECRET_RESET'"


class LostEndings:
    """Ends again what had ended."""

    def __init__(self, changes: Changes, by: Caller, reason: str) -> None:
        """Act as this caller, for this reason."""
        self._changes = changes
        self._by = by
        self._reason = reason

    async def replay(self, lost: Sequence[JournaledChange]) -> list[str]:
        """End what these changes ended, as far as the database has it; return the clients that need a reset.

        A current secret that had ended, or that was the old one, is replaced by a new one that nobody has. A second run
        ends what the first one did not.

        Args:
            lost: every change that was lost, in order.
        """
        since = min((change.revision for change in lost), default=0)
        # The lost changes may have given the same ids to other secrets.
        newer: defaultdict[str, set[int]] = defaultdict(set)
        for client_id, secret_id in await self._changes.database.fetch_rows(_RESETS_SINCE, (since,)):
            newer[client_id].add(secret_id)
        of_client: dict[str, list[JournaledChange]] = {}
        for change in lost:
            if change.client_id is not None:
                of_client.setdefault(change.client_id, []).append(change)
        need_reset = []
        for client_id, history in of_client.items():
            with contextlib.suppress(ClientNotFound):  # it was created after the backup
                if await self._replay_client(client_id, history, newer[client_id]):
                    need_reset.append(client_id)
        sessions = Sessions(self._changes)
        for number in {change.session_number for change in lost if change.session_number is not None}:
            with contextlib.suppress(SessionNotFound):
                await sessions.end(number, by=self._by)
        return need_reset

    async def _replay_client(self, client_id: str, lost: Sequence[JournaledChange], newer: Collection[int]) -> bool:
        """Replay the changes of one client; return whether it needs a reset, since nobody has its current secret.

        Secrets whose ids are in `newer` were created since the database went back, and are left as they are.
        """
        clients = Clients(self._changes)
        with contextlib.suppress(LastOwner):  # its secrets are replayed all the same
            if was_deleted(lost):
                await clients.delete_client(client_id, by=self._by, reason=self._reason)
                return False
            if was_disabled(lost):
                await clients.set_client_enabled(client_id, enabled=False, by=self._by, reason=self._reason)

        async def work(change: ClientChange) -> bool:
            plan = _plan(change, lost, newer)
            if plan is None:
                return False
            change.replays = True
            keep, expires_at = plan.keep, plan.keep.expires_at if plan.keep else None
            if plan.ends:
                await change.end(*plan.ends)
            if keep is not None:
                await change.retain(keep)
            if plan.needs_new_secret:
                _, row = await mint_secret(change, None)
                await change.record_next_generation(
                    AuditAction.SECRET_RESET,
                    secret_id=row.id,
                    ended=plan.ends,
                    hours_to_live=math.ceil((expires_at - change.now) / HOUR) if expires_at else 0,
                    expires_at=expires_at,
                    reason=self._reason,
                )
            elif keep is not None:
                await change.record_next_generation(
                    AuditAction.RETENTION_CHANGED,
                    secret_id=keep.secret.id,
                    hours_to_live=math.ceil((keep.expires_at - change.now) / HOUR),
                    expires_at=keep.expires_at,
                    reason=self._reason,
                )
            else:
                [end] = plan.ends
                await change.record_next_generation(
                    AuditAction.OLD_SECRET_REVOKED, secret_id=end.secret.id, ended=plan.ends, reason=self._reason
                )
            return plan.needs_new_secret

        needs_reset, _ = await self._changes.change_client_everywhere(client_id, self._by, work, creates_secret=True)
        return needs_reset


def _plan(change: ClientChange, lost: Sequence[JournaledChange], newer: Collection[int]) -> Replay | None:
    active = change.active
    if active.current.id not in newer:
        return plan_replay(active, lost, change.now)
    if active.retained is None or active.retained.id in newer:
        return None
    return plan_replay_of_old(active.retained, lost, change.now)


async def complete_lost(
    database: Database, journaled: Iterable[JournaledChange], exported: Iterable[str]
) -> list[JournaledChange]:
    """Return every lost change in order: those of the journals, and those that an exported audit has in addition.

    What the export has from before the first event of the database was pruned, not lost.

    Raises:
        BadRequest: a line of the export is malformed or was edited, or changes are missing.
    """
    lost = {change.hash: change for change in journaled}
    [[oldest]] = await database.fetch_rows(_OLDEST)
    previous = None
    for event in read_lines(exported):
        if previous is not None and event.revision >= (oldest or 0) and event.revision == previous.revision + 1:
            if not event.follows(bytes.fromhex(previous.hash)):
                raise BadRequest(f"Event {event.revision} of the export was edited, or the one before it was replaced.")
            change = _change_of(event, bytes.fromhex(previous.hash))
            lost.setdefault(change.hash, change)
        previous = event
    if not lost:
        return []
    revisions = [change.revision for change in lost.values()]
    rows = await database.fetch_rows(_HASHES, (min(revisions) - 1, max(revisions)))
    kept = {bytes(digest) for (digest,) in rows}
    missing = [change for change in lost.values() if change.hash not in kept]
    if has_gap(missing, kept):
        raise BadRequest(
            "The journals do not have every change that was lost, so they cannot be replayed alone. Give an exported "
            "audit that begins before the first of them and has all of them."
        )
    return sorted(missing, key=lambda change: change.revision)


def _change_of(event: ExportedEvent, previous: bytes) -> JournaledChange:
    content = event.content
    expires_at = content["expiresAt"] and to_microseconds(datetime.fromisoformat(content["expiresAt"]))
    return JournaledChange(
        revision=event.revision,
        hash=bytes.fromhex(event.hash),
        previous=previous,
        client_id=content["clientId"],
        action=content["action"],
        secret_id=content["secretId"],
        hours_to_live=content["hoursToLive"],
        expires_at=expires_at,
        session_number=content["sessionNumber"] if content["action"] == AuditAction.SESSION_ENDED else None,
        ended=tuple(each["secretId"] for each in content["endedSecrets"]),
    )
