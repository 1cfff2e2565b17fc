"""A server on these settings in a thread of this process, for tests that run the command line against it."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from aiohttp import web

from gql_secrets.api.app import build_app
from gql_secrets.settings import Settings


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[str]:
    """Serve on a free port of loopback until the end of the block; yield the URL."""
    started, stop = threading.Event(), asyncio.Event()
    urls: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        runner = web.AppRunner(build_app(settings), access_log=None)
        try:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
            started.set()
            await stop.wait()
        finally:
            await runner.cleanup()

    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as failure:  # noqa: BLE001  raised below, in the thread of the test
            failures.append(failure)
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    if failures:
        raise failures[0]
    try:
        yield urls[0]
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()
    if failures:
        raise failures[0]
