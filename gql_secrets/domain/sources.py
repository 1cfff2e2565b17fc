"""Which sources of a client have moved to the new secret of a rollover, and which are in danger.

A source is an address and a user agent. What is known of it is when it last used which secret.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Generic, NamedTuple, TypeVar

# Instants of a kind that can be compared: sources are counted by whole microseconds, and shown with dates.
At = TypeVar("At", datetime, int)

# A source seen with the old secret this recently uses it now.
_NOW: Final = timedelta(hours=1)
# A nightly job last ran at most a day before the reset: it still counts as a source of the old secret.
_BEFORE_RESET: Final = timedelta(days=1)
# A source that has not tried an ended secret for a day has moved, or is gone.
_LOCKED_OUT: Final = timedelta(days=1)


class RolloverSourceState(StrEnum):
    """How far a source has come in a rollover; the greatest danger first."""

    NOT_ALLOWED = "NOT_ALLOWED"
    LOCKED_OUT = "LOCKED_OUT"
    STILL_OLD = "STILL_OLD"
    NOT_SEEN_WITH_NEW = "NOT_SEEN_WITH_NEW"
    MOVED = "MOVED"


_BY_DANGER: Final = tuple(RolloverSourceState)
_CONCERNED: Final = (
    RolloverSourceState.STILL_OLD,
    RolloverSourceState.NOT_SEEN_WITH_NEW,
    RolloverSourceState.MOVED,
)


class SeenSource(NamedTuple):
    """When a source last used the new and the old secret of a rollover, and last tried a secret that had ended."""

    address: str | None
    user_agent: str | None
    new_secret_last_used_at: datetime | None = None
    old_secret_last_used_at: datetime | None = None
    refused_at: datetime | None = None

    @property
    def last_seen_at(self) -> datetime:
        """When the source was last seen with any secret."""
        return max(
            at for at in (self.new_secret_last_used_at, self.old_secret_last_used_at, self.refused_at) if at is not None
        )


class RolloverSource(NamedTuple):
    """A source, and how far it has come."""

    seen: SeenSource
    state: RolloverSourceState


class Bounds(NamedTuple, Generic[At]):
    """The instants that decide how far the sources of a rollover have come.

    Attributes:
        recent: a source seen with the old secret after it uses it now.
        gone: a source last seen with the old secret before it was gone when the rollover began.
        locked_out: a source that tried an ended secret after it, and used none since, is locked out.
    """

    recent: At
    gone: At
    locked_out: At


def bounds_of(started_at: datetime, now: datetime) -> Bounds[datetime]:
    """Return the bounds of a rollover: when the reset began it, and the current time."""
    return Bounds(now - _NOW, started_at - _BEFORE_RESET, now - _LOCKED_OUT)


def evaluate_sources(
    sources: list[SeenSource], *, allows: Callable[[str], bool], started_at: datetime, now: datetime
) -> list[RolloverSource]:
    """Return the sources that matter to a rollover, in the order in which they are given.

    Args:
        sources: each source once.
        allows: whether the client's allow list contains an address.
        started_at: when the reset began the rollover.
        now: the current time.
    """
    bounds = bounds_of(started_at, now)
    states = [(source, state_of(source[0], *source[2:], allows=allows, bounds=bounds)) for source in sources]
    return [RolloverSource(source, state) for source, state in states if state is not None]


def count_sources(states: Iterable[RolloverSourceState | None]) -> tuple[int, int]:
    """Return how many sources have moved, and how many must, including those that have."""
    counts = Counter(states)
    return counts[RolloverSourceState.MOVED], sum(counts[state] for state in _CONCERNED)


def by_danger(sources: Iterable[RolloverSource]) -> list[RolloverSource]:
    """Return sources in order: the greatest danger first, then the most recent."""
    newest = sorted(sources, key=lambda each: each.seen.last_seen_at, reverse=True)
    return sorted(newest, key=lambda each: _BY_DANGER.index(each.state))


def state_of(
    address: str | None,
    new: At | None,
    old: At | None,
    refused: At | None,
    *,
    allows: Callable[[str], bool],
    bounds: Bounds[At],
) -> RolloverSourceState | None:
    """Return how far a source has come; None if it was last seen long before the reset.

    Args:
        address: the address of the source.
        new: when it last used the new secret.
        old: when it last used the old secret.
        refused: when it last tried a secret that had ended.
        allows: whether the client's allow list contains an address.
        bounds: of the rollover.
    """
    used = old if new is None or (old is not None and old > new) else new
    if used is not None and address is not None and not allows(address):
        return RolloverSourceState.NOT_ALLOWED
    if refused is not None and refused > bounds.locked_out and (used is None or refused > used):
        return RolloverSourceState.LOCKED_OUT
    if new is not None and (old is None or new >= old):
        return RolloverSourceState.MOVED
    if old is None:
        return None
    if new is not None or old > bounds.recent:
        return RolloverSourceState.STILL_OLD
    return RolloverSourceState.NOT_SEEN_WITH_NEW if old >= bounds.gone else None


def first_allowed_use(
    first_used_at: At | None, seen: list[tuple[str | None, At]], *, allows: Callable[[str], bool]
) -> At | None:
    """Return when a secret was first used from an address that the allow list contains; None if it never was.

    Args:
        first_used_at: when the secret was first used from any address, exactly.
        seen: the recent sources of the secret: each address, and when it was first seen.
        allows: whether the client's allow list contains an address.
    """
    allowed = [at for address, at in seen if address is None or allows(address)]
    if len(allowed) == len(seen):
        return first_used_at
    if first_used_at is None or not allowed:
        return None
    # Each source has a clock of its own: what was seen "before" the first use was the first use.
    return max(first_used_at, min(allowed))
