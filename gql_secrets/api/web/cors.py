"""Frontends on other origins: what their browsers let them send to `/graphql`, and read of it.

They sign in by header. A cookie never reaches us from there: no answer says that credentials may be sent along, and a
request that brings one from a page that is not ours is refused (api/origin.py).
"""

from typing import Final

from aiohttp import hdrs, web

from gql_secrets.api.keys import OWN_ORIGIN

GRAPHQL_PATH: Final = "/graphql"
_METHODS: Final = "GET, POST"
_REQUEST_HEADERS: Final = "Authorization, Content-Type"
_ANSWER_HEADERS: Final = "X-Request-Id, Retry-After"
_SECONDS_KEPT: Final = 600


def preflight(request: web.Request) -> web.Response | None:
    """Return the answer to a browser that asks what an allowed page may send; None for any other request."""
    is_question = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    if not is_question or not request.app[OWN_ORIGIN].is_allowed(request):
        return None
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _REQUEST_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(_SECONDS_KEPT),
        },
    )


def dress(request: web.Request, response: web.StreamResponse) -> None:
    """Let an allowed page read the answer to what it sent to `/graphql`."""
    own = request.app[OWN_ORIGIN]
    if not own.allowed or request.path != GRAPHQL_PATH:
        return
    response.headers.add(hdrs.VARY, hdrs.ORIGIN)
    if own.is_allowed(request):
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _ANSWER_HEADERS
