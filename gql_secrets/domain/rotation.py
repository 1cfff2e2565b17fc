"""The rules of a rollover (DESIGN.md, "The rules of a rollover"): who ends when, and which change is refused.

Everything here is a function of (secrets, retention, now). It awaits nothing and reads no clock.
Seed A (000_c69ba334014210bf.txt) gives the smooth reset, its seven days and the early revoke; seed B
(004_dfe5e4bedb074827.txt) gives the hours, 0 to 168, and the hard reset.
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
MAX_HOURS: Final = 168
MAX_RETENTION: Final = MAX_HOURS * HOUR
# A second reset by the same actor within this time, while nobody used the first one's secret, is a retry.
RETRY_WINDOW: Final = HOUR


class SecretState(StrEnum):
    """What a secret is; EXPIRED and REVOKED are for ever."""

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
        """The state of a secret that ended so."""
        return SecretState.EXPIRED if self is SecretEndReason.EXPIRED else SecretState.REVOKED


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the old secret is kept, in whole hours from now; zero asks for a hard reset.

    Raises:
        InvalidHoursToLive: not a whole number from `minimum` to 168 (seed B, hours_to_live).
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
        """Return when a secret replaced at `replaced_at` ends if it is kept from `now` on: never past its 168 hours."""
        return min(now + self.hours * HOUR, replaced_at + MAX_RETENTION)


@dataclass(frozen=True, slots=True)
class Secret:
    """What the rules need to know of a living secret."""

    id: int
    state: SecretState
    created_at: datetime
    created_by: str
    replaced_at: datetime | None = None
    expires_at: datetime | None = None
    first_used_at: datetime | None = None
    last_used_at: datetime | None = None

    @property
    def was_used(self) -> bool:
        """Whether a verification ever accepted it."""
        return self.first_used_at is not None


@dataclass(frozen=True, slots=True)
class ActiveSecrets:
    """The secrets of a client that have not ended: never more than two (rule 1)."""

    current: Secret
    retained: Secret | None = None

    @property
    def due(self) -> datetime | None:
        """When the retained secret ends, or None without one."""
        return self.retained.expires_at if self.retained else None


@dataclass(frozen=True, slots=True)
class Keep:
    """A secret that is RETAINED after the change."""

    secret: Secret
    replaced_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class End:
    """A secret that the change ends."""

    secret: Secret
    reason: SecretEndReason


@dataclass(frozen=True, slots=True)
class ResetPlan:
    """What becomes of the older secrets when a new one is minted."""

    keep: Keep | None = None
    ends: tuple[End, ...] = ()

    def ended_by(self, reason: SecretEndReason) -> Secret | None:
        """Return the secret that this plan ends for this reason, or None."""
        return next((end.secret for end in self.ends if end.reason is reason), None)


class SecretStatus(Enum):
    """What a secret is worth at an instant."""

    VALID = "good"
    DUE = "due"  # its time is over and nobody has written it down yet: write EXPIRED, then refuse
    ENDED = "ended"
    DISABLED = "disabled"


def judge(state: SecretState, expires_at: datetime | None, *, enabled: bool, now: datetime) -> SecretStatus:
    """Say whether a secret is good at `now` (rule 3): the only place that decides it.

    A secret is good if and only if its client is enabled and it is CURRENT, or RETAINED and `now < expires_at`.
    """
    if state is SecretState.RETAINED and (expires_at is None or now >= expires_at):
        return SecretStatus.DUE
    if state not in (SecretState.CURRENT, SecretState.RETAINED):
        return SecretStatus.ENDED
    return SecretStatus.VALID if enabled else SecretStatus.DISABLED


def plan_reset(
    living: ActiveSecrets, retention: Retention, *, by: str, now: datetime, end_active_rollover: bool = False
) -> ResetPlan:
    """Decide what a reset does to the older secrets (rules 4 to 6).

    `living.retained` is good at `now`: one that is due has been written EXPIRED before.

    Raises:
        RolloverInProgress: an old secret is still retained, and going on might cut off a secret in use.
    """
    current, retained = living.current, living.retained
    if not retention.is_smooth:
        return ResetPlan(
            ends=tuple(End(secret, SecretEndReason.HARD_RESET) for secret in (current, retained) if secret)
        )
    if retained is None or retained.replaced_at is None or retained.expires_at is None:
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
            current_secret_created_at=current.created_at,
            current_secret_used=current.was_used,
            old_secret_expires_at=retained.expires_at,
            old_secret_last_used_at=retained.last_used_at,
        )
    return ResetPlan(
        keep=Keep(current, now, retention.until(now, replaced_at=now)),
        ends=(End(retained, SecretEndReason.DISPLACED),),
    )


def plan_change_retention(living: ActiveSecrets, retention: Retention, *, now: datetime) -> tuple[Keep, bool]:
    """Decide when the old secret ends instead, and whether the cap of rule 7 clamped it.

    Raises:
        NoRollover: there is no old secret.
    """
    retained = living.retained
    if retained is None or retained.replaced_at is None:
        raise NoRollover
    expires_at = retention.until(now, replaced_at=retained.replaced_at)
    return Keep(retained, retained.replaced_at, expires_at), expires_at < now + retention.hours * HOUR


def plan_cancel(living: ActiveSecrets) -> tuple[Secret, End]:
    """Decide a cancelled rollover: the old secret that is current again, and the unused new one that ends.

    Raises:
        NoRollover: there is no old secret.
        NewSecretInUse: the new secret was used, so somebody would be locked out.
    """
    if living.retained is None:
        raise NoRollover
    if living.current.first_used_at is not None:
        raise NewSecretInUse(living.current.first_used_at)
    return living.retained, End(living.current, SecretEndReason.CANCELLED)


def plan_revoke(living: ActiveSecrets, *, secret_id: int | None, ended_once_retained: bool) -> End | None:
    """Decide a revoke of the old secret (rule 8): what ends, or None where it has ended before.

    Args:
        living: the client's secrets.
        secret_id: the secret that the caller means, or None for whichever is the old one.
        ended_once_retained: `secret_id` is one of this client's that was retained once and has ended.

    Raises:
        SecretNotOld: `secret_id` is the current secret, or none of this client's old ones.
    """
    retained = living.retained
    if secret_id is None or (retained and retained.id == secret_id):
        return End(retained, SecretEndReason.REVOKED) if retained else None
    if not ended_once_retained:
        raise SecretNotOld
    return None
