"""Our pages are shown under our own name alone, whoever's name points at this machine (DNS rebinding)."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from gql_secrets.api.console import wants_explorer
from gql_secrets.api.keys import OWN_ORIGIN
from gql_secrets.api.sign_in.links import SIGN_IN_PATH, SIGN_OUT_PATH
from gql_secrets.api.web.cors import GRAPHQL_PATH

_PAGES: Final = ("/assets/", "/console/", SIGN_IN_PATH, SIGN_OUT_PATH)


@web.middleware
async def require_own_host(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer 421 to whoever asks for a page by another name; the API is for whoever has credentials, by any name."""
    path = request.path
    is_page = path == "/" or path.startswith(_PAGES) or (path == GRAPHQL_PATH and wants_explorer(request))
    if is_page and not request.app[OWN_ORIGIN].is_at_home(request):
        raise web.HTTPMisdirectedRequest(text=f"{request.app[OWN_ORIGIN].away()}\n")
    return await handler(request)
