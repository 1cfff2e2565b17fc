"""Whether this process runs, whether this node should get requests, what else is wrong, and which version it is.

A node is not ready only where `/verify` would answer 503, and while it shuts down. Everything else (changes that cannot
be written, an audit log whose head is not signed) is reported in the body and in the log, and leaves the node in
service: gateways depend on it.
"""

import asyncio
import logging
from typing import Final

from aiohttp import web

from gql_secrets import __version__
from gql_secrets.api.keys import DRAINING, SERVICES
from gql_secrets.domain.errors import Unavailable
from gql_secrets.domain.journal import UncertainClients
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.service.changes_pause import are_changes_paused
from gql_secrets.service.history import History
from gql_secrets.service.replication import probe_replication
from gql_secrets.storage.database import Database

_log: Final = logging.getLogger(__name__)

LIVE_PATH: Final = "/livez"
# Two names of one question: Kubernetes' own, and the one that load balancers are often set up with.
READY_PATHS: Final = ("/readyz", "/healthz")
VERSION_PATH: Final = "/version"
_OK: Final = "ok"
_UNAVAILABLE: Final = "unavailable"
_NONE: Final = "none"
_PAUSED: Final = "paused"
# The state of the audit head that was logged last: it may last for days, and health is asked each second.
_REPORTED_HEAD: Final = web.AppKey("reported_audit_head", list[str])


def add_health_routes(app: web.Application) -> None:
    """Serve `/livez`, `/readyz`, `/healthz` and `/version`."""
    app[DRAINING] = asyncio.Event()
    app[_REPORTED_HEAD] = [_OK]
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
    verification = changes = audit_head = _OK
    replication = archive = _NONE
    uncertain = UncertainClients.NONE.value
    try:
        await services.verifier.check()
    except Unavailable as failure:
        verification = changes = audit_head = replication = uncertain = archive = _UNAVAILABLE
        _log.error("verification_unavailable", extra={"reason": str(failure)})
    else:
        # What cannot be read of these does not keep anybody from verifying.
        changes = await _probe_changes(services.database)
        audit_head = await AuditLog(services.database, services.changes.pepper).probe_head()
        replication = await probe_replication(services.database)
        uncertain = await _probe_uncertain_clients(services.history)
        archive = await services.audit_archive.probe()
    if verification == _OK and changes not in (_OK, _PAUSED):
        _log.warning("changes_not_possible", extra={"changes": changes})
    _log_audit_head(request.app, audit_head)
    draining = request.app[DRAINING].is_set()
    is_healthy = verification == _OK and not draining
    report = {
        "status": "draining" if draining else "ok" if is_healthy else "unhealthy",
        "verification": verification,
        "changes": changes,
        "auditHead": audit_head,
        "auditArchive": archive,
        "replication": replication,
        "uncertainClients": uncertain,
        "lease": services.cluster.own_lease.value,
    }
    return web.json_response(report, status=200 if is_healthy else 503)


async def _probe_changes(database: Database) -> str:
    changes = await database.probe_changes()
    try:
        return _PAUSED if changes == _OK and await are_changes_paused(database) else changes
    except Unavailable:
        return _UNAVAILABLE


async def _probe_uncertain_clients(history: History) -> str:
    try:
        return (await history.uncertain_clients()).value
    except Unavailable:
        return _UNAVAILABLE


def _log_audit_head(app: web.Application, state: str) -> None:
    reported = app[_REPORTED_HEAD]
    if state not in (*reported, _UNAVAILABLE):
        reported[0] = state
        if state == _OK:
            _log.info("audit_head_signed_again")
        else:
            _log.error("audit_head_invalid", extra={"advice": "Run gql-secrets audit verify."})
