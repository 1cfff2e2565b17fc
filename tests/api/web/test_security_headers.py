"""The security headers of every answer, and by which name pages are shown."""

from typing import Any

import pytest
from support.browsers import COOKIE, Browser
from support.installation import BuildApi, as_owner

from gql_secrets.domain.access import Role

# Nothing here depends on the kind of database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

APP = "https://app.example.com"
VIEWER = {"query": "{ viewer { name } }"}
CREATE = {"query": 'mutation { createClient(name: "x") { client { clientId } } }'}


@pytest.fixture
async def api(build_api: BuildApi) -> Any:
    return await build_api(allowed_origins=APP)


EVERYWHERE = {
    "Server": "gql-secrets",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
ANSWERS = [
    ("GET", "/", {}),
    ("GET", "/sign-in", {}),
    ("POST", "/sign-in", {}),
    ("POST", "/sign-out", {}),
    ("GET", "/console/settings", {}),
    ("GET", "/assets/none.js", {}),
    ("GET", "/graphql", {"Accept": "text/html"}),
    ("GET", "/graphql", {}),
    ("POST", "/graphql", {}),
    ("PUT", "/graphql", {}),
    ("POST", "/graphql", {"Authorization": "Basic wrong"}),
    ("GET", "/clients/list", {}),
    ("POST", "/clients/add", {"Content-Type": "text/plain"}),
    ("GET", "/settings/x", {}),
    ("GET", "/healthz", {}),
    ("GET", "/nothing", {}),
    ("GET", "/verifying", {}),
    ("GET", "/verify%2Fx", {}),
    ("POST", "/healthz", {}),
]


@pytest.mark.parametrize(("method", "path", "headers"), ANSWERS)
@pytest.mark.parametrize("public_url", ["", "https://secrets.example.com"])
async def test_every_answer_has_the_security_headers(
    build_api: BuildApi, method: str, path: str, headers: dict[str, str], public_url: str
):
    api = await build_api(public_url=public_url)
    sent = headers | ({"Host": "secrets.example.com"} if public_url else {})
    answer = await api.request(method, path, headers=sent)
    assert {name: answer.headers.get(name) for name in EVERYWHERE} == EVERYWHERE
    assert all(len(answer.headers.getall(name)) == 1 for name in (*EVERYWHERE, "Content-Security-Policy"))
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    if answer.content_type != "text/html":
        assert "script-src" not in policy
    assert "no-" in answer.headers["Cache-Control"]
    assert answer.headers.get("Strict-Transport-Security") == ("max-age=31536000" if public_url else None)
    assert len(answer.headers["X-Request-Id"]) == 16


async def test_streams_have_the_security_headers_too(api: Any):
    answer = await api.get("/clients/list", headers=as_owner(api))
    assert await answer.json()
    assert {name: answer.headers.get(name) for name in EVERYWHERE} == EVERYWHERE
    query = {"query": "subscription { clientEvents { kind } }"}
    async with api.post(
        "/graphql", json=query, headers={"Accept": "text/event-stream", "Origin": APP} | as_owner(api)
    ) as answer:
        assert answer.status == 200
        assert {name: answer.headers.get(name) for name in EVERYWHERE} == EVERYWHERE
        assert answer.headers["Access-Control-Allow-Origin"] == APP


async def test_a_response_to_a_gateway_has_no_security_headers(build_api: BuildApi):
    """Gateways hand the headers of a refusal on, and would set them for a site that is not ours."""
    api = await build_api(public_url="https://secrets.example.com")
    refused = await api.get("/verify")
    assert set(refused.headers) == {"Cache-Control", "Server", "WWW-Authenticate", "Content-Length", "Date"}
    assert refused.headers["Server"] == "gql-secrets"
    accepted = await api.get("/verify", headers=as_owner(api))
    assert set(accepted.headers) == {
        "Cache-Control",
        "Server",
        "X-Client-Id",
        "X-Secret-State",
        "Content-Length",
        "Date",
    }


# By which name pages are shown


@pytest.mark.parametrize(("method", "path", "headers"), ANSWERS[:7])
@pytest.mark.parametrize(
    ("public_url", "host", "is_ours"),
    [
        ("", "127.0.0.1:8080", True),
        ("", "127.0.0.1", True),
        ("", "localhost:9999", True),
        ("", "[::1]:8080", True),
        ("", "evil.example.com:8080", False),
        ("", "127.0.0.1.evil.example.com", False),
        ("", "localhost.evil.example.com", False),
        ("", "[::1", False),
        ("https://secrets.example.com", "secrets.example.com", True),
        ("https://secrets.example.com", "SECRETS.example.com:443", True),
        ("https://secrets.example.com", "secrets.example.com:80", False),
        ("https://secrets.example.com", "evil@secrets.example.com", False),
        ("https://secrets.example.com", "127.0.0.1:8080", True),
        ("https://secrets.example.com", "gql_secrets", False),
        ("https://secrets.example.com:8443", "secrets.example.com:8443", True),
        ("https://secrets.example.com:8443", "secrets.example.com", False),
    ],
)
async def test_a_name_that_is_not_ours_shows_no_page_of_ours(
    build_api: BuildApi,
    method: str,
    path: str,
    headers: dict[str, str],
    public_url: str,
    host: str,
    *,
    is_ours: bool,
):
    """The owner of the name can point it here (DNS rebinding)."""
    api = await build_api(public_url=public_url)
    answer = await api.request(method, path, headers={"Host": host, **headers})
    assert (answer.status != 421) is is_ours
    if not is_ours:
        text = await answer.text()
        assert "evil" not in text
        assert text.startswith("Open http")
        assert ("GQL_SECRETS_PUBLIC_URL" in text) is not bool(public_url)


@pytest.mark.parametrize("public_url", ["", "https://secrets.example.com"])
async def test_programs_with_credentials_may_ask_by_any_name(build_api: BuildApi, public_url: str):
    """A gateway calls us by the name of its upstream."""
    api = await build_api(public_url=public_url)
    headers = as_owner(api) | {"Host": "gql_secrets"}
    assert (await api.get("/verify", headers=headers)).status == 200
    assert (await api.post("/clients/list", headers=headers)).status == 200
    assert (await api.get("/healthz", headers={"Host": "gql_secrets"})).status == 200
    answer = await api.post("/graphql", json=CREATE, headers=headers)
    assert (await answer.json())["data"]["createClient"]["client"]


async def test_a_cookie_by_another_name_is_refused(api: Any):
    browser = Browser(api)
    await browser.sign_in(Role.ADMIN, "ada")
    headers = {"Cookie": f"{COOKIE}={browser.cookie}", "Sec-Fetch-Site": "same-origin"}
    assert (await api.post("/graphql", json=VIEWER, headers=headers)).status == 200
    answer = await api.post("/graphql", json=VIEWER, headers=headers | {"Host": "evil.example.com"})
    assert answer.status == 403
