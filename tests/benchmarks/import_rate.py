"""How long does an import of 100,000 clients take, first and again?

    uv run --all-groups python tests/benchmarks/import_rate.py [--clients 100000] [--database-url postgres://…]

Writes the file that another system's /clients/list would be, runs `gql-secrets client import` on it as a process of
its own, twice, and prints wall time, rows per second, processor time and peak memory of each run. Without a URL the
database is a new SQLite file, on the disk that the system's temporary directory is on: each batch waits for it.
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
from collections.abc import Sequence
from pathlib import Path

from gql_secrets.domain.credentials import Pepper

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


def main() -> None:
    parser = argparse.ArgumentParser(description="Time an import.")
    parser.add_argument("--clients", type=int, default=100_000)
    parser.add_argument("--database-url", default="")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        environment = {
            **os.environ,
            "GQL_SECRETS_DATA_DIR": directory,
            "GQL_SECRETS_DATABASE_URL": chosen.database_url,
            "GQL_SECRETS_PEPPER": Pepper.mint().written(),
        }
        file = Path(directory) / "clients.json"
        write_file(file, chosen.clients)
        run(["db", "upgrade"], environment)
        print(f"{chosen.clients:,} clients, {file.stat().st_size / 1e6:.0f} MB, {os.cpu_count()} cores")
        print(f"{'run':<8} {'seconds':>8} {'rows/s':>8} {'CPU s':>8}")
        for name in ("first", "again"):
            wall, cpu = run([*IMPORT, str(file)], environment)
            print(f"{name:<8} {wall:>8.1f} {chosen.clients / wall:>8,.0f} {cpu:>8.1f}")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
