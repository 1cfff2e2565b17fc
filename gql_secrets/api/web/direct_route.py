"""A route that is not searched for: aiohttp's search for it would take longer than the caller's authentication."""

from collections.abc import Awaitable
from functools import partial

from aiohttp import web

from gql_secrets.api.web.aiohttp_internals import DirectRoute, set_route
from gql_secrets.api.web.middleware import Handler


def make_direct_route(app: web.Application, path: str, route: web.AbstractRoute) -> DirectRoute:
    """Return what answers requests for the path of a route as the application does, through all its middlewares."""
    found = web.UrlMappingMatchInfo({}, route)
    found.add_app(app)
    found.freeze()
    handler: Handler = route.handler
    for middleware in reversed(app.middlewares):
        handler = partial(middleware, handler=handler)

    def answer(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        return handler(set_route(request, found))

    return DirectRoute(path, answer)
