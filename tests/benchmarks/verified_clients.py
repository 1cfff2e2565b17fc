"""Clients that have used both of their secrets, written to a database past the services, for benchmarks."""

import base64
import hashlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from gql_secrets.domain.credentials import Pepper

PEPPER = "bench:" + base64.urlsafe_b64encode(hashlib.sha256(b"pepper of the benchmark").digest()).decode().rstrip("=")
HOUR = 3_600_000_000

CLIENT_COLUMNS = (
    "client_id", "client_id_folded", "name", "name_folded", "enabled", "is_restricted", "generation", "created_at",
)  # fmt: skip
LISTING_COLUMNS = ("client_id", "search_text", "last_used_at")
SECRET_COLUMNS = (
    "client_id", "digest", "pepper_key_id", "hint", "is_weak", "state", "created_at", "created_by", "replaced_at",
    "expires_at", "first_used_at", "last_used_at", "use_count", "refused_attempts",
)  # fmt: skip


def client_id(number: int) -> str:
    return hashlib.sha256(b"client %d" % number).hexdigest()[:32]


def secret(number: int, generation: int) -> str:
    # As long as ours; making a million of those would take minutes.
    return hashlib.sha256(b"secret %d %d" % (number, generation)).hexdigest()[:54]


def client_rows(clients: int, now: int) -> Iterator[tuple[object, ...]]:
    for number in range(clients):
        name = client_id(number)
        yield name, name, f"client {number}", f"client {number}", True, False, 2, now - HOUR


def listing_rows(clients: int, now: int) -> Iterator[tuple[object, ...]]:
    for number in range(clients):
        yield client_id(number), f"client {number}", now


def secret_rows(clients: int, now: int) -> Iterator[tuple[object, ...]]:
    key = Pepper.parse(PEPPER).first
    for number in range(clients):
        name = client_id(number)
        for generation, state in enumerate(("RETAINED", "CURRENT")):
            retained = state == "RETAINED"
            digest = key.digest(name, secret(number, generation))
            yield (
                name, digest, key.key_id, "abcd", False, state, now - HOUR, "benchmark",
                now - HOUR if retained else None, now + 100 * HOUR if retained else None, now - HOUR, now - HOUR,
                0, 0,
            )  # fmt: skip


async def fill_postgres(url: str, clients: int) -> None:
    """Write this many clients."""
    now = time.time_ns() // 1000
    connection = await asyncpg.connect(url)
    try:
        await connection.copy_records_to_table(
            "client", columns=CLIENT_COLUMNS, records=client_rows(clients, now), timeout=600
        )
        await connection.copy_records_to_table(
            "client_secret", columns=SECRET_COLUMNS, records=secret_rows(clients, now), timeout=600
        )
        await connection.copy_records_to_table(
            "client_listing", columns=LISTING_COLUMNS, records=listing_rows(clients, now), timeout=600
        )
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def fill_sqlite(path: Path, clients: int) -> None:
    """Write this many clients."""
    now = time.time_ns() // 1000
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -500000")
        # Nobody searches, so the index of the search stays empty.
        made_later = connection.execute(
            "SELECT type, name, sql FROM sqlite_master "
            "WHERE type IN ('index', 'trigger') AND sql > '' AND tbl_name LIKE 'client%'"
        ).fetchall()
        for kind, name, _ in made_later:
            connection.execute(f"DROP {kind} {name}")
        for table, names, rows in (
            ("client", CLIENT_COLUMNS, client_rows(clients, now)),
            ("client_secret", SECRET_COLUMNS, secret_rows(clients, now)),
            ("client_listing", LISTING_COLUMNS, listing_rows(clients, now)),
        ):
            marks = ", ".join("?" * len(names))
            connection.executemany(
                f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})",  # noqa: S608  names of our own columns
                rows,
            )
        for _, _, sql in made_later:
            connection.execute(sql)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
