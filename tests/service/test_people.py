"""Who a person is, what the audit log records of signing in and out, and what ends with the maker of a link."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from support.audits import check_chain, events_of
from support.callers import CLI, DAY, HARD, Made, is_good, sign_in, verify
from support.clocks import HOUR, MINUTE, Clock
from support.installation import MakeClient, OpenNode

from gql_secrets.domain.access import ActorKind, Caller, Feature, Role, Surface
from gql_secrets.domain.errors import (
    BadRequest,
    Forbidden,
    RolloverInProgress,
    SignInLinkEnded,
    TooManyResets,
    Unauthenticated,
)
from gql_secrets.domain.limits import Rate
from gql_secrets.domain.rotation import Retention
from gql_secrets.domain.sessions import SessionNotFound
from gql_secrets.service.rotation import Rotation
from gql_secrets.service.session_begins import NewSession
from gql_secrets.service.sessions import NewSignInLink
from gql_secrets.storage.models import AuditEvent
from gql_secrets.storage.transaction import Transaction
from gql_secrets.wiring import Services

KEY = "a key of sixteen or more"


async def spend(services: Services, link: NewSignInLink) -> NewSession:
    return await services.sessions.sign_in(link.token.reveal(), address="198.51.100.7", request_id="request-7")


async def caller_of(services: Services, session: NewSession) -> Caller:
    person = await services.sessions.find(session.token.reveal())
    assert person is not None
    return Caller(
        person.identity,
        ActorKind.USER,
        person.role,
        Surface.GRAPHQL,
        session_id=person.session_id,
        display_name=person.name,
    )


async def person(services: Services, name: str = "Ada", role: Role = Role.ADMIN, *, by: Caller = CLI) -> Caller:
    return await caller_of(
        services, await spend(services, await services.sessions.create_sign_in_link(name, role, by=by))
    )


async def is_signed_in(services: Services, caller: Caller) -> bool:
    return caller.session_id in {row.id for row in await services.sessions.valid_sessions()}


async def is_link_valid(services: Services, link: NewSignInLink) -> bool:
    return link.number in {row.id for row in await services.sessions.unspent_links()}


async def about_people(services: Services) -> list[AuditEvent]:
    return [event for event in await check_chain(services) if event.link_number is not None]


# One person is one link


async def test_two_people_with_one_name_are_two_actors(services: Services, client: Made) -> None:
    """The second one's reset used to withdraw the first one's new secret without a word."""
    first, second = await person(services), await person(services)
    await services.rotation.reset_secret(client.id, DAY, by=first)
    handed_out = await services.rotation.reset_secret(client.id, DAY, by=first)
    assert handed_out.withdrawn_secret is not None

    with pytest.raises(RolloverInProgress, match=r"created by Ada \(user:link/\d+\)") as refused:
        await services.rotation.reset_secret(client.id, DAY, by=second)

    assert refused.value.current_secret_created_by == first.actor
    assert refused.value.current_secret_created_by_name == "Ada"
    assert await is_good(services, client.id, handed_out.new_secret.reveal())


async def test_a_key_of_one_person_is_not_a_key_of_a_namesake(services: Services, client: Made) -> None:
    first, second = await person(services), await person(services)
    done = await services.rotation.reset_secret(client.id, HARD, by=first, idempotency_key=KEY)

    again = await services.rotation.reset_secret(client.id, HARD, by=second, idempotency_key=KEY)

    assert not again.replayed
    assert again.new_secret.reveal() != done.new_secret.reveal()


async def test_a_namesake_does_not_use_up_the_limit_of_resets(services: Services, client: Made, clock: Clock) -> None:
    first, second = await person(services, role=Role.OPERATOR), await person(services, role=Role.OPERATOR)
    rotation = Rotation(services.changes, resets_per_client=Rate(1, HOUR))
    clock.move(MINUTE)
    await rotation.reset_secret(client.id, HARD, by=first)
    with pytest.raises(TooManyResets):
        await rotation.reset_secret(client.id, HARD, by=first)

    await rotation.reset_secret(client.id, HARD, by=second)


@pytest.mark.parametrize("name", ["link/1", "api_client:shop", "cli:root", "system", "user:link/2"])
async def test_no_name_makes_a_person_somebody_else(services: Services, make_client: MakeClient, name: str) -> None:
    owner = await make_client("owner")
    client = await sign_in(services, owner.id, owner.secret)
    people = [await person(services), await person(services, name), await person(services, owner.id)]

    actors = [each.actor for each in (client, CLI, *people)]
    assert len(set(actors)) == len(actors)
    assert [each.actor for each in people] == [f"user:link/{number}" for number in (1, 2, 3)]


async def test_the_number_of_a_link_is_never_used_again(services: Services, clock: Clock) -> None:
    first = await services.sessions.create_sign_in_link("Ada", Role.ADMIN, by=CLI)
    clock.move(72 * HOUR)
    second = await services.sessions.create_sign_in_link("Ada", Role.ADMIN, by=CLI)
    assert second.number > first.number


async def test_the_name_is_beside_the_actor_and_the_hash_covers_it(services: Services, client: Made) -> None:
    ada = await person(services)
    await services.rotation.reset_secret(client.id, DAY, by=ada)

    event = (await check_chain(services))[-1]
    [row] = await services.database.fetch(
        "SELECT created_by, created_by_name FROM client_secret WHERE client_id = ? AND state = 'CURRENT'", [client.id]
    )
    assert (event.actor, event.actor_name) == (ada.actor, "Ada")
    assert (row["created_by"], row["created_by_name"]) == (ada.actor, "Ada")

    async def edit(tx: Transaction) -> None:
        await tx.execute("UPDATE audit_event SET actor_name = 'Eve' WHERE revision = ?", event.revision)

    await services.database.run_tx(edit)
    with pytest.raises(AssertionError):
        await check_chain(services)


# What is recorded


async def test_a_link_its_use_and_a_sign_out_are_events(services: Services) -> None:
    before = len(await events_of(services))
    ada = await person(services, role=Role.VIEWER)
    assert await services.sessions.sign_out(ada)

    created, signed_in, ended = (await check_chain(services))[before:]
    assert (created.action, created.actor, created.surface) == ("SIGN_IN_LINK_CREATED", "cli:root", "CLI")
    assert (signed_in.action, signed_in.actor, signed_in.actor_name) == ("SIGNED_IN", ada.actor, "Ada")
    assert (signed_in.surface, signed_in.address, signed_in.request_id) == ("SIGN_IN", "198.51.100.7", "request-7")
    assert (ended.action, ended.actor, ended.session_end_reason) == ("SESSION_ENDED", ada.actor, "SIGNED_OUT")
    assert {(each.person_name, each.person_role) for each in (created, signed_in, ended)} == {("Ada", "VIEWER")}
    assert f"user:link/{created.link_number}" == ada.actor
    assert signed_in.link_number == ended.link_number == created.link_number
    assert signed_in.session_number == ended.session_number == ada.session_id


async def test_a_refused_link_and_a_session_that_ran_out_of_time_are_not_events(
    services: Services, clock: Clock
) -> None:
    session = await spend(services, await services.sessions.create_sign_in_link("Ada", Role.ADMIN, by=CLI))
    ada = await caller_of(services, session)
    link = await services.sessions.create_sign_in_link("Ada", Role.ADMIN, by=CLI)
    before = len(await events_of(services))

    clock.move(31 * MINUTE)
    assert await services.sessions.find(session.token.reveal()) is None
    assert not await services.sessions.sign_out(ada)
    assert ada.session_id is not None
    assert not await services.sessions.end(ada.session_id, by=CLI)
    with pytest.raises(SignInLinkEnded):
        await spend(services, link)
    assert not await services.sessions.void_link(link.number, by=CLI)

    assert len(await events_of(services)) == before


async def test_signing_in_again_with_the_same_browser_is_an_event(services: Services) -> None:
    older = await spend(services, await services.sessions.create_sign_in_link("Ada", Role.ADMIN, by=CLI))
    link = await services.sessions.create_sign_in_link("Bob", Role.ADMIN, by=CLI)

    newer = await services.sessions.sign_in(link.token.reveal(), instead_of=older.token.reveal())

    ended, signed_in = (await check_chain(services))[-2:]
    assert (ended.session_end_reason, ended.session_number) == ("REPLACED", older.session_id)
    assert (signed_in.action, signed_in.session_number) == ("SIGNED_IN", newer.session_id)


async def test_an_edited_head_does_not_keep_people_out_or_in(services: Services) -> None:
    """A leak cannot wait for an inspection of the audit log."""

    async def edit(tx: Transaction) -> None:
        await tx.execute("UPDATE installation SET audit_mac = ?", bytes(32))

    await services.database.run_tx(edit)

    ada = await person(services)
    assert ada.session_id is not None
    assert await services.sessions.end(ada.session_id, by=CLI)
    [row] = await services.database.fetch("SELECT audit_mac FROM installation")
    assert bytes(row["audit_mac"]) == b""


# What an administrator ends


async def test_an_administrator_lists_and_ends_sessions_and_voids_links(
    services: Services, open_node: OpenNode
) -> None:
    ada, bob = await person(services), await person(services, "Bob", Role.VIEWER)
    link = await services.sessions.create_sign_in_link("Carl", Role.OPERATOR, by=ada)
    assert [row.name for row in await services.sessions.valid_sessions()] == ["Ada", "Bob"]
    assert [(row.name, row.created_by_name) for row in await services.sessions.unspent_links()] == [("Carl", "Ada")]
    assert bob.session_id is not None

    assert await (await open_node()).sessions.end(bob.session_id, by=ada)
    assert await services.sessions.void_link(link.number, by=ada)

    assert not await is_signed_in(services, bob)
    with pytest.raises(SignInLinkEnded):
        await spend(services, link)
    ended, voided = (await check_chain(services))[-2:]
    assert (ended.actor, ended.person_name, ended.session_end_reason) == (ada.actor, "Bob", "ENDED_BY_ADMIN")
    assert (voided.action, voided.actor, voided.person_name) == ("SIGN_IN_LINK_VOIDED", ada.actor, "Carl")


async def test_all_sessions_end_together_with_all_unspent_links(services: Services) -> None:
    people = [await person(services, str(number)) for number in range(3)]
    link = await services.sessions.create_sign_in_link("Carl", Role.OPERATOR, by=CLI)

    assert await services.sessions.end_all(by=CLI) == (3, 1)

    assert not any([await is_signed_in(services, each) for each in people])
    assert not await is_link_valid(services, link)
    assert await services.sessions.end_all(by=CLI) == (0, 0)


async def test_only_an_administrator_may(services: Services, make_client: MakeClient) -> None:
    ada, olga = await person(services), await person(services, "Olga", Role.OPERATOR)
    owner = await make_client("owner")
    await services.rotation.reset_secret(owner.id, DAY, by=CLI)
    retained = await sign_in(services, owner.id, owner.secret)
    assert ada.session_id is not None

    for caller in (olga, retained):
        for act in (
            services.sessions.create_sign_in_link("Eve", Role.VIEWER, by=caller),
            services.sessions.end(ada.session_id, by=caller),
            services.sessions.end_all(by=caller),
            services.sessions.void_link(1, by=caller),
        ):
            with pytest.raises(Forbidden):
                await act
    assert await is_signed_in(services, ada)


async def test_a_number_that_does_not_exist_is_refused(services: Services) -> None:
    with pytest.raises(SessionNotFound):
        await services.sessions.end(4711, by=CLI)
    with pytest.raises(BadRequest, match="no sign-in link"):
        await services.sessions.void_link(4711, by=CLI)


# What ends with the maker of a link


async def hard_reset(services: Services, maker: Made) -> None:
    await services.rotation.reset_secret(maker.id, HARD, by=CLI)


async def revoke(services: Services, maker: Made) -> None:
    await services.rotation.reset_secret(maker.id, DAY, by=CLI)
    await services.rotation.revoke_old_secret(maker.id, by=CLI)


async def displace(services: Services, maker: Made) -> None:
    reset = await services.rotation.reset_secret(maker.id, DAY, by=CLI)
    await verify(services, maker.id, reset.new_secret.reveal())
    await services.rotation.reset_secret(maker.id, DAY, by=CLI, end_active_rollover=True)


async def disable(services: Services, maker: Made) -> None:
    await services.clients.set_client_enabled(maker.id, enabled=False, by=CLI)
    await services.clients.set_client_enabled(maker.id, enabled=True, by=CLI)


async def delete(services: Services, maker: Made) -> None:
    await services.clients.delete_client(maker.id, by=CLI)


async def take_role(services: Services, maker: Made) -> None:
    await services.clients.update_client(maker.id, features=[Feature.OPERATOR], by=CLI)


@pytest.mark.parametrize("end", [hard_reset, revoke, displace, disable, delete, take_role])
async def test_what_a_secret_made_ends_with_it(
    services: Services, make_client: MakeClient, end: Callable[[Services, Made], Awaitable[None]]
) -> None:
    maker = await make_client("owner")
    owner = await sign_in(services, maker.id, maker.secret)
    ada = await person(services, by=owner)
    bob = await person(services, "Bob", by=ada)
    links = [await services.sessions.create_sign_in_link("Carl", Role.VIEWER, by=each) for each in (owner, ada, bob)]
    bystander = await person(services, "Dora")
    kept = await services.sessions.create_sign_in_link("Emil", Role.VIEWER, by=bystander)

    await end(services, maker)

    assert [await is_signed_in(services, each) for each in (ada, bob, bystander)] == [False, False, True]
    assert [await is_link_valid(services, each) for each in (*links, kept)] == [False, False, False, True]
    for link in links:
        with pytest.raises(SignInLinkEnded):
            await spend(services, link)
    ended = [each for each in await about_people(services) if each.action == "SESSION_ENDED"]
    expected = "ROLE_LOST" if end is take_role else "MAKER_ENDED"
    assert {(each.person_name, each.actor, each.session_end_reason) for each in ended} == {
        ("Ada", "cli:root", expected),
        ("Bob", "cli:root", expected),
    }
    voided = [each for each in await about_people(services) if each.action == "SIGN_IN_LINK_VOIDED"]
    assert len(voided) == 3


async def test_a_secret_that_expires_in_its_time_ends_no_session(
    services: Services, make_client: MakeClient, clock: Clock
) -> None:
    maker = await make_client("owner")
    owner = await sign_in(services, maker.id, maker.secret)
    await services.rotation.reset_secret(maker.id, DAY, by=CLI)
    await services.rotation.change_retention(maker.id, DAY, by=CLI)
    await services.rotation.cancel_rollover(maker.id, by=CLI)
    clock.move(23 * HOUR)
    session = await spend(services, await services.sessions.create_sign_in_link("Ada", Role.ADMIN, by=owner))
    ada = await caller_of(services, session)
    await services.rotation.reset_secret(maker.id, Retention(1), by=CLI)
    for _ in range(4):
        clock.move(20 * MINUTE)
        await services.sessions.find(session.token.reveal())

    assert not await is_good(services, maker.id, maker.secret)
    assert await is_signed_in(services, ada)


@pytest.mark.parametrize("end", ["signed out", "ended by an administrator"])
async def test_what_a_session_made_ends_with_it(services: Services, clock: Clock, end: str) -> None:
    ada = await person(services)
    bob = await person(services, "Bob", by=ada)
    clock.move(20 * MINUTE)
    carl = await person(services, "Carl", Role.VIEWER, by=bob)
    link = await services.sessions.create_sign_in_link("Dora", Role.VIEWER, by=bob)
    assert ada.session_id is not None

    if end == "signed out":
        await services.sessions.sign_out(ada)
    else:
        await services.sessions.end(ada.session_id, by=CLI)

    assert not await is_signed_in(services, bob)
    assert not await is_signed_in(services, carl)
    assert not await is_link_valid(services, link)
    reasons = {each.person_name: each.session_end_reason for each in await about_people(services)}
    assert (reasons["Bob"], reasons["Carl"]) == ("MAKER_ENDED", "MAKER_ENDED")


async def test_a_link_that_a_person_opens_in_her_own_browser_signs_her_in(services: Services) -> None:
    first = await spend(services, await services.sessions.create_sign_in_link("Ada", Role.ADMIN, by=CLI))
    ada = await caller_of(services, first)
    link = await services.sessions.create_sign_in_link("Ada", Role.VIEWER, by=ada)

    second = await services.sessions.sign_in(link.token.reveal(), instead_of=first.token.reveal())

    assert await services.sessions.find(second.token.reveal()) is not None
    assert await services.sessions.find(first.token.reveal()) is None


@pytest.mark.parametrize("attempt", range(5))
async def test_a_link_that_is_used_while_its_maker_ends_leaves_nobody_signed_in(
    services: Services, make_client: MakeClient, open_node: OpenNode, attempt: int
) -> None:
    """In either order, the link is void, or the session that began with it ends."""
    maker = await make_client("owner")
    owner = await sign_in(services, maker.id, maker.secret)
    links = [await services.sessions.create_sign_in_link("Ada", Role.ADMIN, by=owner) for _ in range(4)]
    other = await open_node()

    async def act() -> None:
        await asyncio.sleep(attempt / 500)
        await hard_reset(services, maker)

    await asyncio.gather(act(), *(spend(other, link) for link in links), return_exceptions=True)

    assert await services.sessions.valid_sessions() == []
    assert await services.sessions.unspent_links() == []
    await check_chain(services)


async def test_a_secret_that_has_ended_creates_no_link(services: Services, make_client: MakeClient) -> None:
    maker = await make_client("owner")
    owner = await sign_in(services, maker.id, maker.secret)
    await hard_reset(services, maker)

    with pytest.raises(Unauthenticated):
        await services.sessions.create_sign_in_link("Ada", Role.ADMIN, by=owner)


async def test_a_session_of_an_earlier_version_is_not_valid(services: Services) -> None:
    """It has no link, so nothing tells it from the session of a namesake."""
    session = await spend(services, await services.sessions.create_sign_in_link("Ada", Role.ADMIN, by=CLI))

    async def age(tx: Transaction) -> None:
        await tx.execute("UPDATE session SET link_number = NULL")

    await services.database.run_tx(age)
    assert await services.sessions.find(session.token.reveal()) is None
    assert await services.sessions.valid_sessions() == []


async def test_a_failed_change_ends_nothing(services: Services, make_client: MakeClient) -> None:
    maker = await make_client("owner")
    ada = await person(services, by=await sign_in(services, maker.id, maker.secret))

    async def block(tx: Transaction) -> None:
        await tx.execute("ALTER TABLE audit_event RENAME TO audit_event_gone")

    async def unblock(tx: Transaction) -> None:
        await tx.execute("ALTER TABLE audit_event_gone RENAME TO audit_event")

    await services.database.run_tx(block)
    with pytest.raises(Exception, match=r"audit_event|[Uu]navailable"):
        await hard_reset(services, maker)
    await services.database.run_tx(unblock)
    assert await is_signed_in(services, ada)
