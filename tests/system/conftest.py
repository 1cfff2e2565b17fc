"""These tests run on the event loop that the server runs on: the other one treats sockets otherwise."""

import asyncio
import sys
from collections.abc import Callable, Mapping


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if sys.platform == "win32":
        return {"asyncio": asyncio.new_event_loop}
    import uvloop  # noqa: PLC0415  no such module on Windows

    return {"uvloop": uvloop.new_event_loop}
