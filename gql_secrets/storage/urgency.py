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
LOCK_SECONDS: Final = 5.0
"""How long every other transaction waits for its locks."""
URGENT_LOCK_SECONDS: Final = 0.6


@contextmanager
def ending(is_ending: bool = True) -> Iterator[None]:
    """Mark the transactions of this block, which end something, or may: then `note_only_ends` is called."""
    token = IS_ENDING.set(is_ending)
    try:
        yield
    finally:
        IS_ENDING.reset(token)


def lock_seconds() -> float:
    """Return how long the transaction of this context waits for its locks."""
    return URGENT_LOCK_SECONDS if IS_URGENT.get() else LOCK_SECONDS
