"""What is asked of a transaction as it begins: Tortoise, which begins it, has no arguments for that."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

IS_URGENT: Final[ContextVar[bool]] = ContextVar("is_urgent", default=False)
"""Set in the context of a transaction that a verification waits for.

It may use the connections that are kept for verification, and waits for locks for `URGENT_LOCK_SECONDS` only.
"""
CLIENT_TO_LOCK: Final[ContextVar[str | None]] = ContextVar("client_to_lock", default=None)
"""Set in the context of a transaction that locks a client first: where that is possible, as it begins."""
IS_ENDING: Final[ContextVar[bool]] = ContextVar("is_ending", default=False)
"""Set in the context of a transaction that ends something, or may: then it may use the room that is kept for that."""
IS_BRIEF: Final[ContextVar[bool]] = ContextVar("is_brief", default=False)
"""Set in the context of a transaction that is tried again later: it waits for locks for `BRIEF_LOCK_SECONDS` only."""
LOCK_SECONDS: Final = 5.0
"""How long every other transaction waits for its locks."""
URGENT_LOCK_SECONDS: Final = 0.6
BRIEF_LOCK_SECONDS: Final = 0.2


@contextmanager
def ending(is_ending: bool = True) -> Iterator[None]:
    """Mark the transactions of this block, which end something, or may: then `note_only_ends` is called."""
    token = IS_ENDING.set(is_ending)
    try:
        yield
    finally:
        IS_ENDING.reset(token)


@contextmanager
def waiting_briefly(is_brief: bool = True) -> Iterator[None]:
    """Mark the transactions of this block, which are tried again later: they wait for locks only briefly."""
    token = IS_BRIEF.set(is_brief)
    try:
        yield
    finally:
        IS_BRIEF.reset(token)


def lock_seconds() -> float:
    """Return how long the transaction of this context waits for its locks."""
    if IS_BRIEF.get():
        return BRIEF_LOCK_SECONDS
    return URGENT_LOCK_SECONDS if IS_URGENT.get() else LOCK_SECONDS
