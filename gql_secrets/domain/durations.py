"""Durations as text: `90s`, `15m`, `1h`, `90d`."""

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_DURATION: Final = re.compile(r"([0-9]{1,7})([smhd])", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Return the duration of a text such as `90s`, `15m`, `1h` or `90d`.

    Raises:
        ValueError: the text is malformed; the message is for the user.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("Write a duration as a whole number and its unit, such as 90s, 15m, 1h or 90d.")
    return int(match[1]) * _UNITS[match[2]]


def format_duration(duration: timedelta) -> str:
    """Return the duration in hours, minutes or seconds, the largest that is exact, as `parse_duration` reads it."""
    seconds = int(duration.total_seconds())
    for unit in ("h", "m"):
        if seconds and seconds % int(_UNITS[unit].total_seconds()) == 0:
            return f"{seconds // int(_UNITS[unit].total_seconds())}{unit}"
    return f"{seconds}s"
