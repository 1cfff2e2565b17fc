"""People sign in to the console at their identity provider: authorization code with PKCE, state, nonce and `iss`."""

import asyncio
import logging

import pytest
from aiohttp import encode_basic_auth
from support.audits import events_of
from support.clocks import MINUTE, Clock
from support.identity_provider import CLIENT_ID, IdentityProvider
from yarl import URL

from gql_secrets.api.keys import SERVICES
from gql_secrets.domain.limits import Rate
from gql_secrets.wiring import Services

from .conftest import Api, BuildApi, Person, ends, move

ADA = {"name": "Ada Ashdown", "kind": "USER", "roles": ["ADMIN", "OPERATOR", "VIEWER"]}


@pytest.fixture
def services(console: Api) -> Services:
    return console.app[SERVICES]


async def test_a_person_signs_in_at_the_provider(
    person: Person, provider: IdentityProvider, services: Services
) -> None:
    location = await person.start(provider, return_to="/#/apps/shop")
    asked = URL(location).query
    assert location.startswith(f"{provider.issuer}/authorize?")
    assert (asked["response_type"], asked["client_id"], asked["scope"]) == ("code", CLIENT_ID, "openid profile email")
    assert (asked["code_challenge_method"], len(asked["code_challenge"])) == ("S256", 43)
    assert min(len(asked["state"]), len(asked["nonce"])) >= 43
    assert "prompt" not in asked

    assert await person.come_back(provider.sign_ins.authorize(location)) == "/#/apps/shop"

    assert await person.viewer() == ADA
    assert set(person.cookies) == {"gql_secrets_session"}  # that of the authorization is gone
    event = (await events_of(services))[-1]
    actor = f"user:{provider.issuer.removeprefix('http://')}/ada-1815"
    assert (event.action, event.actor, event.actor_name) == ("SIGNED_IN", actor, "Ada Ashdown")
    assert (event.person_role, event.link_number, event.surface) == ("ADMIN", None, "SIGN_IN")
    [session] = (await person.ask("{ sessions { nodes { actor way roles isViewersOwn } } }"))["sessions"]["nodes"]
    assert session == {
        "actor": actor,
        "way": "IDENTITY_PROVIDER",
        "roles": ["ADMIN", "OPERATOR", "VIEWER"],
        "isViewersOwn": True,
    }


async def test_a_person_of_a_session_is_the_person_of_the_access_token(
    person: Person, provider: IdentityProvider, console: Api, services: Services
) -> None:
    """Otherwise rule 6 would see two people, and one could withdraw the other's new secret."""
    await person.sign_in(provider)
    await person.ask('mutation { createClient(name: "x") { secret } }')
    token = provider.token(roles=["IONAPI-Admin"])
    query = {"query": 'mutation { createClient(name: "y") { secret } }'}
    async with console.post("/graphql", json=query, headers={"Authorization": f"Bearer {token}"}) as response:
        assert response.status == 200
    by_session, by_token = (await events_of(services))[-2:]
    assert by_session.actor == by_token.actor


@pytest.mark.parametrize("place", ["id_token", "userinfo", "access_token"])
async def test_the_role_may_be_in_any_of_three_places(place: str, person: Person, provider: IdentityProvider) -> None:
    provider.sign_ins.shown_in = {place}
    provider.sign_ins.person["roles"] = ["ops"]
    assert await person.sign_in(provider) == "/"
    assert (await person.viewer())["roles"] == ["OPERATOR", "VIEWER"]


async def test_a_person_without_a_role_gets_no_session(person: Person, provider: IdentityProvider) -> None:
    provider.sign_ins.person["roles"] = ["something-else"]
    assert await person.sign_in(provider) == "/sign-in?problem=role"
    assert person.cookies == {}


async def test_the_client_signs_in_with_its_secret_if_it_has_one(
    build_api: BuildApi, console_settings: dict[str, str], provider: IdentityProvider
) -> None:
    person = Person(await build_api(**console_settings, oidc_client_secret="s3cret:with space"))
    assert await person.sign_in(provider) == "/"
    [(form, authorization)] = provider.sign_ins.requests
    assert authorization == encode_basic_auth(CLIENT_ID, "s3cret%3Awith+space")
    assert "client_id" not in form
    assert len(form["code_verifier"]) == 43


async def test_a_public_client_has_no_secret(person: Person, provider: IdentityProvider) -> None:
    await person.sign_in(provider)
    [(form, authorization)] = provider.sign_ins.requests
    assert (form["client_id"], authorization) == (CLIENT_ID, None)


# Open redirects


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "/%2Fevil.example",
        "javascript:alert(1)",
        "/graphql@evil.example",
        "/#x\r\nSet-Cookie: a=b",
        "/sign-in/start?issuer=x",
        "/" + "#" * 600,
        "",
    ],
)
async def test_the_browser_returns_to_a_page_of_this_server_only(
    target: str, person: Person, provider: IdentityProvider
) -> None:
    assert await person.sign_in(provider, return_to=target) == "/"


@pytest.mark.parametrize("target", ["/", "/#/people", "/graphql", "/graphql#query=%7B%7D"])
async def test_the_browser_returns_to_the_place_where_it_was(
    target: str, person: Person, provider: IdentityProvider
) -> None:
    assert await person.sign_in(provider, return_to=target) == target


# Login CSRF, stolen states, replays


async def test_an_answer_counts_only_in_the_browser_that_began(
    person: Person, provider: IdentityProvider, console: Api
) -> None:
    """Login CSRF: somebody's page sends a victim's browser here with the somebody's own code."""
    answer = provider.sign_ins.authorize(await person.start(provider))
    victim = Person(console)
    assert await victim.come_back(answer) == "/sign-in?problem=state"
    assert victim.session is None
    assert provider.sign_ins.requests == []  # the code was not even redeemed

    began_too = Person(console)
    await began_too.start(provider)
    assert await began_too.come_back(answer) == "/sign-in?problem=state"


async def test_a_stolen_cookie_of_one_sign_in_does_not_open_another(
    person: Person, provider: IdentityProvider, console: Api
) -> None:
    first = provider.sign_ins.authorize(await person.start(provider))
    [(name, value)] = person.cookies.items()
    other = Person(console)
    second = provider.sign_ins.authorize(await other.start(provider))
    [other_name] = other.cookies
    other.cookies = {other_name: value, name: "AA.AA"}
    assert await other.come_back(second) == "/sign-in?problem=state"
    assert await other.come_back(first) == "/sign-in?problem=state"


async def test_an_authorization_begins_one_session(
    person: Person, provider: IdentityProvider, services: Services
) -> None:
    answer = provider.sign_ins.authorize(await person.start(provider))
    thief = Person(person.api, dict(person.cookies))
    assert await person.come_back(answer) == "/"
    assert await thief.come_back(answer) == "/sign-in?problem=token"  # the provider redeems a code once
    assert await person.come_back(answer) == "/sign-in?problem=state"
    assert len(await services.sessions.valid_sessions()) == 1


async def test_one_state_begins_one_session_even_with_two_codes(
    person: Person, provider: IdentityProvider, services: Services
) -> None:
    location = await person.start(provider)
    both = [Person(person.api, dict(person.cookies)) for _ in range(2)]
    answers = [provider.sign_ins.authorize(location) for _ in range(2)]
    locations = await asyncio.gather(*(each.come_back(answer) for each, answer in zip(both, answers, strict=True)))
    assert sorted(locations) == ["/", "/sign-in?problem=replayed"]
    assert len(await services.sessions.valid_sessions()) == 1


async def test_a_sign_in_takes_ten_minutes_at_most(person: Person, provider: IdentityProvider, clock: Clock) -> None:
    answer = provider.sign_ins.authorize(await person.start(provider))
    clock.move(10 * MINUTE)
    assert await person.come_back(answer) == "/sign-in?problem=expired"
    assert person.cookies == {}


async def test_another_site_cannot_begin_a_sign_in(person: Person, provider: IdentityProvider) -> None:
    url = URL("/sign-in/start").with_query(issuer=provider.issuer)
    status, location = await person.get(str(url), **{"Sec-Fetch-Site": "cross-site"})
    assert (status, location) == (303, "/sign-in?problem=state")


async def test_several_windows_sign_in_at_the_same_time(person: Person, provider: IdentityProvider) -> None:
    answers = [provider.sign_ins.authorize(await person.start(provider)) for _ in range(6)]
    assert len(person.cookies) == 4
    assert await person.come_back(answers[0]) == "/sign-in?problem=state"
    assert await person.come_back(answers[5]) == "/"
    assert await person.come_back(answers[4]) == "/"


async def test_the_cookie_of_a_sign_in_is_bound_to_the_host_and_hidden_from_scripts(
    build_api: BuildApi, console_settings: dict[str, str], provider: IdentityProvider
) -> None:
    api = await build_api(**console_settings, public_url="https://secrets.example.com")
    url = URL("/sign-in/start").with_query(issuer=provider.issuer)
    async with api.get(url, headers={"Host": "secrets.example.com"}, allow_redirects=False) as response:
        [(name, morsel)] = response.cookies.items()
        location = URL(response.headers["Location"])
    assert name.startswith("__Host-gql_secrets_authorization_")
    assert (morsel["secure"], morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, True, "Lax", "/")
    assert morsel["max-age"] == "600"
    assert location.query["redirect_uri"] == "https://secrets.example.com/sign-in/callback"
    assert all(location.query[part] not in morsel.value for part in ("state", "nonce", "code_challenge"))


# The pages


async def test_the_sign_in_page_shows_the_provider_first(console: Api, provider: IdentityProvider) -> None:
    async with console.get("/sign-in?problem=role") as response:
        text = await response.text()
    assert "Sign in with 127.0.0.1" in text
    assert URL("/sign-in/start").with_query(issuer=provider.issuer).query["issuer"] == provider.issuer
    assert text.index("Sign in with") < text.index("This link signs you in")
    assert "it gives you no role here" in text
    async with console.get("/console/settings") as response:
        settings = await response.json()
    assert settings["identityProviders"] == [{"name": "127.0.0.1", "issuer": provider.issuer}]


async def test_a_problem_in_the_address_shows_only_known_sentences(console: Api) -> None:
    async with console.get("/sign-in?problem=%3Cscript%3E") as response:
        text = await response.text()
    assert 'role="alert"' not in text


# The session


async def test_a_second_sign_in_replaces_the_session_of_the_browser(
    person: Person, provider: IdentityProvider, services: Services
) -> None:
    await person.sign_in(provider)
    first = Person(person.api, dict(person.cookies))
    await person.sign_in(provider)
    assert await first.viewer() is None
    assert await person.viewer() == ADA
    assert [each.session_end_reason for each in await events_of(services)].count("REPLACED") == 1


async def test_signing_out_leads_to_the_provider_too(person: Person, provider: IdentityProvider) -> None:
    await person.sign_in(provider)
    status, content = await person.post("/sign-out")
    assert status == 200
    location = URL(content["location"])
    assert str(location.with_query(None)) == f"{provider.issuer}/end-session"
    assert set(location.query) == {"client_id", "post_logout_redirect_uri"}  # no token is in an address
    assert person.session is None


async def test_a_session_whose_role_is_not_confirmed_is_signed_out_too(
    person: Person, provider: IdentityProvider, services: Services, clock: Clock
) -> None:
    """Otherwise the next look would make it valid again, for anyone who has its cookie."""
    await person.sign_in(provider)
    stolen = Person(person.api, dict(person.cookies))
    move(clock, provider, 10 * MINUTE)
    assert (await person.post("/sign-out"))[0] == 200
    assert person.session is None
    assert await stolen.viewer() is None
    assert await ends(services) == ["SIGNED_OUT"]


async def test_no_token_is_stored_in_plaintext(person: Person, provider: IdentityProvider, services: Services) -> None:
    await person.sign_in(provider)
    [row] = await services.database.fetch("SELECT tokens, tokens_key_id FROM session")
    assert row["tokens_key_id"] == "test"
    assert b"opaque" not in bytes(row["tokens"])
    assert b"refresh-" not in bytes(row["tokens"])


async def test_no_token_is_in_the_log_or_the_audit(
    person: Person, provider: IdentityProvider, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider.sign_ins.shown_in = {"access_token", "id_token"}
    await person.sign_in(provider)
    await person.viewer()
    await person.post("/sign-out")
    # The access log of the tests' server is not that of the product.
    records = [record for record in caplog.records if record.name != "aiohttp.access"]
    assert {record.name.partition(".")[0] for record in records} >= {"gql_secrets", "tortoise"}
    written = [str(vars(record) | {"message": record.getMessage()}) for record in records]
    written += [str(event) for event in await events_of(services)]
    for token in ("eyJ", "refresh-1", "code-1"):
        assert [each for each in written if token in each] == []


async def test_a_token_for_the_console_alone_is_not_an_access_token(
    build_api: BuildApi, console_settings: dict[str, str], provider: IdentityProvider
) -> None:
    """An ID token, even of a provider that writes neither `nonce` nor `at_hash` into it."""
    api = await build_api(**(console_settings | {"oidc_audience": CLIENT_ID}))
    query = {"query": "{ viewer { name } }"}
    refused = provider.token(aud=CLIENT_ID, azp=CLIENT_ID, roles=["look"])
    async with api.post("/graphql", json=query, headers={"Authorization": f"Bearer {refused}"}) as response:
        assert response.status == 401
        assert (await response.json())["errors"][0]["extensions"]["reason"] == "ID_TOKEN"
    accepted = provider.token(aud=CLIENT_ID, azp="a-frontend", roles=["look"])
    async with api.post("/graphql", json=query, headers={"Authorization": f"Bearer {accepted}"}) as response:
        assert response.status == 200


# The provider is not asked about everything


async def test_the_provider_is_asked_about_no_code_without_a_sign_in_of_this_browser(
    person: Person, provider: IdentityProvider
) -> None:
    answer = provider.sign_ins.authorize(await person.start(provider))
    person.cookies.clear()
    for state in (answer["state"], "made-up", ""):
        assert await person.come_back(answer | {"state": state}) == "/sign-in?problem=state"
    assert provider.sign_ins.requests == []


async def test_made_up_codes_do_not_make_the_server_ask_the_provider_without_end(
    build_api: BuildApi, console_settings: dict[str, str], provider: IdentityProvider
) -> None:
    """Anybody can begin a sign-in, keep its cookie, and send one code after the other."""
    limit = Rate.parse("5/1m")
    person = Person(await build_api(**console_settings, rate_limits="on", limit_sign_ins_per_address=limit))
    answer = provider.sign_ins.authorize(await person.start(provider)) | {"code": "made-up"}
    cookies = dict(person.cookies)

    async def try_code() -> str:
        person.cookies = dict(cookies)
        return await person.come_back(answer)

    places = await asyncio.gather(*(try_code() for _ in range(10)))
    places += [await try_code() for _ in range(3)]
    assert sorted(places) == ["/sign-in?problem=token"] * 5 + ["/sign-in?problem=too_many"] * 8
    assert len(provider.sign_ins.requests) == 5
    for _ in range(2):  # another sign-in does not help
        answer = provider.sign_ins.authorize(await person.start(provider)) | {"code": "made-up"}
        assert await person.come_back(answer) == "/sign-in?problem=too_many"
    assert len(provider.sign_ins.requests) == 5


async def test_valid_codes_do_not_count(
    build_api: BuildApi, console_settings: dict[str, str], provider: IdentityProvider
) -> None:
    """Many people may be behind one address."""
    limit = Rate.parse("2/1h")
    api = await build_api(**console_settings, rate_limits="on", limit_sign_ins_per_address=limit)
    for _ in range(5):
        assert await Person(api).sign_in(provider) == "/"
