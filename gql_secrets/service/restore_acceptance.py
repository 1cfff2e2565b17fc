"""Accepting a database that went back in time, so that its clients are verified and changed again."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gql_secrets.domain.access import Caller, Role, require_role
from gql_secrets.domain.audit import AuditAction, parse_reason
from gql_secrets.domain.errors import BadRequest, ClientNotFound, Conflict
from gql_secrets.domain.journal import JournaledChange, UncertainClients
from gql_secrets.service.changes import Change, Changes
from gql_secrets.service.lost_endings import LostEndings, complete_lost
from gql_secrets.service.rotation import Rotation

_LOST: Final = "SELECT hash, content FROM lost_change WHERE NOT accepted ORDER BY revision"
_ACCEPT: Final = "UPDATE lost_change SET accepted = ? WHERE NOT accepted"
_NOTHING_UNCERTAIN: Final = "UPDATE installation SET uncertain_clients = 'NONE'"
_RETAINED: Final = "SELECT client_id FROM client_secret WHERE state = 'RETAINED' ORDER BY client_id"
_EXISTING: Final = "SELECT client_id FROM client WHERE deleted_at IS NULL"


class Acceptance(StrEnum):
    """How a database that went back in time is accepted."""

    AS_IT_IS = "AS_IT_IS"
    END_RETAINED = "END_RETAINED"
    REPLAY = "REPLAY"


@dataclass(frozen=True, slots=True)
class AcceptedRestore:
    """What was accepted.

    Attributes:
        lost_changes: how many lost changes the journals have; there may be more.
        changed: the clients that these changes were about, and that the database has: check them, and reset them.
        unknown: the clients that these changes were about, and that the database does not have.
        ended: the clients whose old secret was ended by END_RETAINED.
        need_reset: the clients whose current secret had ended: the replay gave them one that nobody has.
    """

    lost_changes: int
    changed: tuple[str, ...]
    unknown: tuple[str, ...]
    ended: tuple[str, ...]
    need_reset: tuple[str, ...]


async def accept_restore(
    changes: Changes, rotation: Rotation, *, by: Caller, how: Acceptance, reason: str, exported: Iterable[str] = ()
) -> AcceptedRestore:
    """Accept the database as it is now, after ending what `how` names.

    Args:
        changes: the installation.
        rotation: ends old secrets.
        by: who accepts it.
        how: what is ended first.
        reason: why, in the person's words.
        exported: for a replay, the lines of an exported audit that has what the journals do not have.

    Raises:
        BadRequest: no reason is given, nothing has to be accepted, or neither the journals nor the export have all lost
            changes.
        InvalidReason: the reason is too long, or has control characters.
        Conflict: a node reported more lost changes at the same time.
        Unavailable: the database does not answer. What was ended until then stays ended.
    """
    require_role(by, Role.ADMIN)
    why = parse_reason(reason)
    if why is None:
        raise BadRequest("Give a reason for accepting the restored database.", argument="reason")
    database = changes.database
    [[mark]] = await database.fetch_rows("SELECT uncertain_clients FROM installation")
    if mark == UncertainClients.NONE:
        raise BadRequest("The database did not go back in time, or was already accepted. There is nothing to accept.")
    rows = await database.fetch_rows(_LOST)
    lost = {digest: JournaledChange.of_json(content) for digest, content in rows}
    ended = await _end_retained(changes, rotation, by, why) if how is Acceptance.END_RETAINED else []
    need_reset: list[str] = []
    if how is Acceptance.REPLAY:
        complete = await complete_lost(database, lost.values(), exported)
        need_reset = await LostEndings(changes, by, why).replay(complete)

    async def work(change: Change) -> None:
        require_role(change.caller, Role.ADMIN)
        now_lost = {row["hash"] for row in await change.tx.fetch(_LOST)}
        if change.installation.uncertain_clients == UncertainClients.NONE or now_lost != lost.keys():
            raise Conflict("Another process accepted the database, or reported more lost changes. Try again.")
        await change.tx.execute(_ACCEPT, True)
        await change.tx.execute(_NOTHING_UNCERTAIN)
        await change.record(AuditAction.RESTORE_ACCEPTED, accepted=how.value, reason=why)

    await changes.change_installation(by, work)
    named = {change.client_id for change in lost.values() if change.client_id is not None}
    existing = {client_id for (client_id,) in await database.fetch_rows(_EXISTING)}
    return AcceptedRestore(
        len(lost), _sorted(named & existing), _sorted(named - existing), _sorted(ended), _sorted(need_reset)
    )


async def _end_retained(changes: Changes, rotation: Rotation, by: Caller, reason: str) -> list[str]:
    """End every old secret; return the clients. A second run ends what the first one did not."""
    ended = []
    for (client_id,) in await changes.database.fetch_rows(_RETAINED):
        try:
            revoke = await rotation.revoke_old_secret(client_id, by=by, reason=reason)
        except ClientNotFound:  # deleted at the same time
            continue
        if not revoke.already_ended:
            ended.append(client_id)
    return ended


def _sorted(client_ids: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(client_ids))
