"""Work that a server repeats while it serves requests."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from gql_secrets.domain.errors import Failure

_log: Final = logging.getLogger(__name__)
_SECONDS_AFTER_FAILURE: Final = 5.0


async def repeat(
    work: Callable[[], Awaitable[float]], stop: asyncio.Event, *, early: asyncio.Event | None = None
) -> None:
    """Repeat the work until `stop` is set, each time after as many seconds as it returned. A failure never ends it.

    It does not wait so long once `early` is set, which the work clears.
    """
    while not stop.is_set():
        try:
            seconds = await work()
        except Failure as failure:
            _log.warning("background_work_retried", extra={"work": work.__qualname__, "reason": str(failure)})
            seconds = _SECONDS_AFTER_FAILURE
        except Exception:  # noqa: BLE001  the next run may succeed
            _log.exception("background_work_failed", extra={"work": work.__qualname__})
            seconds = _SECONDS_AFTER_FAILURE
        await _wait_for_any([stop] if early is None else [stop, early], seconds)


async def _wait_for_any(events: Sequence[asyncio.Event], seconds: float) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
