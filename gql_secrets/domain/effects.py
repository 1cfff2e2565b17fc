"""When a change is in effect."""

from typing import Final, NamedTuple


class Effect(NamedTuple):
    """Whether a committed change is effective on every node; None if nothing was changed.

    False means that some node may not follow the change yet, for this reason; the change was still made.
    """

    everywhere: bool | None = None
    reason: str | None = None


NOT_CHANGED: Final = Effect()
EFFECTIVE: Final = Effect(everywhere=True)
