"""When a change is in effect."""

from typing import Final, NamedTuple


class Effect(NamedTuple):
    """Whether a committed change is effective on every node; None where nothing was changed.

    False does not mean that it was not made: it says, with a reason, that some node may not follow it yet.
    """

    everywhere: bool | None = None
    reason: str | None = None


NOT_CHANGED: Final = Effect()
EFFECTIVE: Final = Effect(everywhere=True)
