"""What surrounds every request but `/verify`: an id, a log line without secrets, an answer whatever happens."""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import hdrs, web

from gql_secrets.api.gateway import is_verification
from gql_secrets.api.keys import REQUEST_ID
from gql_secrets.domain.errors import Unavailable
from gql_secrets.graphql_server.disconnects import is_disconnected

_log: Final = logging.getLogger(__name__)
# The alphabet and length of seed B's request ids: the same id stands in answer, log and audit, whatever the dialect.
_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
_CHARACTERS: Final = 16
X_REQUEST_ID: Final = "X-Request-Id"
_HAS_LEFT: Final = 499  # as nginx has it in its log

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_request_id() -> str:
    """Return a new id: 16 characters, 79 random bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_CHARACTERS))


@web.middleware
async def frame(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its id, and log what became of it: its route, never its own path, a header or a body.

    Whoever takes an address for a place to put a credential in, in whatever form, does not find it in the log.
    """
    if is_verification(request.raw_path):
        return await handler(request)
    request_id = request[REQUEST_ID] = make_request_id()
    began = time.perf_counter()
    status = 500
    try:
        response = await handler(request)
    except web.HTTPException as answer:
        status = answer.status
        raise
    except web.RequestPayloadError as error:
        # The body broke off, or took too long (api/server.py).
        status = 408 if isinstance(error, TimeoutError) else 400
        return web.Response(status=status, text="The body did not arrive whole.", headers={hdrs.CONNECTION: "close"})
    except Unavailable:
        status = 503
        return web.Response(status=status, text="The database does not answer.")
    except Exception as error:  # noqa: BLE001  the last door before the caller
        if isinstance(error, ConnectionError) and is_disconnected(request):
            status = _HAS_LEFT
            return web.Response(status=400)  # which nobody reads
        _log.exception("unexpected_error", extra={"request_id": request_id})
        return web.Response(status=status, text="Unexpected error.")
    else:
        status = response.status
        return response
    finally:
        milliseconds = (time.perf_counter() - began) * 1000
        _log.info(
            "request",
            extra={
                "method": request.method,
                "path": _route_of(request),
                "status": status,
                "ms": round(milliseconds, 1),
                "request_id": request_id,
            },
        )


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "-"
