"""The role that a provider gave is looked at again, and what ends with it; every time is that of the moved clock."""

import asyncio
from typing import Any

import pytest
from support.clocks import MINUTE, Clock
from support.identity_provider import IdentityProvider

from gql_secrets.api.keys import SERVICES
from gql_secrets.api.sign_in.provider import PROVIDER_CLIENTS
from gql_secrets.api.sign_in.role_looks import RoleLooks
from gql_secrets.wiring import Services

from .conftest import Api, BuildApi, Person, ends, move


@pytest.fixture
def services(console: Api) -> Services:
    return console.app[SERVICES]


@pytest.fixture
def looks(console: Api, services: Services) -> RoleLooks:
    """The background work of one node, run when the test says so."""
    return RoleLooks(services, console.app[PROVIDER_CLIENTS])


def refreshes(provider: IdentityProvider) -> int:
    return sum(form["grant_type"] == "refresh_token" for form, _ in provider.sign_ins.requests)


async def test_a_role_is_looked_at_before_ten_minutes_have_passed(
    ada: Person, looks: RoleLooks, provider: IdentityProvider, clock: Clock
) -> None:
    move(clock, provider, 7 * MINUTE)
    await looks.run()
    assert refreshes(provider) == 0
    for number in range(1, 5):
        move(clock, provider, 8 * MINUTE)
        await looks.run()
        assert refreshes(provider) == number  # with the refresh token of the last answer
        assert await ada.viewer() is not None


async def test_a_person_who_lost_the_role_loses_the_session(
    ada: Person, looks: RoleLooks, provider: IdentityProvider, clock: Clock, services: Services
) -> None:
    link = await ada.ask('mutation { createSignInLink(role: ADMIN, name: "x") { url } }')
    provider.sign_ins.person["roles"] = []
    move(clock, provider, 8 * MINUTE)
    await looks.run()
    assert await ada.viewer() is None
    assert await ends(services) == ["ROLE_LOST"]
    assert link["createSignInLink"]["url"]
    assert await services.sessions.unspent_links() == []  # what the session made ends with it


async def test_a_lower_role_ends_the_session_and_a_higher_one_counts_from_the_next_sign_in(
    person: Person, looks: RoleLooks, provider: IdentityProvider, clock: Clock, services: Services
) -> None:
    provider.sign_ins.person["roles"] = ["ops"]
    await person.sign_in(provider)
    provider.sign_ins.person["roles"] = ["IONAPI-Admin"]
    move(clock, provider, 8 * MINUTE)
    await looks.run()
    assert (await person.viewer())["roles"] == ["OPERATOR", "VIEWER"]
    provider.sign_ins.person["roles"] = ["look"]
    move(clock, provider, 8 * MINUTE)
    await looks.run()
    assert await person.viewer() is None
    assert await ends(services) == ["ROLE_LOST"]


async def test_a_grant_that_the_provider_ended_ends_the_session(
    ada: Person, looks: RoleLooks, provider: IdentityProvider, clock: Clock, services: Services
) -> None:
    provider.sign_ins.grant_has_ended = True
    move(clock, provider, 8 * MINUTE)
    await looks.run()
    assert await ada.viewer() is None
    assert await ends(services) == ["PROVIDER_ENDED"]


async def test_a_provider_that_is_away_leaves_the_role_for_sixty_minutes(
    ada: Person, looks: RoleLooks, provider: IdentityProvider, clock: Clock
) -> None:
    provider.sign_ins.is_away = True
    for _ in range(59):
        move(clock, provider, MINUTE)
        await looks.run()
        assert await ada.viewer() is not None
    move(clock, provider, MINUTE)
    await looks.run()
    assert await ada.viewer() is None

    provider.sign_ins.is_away = False
    move(clock, provider, MINUTE)
    assert await ada.viewer() is not None  # the provider confirms it, so it goes on


async def test_a_refresh_token_that_came_before_the_provider_went_away_is_kept(
    ada: Person, looks: RoleLooks, provider: IdentityProvider, clock: Clock, services: Services
) -> None:
    """The provider rotates refresh tokens: with the one before, the next look would end the grant and the session."""
    provider.sign_ins.user_info_status = 503
    move(clock, provider, 8 * MINUTE)
    await looks.run()
    assert refreshes(provider) == 1
    provider.sign_ins.user_info_status = 200
    move(clock, provider, MINUTE)
    await looks.run()
    assert refreshes(provider) == 2
    assert await ada.viewer() is not None
    assert await ends(services) == []


async def test_without_any_look_a_role_counts_for_ten_minutes(
    ada: Person, provider: IdentityProvider, clock: Clock, services: Services
) -> None:
    """Nodes may all have been down: then the first request waits for the look."""
    move(clock, provider, 10 * MINUTE)
    assert await services.sessions.find(ada.session or "") is None
    assert await ada.viewer() is not None
    assert refreshes(provider) == 1

    provider.sign_ins.person["roles"] = []
    move(clock, provider, 10 * MINUTE)
    assert await ada.viewer() is None


async def test_two_nodes_do_not_use_a_refresh_token_at_the_same_time(
    ada: Person, looks: RoleLooks, provider: IdentityProvider, clock: Clock, services: Services
) -> None:
    """A provider that rotates refresh tokens takes a second use for a theft, and ends the grant."""
    move(clock, provider, 8 * MINUTE)
    [session_id] = await services.provider_sessions.due_for_look()
    claimed = await services.provider_sessions.claim_look(session_id)
    assert claimed is not None
    assert await services.provider_sessions.claim_look(session_id) is None
    await looks.run()
    assert refreshes(provider) == 0
    move(clock, provider, MINUTE)  # the node with the claim was killed
    await looks.run()
    assert refreshes(provider) == 1
    assert await ada.viewer() is not None


async def test_a_look_that_was_made_in_the_meantime_is_not_made_again(
    ada: Person, looks: RoleLooks, provider: IdentityProvider, clock: Clock, services: Services
) -> None:
    """A request finds that a look is due, and another request makes it before this one claims it."""
    move(clock, provider, 8 * MINUTE)
    [session_id] = await services.provider_sessions.due_for_look()
    await looks.run()
    assert refreshes(provider) == 1
    assert await services.provider_sessions.claim_look(session_id) is None
    assert await ada.viewer() is not None


async def test_without_a_refresh_token_the_user_info_shows_the_role(
    person: Person, looks: RoleLooks, provider: IdentityProvider, clock: Clock, services: Services
) -> None:
    provider.sign_ins.refreshes, provider.sign_ins.shown_in = False, {"userinfo"}
    await person.sign_in(provider)
    for _ in range(3):
        move(clock, provider, 8 * MINUTE)
        await looks.run()
        assert await person.viewer() is not None

    provider.sign_ins.user_info_status = 401  # the access token has expired
    move(clock, provider, 8 * MINUTE)
    await looks.run()
    assert await person.viewer() is not None
    move(clock, provider, 2 * MINUTE)
    assert await person.viewer() is None
    assert await ends(services) == []


async def test_an_old_access_token_does_not_show_a_role_that_was_taken_away(
    person: Person, looks: RoleLooks, provider: IdentityProvider, clock: Clock, services: Services
) -> None:
    """Without a refresh token the old one is the only one, and names the role until it expires."""
    provider.sign_ins.refreshes, provider.sign_ins.shown_in = False, {"userinfo", "access_token"}
    await person.sign_in(provider)
    provider.sign_ins.person["roles"] = []
    move(clock, provider, 4 * MINUTE)  # the token is valid for five
    await services.database.run_tx(lambda tx: tx.execute("UPDATE session SET looked_at = looked_at - 600000000"))
    await looks.run()
    assert await person.viewer() is None
    assert await ends(services) == ["ROLE_LOST"]


async def test_a_provider_that_limits_requests_leaves_the_role(
    person: Person, looks: RoleLooks, provider: IdentityProvider, clock: Clock
) -> None:
    provider.sign_ins.refreshes, provider.sign_ins.shown_in = False, {"userinfo"}
    await person.sign_in(provider)
    provider.sign_ins.user_info_status = 429
    move(clock, provider, 8 * MINUTE)
    await looks.run()
    move(clock, provider, 2 * MINUTE)
    assert await person.viewer() is not None


async def test_requests_at_the_same_time_wait_for_one_look(
    ada: Person, provider: IdentityProvider, clock: Clock
) -> None:
    """A page sends several, and all but the first were answered as if nobody was signed in."""
    move(clock, provider, 10 * MINUTE)
    viewers = await asyncio.gather(*(ada.viewer() for _ in range(6)))
    assert None not in viewers
    assert refreshes(provider) == 1


async def test_a_look_counts_for_a_request_that_was_about_to_ask_for_one(
    ada: Person, provider: IdentityProvider, clock: Clock, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It found the session without a role, and before it asked for a look, that of another request had ended."""
    move(clock, provider, 10 * MINUTE)
    find, is_late, may_ask = services.sessions.find, asyncio.Event(), asyncio.Event()

    async def find_and_wait(token: str) -> Any:
        person = await find(token)
        if person is None and not is_late.is_set():
            is_late.set()
            await may_ask.wait()
        return person

    monkeypatch.setattr(services.sessions, "find", find_and_wait)
    late = asyncio.create_task(ada.viewer())
    await is_late.wait()
    assert await ada.viewer() is not None
    may_ask.set()
    assert await late is not None
    assert refreshes(provider) == 1


async def test_a_settings_change_that_drops_the_provider_ends_its_sessions_with_their_role(
    ada: Person, build_api: BuildApi, provider: IdentityProvider, clock: Clock
) -> None:
    other = Person(await build_api(), dict(ada.cookies))
    assert await other.viewer() is not None
    move(clock, provider, 10 * MINUTE)
    assert await other.viewer() is None
