"""The lists of a result that are filled with pauses, after everything around them has been completed."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, TypeAlias

from gql_secrets.pauses import pause

CompleteMany: TypeAlias = Callable[[list[Any]], list[Any]]
"""Returns the completed forms of values."""


class UnfinishedList(NamedTuple):
    """A list of a result that is still empty, the items that belong into it, and what completes them.

    `piece` is how many items are completed at most between two pauses.
    """

    completed: list[Any]
    items: list[Any]
    complete: CompleteMany
    piece: int


# What the selection that is being completed has left unfinished; nothing while something is awaited.
_unfinished: Final[ContextVar[list[UnfinishedList] | None]] = ContextVar("unfinished", default=None)


def leave_unfinished(items: list[Any], complete: CompleteMany, piece: int) -> list[Any]:
    """Return an empty list, to be filled by `finish` in pieces of at most this many items."""
    completed: list[Any] = []
    _unfinished.set([*(_unfinished.get() or ()), UnfinishedList(completed, items, complete, piece)])
    return completed


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
    was_spent = await pause()  # the time counts from here
    while unfinished:
        completed, items, complete, piece = unfinished.pop()
        while len(completed) < len(items):
            is_spent = await pause()
            # After a pause there may be little time left in this run of the event loop: the next ones are done singly.
            size = 1 if is_spent or was_spent else piece
            was_spent = is_spent
            at = len(completed)
            try:
                completed += complete(items[at : at + size])
            finally:
                more = take_unfinished()
            unfinished += more or ()
