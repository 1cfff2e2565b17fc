"""Several `gql-secrets serve` on one PostgreSQL, which are stopped, killed and started again on their own ports."""

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.serving import SECONDS_TO_START, Serving, start, wait_for_url

# Below the ports that systems give to outgoing connections: while a node is down, no connection gets its port.
_PORTS = iter(range(10_000 + os.getpid() * 16 % 20_000, 32_000))


def lasting_port() -> int:
    """Return a port that a server can have again after a restart."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("all ports are taken")


@dataclass(eq=False, slots=True)
class Node:
    """One server, which keeps its port and its settings from start to start.

    `source` is the directory of another release, or None for this one.
    """

    port: int
    folder: Path
    settings: Mapping[str, str] = field(repr=False)
    source: Path | None = None
    _process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        self._process = start(self.folder, "--port", str(self.port), source=self.source, **self.settings)
        await asyncio.to_thread(wait_for_url, self._process, self.folder)
        await asyncio.to_thread(self._wait_until_ready)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit code."""
        process = self.serving.process
        process.send_signal(number)
        return await asyncio.to_thread(process.wait, SECONDS_TO_START)

    @property
    def serving(self) -> Serving:
        assert self._process is not None
        return Serving(f"http://127.0.0.1:{self.port}", self._process, self.folder)

    def end(self) -> None:
        """End it, if it runs, at the end of a test."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
                connection.request("GET", "/readyz")
                if connection.getresponse().status == http.client.OK:
                    return
            time.sleep(0.02)
        raise AssertionError(f"the node is not ready: {self.serving.stderr[-3000:]}")


async def start_all(nodes: Sequence[Node]) -> str:
    """Start the nodes, the first one first; return the first owner, `client id:secret`."""
    first, *others = nodes
    await first.start()
    owner = first.serving.owner
    await asyncio.gather(*(node.start() for node in others))
    return owner
