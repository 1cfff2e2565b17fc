"""The role that a provider gave is looked at again, and what ends with it; every time is that of the moved clock."""

import asyncio
from typing import Any

import pytest
from support.audits import events_of
from support.clocks import MINUTE, Clock
from support.identity_provider import IdentityProvider
from yarl import URL

from gql_secrets.api.keys import SERVICES
from gql_secrets.api.sign_in.provider import PROVIDER_CLIENTS
from gql_secrets.api.sign_in.role_looks import RoleLooks
from gql_secrets.wiring import Services

from .conftest import Api, BuildApi, Person


@pytest.fixture
def services(console: Api) -> Services:
    return console.app[SERVICES]


@pytest.fixture
def looks(console: Api, services: Services) -> RoleLooks:
    """The background work of one node, run when the test says so."""
    return RoleLooks(services, console.app[PROVIDER_CLIENTS])


@pytest.fixture
async def ada(person: Person, provider: IdentityProvider) -> Person:
    assert await person.sign_in(provider) == "/"
    return person


def refreshes(provider: IdentityProvider) -> int:
    return sum(form["grant_type"] == "refresh_token" for form, _ in provider.sign_ins.requests)


async def ends(services: Services) -> list[str]:
    return [event.session_end_reason for event in await events_of(services) if event.session_end_reason]


def move(clock: Clock, provider: IdentityProvider, by: Any) -> None:
    provider.sign_ins.now = clock.move(by)


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


# Neither refresh token nor roles in user info: ten minutes, and a silent sign-in


@pytest.fixture
async def short(person: Person, provider: IdentityProvider) -> Person:
    provider.sign_ins.refreshes = False
    assert await person.sign_in(provider) == "/"
    return person


async def test_a_session_without_a_way_to_look_lasts_ten_minutes_and_is_renewed_silently(
    short: Person, provider: IdentityProvider, clock: Clock, services: Services
) -> None:
    [session] = (await short.ask("{ sessions { nodes { startedAt expiresAt } } }"))["sessions"]["nodes"]
    assert session == {"startedAt": "2026-11-21T12:00:00Z", "expiresAt": "2026-11-21T12:10:00Z"}
    cookie = short.session
    move(clock, provider, 10 * MINUTE)
    assert await short.viewer() is None

    location = await short.start(provider, silent="1", return_to="/#/people")
    assert URL(location).query["prompt"] == "none"
    assert await short.come_back(provider.sign_ins.authorize(location)) == "/#/people"

    assert await short.viewer() is not None
    assert short.session == cookie
    assert [event.action for event in await events_of(services)].count("SIGNED_IN") == 1


async def test_the_console_learns_whether_a_silent_sign_in_can_renew_the_session(
    short: Person, provider: IdentityProvider, clock: Clock
) -> None:
    async def ask() -> tuple[int, str]:
        cookie = "; ".join(f"{name}={value}" for name, value in short.cookies.items())
        headers = {"Sec-Fetch-Site": "same-origin", "Cookie": cookie}
        async with short.api.get("/sign-in/renewal", headers=headers) as response:
            return response.status, await response.text()

    move(clock, provider, 10 * MINUTE)
    status, text = await ask()
    assert status == 200
    assert provider.issuer in text
    move(clock, provider, 20 * MINUTE)  # half an hour without a request ends any session
    assert await ask() == (204, "")


async def test_a_silent_sign_in_that_needs_the_person_leads_to_the_console(
    short: Person, provider: IdentityProvider, clock: Clock
) -> None:
    move(clock, provider, 10 * MINUTE)
    asked = URL(await short.start(provider, silent="1", return_to="/#/people")).query
    answer = {"error": "login_required", "state": asked["state"], "iss": provider.issuer}
    assert await short.come_back(answer) == "/#/people"
    assert await short.viewer() is None


async def test_a_silent_sign_in_renews_only_the_same_person(
    short: Person, provider: IdentityProvider, clock: Clock
) -> None:
    """Somebody else may have signed in at the provider with the same browser."""
    provider.sign_ins.person["sub"] = "bob"
    move(clock, provider, 10 * MINUTE)
    assert await short.sign_in(provider, silent="1") == "/"
    assert await short.viewer() is None


async def test_a_silent_sign_in_without_the_role_ends_the_session(
    short: Person, provider: IdentityProvider, clock: Clock, services: Services
) -> None:
    provider.sign_ins.person["roles"] = []
    move(clock, provider, 10 * MINUTE)
    assert await short.sign_in(provider, silent="1") == "/sign-in?problem=role"
    assert await ends(services) == ["ROLE_LOST"]


async def test_renewals_do_not_make_a_session_longer_than_eight_hours(
    short: Person, provider: IdentityProvider, clock: Clock
) -> None:
    for _ in range(47):
        move(clock, provider, 10 * MINUTE)
        assert await short.sign_in(provider, silent="1") == "/"
        assert await short.viewer() is not None
    move(clock, provider, 10 * MINUTE)
    location = await short.start(provider, silent="1")
    assert "prompt" not in URL(location).query  # the person signs in again


# Back-channel logout


async def log_out(api: Api, token: str) -> int:
    async with api.post("/sign-in/back-channel-logout", data={"logout_token": token}) as response:
        assert response.headers["Cache-Control"] == "no-store"
        return response.status


@pytest.mark.parametrize("names", [{}, {"sid": None, "sub": "ada-1815"}, {"sub": "ada-1815"}])
async def test_a_logout_at_the_provider_ends_the_session_immediately(
    names: dict[str, Any], ada: Person, provider: IdentityProvider, services: Services
) -> None:
    assert await log_out(ada.api, provider.sign_ins.logout_token(**({"sub": None} | names))) == 200
    assert await ada.viewer() is None
    event = (await events_of(services))[-1]
    assert (event.action, event.actor, event.session_end_reason) == ("SESSION_ENDED", "system", "PROVIDER_ENDED")


async def test_a_logout_ends_the_session_of_a_role_that_is_not_confirmed_too(
    ada: Person, provider: IdentityProvider, clock: Clock
) -> None:
    """Otherwise the next look would make it valid again."""
    move(clock, provider, 10 * MINUTE)
    assert await log_out(ada.api, provider.sign_ins.logout_token()) == 200
    assert await ada.viewer() is None


async def test_a_logout_ends_a_session_that_was_renewed_in_another_session_of_the_provider(
    short: Person, provider: IdentityProvider, clock: Clock
) -> None:
    move(clock, provider, 10 * MINUTE)
    provider.sign_ins.person["sid"] = "provider-session-2"
    assert await short.sign_in(provider, silent="1") == "/"
    assert await log_out(short.api, provider.sign_ins.logout_token(sub="ada-1815")) == 200
    assert await short.viewer() is not None, "the earlier session ended"
    token = provider.sign_ins.logout_token(sub="ada-1815", sid="provider-session-2")
    assert await log_out(short.api, token) == 200
    assert await short.viewer() is None


async def test_a_logout_of_a_session_ends_those_of_the_person_that_name_none(
    person: Person, provider: IdentityProvider
) -> None:
    del provider.sign_ins.person["sid"]
    await person.sign_in(provider)
    assert await log_out(person.api, provider.sign_ins.logout_token(sub="bob")) == 200
    assert await log_out(person.api, provider.sign_ins.logout_token(sub=None)) == 200
    assert await person.viewer() is not None
    assert await log_out(person.api, provider.sign_ins.logout_token(sub="ada-1815")) == 200
    assert await person.viewer() is None


async def test_a_logout_token_that_is_sent_again_does_not_end_later_sessions(
    ada: Person, provider: IdentityProvider, clock: Clock
) -> None:
    token = provider.sign_ins.logout_token(exp=None)
    assert await log_out(ada.api, token) == 200
    move(clock, provider, 2 * MINUTE)
    assert await ada.sign_in(provider) == "/"
    assert await log_out(ada.api, token) == 200
    assert await ada.viewer() is not None


WRONG_LOGOUTS: dict[str, dict[str, Any]] = {
    "another client": {"aud": "another"},
    "no event": {"events": {}},
    "an event without an object": {"events": {"http://schemas.openid.net/event/backchannel-logout": None}},
    "a session id that is a number": {"sub": "ada-1815", "sid": 5},
    "event of another kind": {"events": {"http://example.com/other": {}}},
    "a nonce, so an ID token": {"nonce": "n"},
    "no id": {"jti": None},
    "nobody": {"sid": None, "sub": None},
    "expired": {"exp": 1},
    "too old": {"iat": 1, "exp": None},
    "another issuer": {"iss": "https://evil.example"},
}


@pytest.mark.parametrize("wrong", WRONG_LOGOUTS)
async def test_a_logout_token_that_is_not_valid_ends_nothing(
    wrong: str, ada: Person, provider: IdentityProvider
) -> None:
    values = {"sub": None} | WRONG_LOGOUTS[wrong]
    assert await log_out(ada.api, provider.sign_ins.logout_token(**values)) == 400
    assert await log_out(ada.api, "not.a.token") == 400
    assert await ada.viewer() is not None


async def test_another_person_stays_signed_in(ada: Person, provider: IdentityProvider) -> None:
    assert await log_out(ada.api, provider.sign_ins.logout_token(sid=None, sub="bob")) == 200
    assert await ada.viewer() is not None


async def test_a_settings_change_that_drops_the_provider_ends_its_sessions_with_their_role(
    ada: Person, build_api: BuildApi, provider: IdentityProvider, clock: Clock
) -> None:
    other = Person(await build_api(), dict(ada.cookies))
    assert await other.viewer() is not None
    move(clock, provider, 10 * MINUTE)
    assert await other.viewer() is None
