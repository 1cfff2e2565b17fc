"""Signing in to the console: the link, its page and its button, the cookie, signing out."""

import logging
import re
from dataclasses import replace
from typing import Any

import pytest
from support.audits import events_of
from support.browsers import COOKIE, Browser, own_origin
from support.callers import CLI, Made
from support.clocks import HOUR, MINUTE, Clock
from support.installation import MakeClient

from gql_secrets.api.app import build_app
from gql_secrets.api.keys import SERVICES, SESSION_COOKIE
from gql_secrets.domain.access import Role
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

MUTATION = 'mutation { createClient(name: "x") { client { clientId } userErrors { message } } }'


@pytest.fixture
def browser(api: Any) -> Browser:
    return Browser(api)


async def test_opening_the_page_spends_nothing(browser: Browser, services: Services):
    """Chat programs open every link to draw a preview of it."""
    link = await services.sessions.create_sign_in_link("ada", Role.ADMIN, by=CLI)
    for method in ("GET", "HEAD", "GET"):
        async with browser.api.request(method, "/sign-in") as response:
            assert response.status == 200
            assert response.cookies == {}

    await services.sessions.sign_in(link.token.reveal())


async def test_the_page_sends_no_referrer(api: Any):
    async with api.get("/sign-in") as response:
        text = await response.text()
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert len(re.findall("<button", text)) == 1
    assert "http:" not in text
    assert "https:" not in text


async def test_the_button_signs_the_person_in(browser: Browser):
    await browser.sign_in(Role.OPERATOR, "Olga")

    assert await browser.viewer() == {"name": "Olga", "kind": "USER", "roles": ["OPERATOR", "VIEWER"]}


async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(browser: Browser, services: Services):
    link = await services.sessions.create_sign_in_link("ada", Role.ADMIN, by=CLI)
    async with browser.api.post("/sign-in", json={"token": link.token.reveal()}, headers=browser.headers()) as response:
        cookie = response.headers["Set-Cookie"]

    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


async def test_behind_https_the_cookie_belongs_to_this_host_alone(
    aiohttp_client: Any, settings: Settings, clock: Clock
):
    public = replace(settings, public_url="https://secrets.example.com")
    api = await aiohttp_client(build_app(public, adjust_clock=clock))
    link = await api.app[SERVICES].sessions.create_sign_in_link("ada", Role.ADMIN, by=CLI)

    async def sign_in(origin: str) -> Any:
        headers = {"Host": "secrets.example.com", "Origin": origin}
        return await api.post("/sign-in", json={"token": link.token.reveal()}, headers=headers)

    assert (await sign_in(own_origin(api))).status == 403
    response = await sign_in("https://secrets.example.com")
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith(f"__Host-{COOKIE}=")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    await api.close()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"token": null}', b'{"token": "nothing"}', b'{"token": "\\u0000"}', b"\xff"]
)
async def test_an_invalid_token_is_refused_without_a_password_dialog(browser: Browser, body: bytes):
    headers = browser.headers() | {"Content-Type": "application/json"}
    async with browser.api.post("/sign-in", data=body, headers=headers) as response:
        assert response.status == 401
        assert "WWW-Authenticate" not in response.headers
        assert "works once" in (await response.json())["message"]
        assert response.cookies == {}


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_no_other_site_signs_its_visitor_in(api: Any, services: Services, page: dict[str, str]):
    """Somebody signed in as the attacker would do the attacker's work."""
    link = await services.sessions.create_sign_in_link("mallory", Role.ADMIN, by=CLI)
    async with api.post("/sign-in", json={"token": link.token.reveal()}, headers=page) as response:
        assert response.status == 403
        assert response.cookies == {}

    await services.sessions.sign_in(link.token.reveal())  # it was not spent


async def test_signing_out_ends_the_session_on_the_server(browser: Browser):
    await browser.sign_in()

    async with browser.api.post("/sign-out", headers=browser.headers()) as response:
        assert response.status == 204
        assert response.headers["Set-Cookie"].startswith(f'{COOKIE}="";')

    assert await browser.viewer() is None


async def test_signing_out_by_graphql_is_the_same(browser: Browser):
    await browser.sign_in()

    _, content = await browser.ask("mutation { signOut { signedOut userErrors { message } } }")

    assert content["data"]["signOut"] == {"signedOut": True, "userErrors": []}
    assert await browser.viewer() is None


async def test_no_other_site_signs_its_visitor_out(browser: Browser):
    await browser.sign_in()

    for site in ("cross-site", "same-site", "none"):
        headers = browser.headers() | {"Sec-Fetch-Site": site}
        async with browser.api.post("/sign-out", headers=headers) as response:
            assert response.status == 403

    assert await browser.viewer() is not None


async def test_who_has_no_session_is_signed_out_already(browser: Browser, gql: Any, make_client: MakeClient):
    async with browser.api.post("/sign-out") as response:
        assert response.status == 204
    answer = await gql("mutation { signOut { signedOut } }", as_=await make_client("viewer"))
    assert answer["signOut"] == {"signedOut": False}


@pytest.mark.parametrize("cookie", ["", "x", "unknown" * 6, '"; drop', "a" * 4000])
async def test_an_unknown_session_is_anonymous_and_opens_no_password_dialog(browser: Browser, cookie: str):
    browser.cookie = cookie

    response, content = await browser.ask("{ viewer { name } }")
    assert (response.status, content["data"]) == (200, {"viewer": None})

    response, content = await browser.ask("{ clients { totalCount } }")
    assert response.status == 200
    assert "WWW-Authenticate" not in response.headers
    assert content["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_an_ended_session_is_anonymous(browser: Browser, clock: Clock):
    await browser.sign_in()
    clock.move(30 * MINUTE)

    response, content = await browser.ask(MUTATION)

    assert response.status == 200
    assert "WWW-Authenticate" not in response.headers
    assert content["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_session_in_use_lasts_8_hours(browser: Browser, clock: Clock):
    await browser.sign_in()
    began = clock.now

    while clock.move(25 * MINUTE) < began + 8 * HOUR:
        assert await browser.viewer() is not None
    assert await browser.viewer() is None


async def test_credentials_go_before_the_cookie(browser: Browser, make_client: MakeClient, gql: Any):
    await browser.sign_in()
    client = await make_client("viewer")

    answer = await gql("{ viewer { name } }", as_=client)
    assert answer["viewer"] == {"name": client.id}
    response, _ = await browser.ask("{ viewer { name } }", Authorization="Basic bm9ib2R5Om5vdGhpbmc=")
    assert response.status == 401


@pytest.mark.parametrize("path", ["/verify", "/verify/deeper", "/clients/list", "/clients/reset_secret"])
async def test_no_cookie_works_where_secrets_are_judged(browser: Browser, client: Made, path: str):
    await browser.sign_in()

    async with browser.api.post(path, data={"for_client_id": client.id}, headers=browser.headers()) as response:
        if path.startswith("/verify"):
            assert response.status == 401
        else:
            assert (await response.json(content_type=None))["stat"] == "error"


async def test_signing_in_and_out_are_events_with_the_address(browser: Browser, services: Services):
    await browser.sign_in(name="Ada Ashdown")
    async with browser.api.post("/sign-out", headers=browser.headers()) as response:
        assert response.status == 204
        request_id = response.headers["X-Request-Id"]

    created, signed_in, ended = (await events_of(services))[-3:]
    assert (created.action, created.actor, created.address) == ("SIGN_IN_LINK_CREATED", "cli:root", None)
    assert (signed_in.action, signed_in.actor, signed_in.address) == ("SIGNED_IN", "user:link/1", "127.0.0.1")
    assert (ended.action, ended.session_end_reason, ended.request_id) == ("SESSION_ENDED", "SIGNED_OUT", request_id)


async def test_graphql_shows_people_by_name(browser: Browser, client: Made):
    await browser.sign_in(name="Ada")
    reset = f'mutation {{ resetSecret(clientId: "{client.id}", hoursToLive: 24) {{ client {{ currentSecret '
    reset += "{ createdBy createdByName } } userErrors { code rolloverInProgress { currentSecretCreatedByName } } } }"
    _, content = await browser.ask(reset)
    assert content["data"]["resetSecret"]["client"]["currentSecret"] == {
        "createdBy": "user:link/1",
        "createdByName": "Ada",
    }

    await browser.sign_in(name="Ada")
    _, content = await browser.ask(reset)
    [error] = content["data"]["resetSecret"]["userErrors"]
    assert error == {
        "code": "ROLLOVER_IN_PROGRESS",
        "rolloverInProgress": {"currentSecretCreatedByName": "Ada"},
    }

    _, content = await browser.ask(
        "{ auditEvents(first: 1) { nodes { action actorName personName personRole linkNumber sessionNumber"
        " sessionEndReason surface } } viewer { name } }"
    )
    assert content["data"]["viewer"] == {"name": "Ada"}
    assert content["data"]["auditEvents"]["nodes"] == [
        {
            "action": "SIGNED_IN",
            "actorName": "Ada",
            "personName": "Ada",
            "personRole": "ADMIN",
            "linkNumber": 2,
            "sessionNumber": 2,
            "sessionEndReason": None,
            "surface": "SIGN_IN",
        }
    ]


async def test_the_audit_names_the_person_and_the_request(browser: Browser):
    await browser.sign_in(name="Ada Ashdown")
    response, content = await browser.ask(MUTATION)
    assert content["data"]["createClient"]["userErrors"] == []

    _, content = await browser.ask(
        "{ auditEvents(first: 1) { nodes { actor actorName actorKind requestId address } } }"
    )

    [event] = content["data"]["auditEvents"]["nodes"]
    assert event == {
        "actor": "user:link/1",
        "actorName": "Ada Ashdown",
        "actorKind": "USER",
        "requestId": response.headers["X-Request-Id"],
        "address": "127.0.0.1",
    }


async def test_no_token_is_in_the_log(browser: Browser, services: Services, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    link = await services.sessions.create_sign_in_link("ada", Role.ADMIN, by=CLI)
    token = link.token.reveal()
    for _ in range(2):
        async with browser.api.post("/sign-in", json={"token": token}, headers=browser.headers()) as response:
            browser.cookie = browser.cookie or response.cookies[COOKIE].value
    await browser.viewer()
    await browser.api.post("/sign-out", headers=browser.headers())

    assert "path=/sign-in" in caplog.text
    assert browser.cookie is not None
    for secret in (token, browser.cookie):
        assert secret not in caplog.text


@pytest.mark.parametrize("public_url", ["https://secrets.example.com", "HTTPS://Secrets.Example.com"])
def test_behind_https_the_cookie_is_secure_however_the_public_url_is_spelled(
    settings: Settings, public_url: str
) -> None:
    cookie = build_app(replace(settings, public_url=public_url))[SESSION_COOKIE]
    assert cookie.is_secure
    assert cookie.name.startswith("__Host-")
