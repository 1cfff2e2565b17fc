"""CORS for `/graphql`: what the browsers of frontends on other origins may send, and read of the response.

Those frontends sign in by header. No response allows credentials, so no cookie is sent from there, and a cookie that
arrives with a request from another site is refused (api/web/origin.py).
"""

from typing import Final

from aiohttp import hdrs, web

from gql_secrets.api.keys import OWN_ORIGIN

GRAPHQL_PATH: Final = "/graphql"
_METHODS: Final = "GET, POST"
_REQUEST_HEADERS: Final = "Authorization, Content-Type"
_RESPONSE_HEADERS: Final = "X-Request-Id, Retry-After"
_MAX_AGE_SECONDS: Final = 600


def answer_preflight(request: web.Request) -> web.Response | None:
    """Return the response to a preflight request from an allowed origin; None for any other request."""
    is_preflight = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    if not is_preflight or not request.app[OWN_ORIGIN].is_allowed(request):
        return None
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _REQUEST_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(_MAX_AGE_SECONDS),
        },
    )


def set_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Let a page of an allowed origin read the response to its request to `/graphql`."""
    own = request.app[OWN_ORIGIN]
    if not own.allowed or request.path != GRAPHQL_PATH:
        return
    response.headers.add(hdrs.VARY, hdrs.ORIGIN)
    if own.is_allowed(request):
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _RESPONSE_HEADERS
