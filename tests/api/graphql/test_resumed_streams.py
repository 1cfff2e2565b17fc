"""`clientEvents(after:)` and `Last-Event-ID`: a frontend that was away resumes, over each transport."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
import pytest
from aiohttp import encode_basic_auth
from support.callers import ADMIN, DAY, HARD, Made, is_good
from support.sockets import open_socket

from gql_secrets.service import event_feed
from gql_secrets.wiring import Services

# What the database does is tested in tests/service/test_resumed_streams.py, on both kinds.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

AFTER: Final = "subscription ($after: Int) { clientEvents(after: $after) { kind revision } }"
PLAIN: Final = "subscription { clientEvents { kind revision } }"


class EventSource:
    """What a browser's `EventSource` does: it remembers the last id."""

    def __init__(self, api: Any, viewer: Made) -> None:
        self._api = api
        self._authorization = encode_basic_auth(viewer.id, viewer.secret)
        self.last_event_id: str | None = None

    @asynccontextmanager
    async def open(self, query: str = PLAIN, *, headers: Any = (), **variables: Any) -> AsyncIterator[Any]:
        pairs = [("Authorization", self._authorization), ("Accept", "text/event-stream"), *headers]
        if self.last_event_id is not None:
            pairs.append(("Last-Event-ID", self.last_event_id))
        async with self._api.post("/graphql", json={"query": query, "variables": variables}, headers=pairs) as response:
            yield response

    async def read(self, response: Any) -> tuple[dict[str, Any] | None, str | None]:
        """The data of the next event, and its id."""
        while True:
            async with asyncio.timeout(30):
                text = (await response.content.readuntil(b"\n\n")).decode()
            if text.startswith(":"):
                continue
            fields = dict(line.split(": ", 1) for line in text.strip("\n").split("\n") if ": " in line)
            self.last_event_id = fields.get("id", self.last_event_id)
            return orjson.loads(fields["data"]) if fields.get("data") else None, fields.get("id")


@pytest.fixture
def source(api: Any, viewer: Made) -> EventSource:
    return EventSource(api, viewer)


async def edit(services: Services, client: Made, name: str) -> None:
    await services.clients.update_client(client.id, name=name, by=ADMIN)


async def test_an_event_source_resumes_where_it_was_cut_off(
    source: EventSource, services: Services, client: Made
) -> None:
    async with source.open() as response:
        await edit(services, client, "One")
        data, event_id = await source.read(response)
        assert data is not None
        first = data["data"]["clientEvents"]["revision"]
        assert event_id == str(first)
    await edit(services, client, "Two")
    await edit(services, client, "Three")
    async with source.open() as response:
        assert [(await source.read(response))[1] for _ in range(2)] == [str(first + 1), str(first + 2)]
        await edit(services, client, "Four")
        assert (await source.read(response))[1] == str(first + 3)


async def test_only_the_last_event_of_a_revision_is_a_place_to_resume_at(
    source: EventSource, services: Services, client: Made
) -> None:
    """Cut off between two events of one revision, a reader gets both again and misses none."""
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    async with source.open() as response:
        await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
        (first, no_id), (second, event_id) = await source.read(response), await source.read(response)
    assert first is not None
    assert second is not None
    assert [each["data"]["clientEvents"]["kind"] for each in (first, second)] == ["RESET", "DISPLACED"]
    assert (no_id, event_id) == (None, str(second["data"]["clientEvents"]["revision"]))


async def test_a_use_has_no_id(source: EventSource, services: Services, client: Made) -> None:
    async with source.open() as response:
        await is_good(services, client.id, client.secret)
        data, event_id = await source.read(response)
    assert data == {"data": {"clientEvents": {"kind": "FIRST_USED", "revision": None}}}
    assert event_id is None


async def test_the_argument_resumes_an_event_stream_and_the_header_replaces_it(
    source: EventSource, services: Services, client: Made
) -> None:
    async with source.open(AFTER, after=1) as response:
        assert (await source.read(response))[1] == "2"
    await edit(services, client, "Later")
    async with source.open(AFTER, after=1) as response:  # with Last-Event-ID: 2
        _, event_id = await source.read(response)
        assert event_id is not None
        assert int(event_id) > 2


@pytest.mark.parametrize(
    "values", [[""], ["x"], ["-1"], ["1.0"], ["٣"], ["1 2"], ["1" * 20], ["1", "2"], ["1", "1"], ["null"]]
)
async def test_a_last_event_id_that_is_not_digits_is_refused(
    values: list[str], source: EventSource, client: Made
) -> None:
    del client
    async with source.open(headers=[("Last-Event-ID", value) for value in values]) as response:
        assert response.status == 400
        [error] = (await response.json(content_type=None))["errors"]
    assert error["extensions"]["code"] == "BAD_REQUEST"
    assert "digits" in error["message"]


@pytest.mark.parametrize("after", [-1, -(2**31)])
async def test_a_negative_revision_is_refused(after: int, source: EventSource) -> None:
    async with source.open(AFTER, after=after) as response:
        assert response.status == 400
        [error] = (await response.json(content_type=None))["errors"]
    assert error["extensions"]["argument"] == "after"


async def test_an_event_stream_that_cannot_resume_says_so_in_an_event(source: EventSource, client: Made) -> None:
    """A status other than 200 would make a browser give up without a reason."""
    del client
    source.last_event_id = "999999"
    async with source.open() as response:
        assert response.status == 200
        data, event_id = await source.read(response)
        assert data is not None
        assert data["data"] is None
        assert [error["extensions"]["code"] for error in data["errors"]] == ["RESYNC_REQUIRED"]
        assert event_id is None
        assert b"event: complete" in await response.content.read()


async def test_a_socket_resumes_after_a_revision(api: Any, viewer: Made, services: Services, client: Made) -> None:
    await edit(services, client, "One")
    async with open_socket(api) as socket:
        await socket.initialise(viewer)
        await socket.subscribe(AFTER, variables={"after": 0})
        revisions = [(await socket.event())["revision"] for _ in range(4)]
        assert revisions == [1, 2, 3, 4]
        await edit(services, client, "Two")
        assert (await socket.event())["revision"] == 5


async def test_a_socket_that_cannot_resume_is_closed_with_4409(
    api: Any, viewer: Made, services: Services, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "MAX_REPLAYED", 2)
    for name in ("One", "Two", "Three"):
        await edit(services, client, name)
    async with open_socket(api) as socket:
        await socket.initialise(viewer)
        await socket.subscribe(AFTER, variables={"after": 0})
        [error] = await socket.errors()
        assert error["extensions"]["code"] == "RESYNC_REQUIRED"
        async with asyncio.timeout(30):
            message = await socket.raw.receive()
        assert message.data == 4409
    assert len(services.feed) == 0


async def test_events_follow_the_revision_that_was_read_before_other_data(
    gql: Any, source: EventSource, services: Services, viewer: Made, client: Made
) -> None:
    before = (await gql("{ revision }", as_=viewer))["revision"]
    assert (await gql("{ revision }", as_=viewer))["revision"] == before  # a sign-in is not a change
    await edit(services, client, "Between")
    assert (await gql("{ revision }", as_=viewer))["revision"] == before + 1
    async with source.open(AFTER, after=before) as response:
        data, _ = await source.read(response)
    assert data == {"data": {"clientEvents": {"kind": "EDITED", "revision": before + 1}}}
