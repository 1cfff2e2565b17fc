"""Frontends on other origins, the headers of every answer, trusted documents, and by which name pages are shown."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError, encode_basic_auth
from support.browsers import COOKIE, Browser
from support.clocks import Clock

from gql_secrets.api.app import build_app
from gql_secrets.api.console import console_documents
from gql_secrets.api.keys import SERVICES
from gql_secrets.domain.access import Role
from gql_secrets.domain.errors import SetupError
from gql_secrets.settings import Settings

APP = "https://app.example.com"
OTHER = "https://evil.example.com"
VIEWER = {"query": "{ viewer { name } }"}
CREATE = {"query": 'mutation { createClient(name: "x") { client { clientId } } }'}
INTROSPECT = {"query": "{ __schema { queryType { name } } }"}

BuildApi = Callable[..., Awaitable[Any]]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


@pytest.fixture
def build_api(aiohttp_client: Any, settings: Settings, clock: Clock) -> BuildApi:
    """Start the server with these settings."""

    async def start(**given: Any) -> Any:
        return await aiohttp_client(build_app(replace(settings, **given), adjust_clock=clock))

    return start


@pytest.fixture
async def api(build_api: BuildApi) -> Any:
    return await build_api(allowed_origins=f"{APP}, http://localhost:5173")


def as_owner(api: Any) -> dict[str, str]:
    made = api.app[SERVICES].first_owner
    return {"Authorization": encode_basic_auth(made.client.client_id, made.secret.reveal())}


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


# The headers of every answer

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


# Introspection


@pytest.mark.parametrize(
    ("setting", "anonymous", "signed_in"),
    [("signed-in", False, True), ("everyone", True, True), ("nobody", False, False)],
)
async def test_the_schema_is_shown_to_whom_the_setting_says(
    build_api: BuildApi, setting: str, *, anonymous: bool, signed_in: bool
):
    api = await build_api(introspection=setting)
    for headers, shown in (({}, anonymous), (as_owner(api), signed_in)):
        answer = await (await api.post("/graphql", json=INTROSPECT, headers=headers)).json()
        assert ("errors" not in answer) is shown


# Trusted documents


def manifest(folder: Path, *documents: str) -> str:
    path = folder / "trusted.json"
    path.write_text(json.dumps({digest(text): text for text in documents}))
    return str(path)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def test_with_a_manifest_only_its_documents_and_the_consoles_run(build_api: BuildApi, tmp_path: Path):
    trusted = "query Trusted { viewer { name } }"
    api = await build_api(trusted_documents=manifest(tmp_path, trusted))

    async def runs(**body: Any) -> bool:
        answer = await api.post("/graphql", json=body, headers=as_owner(api))
        return "data" in await answer.json()

    assert await runs(query=trusted)
    assert await runs(documentId=f"sha256:{digest(trusted)}")
    assert await runs(extensions={"persistedQuery": {"version": 1, "sha256Hash": digest(trusted)}})
    assert not await runs(query=f"{trusted} ")
    assert not await runs(query="{ viewer { name } }")
    assert not await runs(documentId=digest("{ viewer { name } }"))
    assert not await runs(**INTROSPECT)
    for document in console_documents():
        if not document.lstrip().startswith("subscription"):
            answer = await api.post("/graphql", json={"query": document}, headers=as_owner(api))
            assert "trusted" not in await answer.text()


async def test_without_a_manifest_no_document_has_an_id(api: Any):
    answer = await api.post("/graphql", json={"documentId": digest("x")}, headers=as_owner(api))
    assert "PersistedQueryNotSupported" in (await answer.json())["errors"][0]["message"]


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "{",
        "[]",
        '{"x": 5}',
        json.dumps({"0" * 64: "{ viewer { name } }"}),
        json.dumps({digest("{ nothing }"): "{ nothing }"}),
        json.dumps({digest("{"): "{"}),
        b"\xff\xfe",
    ],
)
def test_a_manifest_that_cannot_be_stops_the_start(settings: Settings, tmp_path: Path, content: str | bytes | None):
    path = tmp_path / "trusted.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SetupError, match=r"trusted\.json|GQL_SECRETS_TRUSTED_DOCUMENTS"):
        build_app(replace(settings, trusted_documents=str(path)))
