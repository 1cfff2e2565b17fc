"""Pauses: an operation that computes for a long time lets others run every few milliseconds.

All requests wait for the event loop, so no operation may keep it. A GraphQL operation has a time slice in each run of
the loop; work on many rows or fields asks whether it is spent, and then pauses. Outside such an operation nothing
pauses. This module uses the standard library alone, and knows nothing of the rest of the package.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import ContextVar, Token
from typing import Final, Self, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

# How long an operation may compute before it lets others run. Together with the longest piece of work between two
# pauses, about as long, this stays below 5 ms.
SLICE_SECONDS: Final = 0.0025
# How many parts of an operation that pause are woken in one run of the loop. Each costs about 2 microseconds, even
# where the slice is spent again before its turn comes.
_MAX_WOKEN: Final = 64
# After a pause, a part makes the tasks of its fields in one run of the loop, and they begin and load in the next two.
_RUNS_TO_ASK: Final = 3
# How many rows are converted between two looks at the clock.
_ROWS: Final = 16


class TimeSlice:
    """How long an operation has computed in this run of the event loop, and its parts that wait for the next one."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._began_at = 0.0
        self._is_counting = False
        self._was_asked = False
        self._has_paused = False
        self._begin()

    @property
    def is_spent(self) -> bool:
        """Whether the operation must let others run now."""
        self._was_asked = True
        if not self._is_counting:
            self._begin()
            return False
        return time.perf_counter() - self._began_at > SLICE_SECONDS

    async def pause(self) -> None:
        """Let others run if the slice is spent.

        Parts of the operation that pause go on in the same run of the loop as far as the next slice lasts, so that
        what they load is loaded in one query.
        """
        while self.is_spent:
            woken = asyncio.get_running_loop().create_future()
            self._has_paused = True
            self._waiting.append(woken)
            if await woken:
                return

    async def settle(self) -> None:
        """Wait until all parts of the operation that can go on have asked for what they load."""
        await asyncio.sleep(0)
        runs = 0 if self._has_paused else _RUNS_TO_ASK
        while runs < _RUNS_TO_ASK:
            runs = 0 if self._waiting else runs + 1
            await asyncio.sleep(0)

    def _begin(self) -> None:
        """Count from now to the next run of the loop, and again in that run."""
        self._began_at = time.perf_counter()
        self._is_counting = True
        asyncio.get_running_loop().call_soon(self._note_run)

    def _note_run(self) -> None:
        """Note that the loop runs again. If nothing asked since the last run, stop counting: it waits."""
        self._is_counting = False
        if self._was_asked or self._waiting:
            self._was_asked = False
            self._begin()
        is_first = True
        for _ in range(min(len(self._waiting), _MAX_WOKEN)):
            woken = self._waiting.popleft()
            if not woken.done():
                # The first one goes on even if the time is over, so that a busy machine cannot stop an operation.
                woken.set_result(is_first)
                is_first = False


_current: Final[ContextVar[TimeSlice | None]] = ContextVar("time_slice", default=None)


class LongWork:
    """Lets the work inside `with` pause. Where it is inside other long work, both have the same slice."""

    __slots__ = ("_token",)

    def __init__(self) -> None:
        self._token: Token[TimeSlice | None] | None = None

    def __enter__(self) -> Self:
        if _current.get() is None:
            self._token = _current.set(TimeSlice())
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _current.reset(self._token)


def current_slice() -> TimeSlice | None:
    """Return the slice of the operation that runs, None outside long work."""
    return _current.get()


def can_pause() -> bool:
    """Return whether the work that runs is long work, which pauses."""
    return _current.get() is not None


async def pause() -> bool:
    """Let others run if the operation that runs has computed for too long; return whether it had."""
    time_slice = _current.get()
    if time_slice is None or not time_slice.is_spent:
        return False
    await time_slice.pause()
    return True


async def make_all(make: Callable[[Given], Made], given: Iterable[Given]) -> list[Made]:
    """Return what `make` makes of each, with pauses."""
    time_slice = _current.get()
    if time_slice is None:
        return [make(each) for each in given]
    made: list[Made] = []
    for number, each in enumerate(given):
        if number % _ROWS == 0 and time_slice.is_spent:
            await time_slice.pause()
        made.append(make(each))
    return made
