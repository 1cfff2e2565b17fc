"""What `verify_ratio.py` compares /verify with: a handler that answers 204, or one that reads a secret first.

python tests/benchmarks/bare_handlers.py --port PORT [--reads DATABASE_URL]
"""

import argparse
from collections.abc import AsyncIterator

import asyncpg
import uvloop
from aiohttp import web

READ = """
    SELECT s.id, s.client_id, s.state, s.expires_at, c.enabled FROM client_secret s JOIN client c USING (client_id)
    WHERE s.digest = $1
"""


def serve_bare(port: int) -> None:
    async def nothing(_: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_route("*", "/verify", nothing)
    run(app, port)


def serve_reads(port: int, url: str) -> None:
    """Answer 204 after one prepared read of the secret whose digest is in the request."""
    pool = web.AppKey("pool", asyncpg.Pool)

    async def read(request: web.Request) -> web.Response:
        digest = bytes.fromhex(request.headers["Authorization"].removeprefix("Bearer "))
        async with request.app[pool].acquire() as connection:
            if await connection.fetchrow(READ, digest) is None:
                raise web.HTTPUnauthorized
        return web.Response(status=204)

    async def keep_pool(app: web.Application) -> AsyncIterator[None]:
        async with asyncpg.create_pool(url, min_size=10, max_size=10, reset=_reset_nothing) as app[pool]:
            yield

    app = web.Application()
    app.cleanup_ctx.append(keep_pool)
    app.router.add_route("*", "/verify", read)
    run(app, port)


async def _reset_nothing(_: object) -> None:
    """Spare the statement by which asyncpg's pool resets a connection that is given back."""


def run(app: web.Application, port: int) -> None:
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, loop=uvloop.new_event_loop(), print=None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Answer as little as possible.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--reads", default="", help="the URL of a database, which is read for each request")
    chosen = parser.parse_args()
    if chosen.reads:
        serve_reads(chosen.port, chosen.reads)
    else:
        serve_bare(chosen.port)
