"""How often Python looks for garbage while a process starts.

What a start makes stays: modules, classes, the schema. Python would look through it again and again as it grows, for a
sixth of the processor time of a server's start.
"""

import gc
from typing import Final

# Python's own numbers: after how many new objects it looks through them, and how often through the older ones.
USUAL: Final = gc.get_threshold()
_OBJECTS: Final = 100_000


def look_rarely() -> None:
    """Look for garbage after a hundred thousand new objects: for a start, and for a command, which ends soon."""
    gc.set_threshold(_OBJECTS, *USUAL[1:])


def look_as_usual() -> None:
    """Look for garbage as often as Python does."""
    gc.set_threshold(*USUAL)
