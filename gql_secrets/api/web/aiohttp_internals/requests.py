"""What answers requests without aiohttp's routes, and what those read of a request."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Final, NamedTuple, TypeGuard, cast

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EmptyStreamReader
from multidict import CIMultiDictProxy

from gql_secrets.api.web.aiohttp_internals.responses import WholeResponse

if TYPE_CHECKING:
    from gql_secrets.api.web.aiohttp_internals.connection import Connection


class ArrivedRequest:
    """A request on its arrival: what an answer from memory reads of it. aiohttp's own is made where that is not enough.

    Attributes:
        message: its head.
        headers: the headers of it.
        protocol: its connection.
    """

    __slots__ = ("_body", "_request", "headers", "message", "protocol")

    def __init__(self, message: RawRequestMessage, body: StreamReader, protocol: "Connection") -> None:
        """Be the request with this head and this body, on this connection."""
        self.message = message
        self._body = body
        self._request: web.Request | None = None
        self.headers: CIMultiDictProxy[str] = message.headers
        self.protocol = protocol

    @property
    def request(self) -> web.Request:
        """The request as aiohttp makes it: the same object each time."""
        if self._request is None:
            self._request = self.protocol.make_request(self.message, self._body)
        return self._request

    @property
    def raw_path(self) -> str:
        """The path, as it is in the request line."""
        return self.message.path

    @property
    def remote(self) -> str | None:
        """The other end of the connection, as aiohttp has it: an address, or None or a text on a Unix socket."""
        peer = self.protocol.peername
        return None if peer is None else str(peer[0]) if isinstance(peer, tuple | list) else str(peer)

    @property
    def body_exists(self) -> bool:
        """Whether it has a body, which may be empty."""
        return type(self._body) is not EmptyStreamReader


# What is read of the head of a request, before and after aiohttp has made an object of it.
Head = web.BaseRequest | ArrivedRequest


class LaterAnswer(NamedTuple):
    """The rest of an answer that was begun; aiohttp's task writes it."""

    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class LaterResponse(NamedTuple):
    """The rest of an answer that was begun; its response is written as soon as it is there, which costs less.

    `make` uses neither the stream of the request's body nor its writer. Where it returns another response, or raises
    one, aiohttp's task writes it.
    """

    make: Callable[[web.BaseRequest], Coroutine[None, None, WholeResponse | web.StreamResponse]]


MadeResponse = WholeResponse | web.StreamResponse
MakeSoon = Callable[[], "MadeResponse | asyncio.Task[MadeResponse]"]


class SoonResponse(NamedTuple):
    """The rest of an answer that was begun, which needs no task to wait.

    `begin` calls what it is given, then or later, with what makes the response, or the task that makes it.
    """

    begin: Callable[[web.BaseRequest, Callable[[MakeSoon], None]], None]


Begun = WholeResponse | LaterResponse | LaterAnswer
Steps = Generator[None, None, Begun | SoonResponse]
"""An answer that begins in steps, with a `yield` between any two.

Requests that arrived in the same run of the event loop take each step together: for all but the first, its code is in
the processor's caches, where the code of a whole answer has no room.
"""
Begin = Callable[[ArrivedRequest], Begun | Steps]


class FastPath(NamedTuple):
    """Requests that are answered without routes and middlewares, which would cost more than the answer.

    Attributes:
        matches: whether a path, as it is in the request line, belongs to it.
        begin: answers such a request without awaiting; where that is not possible, returns what answers it.
        on_activity: called before requests begin to be answered that arrived since, and when any other request has
            been handled.
    """

    matches: Callable[[str], bool]
    begin: Callable[[Head], Begun]
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
    begin: Begin | None = None


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
