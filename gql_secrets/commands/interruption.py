"""Ctrl-C and SIGTERM during a change: the change ends, and its result is written.

A transaction goes on when its caller is cancelled, and a server does not learn of it. So a command that ended
immediately would have reset a secret and shown the new one to nobody.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar

from gql_secrets.commands.output import say

P = ParamSpec("P")
T = TypeVar("T")

_WAITING: Final = (
    "gql-secrets: Interrupted. Waiting for the result of the change that is in progress; to end without it, interrupt "
    "again."
)
_UNKNOWN: Final = (
    "gql-secrets: Interrupted again. Whether the change was made is not known. Check that before you try again."
)


def uninterrupted(change: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Let a change return its result although the user interrupts the command; the next one does not begin then."""

    @functools.wraps(change)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        own = asyncio.current_task()
        if own is not None and own.cancelling():
            raise asyncio.CancelledError
        task = asyncio.create_task(change(*args, **kwargs))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
        say(_WAITING)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            say(_UNKNOWN)
            raise

    return run
