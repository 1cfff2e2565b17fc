"""The messages between the supervisor and a worker: JSON objects, one a line, over a pair of connected sockets.

The system closes a process's end with the process, so each side notices the end of the other.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Self

# The metrics of a worker that counts many names of operations are some hundreds of kilobytes.
_MAX_BYTES: Final = 16 * 1024 * 1024


class Channel:
    """One side of the connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._one_writer = asyncio.Lock()

    @classmethod
    async def over(cls, own: socket.socket) -> Self:
        """Return the side that this socket is; `close` closes it."""
        return cls(*await asyncio.open_unix_connection(sock=own, limit=_MAX_BYTES))

    async def send(self, message: Mapping[str, object]) -> None:
        """Send a message; nothing happens if the other side is gone."""
        async with self._one_writer:
            try:
                self._writer.write(json.dumps(message).encode() + b"\n")
                await self._writer.drain()
            except OSError:
                return

    async def messages(self) -> AsyncIterator[Mapping[str, Any]]:
        """Yield what the other side sends, until it is gone."""
        while True:
            try:
                line = await self._reader.readline()
            except OSError:
                return
            if not line.endswith(b"\n"):
                return
            yield json.loads(line)

    def close(self) -> None:
        """Close this side."""
        self._writer.close()
