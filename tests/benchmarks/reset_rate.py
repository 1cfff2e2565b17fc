"""How many resets a second, against the same statements sent straight to the driver?

    uv run --all-groups python tests/benchmarks/reset_rate.py [--rounds 5] [--seconds 3] [--short]

Without HTTP: `Rotation.reset_secret` on a new installation with 10,000 clients, every rule and the audit log as
shipped, against loops that lock, read and write the same rows by hand and decide nothing: asyncpg on PostgreSQL, and
`sqlite3` in one writer thread with synchronous=FULL. With 1 and with 32 callers, in turns within each round, each on a
database of its own. SQLite's files are in the system's temporary directory, so each commit waits for that disk. Garbage
is collected as a server does. A ratio is ours / by hand within one round; the table shows medians with quartiles.

Then over HTTP, signed in by Basic, against Mercurius, where a reset is one call of a stored function without audit,
roles or limits. What counts there is processor time, as in `graphql_peers.py`, which also says why npm is needed.

It fails below the bars at the top of this file and of that one; `--short` checks only that everything works, without
HTTP.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import itertools
import secrets
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import asyncpg
import uvloop
from support.callers import ADMIN
from support.databases import PostgresServer

from gql_secrets.commands.serving.collecting import collecting_in_small_steps
from gql_secrets.domain.rotation import Retention
from gql_secrets.settings import DATABASE_FILE, Settings
from gql_secrets.wiring import open_services

# Ours against the driver by hand: database, callers, lowest ratio of the resets a second.
BARS = {("PostgreSQL", 1): 0.70, ("PostgreSQL", 32): 0.70, ("SQLite", 1): 0.70, ("SQLite", 32): 1.50}
CLIENTS = 10_000
CALLERS = (1, 32)
HOUR = 3_600_000_000
PEPPER = "bench:" + base64.urlsafe_b64encode(hashlib.sha256(b"pepper of the benchmark").digest()).decode().rstrip("=")

INSERT_CLIENT = """
    INSERT INTO client (client_id, client_id_folded, name, name_folded, enabled, is_restricted, generation, created_at)
    VALUES ($1, $1, $2, $2, true, false, 1, $3)
"""
INSERT_SECRET = """
    INSERT INTO client_secret (client_id, digest, pepper_key_id, hint, is_weak, state, created_at, created_by,
        use_count, refused_attempts) VALUES ($1, $2, 'bench', 'abcd', false, 'CURRENT', $3, 'user:ada', 0, 0)
"""
LOCKS = (
    "SELECT 1 FROM client WHERE client_id = $1 FOR UPDATE",
    "SELECT 1 FROM client_secret WHERE client_id = $1 AND state IN ('CURRENT', 'RETAINED') ORDER BY id FOR UPDATE",
)
LOCK_INSTALLATION = "SELECT 1 FROM installation WHERE id = 1 FOR UPDATE"
READ = """
    SELECT i.revision, i.audit_head, cur.id, ret.id FROM installation i
    JOIN client c ON c.client_id = $1 AND c.deleted_at IS NULL
    JOIN client_secret cur ON cur.client_id = c.client_id AND cur.state = 'CURRENT'
    LEFT JOIN client_secret ret ON ret.client_id = c.client_id AND ret.state = 'RETAINED'
"""
END = "UPDATE client_secret SET state = 'REVOKED', ended_at = $1, end_reason = 'WITHDRAWN' WHERE id = $2"
RETAIN = "UPDATE client_secret SET state = 'RETAINED', replaced_at = $1, expires_at = $2 WHERE id = $3"
GENERATION = "UPDATE client SET generation = generation + 1 WHERE client_id = $1"
EVENT = """
    INSERT INTO audit_event (revision, at, action, actor, actor_kind, surface, request_id, address, client_id,
        generation_before, generation_after, secret_id, ended_secret_ids, hours_to_live, expires_at, hash, format)
    VALUES ($1, $2, 'SECRET_RESET', 'user:ada', 'USER', 'GRAPHQL', 'request-1', '192.0.2.1', $3, 1, 2, $4, '', 24, $5,
        $6, 2)
"""
HEAD = "UPDATE installation SET revision = $1, audit_head = $2 WHERE id = 1"


def client_id(number: int) -> str:
    return f"client{number:010}"


def shuffled() -> Iterator[str]:
    """Client ids, each client once before any comes again, and no two neighbours together."""
    return (client_id(number * 7919 % CLIENTS) for number in itertools.count())


def digest(text: str) -> bytes:
    return hmac.digest(b"pepper", text.encode(), "sha256")


def mint() -> str:
    return secrets.token_urlsafe(32)


@dataclass(slots=True)
class Target:
    database: str
    name: str
    reset: Callable[[str], Awaitable[object]]
    rates: dict[int, list[float]] = field(default_factory=lambda: {callers: [] for callers in CALLERS})
    cpu: dict[int, list[float]] = field(default_factory=lambda: {callers: [] for callers in CALLERS})
    clients: Iterator[str] = field(default_factory=shuffled)

    def forget(self) -> None:
        for callers in CALLERS:
            self.rates[callers].clear()
            self.cpu[callers].clear()

    async def measure(self, callers: int, seconds: float) -> None:
        ends_at = time.perf_counter() + seconds
        count = 0

        async def call() -> None:
            nonlocal count
            while time.perf_counter() < ends_at:
                await self.reset(next(self.clients))
                count += 1

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(call() for _ in range(callers)))
        self.rates[callers].append(count / (time.perf_counter() - began))
        self.cpu[callers].append((time.process_time() - cpu) / count)


class ByHandOnPostgres:
    """What an expert writes with asyncpg alone."""

    def __init__(self, pool: "asyncpg.Pool") -> None:
        self._pool = pool

    async def reset(self, client: str) -> None:
        async with self._pool.acquire() as connection:
            await connection.execute("BEGIN; SET LOCAL lock_timeout = '5s'")
            for statement in LOCKS:
                await connection.fetch(statement, client)
            await connection.fetch(LOCK_INSTALLATION)
            revision, head, current, retained = await connection.fetchrow(READ, client)
            now = time.time_ns() // 1000
            if retained is not None:
                await connection.execute(END, now, current)
            else:
                await connection.execute(RETAIN, now, now + 24 * HOUR, current)
            new = await connection.fetchval(INSERT_SECRET + " RETURNING id", client, digest(mint()), now)
            following = hashlib.sha256(head + client.encode()).digest()
            await connection.execute(GENERATION, client)
            await connection.execute(EVENT, revision + 1, now, client, new, now + 24 * HOUR, following)
            await connection.execute(HEAD, revision + 1, following)
            await connection.execute("COMMIT")


class ByHandOnSqlite:
    """What an expert writes with `sqlite3` alone: whole transactions in the one thread that writes."""

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._path = path
        self._connection: sqlite3.Connection | None = None

    async def reset(self, client: str) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._reset, client)

    def _reset(self, client: str) -> None:
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, isolation_level=None)
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        revision, head, current, retained = run(READ.replace("$1", "?1"), (client,)).fetchone()
        now = time.time_ns() // 1000
        if retained is not None:
            run(sqlite(END), (now, current))
        else:
            run(sqlite(RETAIN), (now, now + 24 * HOUR, current))
        new = run(sqlite(INSERT_SECRET), (client, digest(mint()), now)).lastrowid
        following = hashlib.sha256(head + client.encode()).digest()
        run(sqlite(GENERATION), (client,))
        run(sqlite(EVENT), (revision + 1, now, client, new, now + 24 * HOUR, following))
        run(sqlite(HEAD), (revision + 1, following))
        run("COMMIT")

    async def close(self) -> None:
        if self._connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()


def sqlite(statement: str) -> str:
    return statement.replace("$", "?")


def rows() -> Iterator[tuple[tuple[object, ...], tuple[object, ...]]]:
    now = time.time_ns() // 1000 - HOUR
    for number in range(CLIENTS):
        name = client_id(number)
        yield (name, f"client {number}", now), (name, digest(f"first of {name}"), now)


async def install(settings: Settings) -> None:
    services = await open_services(settings)
    await services.close()


async def new_postgres(server: PostgresServer, directory: Path) -> Settings:
    url = await asyncio.to_thread(server.create)
    settings = Settings(data_dir=directory, pepper=PEPPER, database_url=url)
    await install(settings)
    connection = await asyncpg.connect(url)
    for statement, values in zip((INSERT_CLIENT, INSERT_SECRET), zip(*rows(), strict=True), strict=True):
        await connection.executemany(statement, values)
    # Not the audit log: if PostgreSQL counted its first event now, each reset would read all events of the next minute.
    await connection.execute("ANALYZE client, client_secret")
    await connection.close()
    return settings


async def new_sqlite(directory: Path) -> Settings:
    settings = Settings(data_dir=directory, pepper=PEPPER)
    await install(settings)
    with closing(sqlite3.connect(directory / DATABASE_FILE)) as connection, connection:
        for statement, values in zip((INSERT_CLIENT, INSERT_SECRET), zip(*rows(), strict=True), strict=True):
            connection.executemany(sqlite(statement), values)
    return settings


async def targets(stack: AsyncExitStack, directory: Path, server: PostgresServer | None) -> tuple[Target, Target]:
    """Return the resets by hand and ours, each on a database of its own."""
    if server is None:
        await new_sqlite(directory / "by-hand")
        on_sqlite = ByHandOnSqlite(directory / "by-hand" / DATABASE_FILE)
        stack.push_async_callback(on_sqlite.close)
        by_hand = Target("SQLite", "by hand", on_sqlite.reset)
        settings = await new_sqlite(directory / "ours")
    else:
        hand = await new_postgres(server, directory / "by-hand-on-postgres")
        pool = await asyncpg.create_pool(hand.database_url, min_size=10, max_size=10)
        stack.push_async_callback(pool.close)
        by_hand = Target("PostgreSQL", "by hand", ByHandOnPostgres(pool).reset)
        settings = await new_postgres(server, directory / "ours-on-postgres")
    services = await open_services(settings)
    stack.push_async_callback(services.close)

    async def reset(client: str) -> None:
        await services.rotation.reset_secret(client, Retention(24), by=ADMIN)

    return by_hand, Target(by_hand.database, "gql-secrets", reset)


def report(by_hand: Target, ours: Target) -> int:
    """Print the table of one database; return how many bars were missed."""
    failed = 0
    for callers in CALLERS:
        ratios = [one / other for one, other in zip(ours.rates[callers], by_hand.rates[callers], strict=True)]
        for target in (by_hand, ours):
            rate, cpu = statistics.median(target.rates[callers]), statistics.median(target.cpu[callers])
            print(f"{target.database:12}{callers:8}  {target.name:14}{rate:10,.0f}{cpu * 1e6:10,.0f}", end="")
            print("" if target is by_hand else f"{statistics.median(ratios):8.2f}  {quartiles(ratios)}", flush=True)
        failed += statistics.median(ratios) < BARS[ours.database, callers]
    return failed


def quartiles(values: list[float]) -> str:
    if len(values) == 1:
        return ""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{low:.2f} to {high:.2f}"


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    # The tests' server does not wait for its disk; a benchmark of changes must.
    server.execute("ALTER SYSTEM SET full_page_writes = on", "SELECT pg_reload_conf()")
    try:
        yield server
    finally:
        server.stop()


async def compare(rounds: int, seconds: float, server: PostgresServer | None) -> int:
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        found = await targets(stack, Path(directory), server)
        await stack.enter_async_context(collecting_in_small_steps())
        for target in found:
            await target.measure(1, seconds / 3)
            target.forget()
        for _ in range(rounds):
            for callers in CALLERS:
                for target in found:
                    await target.measure(callers, seconds)
        return report(*found)


def run(comparison: Coroutine[None, None, int]) -> int:
    """Run it on the loop that the server uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(comparison)


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare resets with the same statements sent by hand.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--sqlite-only", action="store_true")
    parser.add_argument("--short", action="store_true", help="check only that it works")
    chosen = parser.parse_args()
    if chosen.short:
        chosen.rounds, chosen.seconds = 1, 0.3
    print(f"{'database':12}{'callers':>8}  {'resets by':14}{'a second':>10}{'CPU, µs':>10}{'ratio':>8}  quartiles")
    failed = run(compare(chosen.rounds, chosen.seconds, None))
    if not chosen.sqlite_only:
        with postgres() as server:
            failed += run(compare(chosen.rounds, chosen.seconds, server))
            if not chosen.short:
                from benchmarks import graphql_peers, peer_servers  # noqa: PLC0415  they import this module

                failed += graphql_peers.compare((peer_servers.RESET,), chosen.rounds, chosen.seconds, server)
    return int(failed > 0 and not chosen.short)


if __name__ == "__main__":
    sys.exit(main())
