"""The security headers of every response, in one table.

API responses run nothing, load nothing, cannot be framed and are not cached. A page sends the headers in which it
differs, from the same table; the API's fill in the rest. Responses of `/verify` have none of them: a gateway passes
headers on to the callers of another site.
"""

from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from gql_secrets.api.keys import OWN_ORIGIN, REQUEST_ID, SERVER_NAME
from gql_secrets.api.web.aiohttp_internals.responses import HeadResponse, WholeResponse, make_head
from gql_secrets.api.web.cors import cors_headers
from gql_secrets.api.web.request_id import X_REQUEST_ID

CONTENT_SECURITY_POLICY: Final = "Content-Security-Policy"
_NOTHING_ELSE: Final = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_TRUSTED_TYPES: Final = "require-trusted-types-for 'script'; trusted-types 'none'"

API: Final[Mapping[str, str]] = {
    hdrs.CACHE_CONTROL: "no-store",
    CONTENT_SECURITY_POLICY: f"default-src 'none'; {_NOTHING_ELSE}",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    hdrs.X_FRAME_OPTIONS: "DENY",
    "X-Content-Type-Options": "nosniff",
}
CONSOLE_PAGE: Final[Mapping[str, str]] = {
    hdrs.CACHE_CONTROL: "no-cache",
    CONTENT_SECURITY_POLICY: "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    f"connect-src 'self'; {_NOTHING_ELSE}; {_TRUSTED_TYPES}",
}
# Monaco, the explorer's editor, writes its styles into the page at run time: only this page allows that.
EXPLORER_PAGE: Final[Mapping[str, str]] = {
    hdrs.CACHE_CONTROL: "no-cache",
    CONTENT_SECURITY_POLICY: "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self' data:; img-src 'self' data:; worker-src 'self'; connect-src 'self'; "
    f"{_NOTHING_ELSE}",
}
# The name of an asset holds a hash of its content.
ASSET: Final[Mapping[str, str]] = {hdrs.CACHE_CONTROL: "public, max-age=31536000, immutable"}
# A year, for this host only: the operator decides about other hosts below the domain.
_HTTPS_ONLY: Final = "max-age=31536000"


def sign_in_page(*, script: str, style: str) -> Mapping[str, str]:
    """Return the headers of the sign-in page, which is one document: its script and its style are allowed by hash."""
    return {
        CONTENT_SECURITY_POLICY: f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
        f"{_NOTHING_ELSE}; {_TRUSTED_TYPES}"
    }


def add_security_headers(app: web.Application) -> None:
    """Set the headers on every response of the application, including streams and errors."""
    app.on_response_prepare.append(_set_headers)


async def _set_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.SERVER] = SERVER_NAME  # aiohttp has set its own
    for name, value in _api_headers(is_https=_is_https(request)).items():
        response.headers.setdefault(name, value)
    response.headers.setdefault(X_REQUEST_ID, request[REQUEST_ID])
    for name, value in cors_headers(request).items():
        response.headers.add(name, value)


def api_response(
    request: web.Request, content_type: str, body: bytes, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Return a response with the status 200, the headers of the API and these, written in one piece."""
    return HeadResponse(whole_response(request, content_type, body, headers))


def whole_response(request: web.Request, content_type: str, body: bytes, headers: Mapping[str, str]) -> WholeResponse:
    """Return what `api_response` writes."""
    more = f"{X_REQUEST_ID}: {request[REQUEST_ID]}\r\n"
    # Two of the others may be named Vary.
    for others in (cors_headers(request), headers):
        for name, value in others.items():
            more += f"{name}: {value}\r\n"
    return WholeResponse(_head(content_type, is_https=_is_https(request)), more, body)


@lru_cache(maxsize=16)
def _head(content_type: str, *, is_https: bool) -> tuple[HTTPStatus, str]:
    headers = {hdrs.CONTENT_TYPE: content_type, **_api_headers(is_https=is_https)}
    del headers[hdrs.CACHE_CONTROL]  # every head has it
    return make_head(HTTPStatus.OK, *(f"{name}: {value}" for name, value in headers.items()))


@lru_cache(maxsize=2)
def _api_headers(*, is_https: bool) -> Mapping[str, str]:
    return {**API, hdrs.STRICT_TRANSPORT_SECURITY: _HTTPS_ONLY} if is_https else API


def _is_https(request: web.Request) -> bool:
    return request.app[OWN_ORIGIN].public.startswith("https:")
