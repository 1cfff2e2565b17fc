"""SIGHUP: a running server reads its settings again. SIGUSR1 is ignored; neither ends the process."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

from gql_secrets.domain.errors import SetupError
from gql_secrets.settings.reloading import Reload

_log: Final = logging.getLogger(__name__)


def ignore_other_signals() -> None:
    """Let SIGHUP and SIGUSR1 end nothing, which they do by default: other servers reload or rotate their log then."""
    if sys.platform != "win32":
        for number in (signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def hangups() -> Iterator[asyncio.Event]:
    """Set the event at each SIGHUP, until the end of the block; from then on SIGHUP is ignored again."""
    received, loop = asyncio.Event(), asyncio.get_running_loop()
    if sys.platform == "win32":
        yield received
        return
    # Not `loop.add_signal_handler`: removing such a handler lets the next signal end the process.
    signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(received.set))
    try:
        yield received
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


@contextlib.asynccontextmanager
async def reloading(reload: Callable[[], Awaitable[Reload]], received: asyncio.Event) -> AsyncIterator[None]:
    """Reload the settings each time that the event is set, until the end of the block."""
    task = asyncio.create_task(_reload_at_each(reload, received))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _reload_at_each(reload: Callable[[], Awaitable[Reload]], received: asyncio.Event) -> None:
    while True:
        await received.wait()
        received.clear()
        try:
            done = await reload()
        except SetupError as error:
            _log.error("settings_not_reloaded", extra={"reason": str(error)})
        except Exception:  # noqa: BLE001  the server goes on with what it has
            _log.exception("settings_not_reloaded")
        else:
            facts = {"changed": ", ".join(done.changed), "needs_restart": ", ".join(done.kept)}
            log = _log.warning if done.kept else _log.info
            log("settings_reloaded", extra={key: text for key, text in facts.items() if text})
