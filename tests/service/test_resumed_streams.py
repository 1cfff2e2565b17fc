"""A subscriber that was away gets what came in between, or learns that it must read everything again."""

import asyncio

import pytest
from support.callers import ADMIN, CLI, DAY, HARD, NOBODY, VIEWER, Made, is_good
from support.installation import MakeClient

from gql_secrets.domain.access import Role
from gql_secrets.domain.errors import Forbidden, ResyncRequired, Unavailable
from gql_secrets.domain.events import ClientEvent, ClientEventKind
from gql_secrets.service import event_feed
from gql_secrets.service.event_feed import ClientEvents
from gql_secrets.storage.change_log import ChangeLog
from gql_secrets.wiring import Services

K = ClientEventKind


async def take(stream: ClientEvents, count: int) -> list[ClientEvent]:
    async with asyncio.timeout(20):
        return [await anext(stream) for _ in range(count)]


async def revision(services: Services) -> int:
    return (await ChangeLog(services.database).latest()).revision


async def edit(services: Services, client: Made, name: str) -> None:
    await services.clients.update_client(client.id, name=name, by=ADMIN)


async def must_resync(services: Services, after: int, client_id: str | None = None) -> bool:
    stream = await services.feed.subscribe(client_id, by=VIEWER, after=after)
    with pytest.raises(ResyncRequired):
        await take(stream, 1)
    assert len(services.feed) == 0
    return True


async def test_what_came_after_the_revision_comes_first_and_then_what_is_live(services: Services, client: Made) -> None:
    known = await revision(services)
    for name in ("One", "Two"):
        await edit(services, client, name)
    stream = await services.feed.subscribe(None, by=VIEWER, after=known)
    await edit(services, client, "Three")
    events = await take(stream, 3)
    assert [(event.kind, event.revision) for event in events] == [(K.EDITED, known + each) for each in (1, 2, 3)]
    await stream.aclose()


async def test_nothing_is_repeated_or_missed_while_changes_go_on(services: Services, client: Made) -> None:
    """Each subscription begins between two changes, at any instant."""
    known = await revision(services)

    async def change() -> None:
        for each in range(30):
            await edit(services, client, f"Name {each}")

    changing = asyncio.create_task(change())
    streams = []
    while not changing.done():
        streams.append(await services.feed.subscribe(None, by=VIEWER, after=known))
        await asyncio.sleep(0.01)
    await changing
    for stream in streams:
        assert [event.revision for event in await take(stream, 30)] == list(range(known + 1, known + 31))
        await stream.aclose()


async def test_the_newest_revision_replays_nothing(services: Services, client: Made) -> None:
    stream = await services.feed.subscribe(None, by=VIEWER, after=await revision(services))
    await edit(services, client, "Live")
    [event] = await take(stream, 1)
    assert event.revision == await revision(services)
    await stream.aclose()


async def test_revision_0_is_before_the_first_change(services: Services, client: Made) -> None:
    stream = await services.feed.subscribe(None, by=VIEWER, after=0)
    events = await take(stream, 2)
    assert [(event.kind, event.revision) for event in events] == [(K.CREATED, 1), (K.CREATED, 2)]
    assert events[1].client_id == client.id
    await stream.aclose()


async def test_a_subscriber_to_one_client_gets_only_that_one(
    services: Services, make_client: MakeClient, client: Made
) -> None:
    known = await revision(services)
    other = await make_client()
    await edit(services, client, "Mine")
    await edit(services, other, "Not mine")
    stream = await services.feed.subscribe(client.id, by=VIEWER, after=known)
    await edit(services, client, "Mine again")
    events = await take(stream, 2)
    assert {event.client_id for event in events} == {client.id}
    await stream.aclose()


async def test_the_events_of_one_revision_are_replayed_together(services: Services, client: Made) -> None:
    """Only the last one of them is a place to resume at."""
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    known = await revision(services)
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    stream = await services.feed.subscribe(None, by=VIEWER, after=known)
    events = await take(stream, 2)
    assert [(event.kind, event.is_last_of_revision) for event in events] == [(K.RESET, False), (K.DISPLACED, True)]
    await stream.aclose()


async def test_uses_are_not_replayed(services: Services, client: Made) -> None:
    known = await revision(services)
    await is_good(services, client.id, client.secret)
    await edit(services, client, "Used")
    stream = await services.feed.subscribe(None, by=VIEWER, after=known)
    assert [event.kind for event in await take(stream, 1)] == [K.EDITED]
    await stream.aclose()


async def test_more_events_than_are_replayed_require_a_resync(
    services: Services, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "MAX_REPLAYED", 3)
    known = await revision(services)
    for number in range(4):
        await edit(services, client, f"Name {number}")
    assert await must_resync(services, known)
    assert await must_resync(services, known, client.id)
    stream = await services.feed.subscribe(None, by=VIEWER, after=known + 1)
    assert len(await take(stream, 3)) == 3
    await stream.aclose()


async def test_changes_of_nothing_but_the_installation_do_not_count(
    services: Services, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "MAX_REPLAYED", 1)
    known = await revision(services)
    for name in ("Ada", "Bob"):
        await services.sessions.create_sign_in_link(name, Role.VIEWER, by=CLI)
    await edit(services, client, "Edited")
    stream = await services.feed.subscribe(None, by=VIEWER, after=known)
    assert [event.kind for event in await take(stream, 1)] == [K.EDITED]
    await stream.aclose()


async def test_two_events_of_a_revision_count_as_two(
    services: Services, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    known = await revision(services)
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    monkeypatch.setattr(event_feed, "MAX_REPLAYED", 1)
    assert await must_resync(services, known)


async def test_a_revision_from_before_a_restore_requires_a_resync(services: Services) -> None:
    newest = await revision(services)
    for later in (newest + 1, 2**31 - 1, 2**63 - 1):
        assert await must_resync(services, later)


async def test_a_revision_whose_successor_was_pruned_requires_a_resync(services: Services, client: Made) -> None:
    known = await revision(services)
    for name in ("One", "Two", "Three"):
        await edit(services, client, name)
    await services.database.run_tx(lambda tx: tx.execute("DELETE FROM audit_event WHERE revision <= ?", known + 2))
    assert await must_resync(services, 0)
    assert await must_resync(services, known)
    assert await must_resync(services, known + 1, client.id)
    stream = await services.feed.subscribe(None, by=VIEWER, after=known + 2)
    assert [event.revision for event in await take(stream, 1)] == [known + 3]
    await stream.aclose()


async def test_a_subscriber_without_the_role_is_refused_before_anything_is_read(services: Services) -> None:
    with pytest.raises(Forbidden):
        await services.feed.subscribe(None, by=NOBODY, after=0)


async def test_a_stream_that_cannot_read_what_was_missed_is_not_left_open(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise Unavailable

    monkeypatch.setattr(ChangeLog, "between", fail)
    with pytest.raises(Unavailable):
        await services.feed.subscribe(None, by=VIEWER, after=0)
    assert len(services.feed) == 0
