"""Events are delivered once, after the commit, in the order of revisions, for changes by any actor."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from support.callers import ADMIN, CLI, DAY, HARD, OPERATOR, VIEWER, Made, is_good, sign_in, verify
from support.clocks import DAYS, HOUR, MINUTE, SECOND, Clock
from support.installation import MakeClient, OpenNode

from gql_secrets.domain.access import ActorKind, Caller, Role, Surface
from gql_secrets.domain.audit import AuditAction, AuditEntry
from gql_secrets.domain.errors import Failure, Forbidden, StreamEnded, Unauthenticated, Unavailable
from gql_secrets.domain.events import ClientEvent, ClientEventKind, events_of
from gql_secrets.service import event_feed
from gql_secrets.service.event_feed import ClientEvents
from gql_secrets.storage.transaction import Transaction
from gql_secrets.wiring import Services

K = ClientEventKind


async def take(stream: ClientEvents, count: int) -> list[ClientEvent]:
    async with asyncio.timeout(20):
        return [await anext(stream) for _ in range(count)]


async def end_of(stream: ClientEvents) -> Failure:
    """Why the stream ended, within the second that a stream may outlive its right (and what a busy machine adds)."""
    try:
        async with asyncio.timeout(30):
            async for _ in stream:
                pass
    except Failure as failure:
        return failure
    raise AssertionError("The stream came to its end without a reason.")


async def person(services: Services, role: Role = Role.VIEWER) -> Caller:
    link = await services.sessions.create_sign_in_link("vera", role, by=CLI)
    signed_in = await services.sessions.sign_in(link.token.reveal())
    return Caller("vera", ActorKind.USER, role, Surface.GRAPHQL, session_id=signed_in.session_id)


async def in_rollover(services: Services, client: Made) -> None:
    await is_good(services, client.id, client.secret)
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)


async def in_used_rollover(services: Services, client: Made) -> None:
    await is_good(services, client.id, client.secret)
    reset = await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    await is_good(services, client.id, reset.new_secret.reveal())


async def nothing(services: Services, client: Made) -> None:
    del services, client


Act = Callable[[Services, Made], Awaitable[object]]
CHANGES: dict[str, tuple[Act, Act, list[ClientEventKind]]] = {
    "create": (nothing, lambda s, _: s.clients.create_client("New", by=ADMIN), [K.CREATED]),
    "update": (nothing, lambda s, c: s.clients.update_client(c.id, name="Renamed", by=ADMIN), [K.EDITED]),
    "disable": (nothing, lambda s, c: s.clients.set_client_enabled(c.id, enabled=False, by=ADMIN), [K.DISABLED]),
    "enable": (
        lambda s, c: s.clients.set_client_enabled(c.id, enabled=False, by=ADMIN),
        lambda s, c: s.clients.set_client_enabled(c.id, enabled=True, by=ADMIN),
        [K.ENABLED],
    ),
    "delete": (in_rollover, lambda s, c: s.clients.delete_client(c.id, by=ADMIN), [K.DELETED]),
    "smooth reset": (nothing, lambda s, c: s.rotation.reset_secret(c.id, DAY, by=ADMIN), [K.RESET]),
    "hard reset": (nothing, lambda s, c: s.rotation.reset_secret(c.id, HARD, by=ADMIN), [K.RESET]),
    "hard reset in a rollover": (
        in_rollover,
        lambda s, c: s.rotation.reset_secret(c.id, HARD, by=ADMIN),
        [K.RESET, K.DISPLACED],
    ),
    "reset again": (in_rollover, lambda s, c: s.rotation.reset_secret(c.id, DAY, by=ADMIN), [K.RESET, K.WITHDRAWN]),
    "reset although used": (
        in_used_rollover,
        lambda s, c: s.rotation.reset_secret(c.id, DAY, by=ADMIN, end_active_rollover=True),
        [K.RESET, K.DISPLACED],
    ),
    "revoke": (in_rollover, lambda s, c: s.rotation.revoke_old_secret(c.id, by=ADMIN), [K.REVOKED]),
    "change retention": (
        in_rollover,
        lambda s, c: s.rotation.change_retention(c.id, DAY, by=ADMIN),
        [K.RETENTION_CHANGED],
    ),
    "cancel": (in_rollover, lambda s, c: s.rotation.cancel_rollover(c.id, by=ADMIN), [K.CANCELLED, K.WITHDRAWN]),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_each_change_is_told(services: Services, client: Made, change: str):
    before, act, kinds = CHANGES[change]
    await before(services, client)
    stream = await services.feed.subscribe(None, by=VIEWER)

    await act(services, client)
    await services.clients.create_client("The last one", by=CLI)
    told = await take(stream, len(kinds) + 1)

    assert [event.kind for event in told] == [*kinds, K.CREATED]
    assert len({event.revision for event in told[:-1]}) == 1
    assert all(event.actor == "user:ada" for event in told[:-1])
    assert told[-1].actor == "cli:root"


NOT_OF_A_CLIENT = {
    AuditAction.AUDIT_ACCEPTED,
    AuditAction.AUDIT_PRUNED,
    AuditAction.DATABASE_REWOUND,
    AuditAction.RESTORE_ACCEPTED,
    AuditAction.CHANGES_PAUSED,
    AuditAction.CHANGES_RESUMED,
    AuditAction.PEPPER_MIGRATION_STARTED,
    AuditAction.SIGN_IN_LINK_CREATED,
    AuditAction.SIGN_IN_LINK_VOIDED,
    AuditAction.SIGNED_IN,
    AuditAction.SESSION_ENDED,
    AuditAction.WEBHOOK_CREATED,
    AuditAction.WEBHOOK_UPDATED,
    AuditAction.WEBHOOK_DELETED,
    AuditAction.WEBHOOK_SECRET_ROTATED,
}


@pytest.mark.parametrize("action", sorted(set(AuditAction) - NOT_OF_A_CLIENT))
def test_every_change_of_a_client_that_the_audit_knows_is_told(action: AuditAction, clock: Clock):
    entry = AuditEntry(
        revision=7, at=clock.now, action=action.value, actor="user:ada", actor_kind="USER", surface="GRAPHQL",
        client_id="shop", secret_id=3,
    )  # fmt: skip

    [event] = events_of(entry)

    assert (event.client_id, event.revision, event.at, event.secret_id) == ("shop", 7, clock.now, 3)


@pytest.mark.parametrize("action", sorted(NOT_OF_A_CLIENT))
def test_what_is_not_about_a_client_is_not_an_event_of_one(action: AuditAction, clock: Clock):
    entry = AuditEntry(7, clock.now, action, "cli:root", "CLI", "CLI")
    assert list(events_of(entry)) == []


async def test_the_secrets_that_ended_are_named(services: Services, client: Made):
    await in_rollover(services, client)
    living = (await services.queries.active_secrets([client.id]))[client.id]
    ids = {state.value: row.id for state, row in living.items()}
    stream = await services.feed.subscribe(client.id, by=VIEWER)

    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)

    reset, displaced = await take(stream, 2)
    assert displaced.secret_id == ids["RETAINED"]
    assert reset.secret_id not in ids.values()


async def test_changes_are_told_in_the_order_of_their_revisions(services: Services, open_node: OpenNode):
    nodes = [services, await open_node(), await open_node()]
    stream = await nodes[1].feed.subscribe(None, by=VIEWER)

    await asyncio.gather(*(node.clients.create_client("New", by=ADMIN) for node in nodes for _ in range(10)))
    revisions = [event.revision for event in await take(stream, 30)]

    first = revisions[0]
    assert first is not None
    assert revisions == list(range(first, first + 30))


async def test_more_changes_than_are_read_at_once_are_all_told(
    services: Services, monkeypatch: pytest.MonkeyPatch, client: Made
):
    monkeypatch.setattr(event_feed, "_PAGE", 3)
    stream = await services.feed.subscribe(client.id, by=VIEWER)

    for number in range(10):
        await services.clients.update_client(client.id, name=f"Name {number}", by=ADMIN)

    told = await take(stream, 10)
    assert [event.kind for event in told] == [K.EDITED] * 10
    assert len({event.revision for event in told}) == 10


async def test_what_was_before_is_not_told(services: Services, client: Made):
    """A subscriber reads what is there and hears what comes: nothing twice, nothing never."""
    first = await services.feed.subscribe(None, by=VIEWER)
    await services.clients.update_client(client.id, name="Before", by=ADMIN)
    second = await services.feed.subscribe(None, by=VIEWER)
    await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)

    assert [event.kind for event in await take(first, 2)] == [K.EDITED, K.DISABLED]
    assert [event.kind for event in await take(second, 1)] == [K.DISABLED]


async def test_a_change_that_is_rolled_back_is_not_told(services: Services, client: Made):
    stream = await services.feed.subscribe(None, by=VIEWER)

    with pytest.raises(Failure):
        await services.rotation.revoke_old_secret(client.id, secret_id=987654, by=ADMIN)
    await services.clients.update_client(client.id, name="After", by=ADMIN)

    assert [event.kind for event in await take(stream, 1)] == [K.EDITED]


async def test_who_listens_to_one_client_hears_of_no_other(services: Services, make_client: MakeClient):
    one, other = await make_client(), await make_client()
    stream = await services.feed.subscribe(one.id, by=VIEWER)

    await services.clients.update_client(other.id, name="Other", by=ADMIN)
    await is_good(services, other.id, other.secret)
    await services.clients.update_client(one.id, name="One", by=ADMIN)

    [event] = await take(stream, 1)
    assert (event.client_id, event.kind) == (one.id, K.EDITED)


async def test_a_first_use_is_told_once_whichever_process_saw_it(
    services: Services, open_node: OpenNode, client: Made, clock: Clock
):
    other = await open_node()
    stream = await services.feed.subscribe(client.id, by=VIEWER)

    assert await is_good(other, client.id, client.secret)
    clock.move(SECOND)
    assert await is_good(other, client.id, client.secret)
    await other.clients.update_client(client.id, name="After", by=ADMIN)

    used, edited = await take(stream, 2)
    if used.kind is K.EDITED:  # both were new at the same look
        used, edited = edited, used
    assert (used.kind, used.revision, used.actor) == (K.FIRST_USED, None, None)
    assert used.secret_id is not None
    assert edited.kind is K.EDITED


async def test_a_first_use_long_ago_is_no_news_when_the_clock_is_set_back(
    services: Services, client: Made, clock: Clock
):
    stream = await services.feed.subscribe(client.id, by=VIEWER)
    await is_good(services, client.id, client.secret)
    assert [event.kind for event in await take(stream, 1)] == [K.FIRST_USED]

    for step in (HOUR, -HOUR, SECOND):
        clock.move(step)
        await services.clients.update_client(client.id, name=f"After {step}", by=ADMIN)
        assert [event.kind for event in await take(stream, 1)] == [K.EDITED]


async def test_refused_attempts_are_told_when_they_are_counted(services: Services, open_node: OpenNode, client: Made):
    other = await open_node()
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    stream = await services.feed.subscribe(client.id, by=VIEWER)

    for _ in range(3):
        assert not await is_good(other, client.id, client.secret)
    await other.usage.flush()

    [event] = await take(stream, 1)
    assert event.kind is K.REFUSED_ATTEMPT
    assert event.secret_id is not None


async def test_a_refused_attempt_is_reported_though_its_count_is_written_a_minute_later(
    services: Services, open_node: OpenNode, client: Made, clock: Clock
) -> None:
    """As long as `GQL_SECRETS_USAGE_FLUSH` may be: a node that counts many secrets writes them that late."""
    other = await open_node()
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    stream = await services.feed.subscribe(client.id, by=VIEWER)

    assert not await is_good(other, client.id, client.secret)
    clock.move(MINUTE)
    await other.usage.flush()

    assert [event.kind for event in await take(stream, 1)] == [K.REFUSED_ATTEMPT]


async def test_an_expiry_is_told_though_nobody_asks_and_nobody_tidies(services: Services, client: Made, clock: Clock):
    await in_rollover(services, client)
    stream = await services.feed.subscribe(client.id, by=VIEWER)

    clock.move(DAYS)

    [event] = await take(stream, 1)
    assert (event.kind, event.actor) == (K.EXPIRED, "system")


@pytest.mark.parametrize("trouble", ["a lock", "no room"])
async def test_an_expiry_that_cannot_be_written_now_holds_no_stream_up(
    services: Services, client: Made, monkeypatch: pytest.MonkeyPatch, trouble: str
):
    async def wait() -> None:
        if trouble == "no room":
            raise Unavailable
        await asyncio.Event().wait()

    monkeypatch.setattr(services.feed, "_expire_due_secrets", wait)
    caller = await person(services)
    assert caller.session_id is not None
    ending = await services.feed.subscribe(None, by=caller)
    stream = await services.feed.subscribe(client.id, by=VIEWER)
    for name in ("One", "Two"):
        await services.clients.update_client(client.id, name=name, by=ADMIN)
        assert [event.kind for event in await take(stream, 1)] == [K.EDITED]

    await services.sessions.end(caller.session_id, by=CLI)

    assert isinstance(await end_of(ending), Unauthenticated)


async def test_nobody_is_asked_anything_while_nobody_listens(services: Services):
    stream = await services.feed.subscribe(None, by=VIEWER)
    task = services.feed._task
    assert task is not None

    await stream.aclose()

    await asyncio.wait_for(task, 30)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_who_reads_too_slowly_is_told_so_and_holds_nobody_up(
    services: Services, client: Made, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(event_feed, "MAX_WAITING", 5)
    slow = await services.feed.subscribe(None, by=VIEWER)
    fast = await services.feed.subscribe(None, by=VIEWER)

    for number in range(8):
        await services.clients.update_client(client.id, name=f"Name {number}", by=ADMIN)
        await take(fast, 1)

    assert isinstance(await end_of(slow), StreamEnded)
    assert len(slow._waiting) == 0


async def test_the_number_of_streams_is_bounded(services: Services, monkeypatch: pytest.MonkeyPatch):
    """The largest share gives way to a newcomer; where nobody has more than one stream, the newcomer is refused."""
    monkeypatch.setattr(event_feed, "MAX_STREAMS", 2)
    first = await services.feed.subscribe(None, by=VIEWER)
    second = await services.feed.subscribe(None, by=VIEWER)

    await services.feed.subscribe(None, by=OPERATOR)
    assert isinstance(await end_of(first), Unavailable)
    with pytest.raises(Unavailable):
        await services.feed.subscribe(None, by=ADMIN)
    await services.feed.subscribe(None, by=VIEWER)
    assert isinstance(await end_of(second), Unavailable)


async def test_a_database_that_went_back_in_time_ends_the_streams(services: Services, client: Made):
    await services.clients.update_client(client.id, name="Lost", by=ADMIN)
    stream = await services.feed.subscribe(None, by=VIEWER)

    await services.database.run_tx(lambda tx: tx.execute("UPDATE installation SET revision = revision - 1"))

    assert isinstance(await end_of(stream), StreamEnded)


async def test_a_restored_backup_ends_the_streams_however_many_changes_follow_it(services: Services, client: Made):
    """Between two polls the revision passed the one that was known, so the restore went unnoticed."""
    await services.clients.update_client(client.id, name="Lost", by=ADMIN)
    backup = await services.database.fetch("SELECT revision, audit_head, audit_mac FROM installation")
    await services.clients.update_client(client.id, name="Also lost", by=ADMIN)
    stream = await services.feed.subscribe(None, by=VIEWER)
    assert services.feed._task
    services.feed._task.cancel()  # the test polls
    await services.feed.poll()

    async def restore(tx: Transaction) -> None:
        revision, head, mac = backup[0].values()
        await tx.execute("DELETE FROM audit_event WHERE revision > ?", revision)
        await tx.execute("UPDATE installation SET revision = ?, audit_head = ?, audit_mac = ?", revision, head, mac)

    await services.database.run_tx(restore)
    for number in range(3):
        await services.clients.update_client(client.id, name=f"After {number}", by=ADMIN)

    with pytest.raises(StreamEnded, match="back in time"):
        await services.feed.poll()
    await stream.aclose()


async def test_a_server_that_stops_ends_its_streams(services: Services):
    stream = await services.feed.subscribe(None, by=VIEWER)

    await services.feed.close()

    assert isinstance(await end_of(stream), StreamEnded)


class TestAStreamEndsWithTheRightOfItsCaller:
    """No event is delivered to a caller whose credential, session or role has ended, and the stream says why."""

    @pytest.mark.parametrize("end", ["sign out", "idle", "8 hours"])
    async def test_with_the_session(self, services: Services, clock: Clock, end: str):
        caller = await person(services)
        assert caller.session_id is not None
        stream = await services.feed.subscribe(None, by=caller)

        if end == "sign out":
            await services.sessions.end(caller.session_id, by=CLI)
        else:
            clock.move(30 * MINUTE if end == "idle" else 8 * HOUR)

        assert isinstance(await end_of(stream), Unauthenticated)

    async def test_with_a_session_that_another_node_ended(self, services: Services, open_node: OpenNode):
        caller = await person(services)
        assert caller.session_id is not None
        stream = await services.feed.subscribe(None, by=caller)

        await (await open_node()).sessions.end(caller.session_id, by=CLI)

        assert isinstance(await end_of(stream), Unauthenticated)

    @pytest.mark.parametrize("end", ["reset", "revoke", "expiry", "disable", "delete"])
    async def test_with_the_secret(self, services: Services, make_client: MakeClient, clock: Clock, end: str):
        client = await make_client("viewer")
        if end in {"revoke", "expiry"}:
            await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
        stream = await services.feed.subscribe(None, by=await sign_in(services, client.id, client.secret))

        match end:
            case "reset":
                await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
            case "revoke":
                await services.rotation.revoke_old_secret(client.id, by=ADMIN)
            case "expiry":
                clock.move(DAYS)
            case "disable":
                await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)
            case "delete":
                await services.clients.delete_client(client.id, by=ADMIN)

        assert isinstance(await end_of(stream), Unauthenticated)

    async def test_with_the_role(self, services: Services, make_client: MakeClient):
        client = await make_client("viewer")
        stream = await services.feed.subscribe(None, by=await sign_in(services, client.id, client.secret))

        await services.clients.update_client(client.id, features=[], by=ADMIN)

        assert isinstance(await end_of(stream), Forbidden)

    async def test_and_not_before(self, services: Services, make_client: MakeClient):
        """A smooth reset leaves the old secret good: its stream goes on."""
        client = await make_client("viewer")
        stream = await services.feed.subscribe(None, by=await sign_in(services, client.id, client.secret))

        await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
        await services.clients.update_client(client.id, name="Still heard", by=ADMIN)

        assert [event.kind for event in await take(stream, 2)] == [K.RESET, K.EDITED]

    async def test_and_a_caller_without_the_role_hears_nothing_at_all(
        self, services: Services, make_client: MakeClient
    ):
        client = await make_client()
        caller = await sign_in(services, client.id, client.secret)

        with pytest.raises(Forbidden):
            await services.feed.subscribe(None, by=caller)
        with pytest.raises(Unauthenticated):
            await services.feed.subscribe(None, by=Caller.anonymous(Surface.GRAPHQL))
        assert await verify(services, client.id, client.secret)
