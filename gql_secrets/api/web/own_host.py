"""Pages are served under this server's own host name only.

Otherwise a page of another site, whose name was made to point at this server (DNS rebinding), could read ours.
"""

from typing import Final

from aiohttp import web

from gql_secrets.api.console import wants_explorer
from gql_secrets.api.keys import OWN_ORIGIN
from gql_secrets.api.sign_in.links import SIGN_OUT_PATH
from gql_secrets.api.web.cors import GRAPHQL_PATH
from gql_secrets.api.web.middleware import Handler
from gql_secrets.domain.sessions import SIGN_IN_PATH

_PAGES: Final = ("/assets/", "/console/", SIGN_IN_PATH, SIGN_OUT_PATH)


@web.middleware
async def require_own_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 421 to a request for a page by another host name. The API needs credentials and is served by any name."""
    own = request.app[OWN_ORIGIN]
    if _is_page(request) and not own.is_own_host(request):
        raise web.HTTPMisdirectedRequest(text=f"{own.misdirected_message()}\n")
    return await handler(request)


def _is_page(request: web.Request) -> bool:
    path = request.path
    return path == "/" or path.startswith(_PAGES) or (path == GRAPHQL_PATH and wants_explorer(request))
