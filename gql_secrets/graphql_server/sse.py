"""Operations as event streams: server-sent events, one connection for each (graphql-sse's "distinct" mode)."""

import asyncio
import random
from contextlib import aclosing
from typing import Final

import orjson
from aiohttp import hdrs, web

from gql_secrets.graphql_server.engine import Engine
from gql_secrets.graphql_server.negotiation import EVENT_STREAM
from gql_secrets.graphql_server.operations import OperationResult, PreparedOperation
from gql_secrets.graphql_server.protocols import RequestContext

# How often a stream without events sends a comment: proxies cut silent connections, and so a disconnect is noticed.
KEEP_ALIVE_SECONDS: Final = 10.0
# How long a reader may take to make room for the next event.
SEND_SECONDS: Final = 10.0
# How long a reader is asked to wait before it subscribes again, after a stream that failed or whose server stops.
RETRY_MILLISECONDS: Final = (1_000, 5_000)
_COMPLETE: Final = b"event: complete\ndata: \n"


async def stream_events(
    engine: Engine, request: web.Request, prepared: PreparedOperation, context: RequestContext
) -> web.StreamResponse:
    """Answer with one `next` for each event, with an `id` if the event has one, and a `complete`.

    The last `next` of a stream that fails holds the errors, and its `complete` says when to `retry`.

    Raises:
        DocumentRefused: the stream cannot begin.
    """
    async with engine.turns.take(context.turn_key):
        events = await engine.subscribe(prepared, context)
    async with aclosing(events) as results:
        response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: f"{EVENT_STREAM}; charset=utf-8",
                hdrs.CACHE_CONTROL: "no-store",
                "X-Accel-Buffering": "no",
                "X-Content-Type-Options": "nosniff",
                "X-Request-Id": context.request_id,
            }
        )
        await response.prepare(request)
        upcoming: asyncio.Task[OperationResult | None] | None = None
        has_failed = False
        try:
            await _send(request, response, b":\n\n")
            while True:
                upcoming = upcoming or asyncio.ensure_future(anext(results, None))
                await asyncio.wait({upcoming}, timeout=KEEP_ALIVE_SECONDS)
                if not upcoming.done():
                    await _send(request, response, b":\n\n")
                    continue
                result, upcoming = upcoming.result(), None
                if result is None:
                    break
                has_failed = result.data is None
                await _send(request, response, _next(result))
            await _send(request, response, _COMPLETE + (_retry() if has_failed else b"") + b"\n")
            await response.write_eof()
        except (ConnectionError, TimeoutError):
            pass  # the reader disconnected, or reads too slowly
        finally:
            if upcoming is not None:
                upcoming.cancel()
                await asyncio.gather(upcoming, return_exceptions=True)
    return response


def stream_of_one(result: OperationResult) -> web.Response:
    """Return the result of a query as a whole event stream: one `next` and a `complete`."""
    return web.Response(
        body=_next(result) + _COMPLETE + b"\n",
        headers={hdrs.CONTENT_TYPE: f"{EVENT_STREAM}; charset=utf-8", hdrs.CACHE_CONTROL: "no-store"},
    )


def _next(result: OperationResult) -> bytes:
    event_id = b"id: %s\n" % result.event_id.encode() if result.event_id else b""
    return b"event: next\ndata: " + orjson.dumps(result.content()) + b"\n" + event_id + b"\n"


def _retry() -> bytes:
    """Return when to subscribe again: all streams of a server end together, and must not return together."""
    return b"retry: %d\n" % random.randint(*RETRY_MILLISECONDS)  # noqa: S311  nobody gains by predicting it


async def _send(request: web.Request, response: web.StreamResponse, text: bytes) -> None:
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await response.write(text)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise
