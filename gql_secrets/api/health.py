"""Whether this process runs, whether this node should get requests, what else is wrong, and which version it is.

A node is not ready only where `/verify` would answer 503, and while it shuts down. Everything else (changes that cannot
be written) is reported in the body and in the log, and leaves the node in service: gateways depend on it.
"""

import asyncio
import logging
from typing import Final

from aiohttp import web

from gql_secrets import __version__
from gql_secrets.api.keys import DRAINING, SERVICES
from gql_secrets.domain.errors import Unavailable

_log: Final = logging.getLogger(__name__)

LIVE_PATH: Final = "/livez"
# Two names of one question: Kubernetes' own, and the one that load balancers are often set up with.
READY_PATHS: Final = ("/readyz", "/healthz")
VERSION_PATH: Final = "/version"
_OK: Final = "ok"
_UNAVAILABLE: Final = "unavailable"


def add_health_routes(app: web.Application) -> None:
    """Serve `/livez`, `/readyz`, `/healthz` and `/version`."""
    app[DRAINING] = asyncio.Event()
    app.on_shutdown.append(_drain)
    app.router.add_get(LIVE_PATH, _answer_live)
    for path in READY_PATHS:
        app.router.add_get(path, _answer_ready)
    app.router.add_get(VERSION_PATH, _answer_version)


async def _drain(app: web.Application) -> None:
    app[DRAINING].set()


async def _answer_live(_request: web.Request) -> web.Response:
    """Answer 200 while this process answers at all. Never asks the database: a restart would not repair it."""
    return web.json_response({"status": _OK})


async def _answer_version(_request: web.Request) -> web.Response:
    return web.json_response({"name": "gql-secrets", "version": __version__})


async def _answer_ready(request: web.Request) -> web.Response:
    """Answer 200 while this node can verify, else 503."""
    services = request.app[SERVICES]
    verification = changes = _OK
    try:
        await services.verifier.check()
        changes = await services.database.probe_changes()
    except Unavailable as failure:
        verification = changes = _UNAVAILABLE
        _log.error("verification_unavailable", extra={"reason": str(failure)})
    if verification == _OK and changes != _OK:
        _log.warning("changes_not_possible", extra={"changes": changes})
    draining = request.app[DRAINING].is_set()
    is_healthy = verification == _OK and not draining
    report = {
        "status": "draining" if draining else "ok" if is_healthy else "unhealthy",
        "verification": verification,
        "changes": changes,
    }
    return web.json_response(report, status=200 if is_healthy else 503)
