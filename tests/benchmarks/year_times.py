"""How much longer do queries take after a year than on the first day?

    uv run --all-groups python tests/benchmarks/year_times.py [--postgres] [--in DIRECTORY] [--short]

Lays down two installations with 50,000 clients and 10,000 rotations a day (`tests/support/year.py`): one after its
first day, one after a year. Then it asks both the same questions in turns, without HTTP and GraphQL: pages of clients,
searches, the page of a client, pages of the audit log with each filter, the overview, a reset and a verification.
Prints the median and the least time of each and the rows of the answer, and exits with 1 if the least after the year
is more than 1.5 times the one of the first day, and more than a millisecond longer. Where the answer has more rows than
on the first day, such as the events of a client, the times of a row are compared. On a busy machine the least comes
nearest to a quiet one.

A year of this size takes more than ten minutes of processor time; `--clients`, `--rotations`, `--days`, `--sign-ins`
and `--edits` (the last two of a day) make it smaller. With `--in`, what was laid down there (on SQLite) is used again.
`--short` lays down ten days of a hundredth of the size, and checks only that it works.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sized
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.callers import ADMIN, HARD
from support.databases import PostgresServer, temporary_directory
from support.installation import PEPPER
from support.year import Size, lay_down_in, secret_after_a_year

from gql_secrets.service.client_filter import ClientFilter
from gql_secrets.service.pages import Page, PageRequest
from gql_secrets.service.usage.tallies import Source
from gql_secrets.settings import Settings
from gql_secrets.storage.client_lists import Order, OrderField
from gql_secrets.storage.models import AuditEvent, ClientSecret
from gql_secrets.wiring import Services, open_services

MAX_RATIO = 1.5
# Below this, a ratio measures the clock and the cache of the processor.
MIN_DIFFERENCE_MS = 1.0
ROUNDS = 25
SHORT = Size(clients=500, rotations=100, days=10, sign_ins=10, edits=5)
PAGE = PageRequest(first=50)
SOURCE = Source("10.7.7.7", "bench/1")

Ask = Callable[[Services, int], Awaitable[object]]
"""Asks a question about the client with this number. If it returns a list or a page, its length is compared too."""


def client_id(number: int) -> str:
    return f"year-{number:06d}"


def pages_of_clients(**given: Any) -> Ask:
    return lambda services, _number: services.queries.page_of_clients(PAGE, **given)


def pages_of_audit(**given: Any) -> Ask:
    return lambda services, _number: services.queries.page_of_audit_events(PAGE, **given)


async def ask_second_page(services: Services, _number: int) -> Page[AuditEvent]:
    first = await services.queries.page_of_audit_events(PAGE)
    return await services.queries.page_of_audit_events(PageRequest(first=50, after=first.cursors[-1]))


async def ask_client_page(services: Services, number: int) -> list[ClientSecret]:
    """Ask for what the console shows of a client, and return its secrets."""
    one = client_id(number)
    await services.queries.find_clients([one])
    secrets = (await services.queries.page_of_secrets(one, PageRequest(first=10))).rows
    ids = [secret.id for secret in secrets]
    await services.usage_queries.totals_of(ids)
    await services.usage_queries.uses_of(ids)
    await services.usage_queries.usage_of(ids[:2])
    await services.usage_queries.rollover_of(one)
    return secrets


async def verify(services: Services, number: int) -> None:
    await services.verifier.verify(client_id(number), secret_after_a_year(client_id(number)), SOURCE)


async def reset(services: Services, number: int) -> None:
    await services.rotation.reset_secret(client_id(number), HARD, by=ADMIN)


def questions(until: datetime) -> dict[str, Ask]:
    day = timedelta(days=1)
    asked: dict[str, Ask] = {"overview": lambda services, _number: services.overviews.count()}
    for field in OrderField:
        asked[f"clients by {field.lower().replace('_', ' ')}"] = pages_of_clients(order=Order(field))
    for name in ("in_rollover", "ending_soon", "safe_to_revoke", "waiting", "locked_out", "never_used"):
        asked[f"clients {name.replace('_', ' ')}"] = pages_of_clients(filter=ClientFilter(**{name: True}))  # type: ignore[arg-type]
    for name, text in {"a word": "gateway", "a number": "4711", "nothing": "zzzqqq"}.items():
        asked[f"search for {name}"] = pages_of_clients(search=text)
    asked |= {
        "page of a client": ask_client_page,
        "audit": pages_of_audit(),
        "audit, second page": ask_second_page,
        "audit of a client": lambda services, number: services.queries.page_of_audit_events(
            PAGE, client_id=client_id(number)
        ),
        "audit of a client by action": lambda services, number: services.queries.page_of_audit_events(
            PAGE, client_id=client_id(number), action="SECRET_RESET"
        ),
        "audit by actor": pages_of_audit(actor="api_client:pipeline-1"),
        "audit by a person": pages_of_audit(actor="user:link/7"),
        "audit by nobody": pages_of_audit(actor="user:link/999"),
        "audit by action": pages_of_audit(action="SECRET_RESET"),
        "audit by a rare action": pages_of_audit(action="CLIENT_DISABLED"),
        "audit by an action that never was": pages_of_audit(action="WEBHOOK_DELETED"),
        "audit by surface": pages_of_audit(surface="CLIENTS_API"),
        "audit by a rare surface": pages_of_audit(surface="SIGN_IN"),
        "audit by actor and action": pages_of_audit(actor="user:link/7", action="SECRET_RESET"),
        "audit by actor and another's action": pages_of_audit(actor="user:link/7", action="OLD_SECRET_EXPIRED"),
        "audit by action and surface": pages_of_audit(action="SECRET_RESET", surface="CLI"),
        "audit of the last hour": pages_of_audit(since=until - day / 24),
        "audit before the last hour": pages_of_audit(until=until - day / 24),
        "audit of an hour by action": pages_of_audit(
            since=until - day / 2, until=until - day / 2 + day / 24, action="CLIENT_DISABLED"
        ),
        "audit of a client in an hour": lambda services, number: services.queries.page_of_audit_events(
            PAGE, client_id=client_id(number), since=until - day / 24
        ),
        "sessions": lambda services, _number: services.queries.page_of_sessions(PAGE),
        "deliveries": lambda services, _number: services.webhooks.newest_deliveries(1),
        "verification": verify,
        "reset": reset,
    }
    return asked


def report(name: str, times: list[list[float]], rows: list[int]) -> list[str]:
    """Print the times of a question; return a sentence if it takes too long after the year."""
    (day_median, median), (day, least) = map(statistics.median, times), map(min, times)
    more_rows = max(1, rows[1] / max(1, rows[0]))
    ratio = least / day / more_rows
    both = f"{day_median:8.2f} {median:8.2f}   {day:8.2f} {least:8.2f}   {rows[0]:4d} {rows[1]:4d}"
    print(f"{name:36s} {both}   {ratio:5.2f}", flush=True)
    if ratio > MAX_RATIO and least - day * more_rows > MIN_DIFFERENCE_MS:
        return [f"{name}: {least:.2f} ms, {ratio:.2f} times as long as on the first day"]
    return []


async def measure(first: Settings, year: Settings, until: datetime, size: Size, rounds: int) -> list[str]:
    """Print the times of each question; return a sentence for each that takes too long after the year."""
    random = Random(3)  # noqa: S311  the same clients each time
    slow = []
    opened = [await open_services(settings, adjust_clock=lambda _machine: until) for settings in (first, year)]
    try:
        for name, ask in questions(until).items():
            times: list[list[float]] = [[], []]
            rows = [0, 0]
            for _ in range(rounds):
                number = random.randrange(size.clients)
                for place, services in enumerate(opened):
                    began = time.perf_counter()
                    answer = await ask(services, number)
                    times[place].append((time.perf_counter() - began) * 1000)
                    rows[place] = max(rows[place], len(answer) if isinstance(answer, Sized) else 0)
            slow += report(name, times, rows)
    finally:
        for services in opened:
            await services.close()
    return slow


def lay_down(directory: Path, postgres: PostgresServer | None, size: Size, until: datetime) -> Settings:
    """Return the settings of an installation of this size: the one that the directory has, or a new one."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    url = postgres.create() if postgres else ""
    settings = Settings(data_dir=directory, database_url=url, pepper=PEPPER)
    laid = directory / "until"
    if postgres or not laid.exists():
        began = time.perf_counter()
        year = asyncio.run(lay_down_in(settings, size, until))
        print(f"{year.revision:,} events of {size.days} days laid down in {time.perf_counter() - began:.0f} s")
        if postgres:
            postgres.execute_in(url, "VACUUM ANALYZE")  # as autovacuum does within minutes
        laid.write_text(until.isoformat())
    return settings


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("clients", "rotations", "days", "sign_ins", "edits"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Size(), name))
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--in", dest="directory", type=Path)
    parser.add_argument("--short", action="store_true")
    given = parser.parse_args()
    size = SHORT if given.short else Size(given.clients, given.rotations, given.days, given.sign_ins, given.edits)
    first_day = Size(size.clients, size.rotations, 1, size.sign_ins, size.edits)
    postgres = PostgresServer() if given.postgres else None
    try:
        with temporary_directory() as temporary:
            directory = given.directory or Path(temporary)
            kept = directory / "year" / "until"
            until = datetime.fromisoformat(kept.read_text()) if kept.exists() else datetime.now(UTC)
            first = lay_down(directory / "first", postgres, first_day, until)
            year = lay_down(directory / "year", postgres, size, until)
            where = "PostgreSQL" if postgres else "SQLite"
            print(f"{size.clients:,} clients, {size.rotations:,} rotations a day, {size.days} days, {where}:")
            print(f"{'first day, after (ms)':36s} {'median':>17s}   {'least':>17s}   {'rows':>9s}   ratio")
            slow = asyncio.run(measure(first, year, until, size, 2 if given.short else ROUNDS))
    finally:
        if postgres:
            postgres.stop()
    for each in slow:
        print(f"TOO SLOW: {each}")
    return bool(slow) and not given.short


if __name__ == "__main__":
    sys.exit(main())
