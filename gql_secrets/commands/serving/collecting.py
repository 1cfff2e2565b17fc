"""How a server collects garbage, so that the collector does not make requests wait.

Python looks through all objects of the process, for a tenth of a second or more, each time that enough new ones have
survived: about once a second while a caller asks for much. Here only the objects made since the last look are looked
through, a few times a second: 10 to 20 milliseconds each time while documents are compiled for a caller as fast as it
sends them. What survives that is looked through again once an hour, while the server has little to do.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator
from typing import Final

from gql_secrets.commands.collector import USUAL, look_as_usual

# A look is due after five collections of younger objects, each of which leaves it at most 8,000.
_DUE: Final = 5
_NEVER: Final = 2**31 - 1
_INTERVAL: Final = 0.2
# When all objects are looked through: in an interval with little to do once one time has passed, in any after both.
_WHOLE_IF_IDLE: Final = 3_600.0
_WHOLE_AT_LATEST: Final = 2 * _WHOLE_IF_IDLE
# Little to do is less than this part of a processor.
_IDLE: Final = 0.1


@contextlib.asynccontextmanager
async def collecting_in_small_steps() -> AsyncIterator[None]:
    """Collect garbage a few times a second until the end of the block, and leave the old objects out of it."""
    young, middle, _ = USUAL  # the start is over
    gc.set_threshold(young, middle, _NEVER)
    _collect_whole()
    task = asyncio.create_task(_collect())
    try:
        yield
    finally:
        task.cancel()
        gc.unfreeze()
        look_as_usual()


async def _collect() -> None:
    whole_at = time.monotonic()
    while True:
        worked = time.process_time()
        await asyncio.sleep(_INTERVAL)
        is_idle = time.process_time() - worked < _IDLE * _INTERVAL
        waited = time.monotonic() - whole_at
        if waited > (_WHOLE_IF_IDLE if is_idle else _WHOLE_AT_LATEST):
            _collect_whole()
            whole_at = time.monotonic()
        elif gc.get_count()[2] >= _DUE:
            gc.collect()
            gc.freeze()


def _collect_whole() -> None:
    gc.unfreeze()
    gc.collect()
    gc.freeze()
