"""What only the garbage collector finds."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def garbage() -> Iterator[Counter[str]]:
    """What is only found by the collector at the end of the block, by the name of its class, where that is ours."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.update(type(each).__name__ for each in gc.garbage if type(each).__module__.startswith("gql_secrets"))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
