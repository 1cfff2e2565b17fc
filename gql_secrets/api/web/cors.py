"""CORS for `/graphql`: what the browsers of frontends on other origins may send, and read of the response.

Those frontends sign in by header. No response allows credentials, so no cookie is sent from there, and a cookie that
arrives with a request from another site is refused (api/web/origin.py).
"""

import re
from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs, web

from gql_secrets.api.keys import OWN_ORIGIN

GRAPHQL_PATH: Final = "/graphql"
_METHODS: Final = "GET, POST"
_REQUEST_HEADERS: Final = ("Authorization", "Content-Type")
# What only a gateway may say: who is calling, from where.
_GATEWAY_HEADERS: Final = re.compile(r"forwarded|x[-_](forwarded|acting)[-_].*")  # to some proxies `_` is `-`
_HEADER_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}")
_MAX_HEADERS: Final = 64
_RESPONSE_HEADERS: Final = "X-Request-Id, Retry-After"
_MAX_AGE_SECONDS: Final = 600
_NO_HEADERS: Final[Mapping[str, str]] = {}
_VARIES: Final[Mapping[str, str]] = {hdrs.VARY: hdrs.ORIGIN}


def answer_preflight(request: web.Request) -> web.Response | None:
    """Return the response to a preflight request from an allowed origin; None for any other request."""
    is_preflight = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    if not is_preflight or not request.app[OWN_ORIGIN].is_allowed(request):
        return None
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ", ".join(_allowed_headers(request)),
            hdrs.ACCESS_CONTROL_MAX_AGE: str(_MAX_AGE_SECONDS),
        },
    )


def _allowed_headers(request: web.Request) -> tuple[str, ...]:
    """Return the headers that a frontend may send: those that it asks for, except those of gateways.

    Its libraries add many that nothing here reads, such as `traceparent`, `sentry-trace` and
    `apollographql-client-name`.
    """
    asked = ",".join(request.headers.getall(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, ())).lower().split(",")
    names = {name.strip(): None for name in asked[:_MAX_HEADERS]}
    usual = {name.lower() for name in _REQUEST_HEADERS}
    others = [
        name
        for name in names
        if name not in usual and _HEADER_NAME.fullmatch(name) and not _GATEWAY_HEADERS.fullmatch(name)
    ]
    return (*_REQUEST_HEADERS, *others)


def cors_headers(request: web.Request) -> Mapping[str, str]:
    """Return what lets a page of an allowed origin read the response to its request to `/graphql`."""
    own = request.app[OWN_ORIGIN]
    if not own.allowed or request.path != GRAPHQL_PATH:
        return _NO_HEADERS
    if not own.is_allowed(request):
        return _VARIES
    return {
        **_VARIES,
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: request.headers[hdrs.ORIGIN],
        hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: _RESPONSE_HEADERS,
    }
