"""How long do a server and a command take to start, and how much memory does a server take?

    uv run --all-groups python tests/benchmarks/start_times.py [--rounds 5]

Starts `gql-secrets serve` on a SQLite file that is there, waits until it says where it listens, asks it once and reads
its resident memory; then runs `gql-secrets client show` and `gql-secrets --help`. Takes turns, and prints medians,
lowest and highest figures. Fails above 0.8 s, 80 MB and 0.5 s, which a quiet machine with two cores should keep.

Python finds everything compiled, as where users install it, also if PYTHONDONTWRITEBYTECODE is set on this machine.
"""

import argparse
import http.client
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.databases import temporary_directory
from support.processes import cpu_seconds
from support.serving import PROGRAM, environment, serving

BARS = {"start until it listens, s": 0.8, "memory of a server, MB": 80.0, "client show, s": 0.5}
PAGE = os.sysconf("SC_PAGE_SIZE")


def run(folder: Path, *arguments: str) -> bytes:
    return subprocess.run(
        [PROGRAM, *arguments], cwd=folder, env=environment({"data_dir": str(folder)}), check=True, capture_output=True
    ).stdout


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def time_command(folder: Path, name: str, *arguments: str) -> dict[str, float]:
    began, processor = time.perf_counter(), processor_seconds()
    run(folder, *arguments)
    return {
        f"{name}, s": time.perf_counter() - began,
        f"{name}, s of processor time": processor_seconds() - processor,
    }


def measure(folder: Path, client_id: str) -> dict[str, float]:
    """Start a server, look at it, stop it; then run the commands."""
    began = time.perf_counter()
    with serving(folder, data_dir=str(folder)) as server:
        started = time.perf_counter() - began
        processor = cpu_seconds(server.process.pid)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return {
        "start until it listens, s": started,
        "start, s of processor time": processor,
        "memory of a server, MB": pages * PAGE / 1e6,
        **time_command(folder, "client show", "client", "show", client_id),
        **time_command(folder, "--help", "--help"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with temporary_directory() as name:
        folder = Path(name)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
        run(folder, "db", "upgrade")
        client_id = json.loads(run(folder, "client", "create", "App", "--json"))["clientId"]
        measure(folder, client_id)  # compiles, and reads the files into the memory of the machine
        turns = [measure(folder, client_id) for _ in range(rounds)]
    missed = False
    for what in turns[0]:
        figures = sorted(turn[what] for turn in turns)
        median, bar = statistics.median(figures), BARS.get(what)
        missed |= bar is not None and median > bar
        print(f"{what:36} {median:8.2f}   {figures[0]:8.2f} to {figures[-1]:.2f}   bar {bar or '-'}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
