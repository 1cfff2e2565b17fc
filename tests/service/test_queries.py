"""Keyset pages that neither lose nor repeat a row, and the search."""

import base64
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.callers import ADMIN, DAY, HARD, Made
from support.clocks import HOUR, SECOND, Clock
from support.installation import MakeClient

from gql_secrets.domain import search as domain_search
from gql_secrets.domain.errors import BadRequest
from gql_secrets.domain.rotation import SecretState
from gql_secrets.service import queries
from gql_secrets.service.client_filter import ClientFilter
from gql_secrets.service.pages import Page, PageRequest
from gql_secrets.storage import client_lists
from gql_secrets.storage.client_lists import Place
from gql_secrets.storage.client_rows import ClientRow
from gql_secrets.wiring import Services


def names(page: Page[ClientRow]) -> list[str]:
    return [row.name for row in page.rows]


@pytest.fixture
async def ten(services: Services, clock: Clock) -> list[str]:
    """Ten clients, newest first; two are created at each instant, so the id decides their order."""
    made = []
    for number in range(10):
        if number % 2 == 0:
            clock.move(SECOND)
        client = (await services.clients.create_client(f"Client {number}", by=ADMIN)).client
        made.append((client.created_at, client.client_id, client.name))
    return [name for *_, name in sorted(made, reverse=True)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10, 11, 100])
async def test_pages_forward_return_every_row_once_newest_first(services: Services, ten: list[str], size: int) -> None:
    found, after = [], None
    while True:
        page = await services.queries.page_of_clients(PageRequest(first=size, after=after), search="client")
        found += names(page)
        assert page.has_previous == (after is not None)
        assert await page.count() == 10
        if not page.has_next:
            break
        after = page.cursors[-1]
    assert found == ten


@pytest.mark.parametrize("is_backward", [False, True])
async def test_a_page_of_which_every_client_was_just_deleted_does_not_end_the_list(
    services: Services, ten: list[str], monkeypatch: pytest.MonkeyPatch, *, is_backward: bool
) -> None:
    """Its cursors would be missing, and with them the way to the clients beyond it."""
    read = client_lists.page_of_places

    async def read_and_delete(*args: Any, **given: Any) -> list[Place]:
        monkeypatch.setattr(client_lists, "page_of_places", read)
        places = await read(*args, **given)
        for place in places[:3]:
            await services.clients.delete_client(place.client_id, by=ADMIN)
        return places

    monkeypatch.setattr(client_lists, "page_of_places", read_and_delete)
    request = PageRequest(last=3) if is_backward else PageRequest(first=3)
    page = await services.queries.page_of_clients(request, search="client")
    assert names(page) == (ten[4:7] if is_backward else ten[3:6])
    assert page.has_previous if is_backward else page.has_next


@pytest.mark.parametrize("size", [1, 3, 10, 11])
async def test_pages_backward_return_every_row_once_in_the_same_order(
    services: Services, ten: list[str], size: int
) -> None:
    found: list[str] = []
    before = None
    while True:
        page = await services.queries.page_of_clients(PageRequest(last=size, before=before), search="client")
        found = names(page) + found
        assert page.has_next == (before is not None)
        if not page.has_previous:
            break
        before = page.cursors[0]
    assert found == ten


async def test_rows_that_change_between_two_pages_do_not_shift_the_others(
    services: Services, ten: list[str], clock: Clock
) -> None:
    page = await services.queries.page_of_clients(PageRequest(first=4), search="client")
    clock.move(HOUR)
    await services.clients.create_client("Client new", by=ADMIN)
    await services.clients.delete_client(page.rows[-1].client_id, by=ADMIN)
    rest = await services.queries.page_of_clients(PageRequest(first=100, after=page.cursors[-1]), search="client")
    assert names(page) + names(rest) == ten


async def test_an_empty_page_is_a_page(services: Services, ten: list[str]) -> None:
    page = await services.queries.page_of_clients(PageRequest(first=0))
    assert (page.rows, page.cursors, page.has_next) == ([], [], True)
    assert await page.count() == len(ten) + 1
    none = await services.queries.page_of_clients(PageRequest(), search="no such")
    assert (none.rows, none.has_next, none.has_previous) == ([], False, False)


@pytest.mark.parametrize(
    "given",
    [
        {"first": -1},
        {"first": 101},
        {"last": -1},
        {"last": 101},
        {"first": 2**40},
        {"last": 5, "after": "x"},
        {"first": 5, "before": "x"},
        {"before": "x"},
        {"first": 5, "last": 5},
        {"first": 0, "last": 0},
    ],
)
def test_an_invalid_page_is_refused_with_its_argument(given: dict[str, object]) -> None:
    with pytest.raises(BadRequest) as refused:
        PageRequest(**given)  # type: ignore[arg-type]
    assert refused.value.argument in given


def encode_cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "====",
        "é",
        "\x00",
        "\ud800",
        encode_cursor(""),
        encode_cursor("1"),
        encode_cursor("x\ny"),
        encode_cursor("-1\nid"),
        encode_cursor("9" * 30 + "\nid"),
        encode_cursor("9" * 5000 + "\nid"),
        encode_cursor("1\nid\x00"),
        encode_cursor("1\n" + "x" * 5000),
        encode_cursor("1.5\nid"),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        "A" * 100_000,
    ],
)
async def test_an_invalid_cursor_is_refused_with_its_argument(services: Services, cursor: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await services.queries.page_of_clients(PageRequest(first=1, after=cursor))
    assert refused.value.argument == "after"
    with pytest.raises(BadRequest) as refused:
        await services.queries.page_of_clients(PageRequest(last=1, before=cursor))
    assert refused.value.argument == "before"


@pytest.mark.parametrize("text", [str(2**63), str(-1), "x", "1\n2", "9" * 5000])
async def test_a_cursor_of_audit_events_or_secrets_is_a_number(services: Services, owner: Made, text: str) -> None:
    with pytest.raises(BadRequest):
        await services.queries.page_of_audit_events(PageRequest(after=encode_cursor(text)))
    with pytest.raises(BadRequest):
        await services.queries.page_of_secrets(owner.id, PageRequest(after=encode_cursor(text)))


# Search


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("shop", {"Shop one", "SHOP two", "shop"}),
        ("SHOP ", {"Shop one", "SHOP two"}),
        ("hop one", {"Shop one"}),
        ("hop two", {"SHOP two"}),
        ("語", set()),
        ("ÄPFEL", {"Äpfel & Birnen"}),
        ("äpfel", {"Äpfel & Birnen"}),
        ("STRASSE", {"Straße"}),
        ("straß", {"Straße"}),
        ("%", {"%percent"}),
        ("_", {"_under"}),
        ("100", {"100%"}),
        ("100_", set()),
        ("\\", {"\\back"}),
        ("'", {"'quote"}),
        ("日本", {"日本語"}),
        ("🦊", {"🦊 fox"}),
        ("ﬁne", {"fine"}),  # a ligature folds to its letters
        ("\x00", set()),
        ("\ud800", set()),
        ("shop\n", set()),
        ("x" * 5000, set()),
    ],
)
async def test_a_search_finds_parts_of_names_ignoring_case(
    services: Services, make_client: MakeClient, search: str, found: set[str]
) -> None:
    for name in (
        "Shop one", "SHOP two", "shop", "Äpfel & Birnen", "Straße", "%percent", "_under", "100%", "\\back", "'quote",
        "日本語", "🦊 fox", "fine",
    ):  # fmt: skip
        await make_client(name=name)
    assert set(names(await services.queries.page_of_clients(PageRequest(first=100), search=search))) == found


async def test_a_search_finds_client_ids_too(services: Services, client: Made) -> None:
    for text in (client.id, client.id[:5], client.id.upper()):
        page = await services.queries.page_of_clients(PageRequest(), search=text)
        assert [row.client_id for row in page.rows] == [client.id]


async def test_clients_in_a_rollover_are_found_by_the_clock(
    services: Services, make_client: MakeClient, clock: Clock
) -> None:
    one, other = await make_client(name="One"), await make_client(name="Other")
    await services.rotation.reset_secret(one.id, DAY, by=ADMIN)
    await services.clients.set_client_enabled(one.id, enabled=False, by=ADMIN)
    running = await services.queries.page_of_clients(PageRequest(), filter=ClientFilter(in_rollover=True))
    resting = await services.queries.page_of_clients(PageRequest(), filter=ClientFilter(in_rollover=False), search="Ot")
    assert (names(running), names(resting)) == (["One"], ["Other"])
    clock.move(24 * HOUR)
    assert not (await services.queries.page_of_clients(PageRequest(), filter=ClientFilter(in_rollover=True))).rows
    living = await services.queries.active_secrets([one.id, other.id, "nobody"])
    assert {client_id: set(states) for client_id, states in living.items()} == {
        one.id: {SecretState.CURRENT},
        other.id: {SecretState.CURRENT},
    }


async def test_impossible_filters_of_the_audit_find_nothing(services: Services, owner: Made) -> None:
    for text in ("\x00", "\ud800", "nobody", "'", "x" * 5000):
        for name in ("client_id", "actor"):
            page = await services.queries.page_of_audit_events(PageRequest(), **{name: text})  # type: ignore[arg-type]
            assert page.rows == []
    assert (await services.queries.page_of_audit_events(PageRequest(), client_id=owner.id)).rows


async def test_audit_events_are_filtered_by_time(services: Services, client: Made, clock: Clock) -> None:
    began = clock.now
    clock.move(HOUR)
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    page = await services.queries.page_of_audit_events(PageRequest(), since=clock.now)
    assert [event.action for event in page.rows] == ["SECRET_RESET"]
    page = await services.queries.page_of_audit_events(PageRequest(), since=began, until=clock.now)
    assert [event.action for event in page.rows] == ["CLIENT_CREATED", "CLIENT_CREATED"]


@pytest.mark.parametrize("few", [1000, 1], ids=["found by the time", "found among all"])
async def test_audit_events_of_a_time_are_found_though_the_clock_stepped_back(
    services: Services, client: Made, clock: Clock, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_FEW_EVENTS", few)
    began = clock.now
    for hours in (2, 3, 1, 2):
        clock.set(began + hours * HOUR)
        await services.rotation.reset_secret(client.id, HARD, by=ADMIN)

    page = await services.queries.page_of_audit_events(PageRequest(), client_id=client.id, until=began + HOUR)
    [created] = page.rows

    async def found(since: datetime, until: datetime | None, size: int = 50) -> list[tuple[int, timedelta]]:
        page = await services.queries.page_of_audit_events(PageRequest(first=size), since=since, until=until)
        return [(event.revision - created.revision, event.at - began) for event in page.rows]

    assert await found(began + 2 * HOUR, None) == [(4, 2 * HOUR), (2, 3 * HOUR), (1, 2 * HOUR)]
    assert await found(began + HOUR, began + 3 * HOUR) == [(4, 2 * HOUR), (3, HOUR), (1, 2 * HOUR)]
    assert await found(began + HOUR, began + 2 * HOUR) == [(3, HOUR)]
    assert await found(began + 2 * HOUR, None, size=1) == [(4, 2 * HOUR)]
    assert await found(began + 4 * HOUR, None) == []


class UnreadText(str):
    """A text that fails when its characters are read."""

    __slots__ = ()

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("a text that is too long was read")


async def test_the_length_of_a_text_is_checked_before_it_is_read(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain_search, "folded", lambda text: pytest.fail(f"folded {len(text)} characters"))
    for size in (201, 100_000):
        page = await services.queries.page_of_clients(PageRequest(), search=UnreadText("x" * size))
        assert page.rows == []
    for size in (513, 100_000):
        page = await services.queries.page_of_audit_events(PageRequest(), actor=UnreadText("x" * size))  # type: ignore[assignment]
        assert page.rows == []


async def test_a_search_as_long_as_the_longest_name_finds_it(services: Services, make_client: MakeClient) -> None:
    await make_client(name="x" * 200)
    assert names(await services.queries.page_of_clients(PageRequest(), search="x" * 200)) == ["x" * 200]
    assert names(await services.queries.page_of_clients(PageRequest(), search="x" * 201)) == []
