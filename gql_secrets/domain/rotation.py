"""The rules of a rollover (docs/rules.md): which secret ends when, and which change is refused.

Everything here is a function of (secrets, retention, now). It awaits nothing and reads no clock.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Final

from gql_secrets.domain.errors import (
    InvalidHoursToLive,
    NewSecretInUse,
    NoRollover,
    RolloverInProgress,
    SecretNotOld,
)

HOUR: Final = timedelta(seconds=3600)
MAX_ACTIVE: Final = 2
MAX_HOURS: Final = 168
MAX_RETENTION: Final = MAX_HOURS * HOUR
# A second reset by the same actor within this time, while the secret of the first is unused, is a retry.
RETRY_WINDOW: Final = HOUR


class SecretState(StrEnum):
    """The state of a secret; EXPIRED and REVOKED are permanent."""

    CURRENT = "CURRENT"
    RETAINED = "RETAINED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class SecretEndReason(StrEnum):
    """Why a secret ended; all but EXPIRED belong to the state REVOKED."""

    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    WITHDRAWN = "WITHDRAWN"
    DISPLACED = "DISPLACED"
    HARD_RESET = "HARD_RESET"
    CANCELLED = "CANCELLED"
    CLIENT_DELETED = "CLIENT_DELETED"

    @property
    def state(self) -> SecretState:
        """The state of a secret that ended for this reason."""
        return SecretState.EXPIRED if self is SecretEndReason.EXPIRED else SecretState.REVOKED


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the old secret is kept, in whole hours from now; zero is a hard reset.

    Raises:
        InvalidHoursToLive: not a whole number from `minimum` to 168.
    """

    hours: int
    minimum: int = 0

    def __post_init__(self) -> None:
        if type(self.hours) is not int or not self.minimum <= self.hours <= MAX_HOURS:
            raise InvalidHoursToLive(self.minimum, MAX_HOURS)

    @property
    def is_smooth(self) -> bool:
        """Whether the old secret is kept at all."""
        return self.hours > 0

    def until(self, now: datetime, *, replaced_at: datetime) -> datetime:
        """Return when a secret that was replaced at `replaced_at` expires: at most 168 hours after that."""
        return min(now + self.hours * HOUR, replaced_at + MAX_RETENTION)


@dataclass(frozen=True, slots=True)
class _ActiveSecret:
    id: int
    created_at: datetime
    created_by: str
    first_used_at: datetime | None = None
    last_used_at: datetime | None = None
    created_by_name: str | None = None

    @property
    def was_used(self) -> bool:
        """Whether a verification ever accepted it."""
        return self.first_used_at is not None


@dataclass(frozen=True, slots=True)
class CurrentSecret(_ActiveSecret):
    """The secret that the last reset created."""

    @property
    def state(self) -> SecretState:
        """Its state before the change."""
        return SecretState.CURRENT


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainedSecret(_ActiveSecret):
    """The secret that a smooth reset replaced, which is valid until it expires."""

    replaced_at: datetime
    expires_at: datetime

    @property
    def state(self) -> SecretState:
        """Its state before the change."""
        return SecretState.RETAINED


ActiveSecret = CurrentSecret | RetainedSecret


@dataclass(frozen=True, slots=True)
class ActiveSecrets:
    """The secrets of a client that have not ended: never more than two (rule 1)."""

    current: CurrentSecret
    retained: RetainedSecret | None = None

    @property
    def all(self) -> tuple[ActiveSecret, ...]:
        """Both, the current one first."""
        return (self.current, self.retained) if self.retained else (self.current,)

    def is_due(self, now: datetime) -> bool:
        """Return whether the retained secret has expired and must be written EXPIRED before any change."""
        old = self.retained
        return old is not None and evaluate(old.state, old.expires_at, enabled=True, now=now) is SecretStatus.DUE


@dataclass(frozen=True, slots=True)
class Keep:
    """A secret that is retained after the change, and until when."""

    secret: ActiveSecret
    replaced_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class End:
    """A secret that the change ends."""

    secret: ActiveSecret
    reason: SecretEndReason


@dataclass(frozen=True, slots=True)
class ResetPlan:
    """What a reset does to the older secrets: the one that it keeps, and those that it ends."""

    keep: Keep | None = None
    ends: tuple[End, ...] = ()

    def ended_by(self, reason: SecretEndReason) -> ActiveSecret | None:
        """Return the secret that this plan ends for this reason, or None."""
        return next((end.secret for end in self.ends if end.reason is reason), None)


class SecretStatus(Enum):
    """Whether a secret is valid at an instant, and why not."""

    VALID = "valid"
    DUE = "due"  # expired, but not yet written EXPIRED: write that, then refuse
    ENDED = "ended"
    DISABLED = "disabled"


def evaluate(state: SecretState, expires_at: datetime | None, *, enabled: bool, now: datetime) -> SecretStatus:
    """Return the status of a secret at `now` (rule 3); nothing else decides whether a secret is valid.

    A secret is valid if and only if its client is enabled and it is CURRENT, or RETAINED and `now < expires_at`.
    The arguments are columns as they are stored. The database enforces that a RETAINED secret has an `expires_at`;
    one without it would not be valid.
    """
    if state is SecretState.RETAINED:
        if expires_at is None or now >= expires_at:
            return SecretStatus.DUE
    elif state is not SecretState.CURRENT:
        return SecretStatus.ENDED
    return SecretStatus.VALID if enabled else SecretStatus.DISABLED


def plan_reset(
    active: ActiveSecrets, retention: Retention, *, by: str, now: datetime, end_active_rollover: bool = False
) -> ResetPlan:
    """Decide what a reset does to the older secrets (rules 4 to 6).

    The retained secret is valid at `now`: one that is due was written EXPIRED before.

    Raises:
        RolloverInProgress: an old secret is retained, and the reset could end a secret that is in use.
    """
    current, retained = active.current, active.retained
    if not retention.is_smooth:
        return ResetPlan(ends=tuple(End(secret, SecretEndReason.HARD_RESET) for secret in active.all))
    if retained is None:
        return ResetPlan(keep=Keep(current, now, retention.until(now, replaced_at=now)))
    is_retry = current.created_by == by and now - current.created_at < RETRY_WINDOW
    if not current.was_used and (is_retry or end_active_rollover):
        return ResetPlan(
            keep=Keep(retained, retained.replaced_at, retention.until(now, replaced_at=retained.replaced_at)),
            ends=(End(current, SecretEndReason.WITHDRAWN),),
        )
    if not end_active_rollover:
        raise RolloverInProgress(
            current_secret_created_by=current.created_by,
            current_secret_created_by_name=current.created_by_name,
            current_secret_created_at=current.created_at,
            current_secret_used=current.was_used,
            old_secret_expires_at=retained.expires_at,
            old_secret_last_used_at=retained.last_used_at,
        )
    return ResetPlan(
        keep=Keep(current, now, retention.until(now, replaced_at=now)),
        ends=(End(retained, SecretEndReason.DISPLACED),),
    )


def plan_change_retention(active: ActiveSecrets, retention: Retention, *, now: datetime) -> tuple[Keep, bool]:
    """Decide when the old secret expires from now on, and whether the bound of rule 7 clamped that.

    Raises:
        NoRollover: there is no old secret.
    """
    retained = active.retained
    if retained is None:
        raise NoRollover
    expires_at = retention.until(now, replaced_at=retained.replaced_at)
    return Keep(retained, retained.replaced_at, expires_at), expires_at < now + retention.hours * HOUR


def plan_cancel(active: ActiveSecrets) -> tuple[RetainedSecret, End]:
    """Decide what cancelling a rollover does: the old secret that is current again, and the unused new one that ends.

    Raises:
        NoRollover: there is no old secret.
        NewSecretInUse: the new secret was used, so cancelling would lock out the copies that use it.
    """
    if active.retained is None:
        raise NoRollover
    if active.current.first_used_at is not None:
        raise NewSecretInUse(active.current.first_used_at)
    return active.retained, End(active.current, SecretEndReason.CANCELLED)


def plan_revoke(active: ActiveSecrets, *, secret_id: int | None, ended_once_retained: bool) -> End | None:
    """Decide what a revoke of the old secret ends (rule 8); None if it ended before.

    Args:
        active: the client's active secrets.
        secret_id: the secret that the caller means, or None for the old secret.
        ended_once_retained: whether `secret_id` is a secret of this client that was retained and has ended.

    Raises:
        SecretNotOld: `secret_id` is the current secret, or not a secret of this client.
    """
    retained = active.retained
    if secret_id is None or (retained and retained.id == secret_id):
        return End(retained, SecretEndReason.REVOKED) if retained else None
    if not ended_once_retained:
        raise SecretNotOld
    return None
