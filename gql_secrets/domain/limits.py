"""The arithmetic of rate limits, with the instant as an argument."""

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from gql_secrets.domain.durations import format_duration, parse_duration

_RATE: Final = re.compile(r"([0-9]{1,6})/([0-9]{1,7}[smh])", re.ASCII)
_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """A number of events within a time, such as 100 in a minute."""

    count: int
    per: timedelta

    def __post_init__(self) -> None:
        if self.count < 1 or not timedelta(seconds=1) <= self.per <= timedelta(days=7):
            raise ValueError("A limit is a number of at least 1 and a time from 1s to 168h.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the rate of a text such as `100/1m`.

        Raises:
            ValueError: the text is malformed; the message is for the user.
        """
        match = _RATE.fullmatch(text.strip())
        if match is None:
            raise ValueError("Write a limit as a number and a time, such as 100/1m or 60/1h.")
        return cls(int(match[1]), parse_duration(match[2]))

    def __str__(self) -> str:
        """Return the text that `parse` accepts."""
        return f"{self.count}/{format_duration(self.per)}"


def take(rate: Rate, empty_at: int, now: int) -> tuple[int, int]:
    """Take one attempt out of a limit that renews evenly (a leaky bucket).

    Args:
        rate: the size of the bucket, and the time in which a full one empties.
        empty_at: when the bucket will be empty, in nanoseconds; any instant in the past if it is.
        now: the instant, on the same clock.

    Returns:
        When the bucket will now be empty, and by how many nanoseconds the attempt came too early: 0 is within the
        limit. An attempt that came too early is not counted, so one after that wait is within the limit.
    """
    period = int(rate.per.total_seconds()) * _NANOSECONDS
    filled = max(empty_at, now) + share_of_one(rate)
    too_early = filled - (now + period)
    return (empty_at, too_early) if too_early > 0 else (filled, 0)


def share_of_one(rate: Rate) -> int:
    """Return by how many nanoseconds one attempt fills the limit."""
    return int(rate.per.total_seconds()) * _NANOSECONDS // rate.count


def whole_seconds(nanoseconds: int) -> int:
    """Return the time in whole seconds, rounded up, as in `Retry-After`."""
    return -(-nanoseconds // _NANOSECONDS)


def seconds_until_next(rate: Rate, nth_newest: datetime | None, now: datetime) -> int:
    """Return how many seconds to wait before the next event, if all events are stored; 0 is within the limit.

    Args:
        rate: the limit, in any period of its length.
        nth_newest: when the `rate.count`-th most recent event happened; None if there were fewer.
        now: the instant.
    """
    if nth_newest is None or now - nth_newest >= rate.per:
        return 0
    # After the clock was set back, the wait is still at most the time of the rate.
    return math.ceil((min(nth_newest, now) + rate.per - now).total_seconds())
