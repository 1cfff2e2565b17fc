"""What do slow heads and idle connections cost the others?

    uv run --all-groups python tests/benchmarks/slow_heads.py [--slow 2000] [--idle 10000] [--rounds 3]

Starts a `gql-secrets serve` on a new SQLite database, and asks it `/verify` on a few keep-alive connections, at a
fixed rate. Each round measures the latency for as long as a head may take and two seconds more, first alone, then
while another process opens the slow connections, 200 at a time, and sends a byte of a head on each every second.
It prints how long after its opening the last of them was gone, and the two p99. Then it opens the idle connections,
each of which has asked once, and prints what the server's own memory has grown by. On a busy machine run it with a
priority above the others' (`chrt -r 1`): else the scheduler's pauses are all that is seen.

It fails if a slow head lives longer than 12 s, if the median of the p99 ratios is above 2, or if an idle connection
costs more than 32 KiB.
"""

import argparse
import asyncio
import base64
import multiprocessing
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import cast

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.processes import own_memory
from support.serving import serving

MAX_LIFE = 12.0
WORST_RATIO = 2.0
MAX_BYTES = 32 * 1024
CALLERS = 4
AT_ONCE = 200
HEAD = b"GET /verify HTTP/1.1\r\nHost: x\r\nUser-Agent: slow\r\nX-Slow: "


class Caller(asyncio.Protocol):
    """One keep-alive connection that asks at its own pace, and remembers how long each answer took."""

    def __init__(self, request: bytes, pause: float, latencies: list[float]) -> None:
        self._request, self._pause, self._latencies = request, pause, latencies
        self._sent_at = 0.0
        self._transport: asyncio.Transport
        self.is_stopped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        if self.is_stopped:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"unexpected answer: {data[:200]!r}")
        took = time.perf_counter() - self._sent_at
        self._latencies.append(took)
        asyncio.get_running_loop().call_later(max(0.0, self._pause - took), self._ask)


async def latencies_of(port: int, request: bytes, seconds: float, per_second: int) -> list[float]:
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    callers = []
    for _ in range(CALLERS):
        caller = Caller(request, CALLERS / per_second, latencies)
        await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", port)  # type: ignore[misc]
        callers.append(caller)
        await asyncio.sleep(1 / per_second)
    await asyncio.sleep(seconds)
    for caller in callers:
        caller.is_stopped = True
    await asyncio.sleep(0.1)
    return latencies


class Slow(asyncio.Protocol):
    """One connection that never ends its head."""

    def __init__(self, gone: list[float]) -> None:
        self._gone = gone
        self._opened_at = time.monotonic()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(HEAD)
        self._drip()

    def _drip(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"x")
            asyncio.get_running_loop().call_later(1.0, self._drip)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._gone.append(time.monotonic() - self._opened_at)


def attack(port: int, count: int, begin: float, told: "multiprocessing.Queue[tuple[int, float]]") -> None:
    """Open slow connections as fast as they come; tell how many are gone and how long the last one lived."""

    async def run() -> None:
        await asyncio.sleep(max(0.0, begin - time.monotonic()))
        gone: list[float] = []
        loop = asyncio.get_running_loop()
        for _ in range(count // AT_ONCE):
            opening = (loop.create_connection(lambda: Slow(gone), "127.0.0.1", port) for _ in range(AT_ONCE))
            await asyncio.gather(*opening)
        for _ in range(int(3 * MAX_LIFE * 10)):
            if len(gone) == count:
                break
            await asyncio.sleep(0.1)
        told.put((len(gone), max(gone, default=0.0)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def p99(latencies: list[float]) -> float:
    return statistics.quantiles(latencies, n=100)[98] * 1000


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def slow_heads(port: int, request: bytes, chosen: argparse.Namespace) -> bool:
    context = multiprocessing.get_context("spawn")
    ratios, lives = [], []
    print(f"{'round':>5} {'gone':>6} {'last after':>11} {'p50 alone':>10} {'p99 alone':>10} {'p50 then':>10} {'p99 then':>10} {'ratio':>6}")  # fmt: skip # noqa: E501
    for number in range(chosen.rounds):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            alone = runner.run(latencies_of(port, request, MAX_LIFE, chosen.rate))
        told: multiprocessing.Queue[tuple[int, float]] = context.Queue()
        attacker = context.Process(target=attack, args=(port, chosen.slow, time.monotonic() + 2.0, told))
        attacker.start()
        time.sleep(2.0)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            then = runner.run(latencies_of(port, request, MAX_LIFE, chosen.rate))
        gone, life = told.get(timeout=60)
        attacker.join()
        ratios.append(p99(then) / p99(alone))
        lives.append(life if gone == chosen.slow else float("inf"))
        print(
            f"{number + 1:5} {gone:6,} {life:9.2f} s {statistics.median(alone) * 1000:7.2f} ms {p99(alone):7.2f} ms "
            f"{statistics.median(then) * 1000:7.2f} ms {p99(then):7.2f} ms {ratios[-1]:6.2f}",
            flush=True,
        )
    print(f"median ratio of p99: {statistics.median(ratios):.2f}; longest life: {max(lives):.2f} s")
    return max(lives) <= MAX_LIFE and statistics.median(ratios) <= WORST_RATIO


def idle(port: int, pid: int, request: bytes, count: int) -> bool:
    peers = []

    def ask() -> None:
        peer = socket.create_connection(("127.0.0.1", port), timeout=10)
        peer.sendall(request)
        if not peer.recv(4096).startswith(b"HTTP/1.1 200 "):
            raise SystemExit("unexpected answer")
        peers.append(peer)

    for _ in range(200):  # what the first connections cost alone is not counted
        ask()
    before, files = own_memory(pid), open_files(pid)
    for _ in range(count):
        ask()
    grown, opened = own_memory(pid) - before, open_files(pid) - files
    each = grown / max(1, opened)
    print(f"{opened:,} idle connections: {grown / 2**20:.0f} MB, {each:,.0f} bytes each")
    for peer in peers:
        peer.close()
    return opened == count and each <= MAX_BYTES


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what slow and idle connections cost.")
    parser.add_argument("--slow", type=int, default=2_000)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=400, help="how often /verify is asked in a second")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gqls-bench-") as folder, serving(Path(folder)) as server:
        basic = base64.b64encode(server.owner.encode()).decode()
        request = f"GET /verify HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {basic}\r\n\r\n".encode()
        passed = slow_heads(server.port, request, chosen) if chosen.rounds else True
        return not (idle(server.port, server.process.pid, request, chosen.idle) and passed)


if __name__ == "__main__":
    sys.exit(main())
