"""How much more do two workers answer than one?

    uv run --all-groups python tests/benchmarks/workers.py [--seconds 5] [--rounds 3] [--workers 2] [--postgres]
        [--share 0.4]

Runs `gql-secrets serve` with one process and then with `--workers`, on one database each time, and asks it over
keep-alive connections as fast as it answers, by wrk (a package of Debian): `/verify`, and a GraphQL query of a client,
as one of many callers. The two take turns within each round; the table shows the median of the answers a second, their
ratio, and the processor time that a request took. It fails if a ratio is under 0.8 for each worker (1.6 for two), which
needs as many free processors as workers, and one for wrk.

Where there are fewer, `--share 0.4` gives each serving process at most that share of a processor (a control group of
the kernel for each, which takes root). One process and two workers then differ as they do on a machine with free
processors, if all shares together leave wrk what it needs: `unused` is the part of all processors that was left.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.callers import ADMIN
from support.databases import PostgresServer, temporary_directory
from support.processes import children_of, cpu_seconds_of_tree, idle_seconds
from support.processor_shares import NoControlGroups, limited
from support.serving import Serving, serving

from gql_secrets.domain.credentials import Pepper
from gql_secrets.settings import Settings
from gql_secrets.wiring import open_services

BAR_FOR_EACH = 0.8
CONNECTIONS = 16
CALLERS = 256
WARMING_SECONDS = 1.0
QUERY = "query ($id: ID!) { client(clientId: $id) { name generation currentSecret { state hint } } }"


class Measured(NamedTuple):
    """What a server did in a turn."""

    per_second: float
    cpu_us: float
    unused: float


async def make_callers(settings: Settings) -> list[tuple[str, str]]:
    """Make clients that may read; return their credentials."""
    services = await open_services(settings)
    try:
        made = [
            await services.clients.create_client(f"Caller {number}", by=ADMIN, features=["viewer"])
            for number in range(CALLERS)
        ]
        return [(each.client.client_id, each.secret.reveal()) for each in made]
    finally:
        await services.close()


def requests_of(callers: Sequence[tuple[str, str]], address: str) -> list[bytes]:
    """Return the request of each caller."""
    made = []
    for client_id, secret in callers:
        token = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
        body = json.dumps({"query": QUERY, "variables": {"id": client_id}}) if address == "/graphql" else ""
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        method = "POST" if body else "GET"
        head = f"{method} {address} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {token}\r\n{more}\r\n"
        made.append((head + body).encode())
    return made


def write_script(requests: Sequence[bytes], path: Path) -> None:
    """Write the program by which wrk sends these requests, one after the other."""
    listed = ",".join("[==[" + request.decode().replace("\r\n", "\n") + "]==]" for request in requests)
    path.write_text(
        f"local requests = {{{listed}}}\n"
        'for i = 1, #requests do requests[i] = requests[i]:gsub("\\n", "\\r\\n") end\n'
        "local last = 0\n"
        "function request() last = last % #requests + 1; return requests[last] end\n"
    )


@contextlib.contextmanager
def sharing(server: Serving, share: float) -> Iterator[None]:
    """Give each process that serves this share of a processor; 0 for as much as there is."""
    with contextlib.ExitStack() as stack:
        # A single process has no children; the supervisor of several does next to nothing.
        for pid in (children_of(server.process.pid) or [server.process.pid]) if share else ():
            stack.enter_context(limited(pid, share))
        yield


def ask(port: int, script: Path, seconds: float) -> int:
    """Ask as fast as the server answers; return the number of answers."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}", "-s", script, f"http://127.0.0.1:{port}"],
        capture_output=True,
        check=True,
        text=True,
    )
    found = re.search(r"(\d+) requests in", done.stdout)
    assert found is not None, done.stdout
    assert "Non-2xx" not in done.stdout, done.stdout
    return int(found[1])


def measure(server: Serving, script: Path, seconds: float) -> Measured:
    """Ask for some seconds, once the server is warm."""
    ask(server.port, script, WARMING_SECONDS)
    pid = server.process.pid
    before, idle, began = cpu_seconds_of_tree(pid), idle_seconds(), time.monotonic()
    count = ask(server.port, script, seconds)
    took = time.monotonic() - began
    unused = (idle_seconds() - idle) / took / (os.cpu_count() or 1)
    return Measured(count / took, (cpu_seconds_of_tree(pid) - before) / count * 1e6, unused)


@contextlib.contextmanager
def installed(*, postgres: bool) -> Iterator[dict[str, str]]:
    """Yield the settings of a server on a new database."""
    given = {"pepper": Pepper.mint().written(), "rate_limits": "off", "log_level": "WARNING"}
    if not postgres:
        yield given
        return
    server = PostgresServer()
    try:
        yield given | {"database_url": server.create()}
    finally:
        server.stop()


def take_turns(arguments: argparse.Namespace) -> dict[tuple[str, int], list[Measured]]:
    """Return what one process and several workers did in turns, by the address and the number of processes."""
    found: dict[tuple[str, int], list[Measured]] = {}
    with temporary_directory() as directory, installed(postgres=arguments.postgres) as given:
        folder = Path(directory)
        opened = Settings(
            data_dir=folder / ".gql-secrets", pepper=given["pepper"], database_url=given.get("database_url", "")
        )
        callers = asyncio.run(make_callers(opened))
        scripts = {address: folder / f"{address[1:]}.lua" for address in ("/verify", "/graphql")}
        for address, script in scripts.items():
            write_script(requests_of(callers, address), script)
        for _ in range(arguments.rounds):
            for count in (1, arguments.workers):
                with serving(folder, "--workers", str(count), **given) as server, sharing(server, arguments.share):
                    for address, script in scripts.items():
                        found.setdefault((address, count), []).append(measure(server, script, arguments.seconds))
    return found


def report(found: dict[tuple[str, int], list[Measured]], workers: int) -> bool:
    """Print the medians; return whether no ratio is under the bar."""
    is_enough = True
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    for address in ("/verify", "/graphql"):
        one, more = found[address, 1], found[address, workers]
        ratio = statistics.median(after.per_second / before.per_second for before, after in zip(one, more, strict=True))
        is_enough &= ratio >= BAR_FOR_EACH * workers
        for name, each in (("1 process", one), (f"{workers} workers", more)):
            rate, cpu, unused = (statistics.median(column) for column in zip(*each, strict=True))
            print(
                f"{address:<9} {name:<10} {rate:>8.0f} answers/s  {cpu:>6.1f} us of processor time each  "
                f"{unused:.0%} of all processors unused"
            )
        print(f"{address:<9} ratio {ratio:.2f}")
    return is_enough


def main() -> None:
    """Measure, print, and fail below the bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--share", type=float, default=0.0, help="of a processor, for each serving process: 0.4")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is not installed: apt-get install wrk")
    try:
        found = take_turns(arguments)
    except NoControlGroups as error:
        parser.error(f"--share needs control groups of processors, and root. {error}")
    sys.exit(0 if report(found, arguments.workers) else 1)


if __name__ == "__main__":
    main()
