"""A subscription as an event stream: server-sent events, one connection for each (graphql-sse's "distinct" mode)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import orjson
from aiohttp import hdrs, web

from gql_secrets.graphql_server.engine import Admitted, Answer, Engine, RequestContext
from gql_secrets.graphql_server.http import EVENT_STREAM

KEEP_ALIVE_SECONDS = 10.0
"""How often a stream without events says that it lives: proxies cut silent ones, and a reader that left is noticed."""

SEND_SECONDS = 10.0
"""How long a reader may take to make room for the next event."""


async def stream_events(
    engine: Engine, request: web.Request, admitted: Admitted, context: RequestContext
) -> web.StreamResponse:
    """Answer with one `next` for each event, and a `complete`; DocumentRefused if the stream cannot begin.

    A stream that fails tells why in its last `next`.
    """
    async with aclosing(await engine.subscribe(admitted, context)) as answers:
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
        upcoming: asyncio.Task[Answer | None] | None = None
        try:
            await _send(request, response, b":\n\n")
            while True:
                upcoming = upcoming or asyncio.ensure_future(anext(answers, None))
                await asyncio.wait({upcoming}, timeout=KEEP_ALIVE_SECONDS)
                if not upcoming.done():
                    await _send(request, response, b":\n\n")
                    continue
                answer, upcoming = upcoming.result(), None
                if answer is None:
                    break
                await _send(request, response, b"event: next\ndata: " + orjson.dumps(content_of(answer)) + b"\n\n")
            await _send(request, response, b"event: complete\ndata: \n\n")
            await response.write_eof()
        except (ConnectionError, TimeoutError):
            pass  # the reader left, or reads too slowly
        finally:
            if upcoming is not None:
                upcoming.cancel()
                await asyncio.gather(upcoming, return_exceptions=True)
    return response


def content_of(answer: Answer) -> dict[str, object]:
    """Return an answer as the specification writes it: no `errors` where there are none."""
    content: dict[str, object] = {"data": answer.data}
    if answer.errors:
        content["errors"] = answer.errors
    return content


async def _send(request: web.Request, response: web.StreamResponse, text: bytes) -> None:
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await response.write(text)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise
