"""The listener of `/metrics`: an application of its own, on another port, which only the monitoring can reach.

It needs no credentials, because it reveals no client and no secret. By default it listens on loopback.
"""

import asyncio
from typing import Final

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from gql_secrets.api.keys import COUNTERS, DRAINING, SERVER_NAME, SERVICES, SOCKETS
from gql_secrets.api.metrics.exposition import Snapshot
from gql_secrets.domain.errors import Unavailable
from gql_secrets.service.figures import Figures
from gql_secrets.wiring import Services

METRICS_PATH: Final = "/metrics"
# A scraper waits ten seconds by default: where the database hangs, it gets what this process knows.
_SECONDS_FOR_FIGURES: Final = 5.0


def build_metrics_app(served: web.Application) -> web.Application:
    """Return the application that serves the metrics of a running application."""

    async def answer(request: web.Request) -> web.Response:
        return metrics_response(await read_registry(served), request.headers.get(hdrs.ACCEPT, ""))

    app = web.Application()
    app.router.add_get(METRICS_PATH, answer)
    return app


async def read_registry(served: web.Application, *, with_figures: bool = True) -> CollectorRegistry:
    """Return the metrics of a running application and of this process at this moment.

    Args:
        served: the application.
        with_figures: whether the figures of the installation are among them.
    """
    registry = CollectorRegistry()
    registry.register(await _take_snapshot(served, with_figures=with_figures))
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


def metrics_response(metrics: Collector, accept: str) -> web.Response:
    """Return the metrics in the format that a scraper accepts."""
    encode, content_type = choose_encoder(accept)
    return web.Response(
        body=encode(metrics),
        headers={hdrs.CONTENT_TYPE: content_type, hdrs.CACHE_CONTROL: "no-store", hdrs.SERVER: SERVER_NAME},
    )


async def _take_snapshot(served: web.Application, *, with_figures: bool) -> Snapshot:
    services = served[SERVICES]
    can_verify = await _can_verify(services)
    return Snapshot(
        counters=served[COUNTERS],
        figures=await _read_figures(services) if can_verify and with_figures else None,
        is_ready=can_verify and not served[DRAINING].is_set(),
        can_change=can_verify and await services.database.probe_changes() == "ok",
        streams=len(services.feed),
        sockets=len(served[SOCKETS]),
        failed_reads=services.database.failed_reads,
        failed_writes=services.database.failed_writes,
        connections=services.database.dialect.count_connections(),
        lease=services.cluster.own_lease,
        revision_lag=services.cluster.own_lag,
    )


async def _read_figures(services: Services) -> Figures | None:
    try:
        async with asyncio.timeout(_SECONDS_FOR_FIGURES):
            return await services.figures.read()
    except (Unavailable, TimeoutError):
        return None


async def _can_verify(services: Services) -> bool:
    try:
        await services.verifier.check()
    except Unavailable:
        return False
    return True
