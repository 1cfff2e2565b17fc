"""What answers requests without aiohttp's routes, and what those read of a request."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, NamedTuple, TypeGuard, cast

from aiohttp import HttpVersion11, web
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EmptyStreamReader

from gql_secrets.api.web.aiohttp_internals.responses import WholeResponse


class LaterAnswer(NamedTuple):
    """The rest of an answer that was begun; aiohttp's task writes it."""

    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class LaterResponse(NamedTuple):
    """The rest of an answer that was begun; its response is written as soon as it is there, which costs less.

    `make` uses neither the stream of the request's body nor its writer. Where it returns another response, or raises
    one, aiohttp's task writes it.
    """

    make: Callable[[web.BaseRequest], Coroutine[None, None, WholeResponse | web.StreamResponse]]


Begun = WholeResponse | LaterResponse | LaterAnswer


class FastPath(NamedTuple):
    """Requests that are answered without routes and middlewares, which would cost more than the answer.

    Attributes:
        matches: whether a path, as it is in the request line, belongs to it.
        begin: answers such a request without awaiting; where that is not possible, returns what answers it.
        on_activity: called when bytes have arrived on any connection, and when any other request has been handled.
    """

    matches: Callable[[str], bool]
    begin: Callable[[web.BaseRequest], Begun]
    on_activity: Callable[[], None]


class DirectRoute(NamedTuple):
    """Answers requests for exactly this path without a search for their route.

    Attributes:
        path: the path.
        answer: answers such a request.
        begin: answers such a request without awaiting; where that is not possible, returns what answers it. None where
            that is never possible.
    """

    path: str
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    begin: Callable[[web.Request], Begun] | None = None


FAST_PATH: Final = web.AppKey("fast_path", FastPath)
DIRECT_ROUTE: Final = web.AppKey("direct_route", DirectRoute)


def is_plain(message: object) -> TypeGuard[RawRequestMessage]:
    """Whether a head is that of an HTTP/1.1 request after which the connection goes on as it is."""
    return (
        isinstance(message, RawRequestMessage)
        and message.version == HttpVersion11
        and not message.should_close
        and not message.upgrade
    )


def arrived_body(request: web.BaseRequest) -> bytes | None:
    """Return the body of a request that arrived whole; None where it must be read in aiohttp's way.

    That way, which lets the parser go on, takes longer than to parse the body. Here the body is not taken away.
    """
    content = request.content
    if not content.is_eof() or request.protocol._reading_paused or content.exception() is not None:  # noqa: SLF001
        return None
    return b"" if isinstance(content, EmptyStreamReader) else b"".join(content._buffer)  # noqa: SLF001


def set_route(request: web.BaseRequest, found: web.UrlMappingMatchInfo) -> web.Request:
    """Set the route of an application's request."""
    own = cast("web.Request", request)
    own._match_info = found  # noqa: SLF001
    return own
