"""A log-out at the provider reaches a sign-in that is on its way, and no other."""

from typing import Any

import pytest
from support.audits import events_of
from support.clocks import MINUTE, SECOND, Clock
from support.identity_provider import IdentityProvider

from gql_secrets.api.keys import SERVICES
from gql_secrets.wiring import Services

from .conftest import Api, Person

ADA = {"sub": "ada-1815", "sid": "provider-session-1"}
REFUSED = "/sign-in?problem=logged_out"


@pytest.fixture
def services(console: Api) -> Services:
    return console.app[SERVICES]


async def log_out(api: Api, provider: IdentityProvider, names: dict[str, Any]) -> None:
    token = provider.sign_ins.logout_token(**({"sub": None, "sid": None} | names))
    async with api.post("/sign-in/back-channel-logout", data={"logout_token": token}) as response:
        assert response.status == 200


@pytest.mark.parametrize("names", [ADA, {"sub": ADA["sub"]}, {"sid": ADA["sid"]}])
async def test_a_log_out_while_the_code_is_redeemed_is_not_lost(
    names: dict[str, Any], person: Person, provider: IdentityProvider, services: Services, clock: Clock
) -> None:
    provider.sign_ins.while_redeeming = lambda: log_out(person.api, provider, names)
    assert await person.sign_in(provider) == REFUSED
    assert person.session is None
    assert [event.action for event in await events_of(services) if event.action == "SIGNED_IN"] == []
    provider.sign_ins.while_redeeming = None
    provider.sign_ins.now = clock.move(SECOND)
    assert await person.sign_in(provider) == "/", "the next sign-in began after the log-out"


@pytest.mark.parametrize(
    "names",
    [{"sub": "bob"}, {"sid": "provider-session-2"}, {"sub": ADA["sub"], "sid": "provider-session-2"}],
    ids=["another person", "another session", "another session of the person"],
)
async def test_a_log_out_of_somebody_else_does_not_disturb(
    names: dict[str, Any], person: Person, provider: IdentityProvider
) -> None:
    provider.sign_ins.while_redeeming = lambda: log_out(person.api, provider, names)
    assert await person.sign_in(provider) == "/"


async def test_a_log_out_of_a_session_reaches_a_person_whose_token_names_none(
    person: Person, provider: IdentityProvider
) -> None:
    del provider.sign_ins.person["sid"]
    provider.sign_ins.while_redeeming = lambda: log_out(person.api, provider, ADA)
    assert await person.sign_in(provider) == REFUSED


async def test_a_log_out_at_another_provider_does_not_disturb(
    person: Person, provider: IdentityProvider, services: Services
) -> None:
    async def elsewhere() -> None:
        await services.provider_sessions.end_at_provider(
            provider.issuer + "/other", subject=ADA["sub"], provider_session=None, issued_at=provider.sign_ins.now
        )

    provider.sign_ins.while_redeeming = elsewhere
    assert await person.sign_in(provider) == "/"


async def test_log_outs_are_deleted_when_no_sign_in_can_meet_them(
    person: Person, provider: IdentityProvider, services: Services, clock: Clock
) -> None:
    await log_out(person.api, provider, ADA)
    provider.sign_ins.now = clock.move(21 * MINUTE)
    await log_out(person.api, provider, {"sub": "bob"})
    rows = await services.database.fetch("SELECT subject FROM provider_log_out")
    assert [row["subject"] for row in rows] == ["bob"]
