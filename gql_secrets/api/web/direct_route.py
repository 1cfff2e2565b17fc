"""A route that is not searched for: aiohttp's search for it would take longer than the caller's authentication."""

from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import web

from gql_secrets.api.web.aiohttp_internals.requests import ArrivedRequest, DirectRoute, Steps, set_route
from gql_secrets.api.web.middleware import Handler

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
BeginSteps = Callable[[web.Request], Steps]


def make_direct_route(
    app: web.Application, path: str, route: web.AbstractRoute, make_begin: Callable[[Answer], BeginSteps] | None = None
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

    def begin_arrived(arrived: ArrivedRequest) -> Steps:
        request = set_route(arrived.request, found)
        yield
        return (yield from begin(request))

    return DirectRoute(path, answer, begin_arrived)
