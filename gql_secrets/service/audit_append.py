"""Appending to the audit log: events, and the head that moves with them."""

import asyncio
import logging
from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from gql_secrets.domain.audit import AuditAction, AuditEntry
from gql_secrets.domain.changes_pause import require_no_pause
from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.errors import AuditHeadInvalid
from gql_secrets.domain.journal import JournaledChange, RestoreNotAccepted, UncertainClients
from gql_secrets.service.active_secrets import SecretHasEnded
from gql_secrets.service.audit_events import SAME_FIELDS, is_head_signed, sign_head
from gql_secrets.storage.dialect import Writes
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.models import AuditEndedSecret, AuditEvent, Installation
from gql_secrets.storage.objects import set_fields
from gql_secrets.storage.transaction import ROWS_BETWEEN_PAUSES, Transaction, insertion

_log: Final = logging.getLogger(__name__)
_MOVE_HEAD: Final = """
    UPDATE installation SET revision = ?, audit_head = ?, audit_key_id = ?, audit_mac = ? WHERE id = 1
"""
_values_of_same_fields: Final = attrgetter(*SAME_FIELDS)


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
    head, rows, ended = await _chain(tx, installation, entries)
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


async def _chain(
    tx: Transaction, installation: Installation, entries: Sequence[AuditEntry]
) -> tuple[bytes, list[dict[str, object]], list[dict[str, object]]]:
    """Return the head after these entries, their rows and those of what they ended; note them as the transaction's."""
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
                **dict(zip(SAME_FIELDS, _values_of_same_fields(entry), strict=True)),
                "ended_secret_ids": "",
                "edited_fields": ",".join(entry.edited_fields) or None,
                "format": entry.FORMAT,
                "hash": head,
            }
        )
        ended += _ended_by(entry)
        if len(rows) % ROWS_BETWEEN_PAUSES == 0:
            await asyncio.sleep(0)
    return head, rows, ended


def _ended_by(entry: AuditEntry) -> list[dict[str, object]]:
    return [
        {
            "event_id": entry.revision,
            "secret_id": secret.secret_id,
            "reason": secret.reason.value,
            "state_before": secret.state_before.value,
        }
        for secret in entry.ended
    ]


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
