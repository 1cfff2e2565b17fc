"""What surrounds every request: its id, its source, a response even to an unexpected error, and a log line."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from aiohttp import hdrs, web

from gql_secrets.api.keys import CALLER, REQUEST_ID, SOURCE, TRACE_ID, TRUSTED_PROXIES
from gql_secrets.api.web.aiohttp_internals.requests import Head
from gql_secrets.api.web.client_address import find_source
from gql_secrets.api.web.request_id import find_request_id, find_trace_id
from gql_secrets.domain.access import Caller
from gql_secrets.domain.errors import Unavailable
from gql_secrets.graphql_server.disconnects import is_disconnected
from gql_secrets.graphql_server.http import OPERATION_NAME
from gql_secrets.logs import log_without_place

_log: Final = logging.getLogger(__name__)
_MAX_OPERATION: Final = 64
_CLIENT_CLOSED_REQUEST: Final = 499  # nginx's status for it, in the log only

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def surround_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Set `request[REQUEST_ID]` and `request[SOURCE]`, answer every failure, and log the request.

    The log has the route, not the path, and no header or body: clients sometimes put credentials in them.
    """
    trusted = request.app[TRUSTED_PROXIES]
    request[REQUEST_ID] = find_request_id(request, trusted)
    request[SOURCE] = find_source(request, trusted)
    return await answer_and_log(request, handler, time.perf_counter())


async def answer_and_log(request: web.Request, handler: Handler, began: float) -> web.StreamResponse:
    """Answer a request that has its id and its source, every failure included, and log it.

    `began` is what `perf_counter` said when it arrived.
    """
    status = 500
    try:
        response = await handler(request)
    except web.HTTPException as answer:
        status = answer.status
        raise
    except web.RequestPayloadError as error:
        # The connection ended within the body, or the body took too long (api/web/aiohttp_internals).
        status = 408 if isinstance(error, TimeoutError) else 400
        return web.Response(status=status, text="The request body is incomplete.", headers={hdrs.CONNECTION: "close"})
    except Unavailable as unavailable:
        status = 503
        return web.Response(status=status, text=str(unavailable))
    except Exception as error:  # noqa: BLE001  every unexpected error ends here
        if isinstance(error, ConnectionError) and is_disconnected(request):
            status = _CLIENT_CLOSED_REQUEST
            return web.Response(status=400)  # nobody receives it
        _log.exception("unexpected_error", extra={"request_id": request[REQUEST_ID]})
        return web.Response(status=status, text="Unexpected error.")
    else:
        status = response.status
        return response
    finally:
        log_request(request, status, began)


@web.middleware
async def refuse_encoded_body(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 415 to a body with a content coding: this server decompresses nothing (RFC 9110, section 15.5.16)."""
    if is_body_encoded(request):
        raise web.HTTPUnsupportedMediaType(
            text="Compressed request bodies are not supported. Send the body without Content-Encoding.\n",
            headers={hdrs.ACCEPT_ENCODING: "identity"},
        )
    return await handler(request)


def is_body_encoded(request: Head) -> bool:
    """Whether the request has a body with a content coding."""
    return hdrs.CONTENT_ENCODING in request.headers and request.body_exists


def log_request(request: web.Request, status: int, began: float) -> None:
    """Log a request that has been answered; `began` is what `perf_counter` said before."""
    log_answered(
        Answered(
            request.method,
            route_of(request) or "-",
            request[REQUEST_ID],
            request.get(CALLER),
            request[SOURCE].address,
            request.get(OPERATION_NAME),
            request.get(TRACE_ID) or find_trace_id(request, request.app[TRUSTED_PROXIES]),
        ),
        status,
        began,
    )


class Answered(NamedTuple):
    """What the log says about a request, in addition to its answer. `path` is its route."""

    method: str
    path: str
    request_id: str
    caller: Caller | None
    address: str | None
    operation: str | None
    trace_id: str | None


def log_answered(request: Answered, status: int, began: float) -> None:
    """Log a request that has been answered, as `log_request` does. A key without a value is left out."""
    facts: dict[str, object] = {
        "method": request.method,
        "path": request.path,
        "status": status,
        "ms": round((time.perf_counter() - began) * 1000, 1),
        "request_id": request.request_id,
    }
    if request.caller is not None:
        facts["caller"] = request.caller.actor
    if request.address is not None:
        facts["address"] = request.address
    if request.operation:
        facts["operation"] = request.operation[:_MAX_OPERATION]
    if request.trace_id:
        facts["trace_id"] = request.trace_id
    log_without_place(_log, "request", facts)


def route_of(request: web.Request) -> str | None:
    """Return the route that answers a request, with its parameters as names; None where there is none."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else None
