"""A role that nothing but a sign-in shows counts for ten minutes, and is renewed by one that asks nobody anything."""

import pytest
from support.audits import events_of
from support.clocks import MINUTE, Clock
from support.identity_provider import IdentityProvider
from yarl import URL

from gql_secrets.api.keys import SERVICES
from gql_secrets.wiring import Services

from .conftest import Api, Person, ends, move


@pytest.fixture
def services(console: Api) -> Services:
    return console.app[SERVICES]


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
