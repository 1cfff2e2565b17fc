"""The lists of a result that are filled with pauses, after everything around them has been completed."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, TypeAlias

from gql_secrets.pauses import pause

Completion: TypeAlias = Callable[[Any], Any]


class UnfinishedList(NamedTuple):
    """A list of a result that is still empty, the items that belong into it, and what completes one."""

    completed: list[Any]
    items: list[Any]
    complete: Completion


# What the selection that is being completed has left unfinished; nothing while something is awaited.
_unfinished: Final[ContextVar[list[UnfinishedList] | None]] = ContextVar("unfinished", default=None)


def leave_unfinished(completed: list[Any], items: list[Any], complete: Completion) -> None:
    """Leave a list empty, to be filled by `finish`."""
    _unfinished.set([*(_unfinished.get() or ()), UnfinishedList(completed, items, complete)])


def take_unfinished() -> list[UnfinishedList] | None:
    """Return the lists that the selection which was just completed left to be filled by `finish`, if there are any."""
    unfinished = _unfinished.get()
    if unfinished:
        _unfinished.set(None)
    return unfinished


async def finish(unfinished: list[UnfinishedList]) -> None:
    """Fill lists, with pauses, and the lists in them.

    Raises:
        Exception: an item cannot be completed.
    """
    while unfinished:
        completed, items, complete = unfinished.pop()
        for item in items:
            await pause()
            try:
                completed.append(complete(item))
            finally:
                more = take_unfinished()
            unfinished += more or ()
