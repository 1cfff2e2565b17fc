"""What does GraphQL cost here, against a bare aiohttp handler and against the fastest servers of Node.js?

    uv run --all-groups python tests/benchmarks/graphql_peers.py [--rounds 5] [--seconds 1.5] [--callers 1] [--short]

Installs Apollo Server, Yoga, Mercurius and PostGraphile from npm into a temporary folder, in the versions of
`peers/package.json` and below. One PostgreSQL holds the same 10,000 clients with two secrets each for the peers and for
`gql-secrets serve`; a second one of ours runs on SQLite. This process asks them over loopback on keep-alive
connections, one after the other within each round. What counts is the processor time of the server's process tree per
request, and that of PostgreSQL's processes; a ratio is ours / theirs within one round, the table shows medians with
quartiles. It fails above the bars below.

What is not symmetric: ours authenticates each request, evaluates roles, and writes an audit log with a chain of hashes;
the peers do nothing of that, read by one joined statement, and reset by one call of a stored function. All connections
have the same caller, whose operations ours executes one at a time; with `--callers 16`, each has one of its own.
`--short` runs ours and the bare handler only, and checks that everything works.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).parent.parent))

import uvloop
from benchmarks.peer_servers import (
    APOLLO,
    BARE,
    LIST,
    MERCURIUS,
    ONE,
    POSTGRES,
    QUERIES,
    RESET,
    SQLITE,
    TYPENAME,
    Cost,
    Server,
    our_servers,
    peer_servers,
)
from benchmarks.reset_rate import postgres, quartiles, shuffled
from support.databases import PostgresServer, postmaster_in
from support.processes import cpu_seconds_of_tree

# The connections of each kind of request.
CONNECTIONS = {TYPENAME: (16,), ONE: (16,), LIST: (16,), RESET: (1, 32)}
# The highest allowed ratio of our server's CPU to that of the other one.
BARS = {
    (POSTGRES, ONE, APOLLO): 1.25,
    (POSTGRES, LIST, APOLLO): 1.0,
    (POSTGRES, TYPENAME, APOLLO): 1.5,
    (SQLITE, TYPENAME, APOLLO): 1.0,
    (SQLITE, ONE, BARE): 1 / 0.18,
    (SQLITE, LIST, BARE): 1 / 0.06,
    (POSTGRES, RESET, MERCURIUS): 4.0,
}
# The same for the CPU of PostgreSQL.
DATABASE_BARS = {(POSTGRES, RESET, MERCURIUS): 3.0}


class Connection(asyncio.Protocol):
    """A keep-alive connection that asks again as soon as it is answered."""

    def __init__(self, requests: Iterator[bytes], ends_at: float, done: "asyncio.Future[int]") -> None:
        self._requests, self._ends_at, self._done = requests, ends_at, done
        self._received = b""
        self._count = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or not is_whole(head.lower(), body):
            return
        is_refused = b'"errors"' in body or b'"newSecret":null' in body or b'"resetSecret":null' in body
        if b" 200 " not in head.partition(b"\r\n")[0] or is_refused or b'"data"' not in body:
            self._end(RuntimeError(f"unexpected answer: {self._received[:400]!r}"))
            return
        self._received = b""
        self._count += 1
        if time.perf_counter() < self._ends_at:
            self._transport.write(next(self._requests))
        else:
            self._end()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(RuntimeError(f"the server closed the connection: {error}"))

    def _end(self, failure: Exception | None = None) -> None:
        if self._done.done():
            return
        if failure:
            self._done.set_exception(failure)
        else:
            self._done.set_result(self._count)
        self._transport.close()


def is_whole(head: bytes, body: bytes) -> bool:
    if b"transfer-encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)


async def ask(server: Server, kind: str, connections: int, seconds: float) -> int:
    """Ask for this many seconds; return how many answers came."""
    loop = asyncio.get_running_loop()
    client_ids = shuffled()
    ends_at = time.perf_counter() + seconds
    answers: list[asyncio.Future[int]] = []
    for number in range(connections):
        requests = server.requests(kind, client_ids, number)
        answers.append(loop.create_future())
        await loop.create_connection(partial(Connection, requests, ends_at, answers[-1]), "127.0.0.1", server.port)
    return sum(await asyncio.gather(*answers))


async def measure(server: Server, kind: str, connections: int, seconds: float, postmaster: int) -> None:
    before, database = cpu_seconds_of_tree(server.process.pid), cpu_seconds_of_tree(postmaster)
    count = await ask(server, kind, connections, seconds)
    cost = Cost(
        (cpu_seconds_of_tree(server.process.pid) - before) / count,
        (cpu_seconds_of_tree(postmaster) - database) / count,
    )
    server.costs.setdefault((kind, connections), []).append(cost)


async def turns(servers: list[Server], kinds: Sequence[str], rounds: int, seconds: float, postmaster: int) -> None:
    asked = [
        (server, kind, connections)
        for kind in kinds
        for connections in CONNECTIONS[kind]
        for server in servers
        if QUERIES[kind][server.dialect] is not None
    ]
    for server, kind, connections in asked:
        await ask(server, kind, connections, seconds)
    for _ in range(rounds):
        for server, kind, connections in asked:
            await measure(server, kind, connections, seconds, postmaster)


def ratios(one: list[Cost], other: list[Cost], part: str) -> list[float]:
    pairs = zip(one, other, strict=True)
    return [getattr(a, part) / getattr(b, part) for a, b in pairs if getattr(b, part) > 0]


def report(servers: list[Server], kinds: Sequence[str]) -> int:
    """Print a table for each kind of request; return how many bars were missed."""
    by_name = {server.name: server for server in servers}
    failed = 0
    for kind in kinds:
        for connections in CONNECTIONS[kind]:
            print(f"\n{kind}, {connections} connections; CPU per request in µs, and what ours costs in multiples of it")
            print(
                f"{'server':26}{'CPU':>8}{'database':>10}{'PostgreSQL/it':>15}{'quartiles':>16}{'SQLite/it':>11}{'quartiles':>16}"
            )
            for server in servers:
                costs = server.costs.get((kind, connections))
                if not costs:
                    continue
                own, database = (
                    statistics.median(getattr(cost, part) for cost in costs) * 1e6 for part in ("server", "database")
                )
                line = f"{server.name:26}{own:8,.0f}{database:10,.0f}"
                for ours in (POSTGRES, SQLITE):
                    found = ratios(by_name[ours].costs[kind, connections], costs, "server")
                    line += f"{statistics.median(found):{15 if ours == POSTGRES else 11}.2f}{quartiles(found):>16}"
                print(line, flush=True)
            for part, bars in (("server", BARS), ("database", DATABASE_BARS)):
                for (ours, asked, other), bar in bars.items():
                    if asked != kind or other not in by_name:
                        continue
                    costs = by_name[ours].costs[kind, connections]
                    ratio = statistics.median(ratios(costs, by_name[other].costs[kind, connections], part))
                    verdict = "missed" if ratio > bar else "held"
                    print(f"bar {verdict}: {part} CPU of {ours} is {ratio:.2f} of {other}'s, at most {bar:.2f}")
                    failed += ratio > bar
    return failed


def compare(
    kinds: Sequence[str],
    rounds: int,
    seconds: float,
    server: PostgresServer,
    *,
    callers: int = 1,
    with_peers: bool = True,
) -> int:
    """Ask all servers for these kinds of requests, and print the tables; return how many bars were missed."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gqls-bench-")))
        servers = our_servers(stack, directory, server, callers)
        if with_peers:
            servers += peer_servers(stack, directory / "peers", server, kinds)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(turns(servers, kinds, rounds, seconds, postmaster_in(server.directory)))
        return report(servers, kinds)


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare GraphQL with a bare handler and with other servers.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--callers", type=int, default=1, help="how many sign in, each on connections of its own")
    parser.add_argument("--short", action="store_true", help="ours and the bare handler only; check that it works")
    chosen = parser.parse_args()
    if chosen.short:
        chosen.rounds, chosen.seconds = 1, 0.3
    with postgres() as server:
        failed = compare(
            tuple(CONNECTIONS),
            chosen.rounds,
            chosen.seconds,
            server,
            callers=chosen.callers,
            with_peers=not chosen.short,
        )
    return int(failed > 0 and not chosen.short)


if __name__ == "__main__":
    sys.exit(main())
