"""How long do the overview, lists and searches of clients take with 100,000 clients?

    uv run --all-groups python tests/benchmarks/list_times.py [--clients 100000] [--against 10000] [--postgres]
    uv run --all-groups python tests/benchmarks/list_times.py --short

Fills a database with clients of every age: 2,000 are in rollover, one in ten has an allow list, one in fifty a maximum
age of its own. Prints the median and the least time of one count of the overview, of pages of 50 clients in every order
and with every filter, and of searches with their counts, all without HTTP and GraphQL. Exits with 1 if the median of
the overview is more than 20 ms, or that of a page or a search more than 50 ms. On a busy machine it measures the
machine. `--short` checks only that it works.

With `--against`, it fills a second database with fewer clients and asks both the same in turns: the first page, a page
at 90 % and searches. Exits with 1 if the least time of one of them is more than 1.5 times that with fewer clients;
counts are printed too. A fill of a million clients takes half an hour.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.databases import PostgresServer, temporary_directory
from support.installation import PEPPER

from gql_secrets.domain.search import search_text
from gql_secrets.domain.texts import folded
from gql_secrets.service.client_filter import ClientFilter
from gql_secrets.service.pages import Page, PageRequest, cursor_of_place
from gql_secrets.settings import Settings
from gql_secrets.storage.client_lists import Order, OrderField, Place
from gql_secrets.storage.client_rows import ClientRow
from gql_secrets.storage.dialect import TableRows
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.wiring import Services, open_services

MAX_OVERVIEW_MS = 20.0
MAX_LIST_MS = 50.0
ROLLOVERS = 2000
MAX_GROWTH = 1.5
PIECE = 50_000
SHORT_CLIENTS = 3000
ROUNDS = 15
WORDS = ("gateway", "payments", "inventory", "warehouse", "mobile", "partner", "invoice", "loyalty", "search", "label")
DAY = timedelta(days=1) // timedelta(microseconds=1)
HOUR = DAY // 24
FILTERS: dict[str, ClientFilter] = {
    name: ClientFilter(**{name: True})  # type: ignore[arg-type]
    for name in (
        *("in_rollover", "locked_out", "ending_soon", "safe_to_revoke", "waiting", "due_for_rotation", "never_used"),
        "disabled",
    )
}
SEARCHES = {"common": "gateway", "rare": "number 4711", "none": "zzzqqq", "prefix": "ga", "one letter": "p"}

Rows = list[list[object]]
T = TypeVar("T")


async def fill(services: Services, clients: int) -> None:
    """Write the rows of clients, their secrets and uses."""
    random = Random(7)  # noqa: S311  the same data each time
    now = to_microseconds(await services.database.now())
    for start in range(0, clients, PIECE):
        numbers = range(start, min(start + PIECE, clients))
        await write(services, rows_of(numbers, clients, now, random))


def rows_of(numbers: range, clients: int, now: int, random: Random) -> dict[str, Rows]:
    """Return the rows of some of the clients, by table."""
    tables: dict[str, Rows] = {
        name: [] for name in ("client", "client_listing", "client_network", "client_secret", "secret_use")
    }
    for number in numbers:
        client_id = f"bench-{number:06d}"
        name = f"{random.choice(WORDS).title()} {random.choice(WORDS)} {number}"
        description = f"Number {number} of the benchmark, of team {number % 97}"
        created = now - random.randrange(400 * DAY)
        is_running = number % max(1, clients // ROLLOVERS) == 0
        is_restricted = random.random() < 0.1
        reset = now - random.randrange(HOUR, 7 * DAY - HOUR) if is_running else created
        used = now - random.randrange(min(20 * DAY, now - reset)) if random.random() < 0.95 else None
        own_days = random.choice((30, 180)) if random.random() < 0.02 else None
        texts = [client_id, folded(client_id), name, folded(name), description]
        tables["client"].append([*texts, random.random() < 0.98, is_restricted, 0, created, own_days])
        tables["client_listing"].append([client_id, search_text(name, client_id, description), used or 0])
        if is_restricted:
            tables["client_network"].append([client_id, 0, "10.0.0.0/8"])
        if is_running:
            old = ["RETAINED", created, reset, reset + 7 * DAY, None, None, created + 1, created + 1, None]
            tables["client_secret"].append([2 * number + 10, client_id, random.randbytes(32), *old])
            if random.random() < 0.5:
                last = now - random.randrange(now - reset)
                tables["secret_use"].append([2 * number + 10, False, "10.1.1.1", "app", created + 1, last, 9])
        elif number % 200 == 7:
            old = ["REVOKED", created, reset, None, reset, "REVOKED", None, None, now - random.randrange(3 * DAY)]
            tables["client_secret"].append([2 * number + 10, client_id, random.randbytes(32), *old])
        current = ["CURRENT", reset, None, None, None, None, used, used, None]
        tables["client_secret"].append([2 * number + 11, client_id, random.randbytes(32), *current])
        if used is not None:
            tables["secret_use"].append([2 * number + 11, False, "10.1.1.1", "app", used, used, 9])
    return tables


async def write(services: Services, tables: dict[str, Rows]) -> None:
    columns = {
        "client": "client_id client_id_folded name name_folded description enabled is_restricted generation "
        "created_at maximum_age_days",
        "client_listing": "client_id search_text last_used_at",
        "client_network": "client_id position network",
        "client_secret": "id client_id digest state created_at replaced_at expires_at ended_at end_reason "
        "first_used_at last_used_at last_refused_at",
        "secret_use": "secret_id refused address user_agent first_seen_at last_seen_at count",
    }
    constants: dict[str, dict[str, object]] = {
        "client": {"self_reset": False},
        "client_secret": {
            "pepper_key_id": "bench",
            "hint": "abcd",
            "is_weak": False,
            "created_by": "bench",
            "use_count": 0,
            "refused_attempts": 0,
        },
    }

    for table, rows in tables.items():
        more = constants.get(table, {})
        names = [*columns[table].split(), *more]
        for start in range(0, len(rows), 5000):
            piece = [[*row, *more.values()] for row in rows[start : start + 5000]]

            async def insert(tx: Any, table: str = table, names: list[str] = names, piece: Rows = piece) -> None:
                await services.database.dialect.insert(tx.connection, [TableRows(table, names, piece)])

            await services.database.run_tx(insert)


async def measure(services: Services, rounds: int) -> list[str]:
    """Print each time; return a sentence for each that is too long."""
    slow = []

    async def one(name: str, bound: float, work: Callable[[], Awaitable[object]]) -> None:
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            await work()
            times.append((time.perf_counter() - began) * 1000)
        taken = statistics.median(times)
        print(f"{name:34s} {taken:7.1f} ms  {min(times):7.1f} ms")
        if taken > bound:
            slow.append(f"{name}: {taken:.1f} ms, more than {bound:.0f}")

    def page(**given: Any) -> Callable[[], Awaitable[object]]:
        return lambda: services.queries.page_of_clients(PageRequest(first=50), **given)

    await one("overview", MAX_OVERVIEW_MS, services.overviews.count)
    for field in OrderField:
        for is_descending in (False, True):
            order = Order(field, is_descending=is_descending)
            await one(f"order {field} {'desc' if is_descending else 'asc'}", MAX_LIST_MS, page(order=order))
    for name, wanted in FILTERS.items():
        await one(f"filter {name}", MAX_LIST_MS, page(filter=wanted))
    due = FILTERS["due_for_rotation"]
    await one("filter due, oldest secret first", MAX_LIST_MS, page(filter=due, order=Order(OrderField.SECRET_AGE)))
    await one("filter due, by name", MAX_LIST_MS, page(filter=due, order=Order(OrderField.NAME, is_descending=False)))
    for name, text in SEARCHES.items():
        await one(f"search: {name}", MAX_LIST_MS, page(search=text))
        found = await services.queries.page_of_clients(PageRequest(first=50), search=text)
        await one(f"search: {name}, its count", MAX_LIST_MS, found.count)
    return slow


async def questions(services: Services, clients: int) -> dict[str, Callable[[], Awaitable[object]]]:
    """What `compare` asks; the bar is not for what begins with "count"."""
    asked: dict[str, Callable[[], Awaitable[object]]] = {}

    def page(after: str | None = None, **given: Any) -> Callable[[], Awaitable[Page[ClientRow]]]:
        return lambda: services.queries.page_of_clients(PageRequest(first=50, after=after), **given)

    for name, order, column in (
        ("newest", Order(), "created_at"),
        ("by name", Order(OrderField.NAME, is_descending=False), "name_folded"),
    ):
        direction = "DESC" if order.is_descending else "ASC"
        [(key, client_id)] = await services.database.fetch_rows(
            f"SELECT {column}, client_id FROM client WHERE deleted_at IS NULL "  # noqa: S608  constants
            f"ORDER BY {column} {direction}, client_id {direction} LIMIT 1 OFFSET {clients * 9 // 10}"
        )
        asked[f"first page, {name}"] = page(order=order)
        asked[f"page at 90 %, {name}"] = page(cursor_of_place(order.field, Place(key, client_id)), order=order)
    for name, text in (SEARCHES | {"rare": "number 4711 of"}).items():
        asked[f"search: {name}"] = page(search=text)
        asked[f"count: {name}"] = (await page(search=text)()).count
    asked["count: all clients"] = (await page()()).count
    return asked


async def compare(few: Services, many: Services, clients: tuple[int, int], rounds: int) -> list[str]:
    """Print the least times of both in turns; return a sentence for each that grows too much."""
    slow = []
    asked = [await questions(services, number) for services, number in zip((few, many), clients, strict=True)]
    for name in asked[0]:
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for own, taken in zip(asked, times, strict=True):
                began = time.perf_counter()
                await own[name]()
                taken.append((time.perf_counter() - began) * 1000)
        small, large = min(times[0]), min(times[1])
        print(f"{name:34s} {small:7.2f} ms  {large:7.2f} ms  {large / small:5.2f}", flush=True)
        if not name.startswith("count") and large > MAX_GROWTH * small:
            slow.append(f"{name}: {large / small:.2f} times as long, more than {MAX_GROWTH}")
    return slow


def run(directory: Path, postgres: PostgresServer | None, clients: int, rounds: int) -> list[str]:
    """Fill a database and measure it; return what is too slow."""
    settings = filled(directory, postgres, clients)
    return asyncio.run(with_services(settings, lambda services: measure(services, rounds)))


def run_against(directory: Path, postgres: PostgresServer | None, clients: tuple[int, int], rounds: int) -> list[str]:
    """Fill two databases and compare them; return what grows too much."""
    few, many = (filled(directory / str(number), postgres, number) for number in clients)

    async def both(services: Services) -> list[str]:
        return await with_services(many, lambda others: compare(services, others, clients, rounds))

    return asyncio.run(with_services(few, both))


def filled(directory: Path, postgres: PostgresServer | None, clients: int) -> Settings:
    directory.mkdir(exist_ok=True)
    url = postgres.create() if postgres else f"sqlite:///{directory / 'bench.db'}"
    settings = Settings(data_dir=directory, database_url=url, pepper=PEPPER)
    asyncio.run(with_services(settings, lambda services: fill(services, clients)))
    if postgres:
        postgres.execute_in(url, "VACUUM ANALYZE")  # as autovacuum does within minutes
    return settings


async def with_services(settings: Settings, work: Callable[[Services], Awaitable[T]]) -> T:
    services = await open_services(settings)
    try:
        return await work(services)
    finally:
        await services.close()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=100_000)
    parser.add_argument("--against", type=int)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--short", action="store_true")
    given = parser.parse_args()
    clients = SHORT_CLIENTS if given.short else given.clients
    postgres = PostgresServer() if given.postgres else None
    try:
        with temporary_directory() as directory:
            where, rounds = "PostgreSQL" if postgres else "SQLite", 1 if given.short else ROUNDS
            if given.against:
                print(f"{given.against} and {clients} clients on {where}: least of each, ratio")
                slow = run_against(Path(directory), postgres, (given.against, clients), rounds)
            else:
                print(f"{clients} clients on {where}: median, least")
                slow = run(Path(directory), postgres, clients, rounds)
    finally:
        if postgres:
            postgres.stop()
    for each in slow:
        print(f"TOO SLOW: {each}")
    return bool(slow) and not given.short


if __name__ == "__main__":
    sys.exit(main())
