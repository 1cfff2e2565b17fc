"""`/verify`: gateways such as nginx, Envoy, Traefik and Caddy ask whether a caller's credentials are valid.

200 accepts the caller, 401 refuses it, 403 is the allow list, 503 means that we cannot answer. No GraphQL, no ORM model
and no access log on this path. Envoy may append the original path and keeps the original method, so every path below
`/verify` is answered, by any method.

Invalid credentials are counted (service/rate_counters.py) and answered 401 all the same: gateways do not know 429, and
would treat it as a failure of this server.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from gql_secrets.api.authentication.basic import CHALLENGE, Credentials, parse_basic
from gql_secrets.api.keys import COUNTERS, SERVICES, TRUSTED_PROXIES
from gql_secrets.api.metrics.counters import Tally, VerificationCounts
from gql_secrets.api.web.aiohttp_internals.connection import protect_connection
from gql_secrets.api.web.aiohttp_internals.requests import (
    FAST_PATH,
    Begun,
    FastPath,
    Head,
    LaterAnswer,
    LaterResponse,
)
from gql_secrets.api.web.aiohttp_internals.responses import HeadResponse, WholeResponse, make_head
from gql_secrets.api.web.client_address import RequestSource, TrustedProxies, find_source
from gql_secrets.api.web.middleware import is_body_encoded
from gql_secrets.domain.errors import Unavailable
from gql_secrets.domain.instants import rfc3339
from gql_secrets.domain.rotation import SecretState
from gql_secrets.service.verification import Accepted, Question, RefusalReason, Refused, Verdict
from gql_secrets.wiring import Services

if TYPE_CHECKING:
    from gql_secrets.api.tracing.spans import Tracing

_log: Final = logging.getLogger(__name__)

VERIFY_PATH: Final = "/verify"

_ACCEPTED: Final = make_head(HTTPStatus.OK)
_REFUSED: Final = make_head(HTTPStatus.UNAUTHORIZED, f"WWW-Authenticate: {CHALLENGE}")
_FORBIDDEN: Final = make_head(HTTPStatus.FORBIDDEN)
_UNSUPPORTED: Final = make_head(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Accept-Encoding: identity")
_UNAVAILABLE: Final = make_head(HTTPStatus.SERVICE_UNAVAILABLE)


def add_gateway_routes(app: web.Application, tracing: "Tracing | None" = None) -> None:
    """Serve `/verify` and everything below it; on a server with a fast path, there."""

    async def register_fast_path(app: web.Application) -> None:
        gateway = _gateway_of(app)
        begin: Callable[[Head], Begun] = gateway.begin
        if tracing is not None:
            traced = LaterAnswer(tracing.surround(gateway.answer, VERIFY_PATH, app[TRUSTED_PROXIES]))
            begin = lambda _request: traced  # noqa: E731
        app[FAST_PATH] = FastPath(is_verification, begin, app[SERVICES].lookup.expire_view)

    app.router.add_route("*", VERIFY_PATH, _verify)
    app.router.add_route("*", VERIFY_PATH + "/{tail:.*}", _verify)
    app.on_startup.append(register_fast_path)


def is_verification(path: str) -> bool:
    """Whether a path, as it is in the request line, is `/verify` or below it."""
    return path.startswith(VERIFY_PATH) and (len(path) == len(VERIFY_PATH) or path[len(VERIFY_PATH)] in "/?")


async def _verify(request: web.Request) -> web.StreamResponse:
    return await _gateway_of(request.app).answer(request)


def _gateway_of(app: web.Application) -> "Gateway":
    return Gateway(app[SERVICES], app[TRUSTED_PROXIES], app[COUNTERS].verifications)


# What a gateway asks: whether these credentials are valid for a caller from there.
_Asked = tuple[Credentials, RequestSource]


class Gateway:
    """Answers the requests of gateways."""

    def __init__(self, services: Services, trusted_proxies: TrustedProxies, counts: VerificationCounts) -> None:
        """Make it on the parts of one application; `counts` counts its answers."""
        self._verifier, self._limits = services.verifier, services.limits
        self._trusted_proxies = trusted_proxies
        self._counts = counts

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer 200 with the client's id, 401, 403 or 503: the same 401 for unknown, wrong, ended and disabled."""
        began = perf_counter()
        asked = self._read(request, began)
        return HeadResponse(asked if isinstance(asked, WholeResponse) else await self._answer(asked, began, request))

    def begin(self, request: Head) -> WholeResponse | LaterResponse:
        """Answer as `answer` does, without awaiting where that is possible; for a `FastPath` only."""
        began = perf_counter()
        asked = self._read(request, began)
        if isinstance(asked, WholeResponse):
            return asked
        (client_id, secret), (source, _) = asked
        try:
            begun = self._verifier.begin(client_id, secret, source)
        except Unavailable:
            return self._counted(self._counts.unavailable, WholeResponse(_UNAVAILABLE), began)
        if isinstance(begun, Question):
            return LaterResponse(partial(self._complete, asked, began, begun))
        return self._conclude(asked, began, begun, request)

    def _read(self, request: Head, began: float) -> _Asked | WholeResponse:
        """Return what a request asks, or the refusal of one that asks nothing."""
        counts = self._counts
        if is_body_encoded(request):
            return self._counted(counts.encoded_body, WholeResponse(_UNSUPPORTED), began)
        headers = request.headers.getall(hdrs.AUTHORIZATION, ())
        if not headers:
            return self._counted(counts.missing, WholeResponse(_REFUSED), began)
        source = find_source(request, self._trusted_proxies)
        credentials = parse_basic(headers[0]) if len(headers) == 1 else None
        if credentials is None:
            self._limits.failed(source.address, None)
            return self._counted(counts.malformed, WholeResponse(_REFUSED), began)
        return credentials, source

    async def _answer(self, asked: _Asked, began: float, request: Head) -> WholeResponse:
        (client_id, secret), (source, _) = asked
        return await self._respond(asked, began, self._verifier.verify(client_id, secret, source), request)

    async def _complete(
        self, asked: _Asked, began: float, question: Question, request: web.BaseRequest
    ) -> WholeResponse:
        return await self._respond(asked, began, self._verifier.complete(question), request)

    async def _respond(self, asked: _Asked, began: float, pending: Awaitable[Verdict], request: Head) -> WholeResponse:
        try:
            verdict = await pending
        except Unavailable:
            return self._counted(self._counts.unavailable, WholeResponse(_UNAVAILABLE), began)
        return self._conclude(asked, began, verdict, request)

    def _conclude(self, asked: _Asked, began: float, verdict: Verdict, request: Head) -> WholeResponse:
        counts, (credentials, source) = self._counts, asked
        if isinstance(verdict, Accepted):
            protect_connection(request)
            if source.unclear is None:
                return self._counted(counts.accepted, WholeResponse(_ACCEPTED, _identity(verdict)), began)
            verdict = Refused(RefusalReason.ADDRESS, verdict.client_id, verdict.secret_id)
        return self._counted(
            counts.refused[verdict.reason], self._refuse(verdict, source, credentials.client_id), began
        )

    def _counted(self, tally: Tally, response: WholeResponse, began: float) -> WholeResponse:
        self._counts.record(tally, perf_counter() - began)
        return response

    def _refuse(self, verdict: Refused, source: RequestSource, client_id: str) -> WholeResponse:
        _log.debug("verification_refused", extra={"reason": verdict.reason.value, "address": source.address})
        if verdict.reason is RefusalReason.ADDRESS:
            return WholeResponse(_FORBIDDEN)
        self._limits.failed(source.address, client_id)
        return WholeResponse(_REFUSED)


def _identity(verdict: Accepted) -> str:
    # A client id has no control characters, so none can end the line.
    if verdict.state is SecretState.CURRENT or verdict.expires_at is None:
        return f"X-Client-Id: {verdict.client_id}\r\nX-Secret-State: current\r\n"
    expires_at = rfc3339(verdict.expires_at)
    return f"X-Client-Id: {verdict.client_id}\r\nX-Secret-State: retained\r\nX-Secret-Expires-At: {expires_at}\r\n"
