"""Filters, orders and the search of clients, compared with the same rules written in Python."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest
from support.callers import ADMIN, DAY, HARD, WEEK, Made, is_good
from support.clocks import HOUR, SECOND, Clock
from support.installation import MakeClient
from support.statements import record_reads

from gql_secrets.domain.access import Feature
from gql_secrets.domain.errors import BadRequest
from gql_secrets.domain.texts import folded
from gql_secrets.service import overview as overview_module
from gql_secrets.service.client_filter import ClientFilter
from gql_secrets.service.pages import PageRequest
from gql_secrets.storage import client_lists, client_search
from gql_secrets.storage.client_lists import Order, OrderField
from gql_secrets.storage.client_search import ClientSearch
from gql_secrets.wiring import Services

QUIET = timedelta(hours=1)
# Steps of a plan that read rows which the same statement has found by an index.
LISTED_BEFORE = ("SCAN d", "SCAN r", "SCAN t", "SCAN y")
CONDITIONS = (
    "in_rollover",
    "locked_out",
    "ending_soon",
    "safe_to_revoke",
    "waiting",
    "due_for_rotation",
    "never_used",
    "disabled",
)
ORDERS = [Order(field, is_descending=is_descending) for field, is_descending in product(OrderField, (False, True))]


@dataclass
class Known:
    """What the reference knows of a client."""

    made: Made
    name: str
    created_at: datetime
    description: str = ""
    features: tuple[Feature, ...] = ()
    disabled: bool = False
    secret_at: datetime | None = None
    ends_at: datetime | None = None
    reset_at: datetime | None = None
    new_used_at: datetime | None = None
    old_used_at: datetime | None = None
    used_at: datetime | None = None
    refused_at: datetime | None = None

    def facts(self, now: datetime) -> dict[str, bool]:
        running = self.ends_at is not None and now < self.ends_at
        used = [at for at in (self.new_used_at, self.old_used_at) if at]
        safe = running and self.new_used_at is not None and now >= max(used) + QUIET
        return {
            "in_rollover": running,
            "locked_out": self.refused_at is not None and self.refused_at > now - 24 * HOUR,
            "ending_soon": running
            and not safe
            and self.ends_at is not None
            and self.ends_at <= now + 24 * HOUR
            and self.old_used_at is not None
            and self.reset_at is not None
            and self.old_used_at >= self.reset_at,
            "safe_to_revoke": safe,
            "waiting": running and not safe,
            "due_for_rotation": (self.secret_at or self.created_at) <= now - timedelta(days=90),
            "never_used": self.used_at is None,
            "disabled": self.disabled,
        }

    def key(self, field: OrderField, now: datetime) -> Any:
        match field:
            case OrderField.NAME:
                return folded(self.name)
            case OrderField.CREATED_AT:
                return self.created_at
            case OrderField.SECRET_AGE:
                return now - (self.secret_at or self.created_at)
            case OrderField.LAST_USED_AT:
                return self.used_at.timestamp() if self.used_at else 0
            case OrderField.ROLLOVER_END:
                return self.ends_at


@pytest.fixture
async def many(services: Services, make_client: MakeClient, owner: Made, clock: Clock) -> list[Known]:
    """Clients in every state; some were created at the same instant, and some have the same name."""
    known: list[Known] = []

    async def make(name: str, *features: str, description: str = "") -> Known:
        made = await make_client(*features, name=name, description=description)
        each = Known(made, name, clock.now, description, tuple(Feature(text) for text in features))
        known.append(each)
        return each

    async def use(each: Known, secret: str, **changes: datetime) -> None:
        assert await is_good(services, each.made.id, secret)
        for name, at in {"used_at": clock.now, **changes}.items():
            setattr(each, name, at)

    async def reset(each: Known, retention: Any) -> str:
        done = await services.rotation.reset_secret(each.made.id, retention, by=ADMIN)
        each.reset_at = each.secret_at = clock.now
        each.ends_at = clock.now + timedelta(hours=retention.hours) if retention.hours else None
        each.old_used_at = each.used_at
        return done.new_secret.reveal()

    known.append(Known(owner, "First owner", clock.now, features=(Feature.OWNER,)))
    await make("Gamma")
    clock.move(timedelta(days=95))
    unused, twin, viewer = await make("alpha"), await make("Alpha"), await make("Beta", "viewer")
    await services.clients.set_client_enabled(unused.made.id, enabled=False, by=ADMIN)
    unused.disabled = True
    await use(viewer, viewer.made.secret)
    clock.move(SECOND)
    waiting, safe, ending, quiet = [await make(name) for name in ("Waits", "Safe", "Ends", "Quiet")]
    locked, moved, ended = await make("Locked"), await make("Moved", "viewer"), await make("Ended")
    for each in (waiting, safe, ending, quiet, locked, moved):
        await use(each, each.made.secret)
        clock.move(SECOND)
    secrets = {}
    for each, retention in ((waiting, WEEK), (safe, WEEK), (ending, DAY), (quiet, DAY), (ended, DAY)):
        secrets[each.name] = await reset(each, retention)
        clock.move(SECOND)
    for each in (locked, moved):
        secrets[each.name] = await reset(each, HARD)
    clock.move(HOUR)
    await use(safe, secrets["Safe"], new_used_at=clock.now)
    await use(quiet, secrets["Quiet"], new_used_at=clock.now)
    await use(twin, twin.made.secret)
    for each in (locked, moved):
        assert not await is_good(services, each.made.id, each.made.secret)
        each.refused_at = clock.now
    clock.move(20 * HOUR)
    await services.usage.flush()
    await use(ending, ending.made.secret, old_used_at=clock.now)
    await services.usage.flush()
    clock.move(2 * HOUR + timedelta(minutes=30))
    assert not await is_good(services, locked.made.id, locked.made.secret)
    locked.refused_at = clock.now
    await use(moved, secrets["Moved"], used_at=clock.now)
    await use(ending, ending.made.secret, old_used_at=clock.now)
    await services.usage.flush()
    assert clock.now < max(each.ends_at for each in (ending, quiet) if each.ends_at)
    return known


def ids(known: list[Known]) -> list[str]:
    return [each.made.id for each in known]


def in_order(known: list[Known], order: Order, now: datetime) -> list[str]:
    """The reference's order: by the key, then by the client id in the same direction."""
    keyed = [(each.key(order.field, now), each.made.id) for each in known]
    if order.field is OrderField.ROLLOVER_END:
        keyed = [(key if key and key > now else None, client_id) for key, client_id in keyed]
    with_key = sorted((place for place in keyed if place[0] is not None), reverse=order.is_descending)
    if order.field is OrderField.SECRET_AGE:  # equal ages are in the order of ids that the direction of time has
        with_key = sorted(keyed, key=lambda place: (now - place[0], place[1]), reverse=not order.is_descending)
    without = sorted((place for place in keyed if place[0] is None), key=lambda place: place[1])
    if order.is_descending:
        without.reverse()
    return [client_id for _, client_id in (*with_key, *without)]


async def walk(services: Services, size: int, *, is_backward: bool, **given: Any) -> list[str]:
    """Every client id on all pages, in the order of the list."""
    found: list[str] = []
    cursor = None
    while True:
        request = PageRequest(last=size, before=cursor) if is_backward else PageRequest(first=size, after=cursor)
        page = await services.queries.page_of_clients(request, **given)
        here = [row.client_id for row in page.rows]
        found = here + found if is_backward else found + here
        if not (page.has_previous if is_backward else page.has_next):
            assert await page.count() == len(found)
            return found
        cursor = page.cursors[0 if is_backward else -1]


@pytest.mark.parametrize("is_few", [True, False], ids=["sorted", "walked"])
@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order.field}-{'desc' if order.is_descending else 'asc'}")
async def test_every_order_returns_every_client_once(
    services: Services, many: list[Known], clock: Clock, monkeypatch: pytest.MonkeyPatch, order: Order, is_few: bool
) -> None:
    monkeypatch.setattr(client_lists, "_MAX_SORTED", 1000 if is_few else 0)
    expected = in_order(many, order, clock.now)
    for size, is_backward in product((1, 2, 5, 100), (False, True)):
        assert await walk(services, size, is_backward=is_backward, order=order) == expected, (size, is_backward)
    viewers = [each for each in many if Feature.VIEWER in each.features or each.disabled]
    for size, is_backward in product((1, 100), (False, True)):
        found = await walk(
            services, size, is_backward=is_backward, order=order, filter=ClientFilter(features=(Feature.VIEWER,))
        )
        assert found == in_order([each for each in viewers if each.features], order, clock.now)


@pytest.mark.parametrize("is_few", [True, False], ids=["sorted", "walked"])
@pytest.mark.parametrize("condition", CONDITIONS)
async def test_every_filter_finds_the_clients_that_the_rules_name(
    services: Services, many: list[Known], clock: Clock, monkeypatch: pytest.MonkeyPatch, condition: str, is_few: bool
) -> None:
    monkeypatch.setattr(client_lists, "_MAX_SORTED", 1000 if is_few else 0)
    for wanted in (True, False):
        expected = {each.made.id for each in many if each.facts(clock.now)[condition] is wanted}
        assert expected, "the clients of this test are in every state"
        found = await walk(services, 3, is_backward=False, filter=ClientFilter(**{condition: wanted}))  # type: ignore[arg-type]
        assert sorted(found) == sorted(expected), wanted


async def test_filters_and_a_search_are_all_met(services: Services, many: list[Known], clock: Clock) -> None:
    for first, second in product(CONDITIONS, CONDITIONS):
        if first < second:
            expected = [each for each in many if each.facts(clock.now)[first] and not each.facts(clock.now)[second]]
            given = ClientFilter(**{first: True, second: False})  # type: ignore[arg-type]
            assert sorted(await walk(services, 100, is_backward=False, filter=given)) == sorted(ids(expected))
            expected = [each for each in expected if "a" in folded(each.name)[:1]]
            assert sorted(await walk(services, 100, is_backward=False, filter=given, search="al")) == sorted(
                ids(expected)
            )


async def test_the_overview_counts_what_the_filters_find(
    services: Services, many: list[Known], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = await services.overviews.read()
    for name in ("locked_out", "ending_soon", "safe_to_revoke", "waiting", "due_for_rotation", "never_used"):
        assert getattr(counts, name) == sum(each.facts(clock.now)[name] for each in many), name
    assert counts.total == len(many)
    await services.clients.create_client("One more", by=ADMIN)
    gone = next(each for each in many if each.name == "Locked")
    await services.clients.delete_client(gone.made.id, by=ADMIN)
    assert await services.overviews.read() is counts, "counted at most once in five seconds"
    monkeypatch.setattr(overview_module, "MAX_AGE", 0)
    again = await services.overviews.read()
    assert again == replace(counts, locked_out=counts.locked_out - 1, never_used=counts.never_used + 1)


TEXTS = [
    "Payments API",
    "Inventory-API",
    "SMS gateway",
    "Straße 7",
    "日本語 データ",
    "under_score",
    "100% \"quoted\" 'x'",
    "a b c",
]


def sample_clients(monkeypatch: pytest.MonkeyPatch, **given: int) -> None:
    for name, number in given.items():
        monkeypatch.setattr(client_search, f"_{name.upper()}", number)


def finds(text: str, search: str) -> bool:
    """The reference of the search."""
    text, search = folded(text), folded(search)
    if len(search) >= 3:
        return search in text
    search = search.strip()
    starts = [at for at in range(len(text)) if at == 0 or not text[at - 1].isalnum()]
    return bool(search) and any(text.startswith(search, at) for at in starts)


@pytest.mark.parametrize("sampled", [0, 2], ids=["whole", "rare parts"])
@pytest.mark.parametrize("is_few", [True, False], ids=["sorted", "walked"])
async def test_a_search_finds_parts_of_names_descriptions_and_ids(
    services: Services, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, is_few: bool, sampled: int
) -> None:
    monkeypatch.setattr(client_lists, "_MAX_SORTED", 1000 if is_few else 0)
    if sampled:
        sample_clients(monkeypatch, many=1, sampled=sampled, common=1)
    made = {}
    for number, text in enumerate(TEXTS):
        client = await make_client(name=text, description=TEXTS[-1 - number] + "\nsecond line")
        made[client.id] = (text, TEXTS[-1 - number] + "\nsecond line")
    searches = {piece for text in TEXTS for size in (1, 2, 3, 6) for piece in re.findall(f"(?=(.{{{size}}}))", text)}
    for search in sorted(
        {*searches, "second", "line", "se", "x\\", "%%%", "___", '"""', "absent", next(iter(made))[4:9]}
    ):
        found = await walk(services, 100, is_backward=False, search=search)
        expected = [
            client_id for client_id, texts in made.items() if any(finds(text, search) for text in (*texts, client_id))
        ]
        assert sorted(each for each in found if each in made) == sorted(expected), search


async def test_an_index_is_asked_for_the_rare_parts_of_a_search_alone(
    services: Services, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would read the places of each trigram, and all clients have those of a common word."""
    sample_clients(monkeypatch, many=30, sampled=20, common=5)
    for number in range(30):
        await make_client(name=f"Gateway number {number + 4700} of all")
    clients = ClientSearch(services.database)

    async def asked(term: str) -> list[str]:
        """What the index is asked for instead of the term."""
        values = (await clients.contains(term)).values[:-1]
        return [part for part in re.findall(r"\w+", " ".join(map(str, values))) if part != "AND"]

    assert await asked("gateway number 4728 of all") == ["728"]
    assert await asked("number zebra of yak") == ["zebra", "yak"]
    assert await asked("gateway number") == []
    assert await walk(services, 100, is_backward=False, search="728 gateway") == []


@pytest.mark.parametrize("search", ["gateway", "ga", "g"])
async def test_a_search_that_many_clients_meet_does_not_list_them_first(
    services: Services, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, search: str
) -> None:
    """It is walked along its order, and another filter is listed before it."""
    sample_clients(monkeypatch, many=30, many_sampled=20)
    made = [await make_client(name=f"Gateway number {number}") for number in range(30)]
    await services.clients.set_client_enabled(made[7].id, enabled=False, by=ADMIN)
    statements = record_reads(services, monkeypatch)

    assert len(await walk(services, 100, is_backward=False, search=search)) == 30
    assert not [statement for statement in statements if "d CROSS JOIN" in statement]
    found = await walk(services, 100, is_backward=False, search=search, filter=ClientFilter(disabled=True))
    assert found == [made[7].id]
    lists = [statement.partition(" d CROSS JOIN")[0] for statement in statements if "d CROSS JOIN" in statement]
    assert lists
    assert all("enabled" in each for each in lists)


async def test_a_search_follows_each_change(services: Services, make_client: MakeClient) -> None:
    client = await make_client(name="Before", description="first words")

    async def found(search: str) -> list[str]:
        return await walk(services, 100, is_backward=False, search=search)

    await services.clients.update_client(client.id, by=ADMIN, name="Afterwards")
    assert (await found("efore"), await found("fterw"), await found("rst wo")) == ([], [client.id], [client.id])
    await services.clients.update_client(client.id, by=ADMIN, description=None)
    assert (await found("fterw"), await found("rst wo")) == ([client.id], [])
    await services.clients.delete_client(client.id, by=ADMIN)
    assert await found("fterw") == []


async def test_a_last_use_is_listed_at_once_for_a_first_use_and_then_once_an_hour(
    services: Services, client: Made, clock: Clock
) -> None:
    async def listed() -> int:
        rows = await services.database.fetch("SELECT last_used_at FROM client_listing WHERE client_id = ?", [client.id])
        return int(rows[0]["last_used_at"])

    assert await listed() == 0
    await is_good(services, client.id, client.secret)
    first = await listed()
    assert first > 0
    for minutes, is_written in ((30, False), (29, False), (2, True), (59, False), (1, True)):
        before = await listed()
        clock.move(timedelta(minutes=minutes))
        await is_good(services, client.id, client.secret)
        await services.usage.flush()
        assert (await listed() > before) is is_written, minutes


@pytest.mark.parametrize("order", ORDERS[:1] + ORDERS[4:], ids=lambda order: order.field.value)
async def test_a_cursor_of_another_order_is_refused(services: Services, client: Made, order: Order) -> None:
    assert client.id
    for other in OrderField:
        page = await services.queries.page_of_clients(PageRequest(first=1), order=Order(other))
        request = PageRequest(first=1, after=page.cursors[0])
        if other is order.field:
            await services.queries.page_of_clients(request, order=order)
            continue
        with pytest.raises(BadRequest) as refused:
            await services.queries.page_of_clients(request, order=order)
        assert refused.value.argument == "after"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_pages_are_read_along_an_index_and_counts_from_indexes_alone(
    services: Services, many: list[Known], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is fast with ten rows must be fast with a hundred thousand."""
    assert many
    monkeypatch.setattr(client_lists, "_MAX_SORTED", 0)
    statements = record_reads(services, monkeypatch)
    for order, is_backward in product(ORDERS, (False, True)):
        await walk(services, 4, is_backward=is_backward, order=order)
    for name in CONDITIONS:
        await services.queries.page_of_clients(PageRequest(), filter=ClientFilter(**{name: True}))  # type: ignore[arg-type]
    for wanted in (
        ClientFilter(due_within_days=14),
        ClientFilter(labels=("team=a", "env=b")),
        ClientFilter(contact="Ada"),
    ):
        await (await services.queries.page_of_clients(PageRequest(), filter=wanted)).count()
    await services.queries.page_of_clients(PageRequest(), search="alpha")
    await services.overviews.read()
    assert len(statements) > 30
    for statement, values in statements.items():
        plan = [row["detail"] for row in await services.database.fetch(f"EXPLAIN QUERY PLAN {statement}", values)]
        scans = [
            step
            for step in plan
            if step.startswith("SCAN")
            and "INDEX" not in step
            and "CONSTANT ROW" not in step
            and step not in LISTED_BEFORE
            and step != "SCAN i"  # the one row of the installation
        ]
        assert scans == [], (statement, plan)
        assert not [step for step in plan if "ORDER BY" in step], (statement, plan)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_lists_use_the_index_that_was_made_for_them(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without statistics, SQLite takes the latest of indexes that seem equal, which may hold every client."""
    monkeypatch.setattr(client_lists, "_MAX_SORTED", -1)  # so that lists are walked
    statements = record_reads(services, monkeypatch)
    for wanted, index in (
        (ClientFilter(disabled=True), "client_disabled"),
        (ClientFilter(due_for_rotation=True), "client_own_maximum"),
        (ClientFilter(due_for_rotation=True), "client_newest_by_maximum"),
    ):
        statements.clear()
        await services.queries.page_of_clients(PageRequest(), filter=wanted)
        plans = [
            row["detail"]
            for statement, values in statements.items()
            for row in await services.database.fetch(f"EXPLAIN QUERY PLAN {statement}", values)
        ]
        assert any(index in step for step in plans), plans
        assert not [step for step in plans if step.startswith("SCAN") and "client_newest" in step], plans
