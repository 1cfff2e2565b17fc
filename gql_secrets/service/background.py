"""Work that a server does again and again beside its requests."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from gql_secrets.domain.errors import Failure

_log: Final = logging.getLogger(__name__)
_AFTER_TROUBLE_SECONDS: Final = 5.0


async def repeat(work: Callable[[], Awaitable[float]], stop: asyncio.Event) -> None:
    """Do the work until `stop` is set, each time after as many seconds as it returned; trouble never ends it."""
    while not stop.is_set():
        try:
            seconds = await work()
        except Failure as failure:
            _log.warning("%s will be tried again: %s", work.__qualname__, failure)
            seconds = _AFTER_TROUBLE_SECONDS
        except Exception:  # noqa: BLE001  the next time may be better
            _log.exception("%s failed", work.__qualname__)
            seconds = _AFTER_TROUBLE_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
