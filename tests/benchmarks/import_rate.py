"""How long does an import of 100,000 clients take, first and again?

    uv run --all-groups python tests/benchmarks/import_rate.py [--clients 100000] [--postgres | --database-url postgres://…]

Writes the file that another system's /clients/list would be, runs `gql-secrets client import` on it as a process of
its own, twice, and prints wall time, rows per second, processor time and peak memory of each run. Without a URL the
database is a new SQLite file, on the disk that the system's temporary directory is on: each batch waits for it.
`--postgres` starts a PostgreSQL of its own, in memory where there is room. Exits with 1 if the first run of 100,000
clients takes longer than the bar. `--short` imports 1,000 and checks only that it works.
"""

import argparse
import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.databases import PostgresServer

from gql_secrets.domain.credentials import Pepper

# Seconds on a quiet machine with two cores.
SQLITE_BAR: Final = 12.0
POSTGRES_BAR: Final = 15.0
CLIENTS_OF_BARS: Final = 100_000
ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


def random_text(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def write_file(path: Path, clients: int) -> None:
    results = [
        {
            "client_id": random_text(32),
            "client_secret": random_text(32),
            "description": f"Client {number}",
            "features": ["direct_access"] if number % 2 else ["login_client", "access_issuer"],
            "whitelist": ["10.0.0.0/8", "192.0.2.0/24"] if number % 10 == 0 else ["0.0.0.0/0"],
        }
        for number in range(clients)
    ]
    path.write_text(json.dumps({"results": results, "stat": "ok"}))


# Of 100,000 random secrets, one or so looks weak.
IMPORT = ("client", "import", "--allow-weak")


def run(arguments: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "gql_secrets.cli", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@contextmanager
def started_postgres() -> Iterator[str]:
    server = PostgresServer()
    try:
        yield server.create()
    finally:
        server.stop()


def import_twice(clients: int, url: str) -> float:
    """Print what both runs took; return the seconds of the first."""
    with tempfile.TemporaryDirectory() as directory:
        environment = {
            **os.environ,
            "GQL_SECRETS_DATA_DIR": directory,
            "GQL_SECRETS_DATABASE_URL": url,
            "GQL_SECRETS_PEPPER": Pepper.mint().written(),
        }
        file = Path(directory) / "clients.json"
        write_file(file, clients)
        run(["db", "upgrade"], environment)
        print(f"{clients:,} clients, {file.stat().st_size / 1e6:.1f} MB, {os.cpu_count()} cores")
        print(f"{'run':<8} {'seconds':>8} {'rows/s':>8} {'CPU s':>8}")
        walls = []
        for name in ("first", "again"):
            wall, cpu = run([*IMPORT, str(file)], environment)
            walls.append(wall)
            print(f"{name:<8} {wall:>8.1f} {clients / wall:>8,.0f} {cpu:>8.1f}")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"peak memory {peak:.0f} MiB")
    return walls[0]


def main() -> int:
    parser = argparse.ArgumentParser(description="Time an import.")
    parser.add_argument("--clients", type=int, default=CLIENTS_OF_BARS)
    database = parser.add_mutually_exclusive_group()
    database.add_argument("--postgres", action="store_true")
    database.add_argument("--database-url", default="")
    parser.add_argument("--short", action="store_true")
    chosen = parser.parse_args()
    clients = 1000 if chosen.short else chosen.clients
    if chosen.postgres:
        with started_postgres() as url:
            seconds = import_twice(clients, url)
    else:
        seconds = import_twice(clients, chosen.database_url)
    bar = POSTGRES_BAR if chosen.postgres or chosen.database_url else SQLITE_BAR
    return int(clients == CLIENTS_OF_BARS and seconds > bar)


if __name__ == "__main__":
    sys.exit(main())
