"""The headers of every answer but those to gateways: what a browser must not do with it.

Whatever is no page of ours runs nothing, loads nothing, stands in no frame, and is kept by nobody. Pages and streams
that need other headers set them, and then these stay away.
"""

from typing import Final

from aiohttp import hdrs, web

from gql_secrets.api.keys import OWN_ORIGIN, REQUEST_ID, SERVER_NAME
from gql_secrets.api.web import cors
from gql_secrets.api.web.middleware import X_REQUEST_ID

_HEADERS: Final = {
    hdrs.CACHE_CONTROL: "no-store",
    hdrs.X_FRAME_OPTIONS: "DENY",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# A year, for this host alone: what else runs below its domain is not ours to decide about.
_HTTPS_ONLY: Final = "max-age=31536000"


def add_headers(app: web.Application) -> None:
    """Let every answer of the application have them, streams and refusals too."""
    app.on_response_prepare.append(_dress)


async def _dress(request: web.Request, response: web.StreamResponse) -> None:
    request_id = request.get(REQUEST_ID)
    if request_id is None:  # an answer to a gateway, which hands headers on to callers of another site
        return
    response.headers[hdrs.SERVER] = SERVER_NAME  # aiohttp has written its own
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault(X_REQUEST_ID, request_id)
    if request.app[OWN_ORIGIN].public.startswith("https:"):
        response.headers.setdefault(hdrs.STRICT_TRANSPORT_SECURITY, _HTTPS_ONLY)
    cors.dress(request, response)
