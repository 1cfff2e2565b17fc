"""A person who is logged out at the provider is signed out here (OpenID Connect Back-Channel Logout 1.0)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.audits import events_of
from support.clocks import MINUTE, Clock
from support.identity_provider import IdentityProvider

from gql_secrets.api.keys import SERVICES
from gql_secrets.wiring import Services

from .conftest import Api, Person, move


@pytest.fixture
def services(console: Api) -> Services:
    return console.app[SERVICES]


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
    "a session id that is not text": {"sid": "\ud800"},
    "a subject that is not text": {"sub": "\ud800"},
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


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"logout_token=\xff", "application/x-www-form-urlencoded"),
        (b"logout_token=%FF", "application/x-www-form-urlencoded; charset=unknown"),
        (b"logout_token=" + b"x" * 30_000, "application/x-www-form-urlencoded"),
        (b"", "application/x-www-form-urlencoded"),
    ],
    ids=["not UTF-8", "an unknown charset", "too long", "empty"],
)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["whole", "chunked"])
async def test_a_form_that_cannot_be_read_is_refused(
    body: bytes, content_type: str, is_chunked: bool, console: Api
) -> None:
    """Anyone can send one, so it is not an error of this server."""

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    data = pieces() if is_chunked else body
    path = "/sign-in/back-channel-logout"
    async with console.post(path, data=data, headers={"Content-Type": content_type}) as response:
        assert response.status == 400
        assert (await response.json())["error"] == "invalid_request"


async def test_another_person_stays_signed_in(ada: Person, provider: IdentityProvider) -> None:
    assert await log_out(ada.api, provider.sign_ins.logout_token(sid=None, sub="bob")) == 200
    assert await ada.viewer() is not None
