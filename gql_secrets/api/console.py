"""The console's page at `/`, the explorer's at `/graphql`, and their assets.

Both pages use only the public GraphQL API.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import hdrs, web

from gql_secrets.api.sign_in.provider import PROVIDER_CLIENTS
from gql_secrets.api.web import security_headers
from gql_secrets.domain.errors import SetupError

BUILT: Final = Path(__file__).parent.parent / "console" / "built"
NOT_BUILT: Final = (
    "This installation does not include the console. To get it, install gql-secrets again where the npm registry is "
    "reachable. The API at /graphql works without it.\n"
)

# Not the machine's own table: on some systems it has scripts as text.
_CONTENT_TYPES: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
}
_ASSET_NAME: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,126}")
_SETTINGS: Final = web.AppKey("console_settings", dict[str, Any])
# The fields of a gateway's credentials file that are the same for every client, and not secret.
_IONAPI_FIELDS: Final = ("ti", "iu", "pu", "oa", "ot", "or", "ev")


def add_console_routes(
    app: web.Application,
    *,
    public_url: str | None = None,
    ionapi_template: Mapping[str, str] | None = None,
) -> None:
    """Serve the console, its settings, and the assets of both pages."""
    app[_SETTINGS] = {"ionapiTemplate": ionapi_template, "publicUrl": public_url}
    app.router.add_get("/", _console_page)
    app.router.add_get("/console/settings", _settings)
    app.router.add_get("/assets/{name}", _asset)


def read_ionapi_template(path: str) -> dict[str, str] | None:
    """Return what the gateway's credentials files have in common; None without a path.

    Of a complete credentials file only that part is read: a client's id and secret in it are ignored.

    Raises:
        SetupError: the file cannot be read, or is not such JSON.
    """
    if not path:
        return None
    try:
        content = orjson.loads(Path(path).read_bytes())
    except OSError as error:
        raise SetupError(f"GQL_SECRETS_IONAPI_TEMPLATE: {path} cannot be read: {error.strerror}.") from error
    except orjson.JSONDecodeError:
        content = None
    template = {name: content[name] for name in _IONAPI_FIELDS if name in content} if isinstance(content, dict) else {}
    if not template or not all(isinstance(value, str) for value in template.values()):
        fields = " ".join(_IONAPI_FIELDS)
        raise SetupError(
            f"GQL_SECRETS_IONAPI_TEMPLATE: {path} must be a JSON object with these strings of the gateway: {fields}."
        )
    return template


def console_documents() -> tuple[str, ...]:
    """Return every GraphQL document that the console sends; none where the console is not included."""
    documents = BUILT / "documents.json"
    return tuple(orjson.loads(documents.read_bytes())) if documents.is_file() else ()


def wants_explorer(request: web.Request) -> bool:
    """Whether a person opened `/graphql` in a browser, rather than a program that sends an operation."""
    return (
        request.method in {hdrs.METH_GET, hdrs.METH_HEAD}
        and "text/html" in request.headers.get(hdrs.ACCEPT, "")
        and hdrs.SEC_WEBSOCKET_KEY not in request.headers
        and "query" not in request.query
    )


def explorer_page(_request: web.Request) -> web.Response:
    """Return the explorer, which reads an operation from the fragment of its URL."""
    return _page("explorer.html", security_headers.EXPLORER_PAGE)


async def _console_page(_request: web.Request) -> web.Response:
    return _page("index.html", security_headers.CONSOLE_PAGE)


def _page(name: str, headers: Mapping[str, str]) -> web.Response:
    page = BUILT / name
    if not page.is_file():
        return web.Response(text=NOT_BUILT)
    return web.Response(body=page.read_bytes(), content_type="text/html", charset="utf-8", headers=headers)


async def _settings(request: web.Request) -> web.Response:
    providers = [{"name": client.name, "issuer": issuer} for issuer, client in request.app[PROVIDER_CLIENTS].items()]
    return web.json_response(request.app[_SETTINGS] | {"identityProviders": providers})


async def _asset(request: web.Request) -> web.StreamResponse:
    # The file system is asked only about names that it can have: it fails on others in a dozen ways.
    name = request.match_info["name"]
    asset = BUILT / "assets" / name
    content_type = _CONTENT_TYPES.get(asset.suffix)
    if content_type is None or not _ASSET_NAME.fullmatch(name) or not asset.is_file():
        raise web.HTTPNotFound
    # aiohttp sends the form that the build has compressed, if the request accepts it.
    headers = {**security_headers.ASSET, hdrs.CONTENT_TYPE: content_type, hdrs.VARY: hdrs.ACCEPT_ENCODING}
    return web.FileResponse(asset, headers=headers)
