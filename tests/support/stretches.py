"""How long work keeps the event loop: in processor time, which other processes of a busy machine do not count in."""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class MeasuringSelector(selectors.DefaultSelector):
    """Notes the processor time of the loop's thread between two looks at its sockets: while everybody else waits."""

    def __init__(self) -> None:
        super().__init__()
        self.stretches: list[float] = []
        self._began_at: float | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._began_at is not None:
            self.stretches.append(time.thread_time() - self._began_at)
        found = super().select(timeout)
        self._began_at = time.thread_time()
        return found


async def stretches_of(selector: MeasuringSelector, work: Coroutine[Any, Any, object]) -> list[float]:
    """Return the stretches, in seconds, in which this work was done."""
    await asyncio.sleep(0)
    selector.stretches.clear()
    await work
    await asyncio.sleep(0)
    return selector.stretches.copy()


def run_measured(work: Callable[[MeasuringSelector], Coroutine[Any, Any, T]]) -> T:
    """Run work in an event loop of its own that is measured, and return its result."""
    selector = MeasuringSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        return runner.run(work(selector))
