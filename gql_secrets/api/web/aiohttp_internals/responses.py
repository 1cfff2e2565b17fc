"""Responses that are written in one piece, and those from outside the application."""

from http import HTTPStatus
from typing import NamedTuple

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time

from gql_secrets.api.keys import SERVER_NAME


class WholeResponse(NamedTuple):
    """A response that is written in one piece: aiohttp's way with headers costs more than a verification.

    It has no headers but those given: no security headers, and no CORS headers.

    Attributes:
        head: what `make_head` returned.
        more: more header lines, each with its line end.
        body: the body.
    """

    head: tuple[HTTPStatus, str]
    more: str = ""
    body: bytes = b""

    def written(self, connection: str = "") -> bytes:
        """Return its bytes, with the header line that says what becomes of the connection."""
        (_, head), more, body = self
        date = rfc822_formatted_time()
        return f"{head}Content-Length: {len(body)}\r\nDate: {date}\r\n{more}{connection}\r\n".encode() + body


class HeadResponse(web.StreamResponse):
    """Writes a `WholeResponse` where aiohttp expects a response of its own."""

    def __init__(self, whole: WholeResponse) -> None:
        """Make it of the response to write."""
        super().__init__(status=whole.head[0])
        self.whole = whole

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write it, and wait while the peer reads more slowly than responses are written.

        Raises:
            ConnectionResetError: the connection is closed.
        """
        if self._eof_sent:
            return
        protocol = request.protocol
        if request.transport is None:
            raise ConnectionResetError("The connection is closed.")
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        connection = ""
        if not self._keep_alive:
            connection = "Connection: close\r\n"
        elif request.version < HttpVersion11:
            connection = "Connection: keep-alive\r\n"
        request.transport.write(self.whole.written(connection))
        self._eof_sent = True
        await protocol._drain_helper()  # noqa: SLF001


def make_head(status: HTTPStatus, *lines: str) -> tuple[HTTPStatus, str]:
    """Return the status line and the headers that all responses of a kind begin with."""
    return status, "".join(
        f"{line}\r\n"
        for line in (
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Server: {SERVER_NAME}",
            "Cache-Control: no-store",
            *lines,
        )
    )


def closing_response(status: int, text: str) -> web.Response:
    """Return a response from outside the application, after which the connection ends."""
    response = web.Response(
        status=status,
        text=text,
        headers={
            hdrs.CACHE_CONTROL: "no-store",
            hdrs.SERVER: SERVER_NAME,
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
        },
    )
    response.force_close()
    return response
