"""`/verify`: nginx, Envoy, Traefik and Caddy ask whether a caller's credentials are good.

200 lets the request through, 401 refuses it, 403 is the allow list, 503 is our trouble. No GraphQL, no ORM model and
no access log on this path; Envoy appends the original path and keeps the original method, so everything below
`/verify` answers, by any method.

Refused credentials are counted (service/limits.py) and answered 401 all the same: gateways know no 429 and would call
it trouble.
"""

from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time

from gql_secrets.api.authentication import CHALLENGE, parse_basic, source_of
from gql_secrets.api.keys import SERVER_NAME, SERVICES, TRUSTED_PROXIES
from gql_secrets.api.web.client_address import AddressUnclear, TrustedProxies
from gql_secrets.domain.errors import Unavailable
from gql_secrets.domain.instants import rfc3339
from gql_secrets.domain.rotation import SecretState
from gql_secrets.service.usage.counter import Source
from gql_secrets.service.verification import Accepted, RefusalReason
from gql_secrets.wiring import Services

VERIFY_PATH: Final = "/verify"


def add_gateway_routes(app: web.Application) -> None:
    """Serve `/verify` and everything below it."""
    app.router.add_route("*", VERIFY_PATH, _verify)
    app.router.add_route("*", VERIFY_PATH + "/{tail:.*}", _verify)


async def _verify(request: web.Request) -> web.StreamResponse:
    return await Gateway(request.app[SERVICES], request.app[TRUSTED_PROXIES]).answer(request)


def is_verification(path: str) -> bool:
    """Whether a path, as it stands in the request line, is `/verify` or below it."""
    return path.startswith(VERIFY_PATH) and (len(path) == len(VERIFY_PATH) or path[len(VERIFY_PATH)] in "/?")


class Gateway:
    """Answers what gateways ask."""

    def __init__(self, services: Services, trusted_proxies: TrustedProxies) -> None:
        """Make it on the parts of one application."""
        self._verifier, self._limits = services.verifier, services.limits
        self._trusted_proxies = trusted_proxies

    async def answer(self, request: web.BaseRequest, arrivals: int | None = None) -> web.StreamResponse:
        """Answer 200 with who it is, 401, 403, or 503; unknown, wrong, expired, revoked and disabled alike.

        Args:
            request: what a gateway asks.
            arrivals: how often anything has arrived at the server so far, where somebody counts it.
        """
        headers = request.headers.getall(hdrs.AUTHORIZATION, ())
        if not headers:
            return Answer(_REFUSED)
        try:
            source = source_of(request, self._trusted_proxies)
            is_clear = True
        except AddressUnclear:
            source, is_clear = Source(None, request.headers.get(hdrs.USER_AGENT)), False
        credentials = parse_basic(headers[0]) if len(headers) == 1 else None
        if credentials is None:
            self._limits.failed(source.address, None)
            return Answer(_REFUSED)
        client_id, secret = credentials
        try:
            verdict = self._verifier.verify_nowait(client_id, secret, source, arrivals)
            if verdict is None:
                verdict = await self._verifier.verify(client_id, secret, source)
        except Unavailable:
            return Answer(_UNAVAILABLE)
        if isinstance(verdict, Accepted):
            return Answer(_ACCEPTED, _who(verdict)) if is_clear else Answer(_FORBIDDEN)
        if verdict.reason is RefusalReason.ADDRESS:
            return Answer(_FORBIDDEN)
        self._limits.failed(source.address, client_id)
        return Answer(_REFUSED)


def _who(verdict: Accepted) -> str:
    # A client id has no control characters, so none can end the line.
    if verdict.state is SecretState.CURRENT or verdict.expires_at is None:
        return f"X-Client-Id: {verdict.client_id}\r\nX-Secret-State: current\r\n"
    expires_at = rfc3339(verdict.expires_at)
    return f"X-Client-Id: {verdict.client_id}\r\nX-Secret-State: retained\r\nX-Secret-Expires-At: {expires_at}\r\n"


class Answer(web.StreamResponse):
    """An answer without a body, written in one piece: aiohttp's own way with headers costs more than the verification.

    It has no more headers than a gateway needs, which hands them on to callers of a site that is not ours.
    """

    def __init__(self, beginning: tuple[HTTPStatus, str], more: str = "") -> None:
        """Make it of a status, the lines that every such answer begins with, and more lines, each with its end."""
        super().__init__(status=beginning[0])
        self._text = f"{beginning[1]}Date: {rfc822_formatted_time()}\r\n{more}"

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write it.

        Raises:
            ConnectionResetError: nobody listens any more.
        """
        if self._eof_sent:
            return
        if request.transport is None:
            raise ConnectionResetError("The connection is closed.")
        self._keep_alive = request.keep_alive
        if not self._keep_alive:
            self._text += "Connection: close\r\n"
        elif request.version < HttpVersion11:
            self._text += "Connection: keep-alive\r\n"
        request.transport.write(f"{self._text}\r\n".encode())
        self._eof_sent = True


def _beginning(status: HTTPStatus, *lines: str) -> tuple[HTTPStatus, str]:
    return status, "".join(
        f"{line}\r\n"
        for line in (
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Server: {SERVER_NAME}",
            "Cache-Control: no-store",
            "Content-Length: 0",
            *lines,
        )
    )


_ACCEPTED: Final = _beginning(HTTPStatus.OK)
_REFUSED: Final = _beginning(HTTPStatus.UNAUTHORIZED, f"WWW-Authenticate: {CHALLENGE}")
_FORBIDDEN: Final = _beginning(HTTPStatus.FORBIDDEN)
_UNAVAILABLE: Final = _beginning(HTTPStatus.SERVICE_UNAVAILABLE)
