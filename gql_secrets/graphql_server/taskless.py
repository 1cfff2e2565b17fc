"""Coroutines that run without a task: each step runs as soon as what it awaits is done.

A task runs its first step in the next run of the event loop, and those who wait for it learn of its end in the run
after its last step. Where a coroutine awaits one short read, this costs as much as the read.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


def run_without_task(coroutine: Coroutine[Any, Any, T], done: Callable[[T | None], None]) -> None:
    """Run a coroutine that needs no task of its own, as `asyncio.timeout` would.

    `done` is called with what it returns, or with None if it raises; not before this function has returned.
    """
    _run_step(coroutine, lambda result: asyncio.get_running_loop().call_soon(done, result), done)


def _run_step(
    coroutine: Coroutine[Any, Any, T],
    end: Callable[[T | None], object],
    done: Callable[[T | None], None],
    _: object = None,
) -> None:
    result: T | None
    try:
        awaited: asyncio.Future[Any] | None = coroutine.send(None)
    except StopIteration as returned:
        result = returned.value
    except (Exception, asyncio.CancelledError):  # noqa: BLE001  it is done again in a task, which says what failed
        result = None
    else:
        step = partial(_run_step, coroutine, done, done)
        if awaited is None:
            asyncio.get_running_loop().call_soon(step)
        else:
            awaited.add_done_callback(step)
        return
    end(result)
