"""How much does the counting of uses write to PostgreSQL, by how long it is counted in memory?

    PYTHONPATH=tests uv run --all-groups python tests/benchmarks/usage_wal.py [--secrets N] [--rate N] [--minutes N]

Lays down secrets in a new PostgreSQL (with its own defaults: full pages after a checkpoint, here every five minutes of
counted time), counts verifications of random ones at a rate, each from one address, and writes the counts as a
server does. No time passes: the clock is counted on. Prints the bytes of WAL a verification.
"""

import argparse
import asyncio
import random
import tempfile
from datetime import timedelta
from pathlib import Path

import asyncpg
from support.databases import PostgresServer

from gql_secrets.domain.credentials import Pepper
from gql_secrets.service.usage.counter import Usage
from gql_secrets.service.usage.tallies import Source
from gql_secrets.settings import Settings
from gql_secrets.wiring import open_services

SECONDS_TO_CHECKPOINT = 300
SOURCE = Source("192.0.2.1", "app/1")
ROWS = """
    WITH made AS (
        INSERT INTO client (client_id, client_id_folded, name, name_folded, enabled, is_restricted, generation,
            created_at)
        SELECT 'client-' || n, 'client-' || n, 'Client ' || n, 'client ' || n, true, false, 1, 0
        FROM generate_series(1, $1::int) n RETURNING client_id
    )
    INSERT INTO client_secret (client_id, digest, pepper_key_id, hint, is_weak, state, created_at, created_by,
        first_used_at, use_count, refused_attempts)
    SELECT client_id, sha256(client_id::bytea), 'k1', '', false, 'CURRENT', 0, 'user:ada', 1, 0, 0 FROM made
"""


async def wal_of(url: str, directory: Path, chosen: argparse.Namespace, seconds: float) -> tuple[float, int]:
    """Return the bytes of WAL a verification, and how often was written."""
    settings = Settings(data_dir=directory, database_url=url, pepper=Pepper.mint().written())
    services = await open_services(settings)
    own = await asyncpg.connect(url)
    try:
        await own.execute(ROWS, chosen.secrets)
        await own.execute("ALTER SYSTEM SET full_page_writes = on")
        await own.execute("SELECT pg_reload_conf()")
        ids = [row["id"] for row in await own.fetch("SELECT id FROM client_secret")]
        usage, chance = Usage(services.database, timedelta(seconds=60)), random.Random(1)  # noqa: S311  no secret
        now, end = (await services.database.now()).replace(minute=0, second=0), chosen.minutes * 60.0
        for secret_id in ids:  # the rows are there, as they are within an hour of a server's start
            usage.used(secret_id, SOURCE, now)
        await usage.flush()
        await own.execute("CHECKPOINT")
        began = await own.fetchval("SELECT pg_current_wal_insert_lsn()")
        at, next_checkpoint, writes = 0.0, float(SECONDS_TO_CHECKPOINT), 0
        while at < end:
            wait = min(seconds, end - at)
            for number in range(round(wait * chosen.rate)):
                moment = now + timedelta(seconds=at + number / chosen.rate)
                usage.used(chance.choice(ids), SOURCE, moment)
            at += wait
            await usage.flush()
            writes += 1
            if at >= next_checkpoint:
                await own.execute("CHECKPOINT")
                next_checkpoint += SECONDS_TO_CHECKPOINT
        written = await own.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1)", began)
        return float(written) / (chosen.rate * end), writes
    finally:
        await own.close()
        await services.close()


async def measure(server: PostgresServer, chosen: argparse.Namespace) -> None:
    print(f"{chosen.secrets:,} secrets, {chosen.rate:,} verifications a second, {chosen.minutes} minutes")
    print(f"{'written':<16} {'bytes a verification':>20} {'GB a day':>9} {'writes':>7}")
    for seconds in (1, 5, 15, 30, 60):
        with tempfile.TemporaryDirectory() as directory:
            each, writes = await wal_of(server.create(), Path(directory), chosen, seconds)
        print(f"{f'every {seconds} s':<16} {each:>20.1f} {each * chosen.rate * 86_400 / 1e9:>9.1f} {writes:>7}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the WAL of the counted uses.")
    parser.add_argument("--secrets", type=int, default=13_600)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--minutes", type=int, default=10)
    chosen = parser.parse_args()
    server = PostgresServer()
    try:
        asyncio.run(measure(server, chosen))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
