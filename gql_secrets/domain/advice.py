"""May the old secret be revoked? A verdict on a rollover, from who used what and when."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from gql_secrets.domain.durations import written_duration


class RolloverAdvice(StrEnum):
    """What to do about a running rollover."""

    WAIT_FOR_NEW = "WAIT_FOR_NEW"
    WAIT_FOR_QUIET = "WAIT_FOR_QUIET"
    REVOKE = "REVOKE"


@dataclass(frozen=True, slots=True)
class Opinion:
    """The advice, and a sentence that says why."""

    advice: RolloverAdvice
    reason: str

    @property
    def is_safe_to_revoke(self) -> bool:
        """Whether nobody would notice the old secret's end, as far as its uses tell."""
        return self.advice is RolloverAdvice.REVOKE


def advise(
    *, new_first_used_at: datetime | None, old_last_used_at: datetime | None, quiet_time: timedelta, now: datetime
) -> Opinion:
    """Say whether the old secret may be revoked.

    It may when the new secret was used, and the quiet time has passed since the later of the new one's first use
    and the old one's last use. A job that runs more rarely than the quiet time cannot be seen by it.
    """
    quiet = written_duration(quiet_time)
    if new_first_used_at is None:
        return Opinion(
            RolloverAdvice.WAIT_FOR_NEW,
            "Nobody has used the new secret so far: put it into every copy of the application first.",
        )
    since = max(new_first_used_at, old_last_used_at or new_first_used_at)
    is_old_in_use = old_last_used_at is not None and old_last_used_at >= new_first_used_at
    last = (
        f"The old secret was last used at {_stamp(since)}"
        if is_old_in_use
        else (f"The new secret was first used at {_stamp(since)} and the old one not since")
    )
    if now < since + quiet_time:
        return Opinion(
            RolloverAdvice.WAIT_FOR_QUIET,
            f"{last}: if that stays so, it is safe to revoke at {_stamp(since + quiet_time)}, after {quiet} of quiet.",
        )
    return Opinion(RolloverAdvice.REVOKE, f"{last}: {quiet} of quiet have passed, so it is safe to revoke.")


def _stamp(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
