"""Three servers that verify from memory and hear each change: how long a change waits until all of them follow it.

    uv run --all-groups python tests/benchmarks/acknowledgements.py [--endings 200] [--dead 30]

ends secrets, first while nothing fails and then straight after one of the servers was killed; nothing else is asked of
them. It prints the seconds from the call to its answer, and fails where a 99th percentile is over its bar, or an ending
was not confirmed by every server.
"""

import argparse
import asyncio
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.cluster import Cluster, Fault, History, Killed
from support.databases import PostgresServer, temporary_directory
from support.installation import PEPPER

from gql_secrets.settings import Settings
from gql_secrets.wiring import open_services

BARS = {Fault.name: 0.05, Killed.name: 1.5}


async def run(server: PostgresServer, folder: Path, endings: int, dead: int) -> History:
    url = server.create()
    settings = Settings(data_dir=folder / "own", database_url=url, pepper=PEPPER, rate_limits="off")
    services = await open_services(settings)
    cluster = Cluster(server, url, folder, services, is_one_deaf=False)
    chance = random.Random(13)  # noqa: S311  which secret ends how is not secret
    try:
        await cluster.begin()
        for fault, count in ((Fault, endings), (Killed, dead)):
            for _ in range(count):
                await cluster.end_one(fault(), chance, settle=0.1, after=0.1)
    finally:
        await cluster.close()
        await services.close()
    return cluster.history


def main() -> int:
    """Return how many bars were missed, and endings not confirmed."""
    parser = argparse.ArgumentParser(description="How long a change waits until every server follows it.")
    parser.add_argument("--endings", type=int, default=200)
    parser.add_argument("--dead", type=int, default=30)
    given = parser.parse_args()
    server = PostgresServer()
    try:
        with temporary_directory() as directory:
            history = asyncio.run(run(server, Path(directory), given.endings, given.dead))
    finally:
        server.stop()
    failed = sum(not each.is_effective for each in history.endings)
    print(f"{len(history.endings)} endings, {failed} not confirmed")
    for name, bar in BARS.items():
        times = history.seconds_to_acknowledge(name)
        median, last = times[len(times) // 2], times[len(times) * 99 // 100]
        print(
            f"{name:12} {len(times):4}  median {median:.3f} s  p99 {last:.3f} s  longest {times[-1]:.3f} s  bar {bar}"
        )
        failed += last > bar
    return failed


if __name__ == "__main__":
    sys.exit(main())
