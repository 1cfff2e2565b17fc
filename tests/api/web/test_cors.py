"""What frontends on other origins may ask, and read."""

from typing import Any

import pytest
from aiohttp import WSServerHandshakeError
from support.browsers import COOKIE, Browser
from support.installation import BuildApi, as_owner

from gql_secrets.domain.access import Role
from gql_secrets.domain.errors import SetupError
from gql_secrets.settings import Settings

APP = "https://app.example.com"
OTHER = "https://evil.example.com"
VIEWER = {"query": "{ viewer { name } }"}
CREATE = {"query": 'mutation { createClient(name: "x") { client { clientId } } }'}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


@pytest.fixture
async def api(build_api: BuildApi) -> Any:
    return await build_api(allowed_origins=f"{APP}, http://localhost:5173")


def cors_headers(answer: Any) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("Access-Control-")}


# Preflights


@pytest.mark.parametrize("origin", [APP, "http://localhost:5173"])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_an_allowed_page_may_send_headers_and_never_cookies(api: Any, origin: str, method: str):
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    answer = await api.options("/graphql", headers=asked)
    assert answer.status == 204
    assert cors_headers(answer) == {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type",
        "Access-Control-Expose-Headers": "X-Request-Id, Retry-After",
        "Access-Control-Max-Age": "600",
    }
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    [
        OTHER,
        "null",
        "*",
        "",
        f"{APP}.evil.example",
        f"{APP}:444",
        f"{APP}/",
        "http://app.example.com",
        "https://APP.example.com",
        "https://sub.app.example.com",
        f"{APP} {OTHER}",
    ],
)
@pytest.mark.parametrize("method", ["OPTIONS", "POST"])
async def test_no_other_page_may_read_anything(api: Any, origin: str, method: str):
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"} if method == "OPTIONS" else {"Origin": origin}
    answer = await api.request(method, "/graphql", json=VIEWER, headers=headers)
    assert cors_headers(answer) == {}
    assert answer.headers["Vary"] == "Origin"
    assert answer.status == (405 if method == "OPTIONS" else 200)


async def test_the_headers_of_frontend_libraries_are_allowed_and_those_of_gateways_are_not(api: Any):
    asked = {
        "Origin": APP,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "apollographql-client-name, apollographql-client-version,authorization,"
        "baggage,Content-Type,sentry-trace,traceparent,tracestate,x-request-id,apollo-require-preflight,"
        "Forwarded,x-forwarded-for,X-Forwarded-Host,x-acting-user,X-Acting-Role,X_Acting_User,x_forwarded-for,"
        f",a b,é,{'x' * 101}",
    }
    answer = await api.options("/graphql", headers=asked)
    assert cors_headers(answer)["Access-Control-Allow-Headers"].split(", ") == [
        "Authorization",
        "Content-Type",
        "apollographql-client-name",
        "apollographql-client-version",
        "baggage",
        "sentry-trace",
        "traceparent",
        "tracestate",
        "x-request-id",
        "apollo-require-preflight",
    ]


async def test_a_preflight_for_very_many_headers_is_answered_shortly(api: Any):
    asked = {
        "Origin": APP,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": ",".join(f"x-{number}" for number in range(1000)),
    }
    answer = await api.options("/graphql", headers=asked)
    assert len(cors_headers(answer)["Access-Control-Allow-Headers"].split(", ")) <= 66


@pytest.mark.parametrize("path", ["/verify", "/clients/list", "/sign-in", "/sign-out", "/healthz", "/", "/nothing"])
async def test_only_graphql_is_for_other_origins(api: Any, path: str):
    for method in ("OPTIONS", "POST", "GET"):
        headers = {"Origin": APP, "Access-Control-Request-Method": "POST"}
        answer = await api.request(method, path, headers=headers)
        assert cors_headers(answer) == {}


async def test_without_the_setting_no_origin_is_allowed(build_api: BuildApi):
    api = await build_api()
    for method in ("OPTIONS", "POST"):
        headers = {"Origin": APP, "Access-Control-Request-Method": "POST"}
        answer = await api.request(method, "/graphql", json=VIEWER, headers=headers)
        assert cors_headers(answer) == {}
        assert "Vary" not in answer.headers


# Requests


async def test_an_allowed_page_signs_in_by_header_and_reads_every_answer(api: Any):
    headers = {"Origin": APP, "Sec-Fetch-Site": "cross-site"}
    for content, sent, status in (
        (VIEWER, as_owner(api), 200),
        (CREATE, as_owner(api), 200),
        (VIEWER, {"Authorization": "Basic wrong"}, 401),
        ({"query": 5}, as_owner(api), 400),
    ):
        answer = await api.post("/graphql", json=content, headers=headers | sent)
        assert answer.status == status
        assert cors_headers(answer) == {
            "Access-Control-Allow-Origin": APP,
            "Access-Control-Expose-Headers": "X-Request-Id, Retry-After",
        }
        assert "X-Request-Id" in answer.headers
        if content is CREATE:
            assert (await answer.json())["data"]["createClient"]["client"]["clientId"]


async def test_a_page_that_is_not_allowed_changes_nothing(api: Any):
    headers = {"Origin": OTHER, "Sec-Fetch-Site": "cross-site"} | as_owner(api)
    answer = await api.post("/graphql", json=CREATE, headers=headers)
    [error] = (await answer.json(content_type=None))["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize("content", [VIEWER, CREATE])
@pytest.mark.parametrize("site", ["same-site", "cross-site", None])
async def test_a_cookie_is_never_taken_from_an_allowed_page(api: Any, content: Any, site: str | None):
    """A page of the same site has it sent along, SameSite=Strict or not."""
    browser = Browser(api)
    await browser.sign_in(Role.ADMIN, "ada")
    headers = {"Origin": APP, "Cookie": f"{COOKIE}={browser.cookie}"} | ({"Sec-Fetch-Site": site} if site else {})
    answer = await api.post("/graphql", json=content, headers=headers)
    assert answer.status == 403
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(("origin", "status"), [(APP, 101), (OTHER, 403), ("null", 403)])
async def test_an_allowed_page_may_open_a_websocket(api: Any, origin: str, status: int):
    try:
        async with api.ws_connect("/graphql", protocols=["graphql-transport-ws"], origin=origin) as peer:
            await peer.send_json({"type": "connection_init", "payload": as_owner(api)})
            assert (await peer.receive_json())["type"] == "connection_ack"
            got = 101
    except WSServerHandshakeError as refused:
        got = refused.status
    assert got == status


@pytest.mark.parametrize(
    "text", ["*", "null", "app.example.com", f"{APP}/path", f"{APP};{OTHER}", f"{APP} {OTHER}", f"{APP},", "ftp://x"]
)
def test_an_origin_that_cannot_be_stops_the_start(text: str):
    with pytest.raises(SetupError, match="GQL_SECRETS_ALLOWED_ORIGINS"):
        Settings.from_environment({"GQL_SECRETS_ALLOWED_ORIGINS": text})


async def test_origins_are_compared_as_browsers_write_them(build_api: BuildApi):
    api = await build_api(allowed_origins="HTTPS://App.Example.com:443/")
    answer = await api.post("/graphql", json=VIEWER, headers={"Origin": APP})
    assert answer.headers["Access-Control-Allow-Origin"] == APP
