"""The database's clock in the hands of a test."""

from datetime import UTC, datetime, timedelta

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAYS = timedelta(days=1)


class Clock:
    """What the database's clock says: a standing instant that a test names and moves, both ways."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self, machine: datetime) -> datetime:
        del machine
        return self.now

    def move(self, by: timedelta) -> datetime:
        self.now += by
        return self.now

    def set(self, now: datetime) -> datetime:
        self.now = now
        return now
