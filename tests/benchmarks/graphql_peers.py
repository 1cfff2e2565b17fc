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
import json
import os
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).parent.parent))

import asyncpg
import uvloop
from aiohttp import encode_basic_auth, web
from benchmarks.reset_rate import PEPPER, new_postgres, new_sqlite, postgres, quartiles, shuffled
from support.callers import ADMIN
from support.databases import PostgresServer

from gql_secrets.domain.access import Feature
from gql_secrets.settings import DATABASE_FILE, Settings
from gql_secrets.wiring import open_services

PEERS = Path(__file__).parent / "peers"
POSTGRAPHILE = "4.14.1"
POSTGRES, SQLITE, BARE = "gql-secrets, PostgreSQL", "gql-secrets, SQLite", "bare aiohttp"
APOLLO, MERCURIUS = "Apollo Server", "Mercurius"
TICKS = os.sysconf("SC_CLK_TCK")

FIELDS = "clientId name enabled createdAt generation currentSecret { hint %s }"
TYPENAME, ONE, LIST, RESET = "{ __typename }", "one client", "50 clients", "resetSecret"
RESET_MUTATION = (
    "mutation ($id: %s!) { resetSecret(clientId: $id, hoursToLive: 24%s) { newSecret oldSecretExpiresAt } }"
)
# What is asked: of ours, of the peers in JavaScript, of PostGraphile.
QUERIES = {
    TYPENAME: ("{ __typename }", "{ __typename }", "{ __typename }"),
    ONE: (
        f"query ($id: ID!) {{ client(clientId: $id) {{ {FIELDS % 'createdAt'} }} }}",
        f"query ($id: String!) {{ client(clientId: $id) {{ {FIELDS % 'createdAt'} }} }}",
        f"query ($id: String!) {{ clientByClientId(clientId: $id) {{ {FIELDS % 'createdAt'} }} }}",
    ),
    LIST: (
        f"{{ clients(first: 50) {{ nodes {{ {FIELDS % ''} oldSecret {{ hint }} }} }} }}",
        f"{{ clients(first: 50) {{ {FIELDS % ''} oldSecret {{ hint }} }} }}",
        f"{{ allClientsList(first: 50) {{ {FIELDS % ''} oldSecret {{ hint }} }} }}",
    ),
    RESET: (
        RESET_MUTATION % ("ID", ", endActiveRollover: true"),
        RESET_MUTATION % ("String", ""),
        None,
    ),
}
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
RETAINED = """
    INSERT INTO client_secret (client_id, digest, pepper_key_id, hint, is_weak, state, created_at, created_by,
        replaced_at, expires_at, use_count, refused_attempts)
    SELECT client_id, {digest}, 'bench', 'abcd', false, 'RETAINED', created_at, 'user:ada',
        created_at, created_at + 360000000000, 0, 0 FROM client
"""


@dataclass(slots=True)
class Cost:
    """Seconds of processor time per request, in one turn."""

    server: float
    database: float


@dataclass(slots=True)
class Server:
    name: str
    dialect: int
    port: int
    process: subprocess.Popen[bytes]
    path: str
    authorizations: Sequence[str] = ("",)
    costs: dict[tuple[str, int], list[Cost]] = field(default_factory=dict)

    def requests(self, kind: str, client_ids: Iterator[str], number: int) -> Iterator[bytes]:
        """The requests of the connection of that number."""
        query = QUERIES[kind][self.dialect]
        authorization = self.authorizations[number % len(self.authorizations)]
        return (self._request({"query": query, "variables": {"id": each}}, authorization) for each in client_ids)

    def _request(self, content: object, authorization: str) -> bytes:
        body = json.dumps(content).encode()
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json\r\n{authorization}Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body


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


def cpu_of_tree(root: int | None) -> float:
    """Return the processor time of a process, its children, and those of them that have ended."""
    if root is None:
        return 0.0
    times: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        times[int(directory.name)] = sum(map(int, fields[11:15])) / TICKS
        children.setdefault(int(fields[1]), []).append(int(directory.name))
    total, left = 0.0, [root]
    while left:
        process = left.pop()
        total += times.get(process, 0.0)
        left += children.get(process, [])
    return total


async def measure(server: Server, kind: str, connections: int, seconds: float, postmaster: int | None) -> None:
    before, database = cpu_of_tree(server.process.pid), cpu_of_tree(postmaster)
    count = await ask(server, kind, connections, seconds)
    cost = Cost((cpu_of_tree(server.process.pid) - before) / count, (cpu_of_tree(postmaster) - database) / count)
    server.costs.setdefault((kind, connections), []).append(cost)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(
    name: str,
    dialect: int,
    path: str,
    command: Sequence[str],
    *,
    authorizations: Sequence[str] = ("",),
    **environment: str,
) -> Iterator[Server]:
    """Run a server; PORT in the command is its port."""
    port = free_port()
    process = subprocess.Popen(
        [part.replace("PORT", str(port)) for part in command],
        env={**os.environ, "NODE_ENV": "production", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                raise RuntimeError(f"{name} did not start")
            time.sleep(0.1)
        yield Server(name, dialect, port, process, path, authorizations)
    finally:
        process.terminate()
        process.wait(30)


async def make_owners(settings: Settings, count: int) -> list[str]:
    """Create owners, and give each client a retained secret; return the headers with which the owners sign in."""
    services = await open_services(settings)
    owners = [
        await services.clients.create_client("Owner", features=[Feature.OWNER.value], by=ADMIN) for _ in range(count)
    ]
    await services.close()
    if settings.database_url:
        connection = await asyncpg.connect(settings.database_url)
        await connection.execute(RETAINED.format(digest="sha256(client_id::bytea)"))
        await connection.execute("VACUUM ANALYZE")
        await connection.close()
    else:
        with closing(sqlite3.connect(settings.data_dir / DATABASE_FILE)) as file, file:
            file.execute(RETAINED.format(digest="randomblob(32)"))
    return [
        f"Authorization: {encode_basic_auth(owner.client.client_id, owner.secret.reveal())}\r\n" for owner in owners
    ]


def our_servers(stack: ExitStack, directory: Path, server: PostgresServer, callers: int) -> list[Server]:
    servers = [stack.enter_context(started(BARE, 0, "/graphql", [sys.executable, __file__, "--bare", "PORT"]))]
    for name, settings in (
        (POSTGRES, asyncio.run(new_postgres(server, directory / "postgres"))),
        (SQLITE, asyncio.run(new_sqlite(directory / "sqlite"))),
    ):
        authorizations = asyncio.run(make_owners(settings, callers))
        serve = ["-m", "gql_secrets.cli", "serve", "--data-dir", str(settings.data_dir), "--port", "PORT"]
        command = [sys.executable, *serve]
        environment = {"GQL_SECRETS_PEPPER": PEPPER}
        if settings.database_url:
            environment["GQL_SECRETS_DATABASE_URL"] = settings.database_url
        servers.append(
            stack.enter_context(started(name, 0, "/graphql", command, authorizations=authorizations, **environment))
        )
    return servers


def peer_servers(stack: ExitStack, directory: Path, server: PostgresServer, kinds: Sequence[str]) -> list[Server]:
    """Install and start the peers; say why where one cannot be. Resets alone are compared with Mercurius alone."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        print("no peers: node and npm are not installed", flush=True)
        return []
    shutil.copytree(PEERS, directory, dirs_exist_ok=True)
    install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"]
    if subprocess.run(install, cwd=directory, check=False).returncode:
        print("no peers: npm could not install them", flush=True)
        return []
    url = server.create("template0")
    asyncio.run(run_script(url, (PEERS / "schema.sql").read_text()))
    servers = []

    def start(name: str, dialect: int, path: str, *command: str) -> None:
        try:
            servers.append(stack.enter_context(started(name, dialect, path, [node, *command], DATABASE_URL=url)))
        except RuntimeError as failure:
            print(f"left out: {failure}", flush=True)

    start(MERCURIUS, 1, "/graphql", str(directory / "mercurius.mjs"), "PORT")
    if kinds == (RESET,):
        return servers
    start(APOLLO, 1, "/", str(directory / "apollo.mjs"), "PORT")
    start("Yoga", 1, "/graphql", str(directory / "yoga.mjs"), "PORT")
    start("Mercurius with jit", 1, "/graphql", str(directory / "mercurius.mjs"), "PORT", "jit")
    separate = directory / "postgraphile"
    separate.mkdir()
    (separate / "package.json").write_text('{"private": true}')
    if subprocess.run([*install, f"postgraphile@{POSTGRAPHILE}"], cwd=separate, check=False).returncode:
        print("left out: npm could not install PostGraphile", flush=True)
        return servers
    options = "-s public -n 127.0.0.1 -p PORT --simple-collections both --disable-query-log --disable-graphiql"
    more = "--max-pool-size 10 --no-setof-functions-contain-nulls --legacy-relations omit"
    script = separate / "node_modules" / "postgraphile" / "cli.js"
    start("PostGraphile", 2, "/graphql", str(script), "-c", url, *options.split(), *more.split())
    return servers


async def run_script(url: str, script: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(script)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


def postmaster_of(server: PostgresServer) -> int | None:
    for path in server.directory.rglob("postmaster.pid"):
        return int(path.read_text().splitlines()[0])
    return None


def serve_bare(port: int) -> None:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b'{"data":{"__typename":"Query"}}', content_type="application/json")

    app = web.Application()
    app.router.add_post("/graphql", answer)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, loop=uvloop.new_event_loop(), print=None)


async def turns(
    servers: list[Server], kinds: Sequence[str], rounds: int, seconds: float, postmaster: int | None
) -> None:
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
            runner.run(turns(servers, kinds, rounds, seconds, postmaster_of(server)))
        return report(servers, kinds)


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare GraphQL with a bare handler and with other servers.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--callers", type=int, default=1, help="how many sign in, each on connections of its own")
    parser.add_argument("--short", action="store_true", help="ours and the bare handler only; check that it works")
    parser.add_argument("--bare", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.bare:
        serve_bare(chosen.bare)
        return 0
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
