"""`/verify`: nginx, Envoy, Traefik and Caddy ask whether a caller's credentials are good.

200 lets the request through, 401 refuses it, 403 is the allow list, 503 is our trouble. No GraphQL, no ORM model and
no access log on this path; Envoy appends the original path and keeps the original method, so everything below
`/verify` answers, by any method.

Refused credentials are counted (service/limits.py) and answered 401 all the same: gateways know no 429 and would call
it trouble.
"""

from typing import Final

from aiohttp import hdrs, web
from multidict import CIMultiDict

from gql_secrets.api.addresses import AddressUnclear
from gql_secrets.api.authentication import CHALLENGE, parse_basic, refused, source_of
from gql_secrets.api.keys import SERVER_NAME, SERVICES, TRUSTED_PROXIES
from gql_secrets.domain.errors import Unavailable
from gql_secrets.domain.rotation import SecretState
from gql_secrets.service.usage import Source
from gql_secrets.service.verification import Accepted, RefusalReason

VERIFY_PATH: Final = "/verify"
# No more headers than a gateway needs: it hands them on to callers of a site that is not ours.
_COMMON: Final = {hdrs.CACHE_CONTROL: "no-store", hdrs.SERVER: SERVER_NAME}
_CLIENT_ID: Final = "X-Client-Id"
_SECRET_STATE: Final = "X-Secret-State"  # noqa: S105  a header's name
_SECRET_EXPIRES_AT: Final = "X-Secret-Expires-At"  # noqa: S105  a header's name


def add_gateway_routes(app: web.Application) -> None:
    """Serve `/verify` and everything below it."""
    app.router.add_route("*", VERIFY_PATH, verify)
    app.router.add_route("*", VERIFY_PATH + "/{tail:.*}", verify)


async def verify(request: web.Request) -> web.Response:
    """Answer 200 with who it is, 401, 403, or 503; unknown, wrong, expired, revoked and disabled alike."""
    headers = request.headers.getall(hdrs.AUTHORIZATION, ())
    credentials = parse_basic(headers[0]) if len(headers) == 1 else None
    if credentials is None:
        if headers:
            refused(request, None)
        return _refused()
    try:
        source = source_of(request, request.app[TRUSTED_PROXIES])
        is_clear = True
    except AddressUnclear:
        source, is_clear = Source(None, request.headers.get(hdrs.USER_AGENT)), False
    try:
        verdict = await request.app[SERVICES].verifier.verify(credentials.client_id, credentials.secret, source)
    except Unavailable:
        return web.Response(status=503, headers=_COMMON)
    if isinstance(verdict, Accepted):
        return _accepted(verdict) if is_clear else web.Response(status=403, headers=_COMMON)
    if verdict.reason is RefusalReason.ADDRESS:
        return web.Response(status=403, headers=_COMMON)
    request.app[SERVICES].limits.failed(source.address, credentials.client_id)
    return _refused()


def _accepted(verdict: Accepted) -> web.Response:
    headers = CIMultiDict(_COMMON)
    headers[_CLIENT_ID] = _as_header(verdict.client_id)
    headers[_SECRET_STATE] = "current" if verdict.state is SecretState.CURRENT else "retained"
    if verdict.state is SecretState.RETAINED and verdict.expires_at is not None:
        headers[_SECRET_EXPIRES_AT] = verdict.expires_at.isoformat().replace("+00:00", "Z")
    return web.Response(status=200, headers=headers)


def _refused() -> web.Response:
    return web.Response(status=401, headers={**_COMMON, hdrs.WWW_AUTHENTICATE: CHALLENGE})


def _as_header(client_id: str) -> str:
    # aiohttp writes header values as UTF-8; a client id has no control characters, so none can end the line.
    return client_id
