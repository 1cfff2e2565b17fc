"""People sign in by a link that works once, and stay signed in by a session that ends."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.callers import CLI, DAY, Made
from support.clocks import HOUR, MICROSECOND, MINUTE, SECOND, Clock
from support.installation import OpenNode

from gql_secrets.domain.access import ActorKind, Caller, Role, Surface
from gql_secrets.domain.errors import InvalidName, SignInLinkEnded, Unauthenticated
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.session_begins import NewSession
from gql_secrets.wiring import Services


async def sign_in(services: Services, name: str = "ada", role: Role = Role.ADMIN) -> NewSession:
    link = await services.sessions.create_sign_in_link(name, role, by=CLI)
    return await services.sessions.sign_in(link.token.reveal())


async def person_of(services: Services, signed_in: NewSession) -> Caller:
    """The caller who sent this session's cookie, as the authenticator returns it."""
    person = await services.sessions.find(signed_in.token.reveal())
    assert person is not None
    return Caller(
        person.identity,
        ActorKind.USER,
        person.role,
        Surface.GRAPHQL,
        session_id=person.session_id,
        display_name=person.name,
    )


async def is_signed_in(services: Services, signed_in: NewSession) -> bool:
    return await services.sessions.find(signed_in.token.reveal()) is not None


async def rows_of(services: Services, table: str) -> list[dict[str, Any]]:
    return await services.database.fetch(f"SELECT * FROM {table}")  # noqa: S608  a name of ours


async def test_a_link_signs_its_person_in_with_its_role(services: Services):
    link = await services.sessions.create_sign_in_link(" Ada Ashdown ", Role.OPERATOR, by=CLI)

    signed_in = await services.sessions.sign_in(link.token.reveal())

    person = await services.sessions.find(signed_in.token.reveal())
    assert person is not None
    assert (person.name, person.role) == ("Ada Ashdown", Role.OPERATOR)


async def test_a_link_works_once(services: Services):
    link = await services.sessions.create_sign_in_link("ada", Role.ADMIN, by=CLI)
    await services.sessions.sign_in(link.token.reveal())

    with pytest.raises(SignInLinkEnded):
        await services.sessions.sign_in(link.token.reveal())

    assert len(await rows_of(services, "session")) == 1


async def test_two_nodes_that_are_given_one_link_at_once_begin_one_session(services: Services, open_node: OpenNode):
    other = await open_node()
    link = await services.sessions.create_sign_in_link("ada", Role.ADMIN, by=CLI)

    tries = await asyncio.gather(
        *(node.sessions.sign_in(link.token.reveal()) for node in (services, other) * 5), return_exceptions=True
    )

    assert sum(isinstance(each, NewSession) for each in tries) == 1
    assert sum(isinstance(each, SignInLinkEnded) for each in tries) == len(tries) - 1
    assert len(await rows_of(services, "session")) == 1


async def test_a_link_works_for_15_minutes_and_not_longer(services: Services, clock: Clock):
    early = await services.sessions.create_sign_in_link("ada", Role.ADMIN, by=CLI)
    late = await services.sessions.create_sign_in_link("ada", Role.ADMIN, by=CLI)

    clock.move(15 * MINUTE - MICROSECOND)
    await services.sessions.sign_in(early.token.reveal())
    clock.move(MICROSECOND)
    with pytest.raises(SignInLinkEnded):
        await services.sessions.sign_in(late.token.reveal())


@pytest.mark.parametrize("token", ["", "nothing", "\0", "ü" * 43, "a" * 100_000])
async def test_what_is_no_token_of_ours_signs_nobody_in(services: Services, token: str):
    with pytest.raises(SignInLinkEnded):
        await services.sessions.sign_in(token)
    assert await services.sessions.find(token) is None


async def test_a_link_is_no_session_and_a_session_no_link(services: Services):
    link = await services.sessions.create_sign_in_link("ada", Role.ADMIN, by=CLI)
    signed_in = await sign_in(services)

    assert await services.sessions.find(link.token.reveal()) is None
    with pytest.raises(SignInLinkEnded):
        await services.sessions.sign_in(signed_in.token.reveal())


@pytest.mark.parametrize("name", ["\N{HANGUL FILLER}", "", "  ", "a" * 101, "ada\nuser:root", "ada\u202e"])
async def test_a_name_that_would_deceive_the_audits_reader_is_refused(services: Services, name: str):
    with pytest.raises(InvalidName):
        await services.sessions.create_sign_in_link(name, Role.ADMIN, by=CLI)


async def test_the_database_holds_no_token(services: Services):
    link = await services.sessions.create_sign_in_link("ada", Role.ADMIN, by=CLI)
    signed_in = await services.sessions.sign_in(link.token.reveal())

    stored = repr(await rows_of(services, "sign_in_link") + await rows_of(services, "session"))

    assert link.token.reveal() not in stored
    assert signed_in.token.reveal() not in stored
    assert link.token.reveal() not in repr(link)
    assert signed_in.token.reveal() not in repr(signed_in)


async def test_a_session_ends_after_30_minutes_without_use(services: Services, clock: Clock):
    signed_in = await sign_in(services)

    clock.move(30 * MINUTE - SECOND)
    assert await is_signed_in(services, signed_in)
    clock.move(30 * MINUTE)
    assert not await is_signed_in(services, signed_in)


async def test_a_session_ends_after_8_hours_however_busy(services: Services, clock: Clock):
    signed_in = await sign_in(services)
    began = clock.now

    while clock.move(20 * MINUTE) < began + 8 * HOUR:
        assert await is_signed_in(services, signed_in)
    assert not await is_signed_in(services, signed_in)


async def test_a_session_in_use_is_written_once_a_minute(services: Services, clock: Clock):
    signed_in = await sign_in(services)
    began = clock.now
    written = []

    for _ in range(121):
        await is_signed_in(services, signed_in)
        written.append((await rows_of(services, "session"))[0]["last_seen_at"])
        clock.move(SECOND)

    assert clock.now == began + 121 * SECOND
    assert len(set(written)) == 3


async def test_a_session_that_was_seen_to_be_over_stays_over(services: Services, clock: Clock):
    """A clock that is set back brings nothing back."""
    signed_in = await sign_in(services)
    clock.move(31 * MINUTE)
    assert not await is_signed_in(services, signed_in)

    clock.move(-31 * MINUTE)

    assert not await is_signed_in(services, signed_in)


async def test_who_signs_out_is_signed_out(services: Services):
    signed_in, other = await sign_in(services), await sign_in(services)

    person = await person_of(services, signed_in)

    assert await services.sessions.sign_out(person)

    assert not await is_signed_in(services, signed_in)
    assert await is_signed_in(services, other)
    assert not await services.sessions.sign_out(person)


async def test_a_new_sign_in_ends_the_same_browsers_older_session(services: Services):
    older = await sign_in(services)
    link = await services.sessions.create_sign_in_link("bob", Role.VIEWER, by=CLI)

    newer = await services.sessions.sign_in(link.token.reveal(), instead_of=older.token.reveal())

    assert not await is_signed_in(services, older)
    assert await is_signed_in(services, newer)


async def test_a_change_names_the_person_in_the_audit(services: Services, client: Made):
    person = await person_of(services, await sign_in(services, "Ada"))

    await services.rotation.reset_secret(client.id, DAY, by=person)

    [event] = (await services.queries.page_of_audit_events(PageRequest(first=1))).rows
    assert (event.actor, event.actor_name, event.actor_kind) == (person.actor, "Ada", "USER")


@pytest.mark.parametrize("end", ["signed out", "idle", "8 hours"])
async def test_a_session_that_ended_after_the_request_was_let_in_changes_nothing(
    services: Services, client: Made, clock: Clock, end: str
):
    """A change evaluates its caller again, inside its transaction."""
    signed_in = await sign_in(services)
    person = await person_of(services, signed_in)
    if end == "signed out":
        await services.sessions.sign_out(person)
    else:
        clock.move(30 * MINUTE if end == "idle" else 8 * HOUR)
    before = await services.queries.find_client(client.id)
    assert before is not None

    with pytest.raises(Unauthenticated):
        await services.rotation.reset_secret(client.id, DAY, by=person)
    with pytest.raises(Unauthenticated):
        await services.clients.create_client("New", by=person)

    after = await services.queries.find_client(client.id)
    assert after is not None
    assert after.generation == before.generation


async def test_a_change_goes_by_the_sessions_role_and_not_by_what_the_caller_says(services: Services, client: Made):
    person = await person_of(services, await sign_in(services, "vera", Role.VIEWER))

    with pytest.raises(Exception, match="requires the role ADMIN or OPERATOR"):
        await services.rotation.reset_secret(client.id, DAY, by=replace(person, role=Role.ADMIN))


async def test_links_and_sessions_that_are_long_over_are_deleted(services: Services, clock: Clock):
    await services.sessions.create_sign_in_link("ada", Role.ADMIN, by=CLI)
    await sign_in(services)

    clock.move(timedelta(days=3))
    await sign_in(services)

    assert len(await rows_of(services, "sign_in_link")) == 1
    assert len(await rows_of(services, "session")) == 1
