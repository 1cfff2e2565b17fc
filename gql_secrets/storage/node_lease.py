"""The lease under which a node verifies from memory.

While a node holds its lease, everything that it remembers is as new as the last poll of the database. A change is
acknowledged when each node has confirmed it, or when `LEASE_SECONDS` have passed since its commit (storage/cluster.py).
So these must hold (tests/model tries every order of the steps, with and without each of them):

- The lease ends at most `LEASE_SECONDS` after its poll was *sent*. An answer may take long, and what it has is as old
  as the poll.
- It is measured by a clock that goes on while the machine is suspended. A jump of the wall clock against it ends the
  lease until the next poll. The wall clock itself decides nothing: it may be wrong by any amount.
- It is checked at each verification, and once more before the answer is written, because a process can be stopped
  between any two instructions.
- What changed is applied before the lease is extended.
- After the database went back in time, nothing is answered from it either for `DOUBT_SECONDS`: in this time the nodes
  compare it with their journals, and mark the clients that it may be wrong about (service/history.py).
- The instant that a verification compares with a secret's expiry is an upper bound of the database's clock: a secret is
  never accepted late, and is read from the database at most a round trip early.

A virtual machine whose clocks all stop while it is paused can accept for up to 0.9 seconds after it resumes.
"""

import time
from functools import partial
from typing import Final, NamedTuple

# How long an acknowledgement waits for a node that does not confirm.
LEASE_SECONDS: Final = 1.0
# A tenth is left for clocks that do not run equally fast.
_HELD_NANOSECONDS: Final = 900_000_000
_MAX_JUMP_NANOSECONDS: Final = 100_000_000
# Twice the time within which a node compares its journal.
DOUBT_SECONDS: Final = 2.0
# Linux alone has this clock. Elsewhere the monotonic one goes on while the machine is suspended.
_BOOT_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)
_read_boot: Final = time.monotonic_ns if _BOOT_CLOCK is None else partial(time.clock_gettime_ns, _BOOT_CLOCK)


class Clocks(NamedTuple):
    """Both clocks at one moment, in nanoseconds."""

    boot: int
    wall: int


class NodeLease:
    """The lease of one node. It knows no database: its owner polls."""

    __slots__ = ("_database_offset", "_doubt_end", "_end", "_wall_offset")

    def __init__(self) -> None:
        """Begin without a lease."""
        self._end = 0
        self._doubt_end = 0
        self._wall_offset = 0
        self._database_offset = 0

    @staticmethod
    def read_clocks() -> Clocks:
        """Return the clock since the machine started, and the wall clock."""
        return Clocks(_read_boot(), time.time_ns())

    def extend(self, sent: Clocks, database_now: int) -> None:
        """Hold the lease from the sending of a poll on.

        Args:
            sent: the clocks before the poll was sent.
            database_now: the database's clock that the poll returned, in microseconds.
        """
        self._end = sent.boot + _HELD_NANOSECONDS
        self._wall_offset = sent.wall - sent.boot
        # It was read after the poll was sent, so the sum with a later clock is never too low.
        self._database_offset = database_now - sent.boot // 1000

    def end(self) -> None:
        """Hold it no longer."""
        self._end = 0

    def doubt_database(self) -> None:
        """Hold it no longer, because the database went back in time."""
        self._end = 0
        self._doubt_end = _read_boot() + int(DOUBT_SECONDS * 1_000_000_000)

    @property
    def is_database_doubtful(self) -> bool:
        """Whether the database went back in time just now."""
        return self._doubt_end > 0 and _read_boot() < self._doubt_end

    @property
    def is_held(self) -> bool:
        """Whether what is remembered may be used now."""
        return self._is_held_at(_read_boot(), time.time_ns())

    def database_now(self) -> int | None:
        """Return an upper bound of the database's clock, in microseconds, or None if the lease is not held."""
        boot = _read_boot()
        return boot // 1000 + self._database_offset + 1 if self._is_held_at(boot, time.time_ns()) else None

    def _is_held_at(self, boot: int, wall: int) -> bool:
        return boot < self._end and abs(wall - boot - self._wall_offset) <= _MAX_JUMP_NANOSECONDS
