"""Whether it is safe to revoke the old secret of a rollover, by which secret was used when."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from gql_secrets.domain.durations import format_duration
from gql_secrets.domain.instants import rfc3339_seconds


class RolloverAdvice(StrEnum):
    """What to do about a running rollover."""

    WAIT_FOR_NEW = "WAIT_FOR_NEW"
    WAIT_FOR_QUIET = "WAIT_FOR_QUIET"
    REVOKE = "REVOKE"


@dataclass(frozen=True, slots=True)
class Opinion:
    """The advice, and a sentence that gives the reason."""

    advice: RolloverAdvice
    reason: str

    @property
    def is_safe_to_revoke(self) -> bool:
        """Whether revoking would interrupt none of the uses that were seen."""
        return self.advice is RolloverAdvice.REVOKE


def advise(
    *,
    new_first_used_at: datetime | None,
    old_last_used_at: datetime | None,
    ends_at: datetime,
    quiet_time: timedelta,
    reporting_time: timedelta = timedelta(0),
    now: datetime,
) -> Opinion:
    """Return whether it is safe to revoke the old secret.

    It is safe once the new secret was used, and the quiet time has passed since both the first use of the new secret
    and the last use of the old one, and the reporting time too: how long other nodes count uses before they write them.
    A job that runs less often than the quiet time goes unnoticed.
    """
    wait = quiet_time + reporting_time
    quiet = format_duration(quiet_time)
    since = _quiet_since(new_first_used_at, old_last_used_at)
    if new_first_used_at is None or since is None:
        return Opinion(
            RolloverAdvice.WAIT_FOR_NEW,
            "The new secret was never used: deploy it to every copy of the application first.",
        )
    is_old_in_use = old_last_used_at is not None and old_last_used_at >= new_first_used_at
    last = (
        f"The old secret was last used at {rfc3339_seconds(since)}"
        if is_old_in_use
        else f"The new secret was first used at {rfc3339_seconds(since)}, and the old secret was not used since"
    )
    if not is_safe_to_revoke(
        new_first_used_at=new_first_used_at, old_last_used_at=old_last_used_at, wait=wait, now=now
    ):
        # After the expiry there is nothing to revoke, so a later instant would be useless advice.
        outlook = (
            f"Unless it is used again, it is safe to revoke at {rfc3339_seconds(since + wait)}, "
            f"after {quiet} without a use."
            if since + wait < ends_at
            else f"It expires at {rfc3339_seconds(ends_at)}, before the wait of {quiet} is over."
        )
        return Opinion(RolloverAdvice.WAIT_FOR_QUIET, f"{last}. {outlook}")
    return Opinion(RolloverAdvice.REVOKE, f"{last}. That is more than {quiet} ago, so it is safe to revoke.")


def is_safe_to_revoke(
    *, new_first_used_at: datetime | None, old_last_used_at: datetime | None, wait: timedelta, now: datetime
) -> bool:
    """Return whether `advise` would say REVOKE; `wait` is the quiet time and the reporting time."""
    since = _quiet_since(new_first_used_at, old_last_used_at)
    return since is not None and now >= since + wait


def _quiet_since(new_first_used_at: datetime | None, old_last_used_at: datetime | None) -> datetime | None:
    """Return since when only the new secret was used; None if it was never used."""
    if new_first_used_at is None:
        return None
    return max(new_first_used_at, old_last_used_at or new_first_used_at)
