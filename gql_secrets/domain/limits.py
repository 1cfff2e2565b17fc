"""How often is too often: the arithmetic of limits, with the instant as an argument."""

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from gql_secrets.domain.durations import parse_duration, written_duration

_RATE: Final = re.compile(r"([0-9]{1,6})/([0-9]{1,7}[smh])", re.ASCII)
_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """So many within so much time, such as 100 a minute."""

    count: int
    per: timedelta

    def __post_init__(self) -> None:
        if self.count < 1 or not timedelta(seconds=1) <= self.per <= timedelta(days=7):
            raise ValueError("A limit is at least 1, within 1s to 168h.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the rate of a text such as `100/1m`.

        Raises:
            ValueError: it is written otherwise; the sentence is fit to be shown.
        """
        match = _RATE.fullmatch(text.strip())
        if match is None:
            raise ValueError("Write a limit as a number and the time it is for, such as 100/1m or 60/1h.")
        return cls(int(match[1]), parse_duration(match[2]))

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return f"{self.count}/{written_duration(self.per)}"


def pour(rate: Rate, empty_at: int, now: int) -> tuple[int, int]:
    """Pour one attempt into a bucket that holds `rate.count` of them and leaks evenly, all of them in `rate.per`.

    Args:
        rate: how much the bucket holds, and how fast it leaks.
        empty_at: when the bucket will be empty, in nanoseconds; anything past for one that is.
        now: the instant, on the same clock.

    Returns:
        When the bucket will be empty now, and how many nanoseconds too early the attempt came: 0 is within the limit.
        One that came too early is not poured in: whoever waits as long as was said is within the limit again.
    """
    period = int(rate.per.total_seconds()) * _NANOSECONDS
    filled = max(empty_at, now) + period // rate.count
    too_early = filled - (now + period)
    return (empty_at, too_early) if too_early > 0 else (filled, 0)


def whole_seconds(nanoseconds: int) -> int:
    """Return the time to wait as `Retry-After` says it: never less than it is."""
    return -(-nanoseconds // _NANOSECONDS)


def seconds_until_next(rate: Rate, nth_newest: datetime | None, now: datetime) -> int:
    """Return how long to wait before the next one, where every one is remembered; 0 is within the limit.

    Args:
        rate: how many there may be in any stretch of its time.
        nth_newest: when the one was that, counted back from the newest, is number `rate.count`; None where there are
            fewer.
        now: the instant.
    """
    if nth_newest is None or now - nth_newest >= rate.per:
        return 0
    # A clock that was set back must not make the wait longer than the time that the rate is for.
    return math.ceil((min(nth_newest, now) + rate.per - now).total_seconds())
