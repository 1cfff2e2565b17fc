"""Three servers that verify from memory, while parts of the cluster fail: how often an ended secret is accepted.

    python tests/benchmarks/cluster_faults.py [--verifications 1000000] [--endings 200]

prints what was asked and answered, and how long the changes took; fails when a verification that began after the
answer to a change accepted what it ended, or when a valid secret was refused.
"""

import argparse
import asyncio
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.cluster import SLOW_FAULTS, Cluster, Proxy
from support.databases import PostgresServer, temporary_directory
from support.installation import PEPPER
from support.standbys import socket_of, url_on

from gql_secrets.settings import Settings
from gql_secrets.wiring import open_services

CONNECTIONS = 2


async def run(server: PostgresServer, folder: Path, verifications: int, endings: int) -> Cluster:
    url = server.create()
    link = Proxy(socket_of(url), folder / "link")
    await link.start()
    own_url = url_on(url, str(link.folder))
    settings = Settings(data_dir=folder / "own", database_url=own_url, pepper=PEPPER, rate_limits="off")
    services = await open_services(settings)
    cluster = Cluster(server, url, folder, services, link)
    chance = random.Random(13)  # noqa: S311  the order of the faults is not secret
    try:
        await cluster.begin()
        for _ in range(3):
            await cluster.add_bystander()
        async with cluster.asking(CONNECTIONS):
            number = 0
            while number < endings or len(cluster.history.verifications) < verifications:
                await cluster.end_one(SLOW_FAULTS[number % len(SLOW_FAULTS)](), chance)
                number += 1
    finally:
        await cluster.close()
        await services.close()
        await link.close()
    return cluster


def main() -> int:
    """Run it, and return 1 if a promise was broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--verifications", type=int, default=1_000_000)
    parser.add_argument("--endings", type=int, default=200)
    given = parser.parse_args()
    server = PostgresServer()
    try:
        with temporary_directory() as directory:
            cluster = asyncio.run(run(server, Path(directory), given.verifications, given.endings))
    finally:
        server.stop()
    history = cluster.history
    late, refused = history.accepted_too_late(), history.wrongly_refused()
    print(f"{len(history.verifications):,} verifications, by status {dict(sorted(history.statuses().items()))}")
    print(
        f"{len(history.endings)} endings, {sum(each.is_effective is False for each in history.endings)} not confirmed"
    )
    print(f"{len(late)} accepted after the answer, {len(refused)} valid ones refused")
    for fault in dict.fromkeys(each.fault for each in history.endings):
        times = history.seconds_to_acknowledge(fault)
        print(f"  {fault:20} {len(times):4}  median {times[len(times) // 2]:.3f} s  longest {times[-1]:.3f} s")
    return 1 if late or refused else 0


if __name__ == "__main__":
    sys.exit(main())
