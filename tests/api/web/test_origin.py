"""No page of another site changes anything, even with what the visitor's browser adds: a cookie, stored credentials.

The matrix is generated: every way to ask, by every page that could ask, with everything a browser could add. The
oracle below is written separately from the code that it checks, and works both ways: our own page is never refused.
"""

from itertools import product
from typing import Any, Final

import pytest
from aiohttp import encode_basic_auth
from support.browsers import COOKIE, Browser, own_origin
from support.callers import CLI, Made

from gql_secrets.domain.access import Role
from gql_secrets.wiring import Services

# Decided above the database: one kind of it is enough here.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

METHODS: Final = ("GET", "POST", "PUT", "DELETE")
CONTENT_TYPES: Final = ("application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
OWN: Final = "OWN"
ORIGINS: Final = (
    None,
    OWN,
    "https://evil.example",
    "null",
    "OWN.evil.example",
    "https://127.0.0.1",
    "http://127.0.0.1",
)
SITES: Final = (None, "same-origin", "same-site", "cross-site", "none")
COOKIES: Final = (False, True)
HEADERS: Final = (None, "X-Requested-With", "Authorization")
MATRIX: Final = list(product(METHODS, CONTENT_TYPES, ORIGINS, SITES, COOKIES, HEADERS))
MUTATION: Final = 'mutation { createClient(name: "x") { client { clientId } } }'


def is_foreign(origin: str | None, site: str | None) -> bool:
    return origin not in (None, OWN) or site in ("same-site", "cross-site")


def may_change(method: str, content_type: str, origin: str | None, site: str | None, cookie: bool, header: str | None):
    if method != "POST" or content_type != "application/json" or is_foreign(origin, site):
        return False
    if header == "Authorization":
        return True
    return cookie and (site == "same-origin" or (site is None and origin == OWN))


def page(api: Any, origin: str | None, site: str | None) -> dict[str, str]:
    headers = {} if origin is None else {"Origin": origin.replace("OWN", own_origin(api))}
    return headers if site is None else headers | {"Sec-Fetch-Site": site}


async def revision(services: Services) -> int:
    return int((await services.database.fetch("SELECT revision FROM installation"))[0]["revision"])


@pytest.fixture
async def browser(api: Any) -> Browser:
    browser = Browser(api)
    await browser.sign_in(Role.ADMIN)
    return browser


@pytest.fixture
def remembered(owner: Made) -> str:
    """What a browser adds automatically once its password dialog was used."""
    return encode_basic_auth(owner.id, owner.secret)


@pytest.mark.parametrize("method", METHODS)
async def test_the_matrix_of_graphql(browser: Browser, services: Services, remembered: str, method: str):
    api, wrong, before = browser.api, [], await revision(services)
    cases = [case for case in MATRIX if case[0] == method]
    assert len(MATRIX) >= 200

    for case in cases:
        _, content_type, origin, site, cookie, header = case
        headers = page(api, origin, site) | {"Content-Type": content_type}
        if cookie:
            headers["Cookie"] = f"{COOKIE}={browser.cookie}"
        if header is not None:
            headers[header] = remembered if header == "Authorization" else "XMLHttpRequest"
        sent: dict[str, Any] = {"params": {"query": MUTATION}}
        if method != "GET":
            sent = {"json": {"query": MUTATION}} if content_type == "application/json" else {"data": MUTATION.encode()}
        async with api.request(method, "/graphql", headers=headers, **sent) as response:
            content = await response.json(content_type=None)
        after = await revision(services)
        if (after != before) != may_change(*case):
            wrong.append(case)
        if after == before:
            assert response.status >= 400 or content["errors"], case
        before = after

    assert wrong == []


@pytest.mark.parametrize("operation", ["query", "mutation"])
async def test_a_refusal_executes_nothing_and_says_why(browser: Browser, services: Services, operation: str):
    query = MUTATION if operation == "mutation" else "{ clients { totalCount } }"
    before = await revision(services)

    response, content = await browser.ask(query, Origin="https://evil.example")

    assert response.status == 403
    assert content.get("data") is None
    [error] = content["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"
    assert error["extensions"]["reason"] == "ORIGIN"
    assert own_origin(browser.api).rpartition(":")[0] in error["message"]
    assert await revision(services) == before


async def test_a_cookie_alone_reads_and_changes_nothing(browser: Browser, services: Services):
    """A program that is not a browser sends neither header: its cookie may only read, since it could be a page."""
    browser.page = {}
    before = await revision(services)

    assert await browser.viewer() is not None
    response, content = await browser.ask(MUTATION)

    assert response.status == 403
    assert content["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert await revision(services) == before


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
async def test_the_clients_endpoints_refuse_other_sites_forms(
    browser: Browser, services: Services, remembered: str, content_type: str
):
    """A form needs no permission to be sent anywhere, and takes remembered credentials along."""
    before, allowed = await revision(services), 0

    for origin, site, cookie, header in product(ORIGINS, SITES, COOKIES, HEADERS):
        headers = page(browser.api, origin, site) | {"Content-Type": content_type}
        if cookie:
            headers["Cookie"] = f"{COOKIE}={browser.cookie}"
        if header is not None:
            headers[header] = remembered if header == "Authorization" else "XMLHttpRequest"
        async with browser.api.post("/clients/add", data=b"description=x", headers=headers) as response:
            await response.read()
        after = await revision(services)
        assert after == before or (header == "Authorization" and not is_foreign(origin, site)), (origin, site)
        allowed += after != before
        before = after

    assert allowed > 0 or content_type != "application/x-www-form-urlencoded"


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
async def test_signing_in_and_out_is_for_our_own_page(browser: Browser, services: Services, path: str):
    for origin, site, content_type in product(ORIGINS, SITES, CONTENT_TYPES):
        link = await services.sessions.create_sign_in_link("mallory", Role.ADMIN, by=CLI)
        proven = not is_foreign(origin, site) and (site == "same-origin" or (site is None and origin == OWN))
        if proven:
            continue
        headers = page(browser.api, origin, site) | {"Cookie": f"{COOKIE}={browser.cookie}"}
        body = f'{{"token": "{link.token.reveal()}"}}'
        async with browser.api.post(path, data=body, headers=headers | {"Content-Type": content_type}) as response:
            assert response.status == 403
            assert response.cookies == {}
        await services.sessions.sign_in(link.token.reveal())  # nobody spent it

    assert await browser.viewer() is not None


@pytest.mark.parametrize("cookie", COOKIES)
@pytest.mark.parametrize("header", [None, "Authorization"])
async def test_no_other_sites_page_opens_a_websocket(
    browser: Browser, remembered: str, cookie: bool, header: str | None
):
    """A browser asks nobody before it opens a WebSocket to another site, and sends the cookies along."""
    for origin, site in product(ORIGINS, SITES):
        headers = page(browser.api, origin, site)
        if cookie:
            headers["Cookie"] = f"{COOKIE}={browser.cookie}"
        if header is not None:
            headers[header] = remembered
        headers |= {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol": "graphql-transport-ws",
        }
        proven = site == "same-origin" or (site is None and origin == OWN)
        is_open = not is_foreign(origin, site) and (proven or not cookie or header is not None)
        async with browser.api.get("/graphql", headers=headers) as response:
            assert response.status == (101 if is_open else 403), (origin, site)


async def test_localhost_is_our_own_but_a_name_that_somebody_else_owns_is_not(browser: Browser):
    """The owner of a name can point it here (DNS rebinding): its pages are not ours."""
    port = browser.api.port
    for host, status in (("localhost", 200), ("[::1]", 200), ("rebound.example", 403)):
        browser.page = {"Origin": f"http://{host}:{port}"}
        response, _ = await browser.ask("mutation { signOut { signedOut } }", Host=f"{host}:{port}")
        assert response.status == status, host
        await browser.sign_in_again()
