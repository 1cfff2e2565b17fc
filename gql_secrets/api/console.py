"""The console's page at `/`, the explorer's at `/graphql`, and their assets.

Both pages are only views: everything they do goes through the public GraphQL API.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import hdrs, web

from gql_secrets.domain.errors import SetupError

BUILT: Final = Path(__file__).parent.parent / "console" / "built"
NOT_BUILT: Final = (
    "The console was not built with this installation: install gql-secrets again with the npm registry in reach "
    "to get it; the API at /graphql works without it.\n"
)

_CONSOLE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
# Monaco, the explorer's editor, writes its styles into the page at run time: only this page allows that.
_EXPLORER_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "img-src 'self' data:; worker-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_PAGE_HEADERS: Final = {
    hdrs.CACHE_CONTROL: "no-cache",
    hdrs.X_FRAME_OPTIONS: "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_HEADERS: Final = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# The machine's own table of types is not asked: on some systems it serves scripts as text.
_CONTENT_TYPES: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
}
_SETTINGS: Final = web.AppKey("console_settings", dict[str, Any])
# What of a gateway's credentials file is the same for every client, and no secret.
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
    """Return what the gateway's credentials files have in common; None where no file is named.

    Of a whole credentials file only that part is read: a client's id and secret in it go nowhere.

    Raises:
        SetupError: the file cannot be read, or is no such JSON.
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
            f"GQL_SECRETS_IONAPI_TEMPLATE: {path} must be a JSON object with the gateway's texts {fields}."
        )
    return template


def console_documents() -> tuple[str, ...]:
    """Return every GraphQL document that the console sends; none where it was not built."""
    documents = BUILT / "documents.json"
    return tuple(orjson.loads(documents.read_bytes())) if documents.is_file() else ()


def wants_explorer(request: web.Request) -> bool:
    """Tell a person who opened `/graphql` in a browser from a program that asks it something."""
    return (
        request.method in {hdrs.METH_GET, hdrs.METH_HEAD}
        and "text/html" in request.headers.get(hdrs.ACCEPT, "")
        and hdrs.SEC_WEBSOCKET_KEY not in request.headers
        and "query" not in request.query
    )


def explorer_page(_request: web.Request) -> web.Response:
    """Return the explorer, which takes an operation from the address's fragment."""
    return _page("explorer.html", _EXPLORER_POLICY)


async def _console_page(_request: web.Request) -> web.Response:
    return _page("index.html", _CONSOLE_POLICY)


def _page(name: str, policy: str) -> web.Response:
    page = BUILT / name
    if not page.is_file():
        return web.Response(text=NOT_BUILT, headers=_HEADERS)
    headers = _HEADERS | _PAGE_HEADERS | {"Content-Security-Policy": policy}
    return web.Response(body=page.read_bytes(), content_type="text/html", charset="utf-8", headers=headers)


async def _settings(request: web.Request) -> web.Response:
    return web.json_response(request.app[_SETTINGS], headers=_HEADERS | {hdrs.CACHE_CONTROL: "no-store"})


async def _asset(request: web.Request) -> web.StreamResponse:
    """A name holds a hash of its content, so what it names never changes."""
    asset = BUILT / "assets" / request.match_info["name"]
    content_type = _CONTENT_TYPES.get(asset.suffix)
    if content_type is None or asset.parent != BUILT / "assets" or not asset.is_file():
        raise web.HTTPNotFound(headers=_HEADERS)
    headers = _HEADERS | {hdrs.CACHE_CONTROL: "public, max-age=31536000, immutable", hdrs.CONTENT_TYPE: content_type}
    return web.FileResponse(asset, headers=headers)
