"""Measures how long something took on a machine that sometimes stops for a while."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOOK_SECONDS: Final = 0.01
# What counts between two looks at the clock, at most: in a longer gap, the machine did not run this process.
_LONGEST_GAP: Final = 0.05


class Stopwatch:
    """The seconds in which this process ran, or could have: those in which the whole machine stopped do not count.

    A shared machine may stop for seconds at a time. A thread looks at the clock again and again: while something waits
    for another process or for a lock, the thread runs, and the wait counts; while nothing runs, nothing counts.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        before = time.monotonic()
        is_over = False
        while not is_over:
            is_over = self._ended.wait(_LOOK_SECONDS)
            now = time.monotonic()
            self.seconds += min(now - before, _LONGEST_GAP)
            before = now


@contextmanager
def measured() -> Iterator[Stopwatch]:
    """Measure what the block takes; it is known at its end."""
    stopwatch = Stopwatch()
    stopwatch.start()
    try:
        yield stopwatch
    finally:
        stopwatch.stop()
