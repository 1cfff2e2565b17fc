"""A route that is not searched for: aiohttp's search for it would take longer than the caller's authentication."""

from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import web

from gql_secrets.api.web.aiohttp_internals.requests import Begun, DirectRoute, set_route
from gql_secrets.api.web.middleware import Handler

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Begin = Callable[[web.Request], Begun]


def make_direct_route(
    app: web.Application, path: str, route: web.AbstractRoute, make_begin: Callable[[Answer], Begin] | None = None
) -> DirectRoute:
    """Return what answers requests for the path of a route as the application does, through all its middlewares.

    Args:
        app: the application.
        path: the path.
        route: the route.
        make_begin: returns what answers requests without awaiting where it can, given what answers all of them.
    """
    found = web.UrlMappingMatchInfo({}, route)
    found.add_app(app)
    found.freeze()
    handler: Handler = route.handler
    for middleware in reversed(app.middlewares):
        handler = partial(middleware, handler=handler)

    def answer(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        return handler(set_route(request, found))

    if make_begin is None:
        return DirectRoute(path, answer)
    begin = make_begin(answer)
    return DirectRoute(path, answer, lambda arrived: begin(set_route(arrived.request, found)))
