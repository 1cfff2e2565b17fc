"""What does /verify cost against a bare aiohttp handler that answers 204?

    uv run --all-groups python tests/benchmarks/verify_ratio.py [--clients 10000 1000000] [--rounds 5] [--seconds 6]
        [--postgres [--misses]]
    uv run --all-groups python tests/benchmarks/verify_ratio.py --short

Each size gets a SQLite database of its own, filled with clients of two valid secrets each (one current, one retained),
and a `gql-secrets serve` on it; the bare handler runs the same way, on uvloop and without an access log. This
process asks them over loopback on keep-alive connections, a random secret each time, once each server has read ahead
what is in use, and was asked about each of these secrets once: so lists have their uses, as they do an hour after a
start. The servers take turns within each round, so a busy machine slows all of them. A ratio is bare / verify
of the processor time per request (all threads of the server, until what was counted in the turn is written), or
verify / bare of the requests per second, within one round; the table shows medians over the rounds. It fails under
0.75 of the processor time at 10,000 clients, or under 0.65 above. `--short` checks only that all of it works.

With `--postgres` the databases are on a PostgreSQL of the benchmark's own, and the servers verify from memory. It fails
under 0.70 of the requests per second. It prints PostgreSQL's own processor time and transactions while the servers are
asked and nobody changes anything.

With `--postgres --misses` no secret is asked for twice, so that none is remembered, and each verification reads the
database. The bare handler then sends one prepared statement, which finds a secret by its digest, over asyncpg's own
pool, and answers 204. It fails under 0.85 of the requests per second. Give it enough clients for the whole run.
"""

import argparse
import asyncio
import base64
import itertools
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import asyncpg
import uvloop
from aiohttp.test_utils import unused_port

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.verified_clients import PEPPER, client_id, fill_postgres, fill_sqlite, secret
from support.databases import PostgresServer, apart, name_in, postmaster_in
from support.processes import cpu_seconds, cpu_seconds_of_tree, own_memory

from gql_secrets.domain.credentials import Pepper
from gql_secrets.settings import DATABASE_FILE, Settings
from gql_secrets.wiring import open_services

SMALL = 10_000
BARS = {True: 0.75, False: 0.65}  # by whether there are at most SMALL clients
POSTGRES_BAR = 0.70
SHORT = (1, 0.5, 8)  # rounds, seconds, connections
SHORT_CLIENTS, SHORT_MISSES = 5000, 50_000
MISSES_BAR = 0.85
WARM_SECONDS = 2.0
MAX_READ_AHEAD = 180.0
MAX_REQUESTS = 400_000
FLUSH_SECONDS = 5  # the shortest that can be set: a run need not wait for a minute
IDLE = 0.05  # seconds of processor time within a second


async def install(settings: Settings) -> None:
    services = await open_services(settings)
    await services.close()


@dataclass(slots=True)
class Server:
    """A server process, and what was measured of it."""

    name: str
    clients: int
    port: int
    process: subprocess.Popen[bytes]
    requests: list[bytes]
    postgres: "Postgres | None" = None
    asks_once: bool = False  # about each secret
    asked: int = 0
    cpu: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process.pid)

    def own_memory(self) -> int:
        return own_memory(self.process.pid)


@dataclass(slots=True)
class Postgres:
    """A database on PostgreSQL, and what PostgreSQL did while a server was asked about its secrets."""

    server: PostgresServer
    url: str
    processors: list[float] = field(default_factory=list)
    transactions: list[float] = field(default_factory=list)

    def cpu_seconds(self) -> float:
        return cpu_seconds_of_tree(postmaster_in(self.server.directory))

    async def committed(self) -> int:
        connection = await asyncpg.connect(self.url)
        try:
            counted = "SELECT xact_commit FROM pg_stat_database WHERE datname = $1"
            return int(await connection.fetchval(counted, name_in(self.url)))
        finally:
            await connection.close()


@contextmanager
def started(
    name: str, clients: int, arguments: list[str], requests: list[bytes], **environment: str
) -> Iterator[Server]:
    port = unused_port()
    process = subprocess.Popen(
        [sys.executable, *arguments, "--port", str(port)],
        env={**os.environ, "GQL_SECRETS_USAGE_FLUSH": f"{FLUSH_SECONDS}s", **environment},
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(1200):
            time.sleep(0.1)
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield Server(name, clients, port, process, requests)
    finally:
        process.terminate()
        process.wait(30)


class Caller(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it is answered."""

    def __init__(self, requests: Iterator[bytes], expected: bytes, ends_at: float, done: asyncio.Future[int]) -> None:
        self._requests, self._expected, self._ends_at, self._done = requests, expected, ends_at, done
        self._count = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        # No answer has a body, and heads of this size come in one piece.
        if not data.startswith(self._expected) or not data.endswith(b"\r\n\r\n"):
            self._done.set_exception(RuntimeError(f"unexpected answer: {data[:200]!r}"))
            self._transport.close()
            return
        self._count += 1
        if time.perf_counter() < self._ends_at:
            request = next(self._requests, None)
            if request is None:
                self._done.set_exception(RuntimeError("every secret was asked for: give it more clients"))
                self._transport.close()
                return
            self._transport.write(request)
        else:
            self._transport.close()
            self._done.set_result(self._count)


async def load(server: Server, seconds: float, connections: int, first: int | None = None) -> int:
    """Ask for this many seconds; return how many answers came."""
    loop = asyncio.get_running_loop()
    expected = b"HTTP/1.1 204" if server.clients == 0 else b"HTTP/1.1 200"
    # Each turn begins elsewhere, so that a million clients are a million.
    begin = random.randrange(len(server.requests)) if first is None else first  # noqa: S311  a benchmark's chance
    requests: Iterator[bytes] = itertools.cycle(server.requests)
    if server.asks_once:
        requests = itertools.islice(server.requests, server.asked, None)
    else:
        next(itertools.islice(requests, begin, begin), None)
    ends_at = time.perf_counter() + seconds
    answers = []
    for _ in range(connections):
        done = loop.create_future()
        caller = partial(Caller, requests, expected, ends_at, done)
        await loop.create_connection(caller, "127.0.0.1", server.port)
        answers.append(done)
    count = sum(await asyncio.gather(*answers))
    server.asked += count
    return count


async def measure(server: Server, seconds: float, connections: int) -> None:
    postgres = server.postgres
    committed, worked = (await postgres.committed(), postgres.cpu_seconds()) if postgres else (0, 0.0)
    cpu, began = server.cpu_seconds(), time.perf_counter()
    count = await load(server, seconds, connections)
    lasted = time.perf_counter() - began
    server.rate.append(count / lasted)
    if postgres:
        postgres.processors.append((postgres.cpu_seconds() - worked) / lasted)
        postgres.transactions.append((await postgres.committed() - committed) / lasted)
    if server.clients:
        await asyncio.sleep(FLUSH_SECONDS)
        await settle(server)
    server.cpu.append((server.cpu_seconds() - cpu) / count)


async def settle(server: Server) -> None:
    """Wait until the server has nothing left to do."""
    ends_at = time.monotonic() + MAX_READ_AHEAD
    while time.monotonic() < ends_at:
        before = server.cpu_seconds()
        await asyncio.sleep(1)
        if server.cpu_seconds() - before < IDLE:
            return
    print(f"{server.name} is still busy with itself", flush=True)


async def warm(server: Server, connections: int) -> None:
    """Let the server read ahead, ask it about its secrets once, and let it write that."""
    began = time.monotonic()
    await settle(server)
    if server.clients:
        print(f"{server.clients:,} clients: read ahead within {time.monotonic() - began:.0f} s", flush=True)
    if server.asks_once:
        await load(server, WARM_SECONDS, connections)
        return
    asked = 0
    while asked < len(server.requests):
        asked += await load(server, WARM_SECONDS, connections, first=asked)
    if server.clients:
        await asyncio.sleep(FLUSH_SECONDS)
        await settle(server)


def request(authorization: str) -> bytes:
    return (
        f"GET /verify HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n"
        "User-Agent: benchmark/1.0\r\nAccept: */*\r\n\r\n"
    ).encode()


def requests_of(clients: int) -> list[bytes]:
    """Requests with secrets chosen at random, both of a client equally often."""
    pairs = random.sample(range(2 * clients), min(2 * clients, MAX_REQUESTS))
    basic = (base64.b64encode(f"{client_id(pair // 2)}:{secret(pair // 2, pair % 2)}".encode()) for pair in pairs)
    return [request(f"Basic {each.decode()}") for each in basic]


SERVE = ("-m", "gql_secrets.cli", "serve", "--data-dir")
BARE = str(Path(__file__).with_name("bare_handlers.py"))


@contextmanager
def on_sqlite(clients: int) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="gqls-bench-") as name:
        directory = Path(name)
        asyncio.run(install(Settings(data_dir=directory, pepper=PEPPER)))
        began = time.perf_counter()
        fill_sqlite(directory / DATABASE_FILE, clients)
        size = (directory / DATABASE_FILE).stat().st_size / 2**20
        print(f"{clients:,} clients: {size:.0f} MB, filled in {time.perf_counter() - began:.0f} s", flush=True)
        with started(
            f"/verify, {clients:,} clients", clients, [*SERVE, name], requests_of(clients), GQL_SECRETS_PEPPER=PEPPER
        ) as server:
            yield server


@contextmanager
def on_postgres(clients: int, database: PostgresServer) -> Iterator[Server]:
    url = database.create()
    with tempfile.TemporaryDirectory(prefix="gqls-bench-") as name:
        asyncio.run(install(Settings(data_dir=Path(name), database_url=url, pepper=PEPPER)))
        began = time.perf_counter()
        apart(fill_postgres(url, clients))
        print(f"{clients:,} clients: filled in {time.perf_counter() - began:.0f} s", flush=True)
        with started(
            f"/verify, {clients:,} clients", clients, [*SERVE, name], requests_of(clients),
            GQL_SECRETS_PEPPER=PEPPER, GQL_SECRETS_DATABASE_URL=url, GQL_SECRETS_VERIFY_FROM="memory",
        ) as server:  # fmt: skip
            server.postgres = Postgres(database, url)
            yield server


def compare(
    sizes: Sequence[int], rounds: int, seconds: float, connections: int, database: PostgresServer | None
) -> int:
    with ExitStack() as stack:
        servers = [stack.enter_context(started("bare 204", 0, [BARE], [request("Basic " + "a" * 120)]))]
        empty: dict[int, int] = {}
        for clients in sizes:
            server = stack.enter_context(on_postgres(clients, database) if database else on_sqlite(clients))
            servers.append(server)
            empty[clients] = server.own_memory()
        take_turns(servers, rounds, seconds, connections)
        return report(servers, empty, POSTGRES_BAR)


def compare_misses(clients: int, rounds: int, seconds: float, connections: int, database: PostgresServer) -> int:
    with on_postgres(clients, database) as server:
        assert server.postgres is not None
        server.asks_once = True
        empty = {clients: server.own_memory()}
        key = Pepper.parse(PEPPER).first
        reads = [
            request(f"Bearer {key.digest(client_id(number), secret(number, 1)).hex()}")
            for number in random.sample(range(clients), min(clients, SMALL))
        ]
        with started("bare asyncpg", 0, [BARE, "--reads", server.postgres.url], reads) as bare:
            take_turns([bare, server], rounds, seconds, connections)
            return report([bare, server], empty, MISSES_BAR)


def take_turns(servers: list[Server], rounds: int, seconds: float, connections: int) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for server in servers:
            runner.run(warm(server, connections))
        for number in range(rounds):
            for server in servers[number % len(servers) :] + servers[: number % len(servers)]:
                runner.run(measure(server, seconds, connections))


def report(servers: list[Server], empty: dict[int, int], postgres_bar: float) -> int:
    bare = servers[0]
    failed = 0
    print(
        f"\n{'server':28} {'CPU/request':>12} {'ratio':>6} {'(worst)':>8} {'requests/s':>11} {'ratio':>6} {'memory':>8}"
    )
    for server in servers:
        ratios = [one / other for one, other in zip(bare.cpu, server.cpu, strict=True)]
        rates = [other / one for one, other in zip(bare.rate, server.rate, strict=True)]
        ratio = statistics.median(ratios)
        print(
            f"{server.name:28} {statistics.median(server.cpu) * 1e6:9.1f} µs {ratio:6.2f} {min(ratios):8.2f} "
            f"{statistics.median(server.rate):11,.0f} {statistics.median(rates):6.2f} "
            f"{server.own_memory() / 2**20:5.0f} MB"
        )
        if server.postgres:
            failed += statistics.median(rates) < postgres_bar
        else:
            failed += server is not bare and ratio < BARS[server.clients <= SMALL]
    for server in servers[1:]:
        grown = server.own_memory() - empty[server.clients]
        print(f"memory of its own at {server.clients:,} clients: {grown / 2**20:.0f} MB more than at the start, "
              f"{grown / server.clients:,.0f} bytes a client")  # fmt: skip
        if server.postgres:
            processors, transactions = server.postgres.processors, server.postgres.transactions
            print(f"PostgreSQL at {server.clients:,} clients: {statistics.median(processors):.3f} of a processor, "
                  f"{statistics.median(transactions):.1f} transactions a second")  # fmt: skip
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare /verify with a bare handler.")
    parser.add_argument("--clients", type=int, nargs="+", default=[SMALL, 1_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL, from memory")
    parser.add_argument("--misses", action="store_true", help="with --postgres: ask for each secret once")
    parser.add_argument("--short", action="store_true", help="check only that it works")
    chosen = parser.parse_args()
    given = chosen.clients, chosen.rounds, chosen.seconds, chosen.connections
    if not chosen.postgres and not chosen.short:
        return compare(*given, None)
    database = PostgresServer()
    try:
        if chosen.short:
            compare([SHORT_CLIENTS], *SHORT, None)
            compare([SHORT_CLIENTS], *SHORT, database)
            compare_misses(SHORT_MISSES, *SHORT, database)
            return 0
        if chosen.misses:
            return compare_misses(chosen.clients[-1], *given[1:], database)
        return compare(*given, database)
    finally:
        database.stop()


if __name__ == "__main__":
    sys.exit(main())
