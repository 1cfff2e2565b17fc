"""`/verify`: gateways such as nginx, Envoy, Traefik and Caddy ask whether a caller's credentials are valid.

200 accepts the caller, 401 refuses it, 403 is the allow list, 503 means that we cannot answer. No GraphQL, no ORM model
and no access log on this path. Envoy may append the original path and keeps the original method, so every path below
`/verify` is answered, by any method.

Invalid credentials are counted (service/rate_counters.py) and answered 401 all the same: gateways do not know 429, and
would treat it as a failure of this server.
"""

import logging
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from gql_secrets.api.authentication.basic import CHALLENGE, parse_basic
from gql_secrets.api.keys import COUNTERS, SERVICES, TRUSTED_PROXIES
from gql_secrets.api.metrics.counters import Tally, VerificationCounts
from gql_secrets.api.web.aiohttp_internals import FAST_PATH, FastPath, HeadResponse, make_head, protect_connection
from gql_secrets.api.web.client_address import RequestSource, TrustedProxies, find_source
from gql_secrets.api.web.middleware import is_body_encoded
from gql_secrets.domain.errors import Unavailable
from gql_secrets.domain.instants import rfc3339
from gql_secrets.domain.rotation import SecretState
from gql_secrets.service.verification import Accepted, RefusalReason, Refused
from gql_secrets.wiring import Services

if TYPE_CHECKING:
    from gql_secrets.api.tracing.spans import Answer, Tracing

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
        answer: Answer = gateway.answer_fast
        if tracing is not None:
            answer = tracing.surround(answer, VERIFY_PATH, app[TRUSTED_PROXIES])
        app[FAST_PATH] = FastPath(is_verification, answer, app[SERVICES].lookup.expire_view)

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


class Gateway:
    """Answers the requests of gateways."""

    def __init__(self, services: Services, trusted_proxies: TrustedProxies, counts: VerificationCounts) -> None:
        """Make it on the parts of one application; `counts` counts its answers."""
        self._verifier, self._limits = services.verifier, services.limits
        self._trusted_proxies = trusted_proxies
        self._counts = counts

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer 200 with the client's id, 401, 403 or 503: the same 401 for unknown, wrong, ended and disabled."""
        return await self._answer(request, is_fast=False)

    async def answer_fast(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer as `answer` does, without awaiting where that is possible; for a `FastPath` only."""
        return await self._answer(request, is_fast=True)

    async def _answer(self, request: web.BaseRequest, *, is_fast: bool) -> web.StreamResponse:
        began, counts = perf_counter(), self._counts
        if is_body_encoded(request):
            return self._counted(counts.encoded_body, HeadResponse(_UNSUPPORTED), began)
        headers = request.headers.getall(hdrs.AUTHORIZATION, ())
        if not headers:
            return self._counted(counts.missing, HeadResponse(_REFUSED), began)
        source = find_source(request, self._trusted_proxies)
        credentials = parse_basic(headers[0]) if len(headers) == 1 else None
        if credentials is None:
            self._limits.failed(source.address, None)
            return self._counted(counts.malformed, HeadResponse(_REFUSED), began)
        client_id, secret = credentials
        try:
            verdict = self._verifier.verify_nowait(client_id, secret, source.source) if is_fast else None
            if verdict is None:
                verdict = await self._verifier.verify(client_id, secret, source.source)
        except Unavailable:
            return self._counted(counts.unavailable, HeadResponse(_UNAVAILABLE), began)
        if isinstance(verdict, Accepted):
            protect_connection(request)
            if source.unclear is None:
                return self._counted(counts.accepted, HeadResponse(_ACCEPTED, _identity(verdict)), began)
            verdict = Refused(RefusalReason.ADDRESS, verdict.client_id, verdict.secret_id)
        return self._counted(counts.refused[verdict.reason], self._refuse(verdict, source, client_id), began)

    def _counted(self, tally: Tally, response: HeadResponse, began: float) -> HeadResponse:
        self._counts.record(tally, perf_counter() - began)
        return response

    def _refuse(self, verdict: Refused, source: RequestSource, client_id: str) -> HeadResponse:
        _log.debug("verification_refused", extra={"reason": verdict.reason.value, "address": source.address})
        if verdict.reason is RefusalReason.ADDRESS:
            return HeadResponse(_FORBIDDEN)
        self._limits.failed(source.address, client_id)
        return HeadResponse(_REFUSED)


def _identity(verdict: Accepted) -> str:
    # A client id has no control characters, so none can end the line.
    if verdict.state is SecretState.CURRENT or verdict.expires_at is None:
        return f"X-Client-Id: {verdict.client_id}\r\nX-Secret-State: current\r\n"
    expires_at = rfc3339(verdict.expires_at)
    return f"X-Client-Id: {verdict.client_id}\r\nX-Secret-State: retained\r\nX-Secret-Expires-At: {expires_at}\r\n"
