"""Which sources of a client have moved to the new secret of a rollover, and which are in danger.

A source is an address and a user agent. What is known of it is when it last used which secret.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

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

    @property
    def is_concerned(self) -> bool:
        """Whether the source must move, or has moved."""
        return self.state in _CONCERNED


def evaluate_sources(
    sources: list[SeenSource], *, allows: Callable[[str], bool], started_at: datetime, now: datetime
) -> list[RolloverSource]:
    """Return the sources that matter to a rollover as `evaluate_unsorted` does, in the order of `by_danger`."""
    return by_danger(evaluate_unsorted(sources, allows=allows, started_at=started_at, now=now))


def evaluate_unsorted(
    sources: list[SeenSource], *, allows: Callable[[str], bool], started_at: datetime, now: datetime
) -> list[RolloverSource]:
    """Return the sources that matter to a rollover, in the order in which they are given.

    Args:
        sources: each source once.
        allows: whether the client's allow list contains an address.
        started_at: when the reset began the rollover.
        now: the current time.
    """
    return [
        RolloverSource(source, state)
        for source in sources
        if (state := _state_of(source, allows=allows, started_at=started_at, now=now)) is not None
    ]


def by_danger(sources: Iterable[RolloverSource]) -> list[RolloverSource]:
    """Return sources in order: the greatest danger first, then the most recent."""
    newest = sorted(sources, key=lambda each: each.seen.last_seen_at, reverse=True)
    return sorted(newest, key=lambda each: _BY_DANGER.index(each.state))


def _state_of(
    source: SeenSource, *, allows: Callable[[str], bool], started_at: datetime, now: datetime
) -> RolloverSourceState | None:
    """Return how far a source has come; None if it was last seen long before the reset."""
    new, old, refused = source.new_secret_last_used_at, source.old_secret_last_used_at, source.refused_at
    used = old if new is None or (old is not None and old > new) else new
    if used is not None and source.address is not None and not allows(source.address):
        return RolloverSourceState.NOT_ALLOWED
    if refused is not None and refused > now - _LOCKED_OUT and (used is None or refused > used):
        return RolloverSourceState.LOCKED_OUT
    if new is not None and (old is None or new >= old):
        return RolloverSourceState.MOVED
    if old is None:
        return None
    if new is not None or old > now - _NOW:
        return RolloverSourceState.STILL_OLD
    return RolloverSourceState.NOT_SEEN_WITH_NEW if old >= started_at - _BEFORE_RESET else None


def first_allowed_use(
    first_used_at: datetime | None, seen: list[tuple[str | None, datetime]], *, allows: Callable[[str], bool]
) -> datetime | None:
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
