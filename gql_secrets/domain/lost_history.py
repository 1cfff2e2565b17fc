"""What must end in a database that lost changes, so that no secret is valid that had ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.journal import JournaledChange
from gql_secrets.domain.rotation import ActiveSecrets, End, Keep, RetainedSecret, SecretEndReason

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay does to the secrets of a client.

    Attributes:
        ends: the secrets that end.
        keep: the secret that is the old one from now on, and until when.
        needs_new_secret: whether the current secret is one of these, so that the client needs a new one.
    """

    ends: tuple[End, ...]
    keep: Keep | None
    needs_new_secret: bool


@dataclass(frozen=True, slots=True)
class _Fates:
    """The current secret, the old one and its expiry, as they were in the end."""

    current: int | None
    old: int | None
    expires_at: datetime | None


def was_deleted(lost: Sequence[JournaledChange]) -> bool:
    """Return whether these changes deleted their client."""
    return any(change.action == AuditAction.CLIENT_DELETED for change in lost)


def was_disabled(lost: Sequence[JournaledChange]) -> bool:
    """Return whether the client was disabled after these changes."""
    switches = (AuditAction.CLIENT_DISABLED, AuditAction.CLIENT_ENABLED)
    last = [change.action for change in lost if change.action in switches]
    return bool(last) and last[-1] == AuditAction.CLIENT_DISABLED


def plan_replay(active: ActiveSecrets, lost: Sequence[JournaledChange], now: datetime) -> Replay | None:
    """Decide what happens to the secrets of a client that the database has.

    Args:
        active: its active secrets, all of them from before the lost changes.
        lost: the lost changes of this client, in their order.
        now: the database's clock.

    Returns:
        What ends and what is kept; None if the secrets are as they were in the end.
    """
    fates = _fates_of(active.current.id, active.retained.id if active.retained else None, lost)
    current, retained = active.current, active.retained
    is_old_valid = fates.old is not None and (fates.expires_at is None or now < fates.expires_at)
    if current.id == fates.current:
        if retained is None:
            return None
        if retained.id != fates.old or not is_old_valid:
            return Replay((End(retained, SecretEndReason.REVOKED),), None, needs_new_secret=False)
        keep = _kept(retained, fates)
        return None if keep.expires_at == retained.expires_at else Replay((), keep, needs_new_secret=False)
    if current.id == fates.old and is_old_valid and fates.expires_at is not None:
        ends = () if retained is None else (End(retained, SecretEndReason.DISPLACED),)
        return Replay(ends, Keep(current, now, fates.expires_at), needs_new_secret=True)
    ends = (End(current, SecretEndReason.HARD_RESET),)
    if retained is None:
        return Replay(ends, None, needs_new_secret=True)
    if retained.id == fates.old and is_old_valid:
        return Replay(ends, _kept(retained, fates), needs_new_secret=True)
    return Replay((*ends, End(retained, SecretEndReason.HARD_RESET)), None, needs_new_secret=True)


def plan_replay_of_old(retained: RetainedSecret, lost: Sequence[JournaledChange], now: datetime) -> Replay | None:
    """Decide what happens to the old secret of a client whose current secret is newer than the lost changes.

    Args:
        retained: the old secret, which is from before the lost changes. Whether it was the current one is not known.
        lost: the lost changes of this client, in their order.
        now: the database's clock.

    Returns:
        That it ends, or expires earlier; None if it may stay as it is.
    """
    fates = _fates_of(retained.id, retained.id, lost)
    is_old = retained.id == fates.old and fates.current != retained.id
    has_ended = any(retained.id in change.ended for change in lost) or retained.id not in (fates.current, fates.old)
    if has_ended or (is_old and fates.expires_at is not None and fates.expires_at <= now):
        return Replay((End(retained, SecretEndReason.REVOKED),), None, needs_new_secret=False)
    keep = _kept(retained, fates)
    return Replay((), keep, needs_new_secret=False) if is_old and keep.expires_at < retained.expires_at else None


def _kept(retained: RetainedSecret, fates: _Fates) -> Keep:
    until = retained.expires_at if fates.expires_at is None else min(retained.expires_at, fates.expires_at)
    return Keep(retained, retained.replaced_at, until)


def _fates_of(current: int | None, old: int | None, lost: Sequence[JournaledChange]) -> _Fates:
    """Return what became of a client's secrets after these changes."""
    expires_at: int | None = None
    for change in lost:
        match change.action:
            case AuditAction.SECRET_RESET if change.hours_to_live:
                if current not in change.ended:  # else the unused one was withdrawn, and the old one stayed
                    old = current
                current, expires_at = change.secret_id, change.expires_at
            case AuditAction.SECRET_RESET:
                current, old, expires_at = change.secret_id, None, None
            case AuditAction.RETENTION_CHANGED:
                expires_at = change.expires_at
                if change.secret_id == current:  # then it was the old one already
                    current, old = None, current
            case AuditAction.ROLLOVER_CANCELLED:
                current, old, expires_at = change.secret_id, None, None
            case AuditAction.OLD_SECRET_REVOKED | AuditAction.OLD_SECRET_EXPIRED:
                old, expires_at = None, None
    return _Fates(current, old, None if expires_at is None else _EPOCH + timedelta(microseconds=expires_at))
