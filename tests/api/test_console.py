"""The console's addresses: what is served, under which headers, and what is said when it was not built."""

import gzip
import json
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from pytest_aiohttp.plugin import AiohttpClient

from gql_secrets.api import console
from gql_secrets.api.console import add_console_routes, explorer_page, read_ionapi_template, wants_explorer
from gql_secrets.api.keys import OWN_ORIGIN, TRUSTED_PROXIES
from gql_secrets.api.sign_in.provider import PROVIDER_CLIENTS
from gql_secrets.api.web.client_address import TrustedProxies
from gql_secrets.api.web.middleware import surround_request
from gql_secrets.api.web.origin import OwnOrigin
from gql_secrets.api.web.security_headers import add_security_headers
from gql_secrets.domain.errors import SetupError

TEMPLATE = {"ti": "ACME_TST", "iu": "https://gateway.example"}


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A console as small as can be, in the place of the built one."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>console</title>")
    (tmp_path / "explorer.html").write_text("<title>explorer</title>")
    (tmp_path / "assets" / "main-AB12.js").write_text("let a = 1")
    (tmp_path / "assets" / "main-AB12.js.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "made-from.sha256").write_text("0")
    monkeypatch.setattr(console, "BUILT", tmp_path)
    return tmp_path


def an_app() -> web.Application:
    app = web.Application(middlewares=[surround_request])
    app[OWN_ORIGIN], app[TRUSTED_PROXIES] = OwnOrigin("http://127.0.0.1:8080", is_chosen=False), TrustedProxies()
    app[PROVIDER_CLIENTS] = {}
    add_security_headers(app)
    add_console_routes(app, public_url="https://secrets.example", ionapi_template=TEMPLATE)
    return app


@pytest.mark.usefixtures("built")
async def test_the_page_runs_only_our_own_scripts_and_styles(aiohttp_client: AiohttpClient) -> None:
    answer = await (await aiohttp_client(an_app())).get("/")

    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.content_type == "text/html"


@pytest.mark.usefixtures("built")
async def test_only_the_explorer_may_write_styles_at_run_time() -> None:
    policy = explorer_page(make_mocked_request("GET", "/graphql")).headers["Content-Security-Policy"]

    assert policy.count("unsafe") == 1
    assert "style-src 'self' 'unsafe-inline'" in policy
    assert "script-src 'self';" in policy


@pytest.mark.usefixtures("built")
async def test_an_asset_is_kept_for_ever_and_typed_by_us(aiohttp_client: AiohttpClient) -> None:
    answer = await (await aiohttp_client(an_app())).get("/assets/main-AB12.js", headers={"Accept-Encoding": "identity"})

    assert await answer.text() == "let a = 1"
    assert answer.content_type == "text/javascript"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("accepted", "encoding"), [("br, gzip", "br"), ("gzip", "gzip"), ("identity", None), ("zstd", None)]
)
async def test_an_asset_is_sent_as_it_was_compressed_when_the_console_was_built(
    aiohttp_client: AiohttpClient, built: Path, accepted: str, encoding: str | None
) -> None:
    text = "let a = 1;" * 1000
    name = "main-CD34.js"
    forms = {None: text.encode(), "gzip": gzip.compress(text.encode()), "br": b"in the form of Brotli"}
    for form, suffix in ((None, ""), ("gzip", ".gz"), ("br", ".br")):
        (built / "assets" / f"{name}{suffix}").write_bytes(forms[form])
    client = await aiohttp_client(an_app())
    client.session._auto_decompress = False
    answer = await client.get(f"/assets/{name}", headers={"Accept-Encoding": accepted})
    head = await client.head(f"/assets/{name}", headers={"Accept-Encoding": accepted})

    assert await answer.read() == forms[encoding]
    for each in (answer, head):
        assert each.headers.get("Content-Encoding") == encoding
        assert int(each.headers["Content-Length"]) == len(forms[encoding])
        assert each.headers["Vary"] == "Accept-Encoding"
        assert each.content_type == "text/javascript"


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize(
    "name",
    ["nosuch.js", "..%2findex.html", "..%2f..%2fconsole.py", "%2fetc%2fpasswd", "main-AB12.js.gz", "%00.js"],
)
async def test_nothing_but_assets_is_served(aiohttp_client: AiohttpClient, name: str) -> None:
    answer = await (await aiohttp_client(an_app())).get(f"/assets/{name}")

    assert answer.status in {400, 404}


async def test_without_a_built_console_one_sentence_says_how_to_get_it(
    aiohttp_client: AiohttpClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "BUILT", tmp_path / "nothing")
    answer = await (await aiohttp_client(an_app())).get("/")

    assert answer.status == 200
    assert answer.content_type == "text/plain"
    assert (await answer.text()).startswith("This installation does not include the console. ")


async def test_the_settings_are_what_the_operator_gave(aiohttp_client: AiohttpClient) -> None:
    answer = await (await aiohttp_client(an_app())).get("/console/settings")

    assert await answer.json() == {
        "ionapiTemplate": TEMPLATE,
        "publicUrl": "https://secrets.example",
        "identityProviders": [],
    }
    assert answer.headers["Cache-Control"] == "no-store"


def test_of_a_whole_credentials_file_nothing_secret_is_read(tmp_path: Path) -> None:
    file = tmp_path / "app.ionapi"
    file.write_text(json.dumps({**TEMPLATE, "ci": "id", "cs": "must-not-leave", "sask": "must-not-leave"}))

    assert read_ionapi_template(str(file)) == TEMPLATE
    assert read_ionapi_template("") is None


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"ti": 1}', '{"cs": "x"}', "\x00"])
def test_a_template_that_is_none_stops_the_start(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "template.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(SetupError, match="GQL_SECRETS_IONAPI_TEMPLATE"):
        read_ionapi_template(str(file))


@pytest.mark.parametrize(
    ("method", "path", "headers", "wanted"),
    [
        ("GET", "/graphql", {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}, True),
        ("HEAD", "/graphql", {"Accept": "text/html"}, True),
        ("GET", "/graphql?query=%7Bviewer%7Bname%7D%7D", {"Accept": "text/html"}, False),
        ("GET", "/graphql", {"Accept": "application/json"}, False),
        ("GET", "/graphql", {}, False),
        ("POST", "/graphql", {"Accept": "text/html"}, False),
        ("GET", "/graphql", {"Accept": "text/html", "Sec-WebSocket-Key": "x"}, False),
    ],
)
def test_a_person_with_a_browser_gets_the_explorer_and_a_program_does_not(
    method: str, path: str, headers: dict[str, str], *, wanted: bool
) -> None:
    assert wants_explorer(make_mocked_request(method, path, headers=headers)) is wanted
