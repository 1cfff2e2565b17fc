"""What each process that serves does: open the installation, listen, drain when asked to, and close everything."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from aiohttp import web

from gql_secrets.commands.first_start import first_start_text
from gql_secrets.commands.output import require_stdout, write_text
from gql_secrets.commands.serving.collecting import collecting_in_small_steps
from gql_secrets.commands.serving.reload import reloading
from gql_secrets.commands.serving.sockets import cannot_listen
from gql_secrets.commands.sign_in_link import first_link_text
from gql_secrets.service.new_clients import Registration
from gql_secrets.settings import Settings
from gql_secrets.storage.address import DatabaseAddress
from gql_secrets.wiring import Services

_log: Final = logging.getLogger(__name__)
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_BACKLOG: Final = 1024
# How long requests in progress may take once the server has been asked to stop.
SECONDS_TO_STOP: Final = 10.0

UntilStopped = Callable[[web.Application, Settings], Awaitable[timedelta]]
"""Called when the application listens: returns when it must stop, with how long it goes on until it stops listening."""


async def serve_app(
    settings: Settings,
    read: Callable[[], Settings],
    until_stopped: UntilStopped,
    hangup: asyncio.Event,
    *,
    sockets: Sequence[socket.socket],
    metrics_sockets: Sequence[socket.socket] = (),
) -> None:
    """Serve on these sockets; then drain, finish the requests in progress and close everything.

    Args:
        settings: the operator's settings.
        read: reads them again, at each `hangup`.
        until_stopped: waits until this process must stop.
        hangup: set when the settings must be read again.
        sockets: where to listen.
        metrics_sockets: where to serve the metrics.

    Raises:
        SetupError: it cannot listen on the address, or the installation cannot start.
        OutputLost: it created the first owner and could not print the credentials.
        Unavailable: the database is unavailable.
    """
    from gql_secrets.api.app import build_app
    from gql_secrets.api.keys import SERVICES
    from gql_secrets.api.reloading import Reloader
    from gql_secrets.api.tracing.opening import open_tracing
    from gql_secrets.api.web.aiohttp_internals.server import BoundedRunner

    started_with = settings
    settings = listening_settings(settings, sockets)
    path = DatabaseAddress.parse(settings.resolved_database_url).path
    if path is not None and not path.exists():
        require_stdout()  # this first start prints the only copy of a secret
    app = build_app(settings, on_first_owner=partial(_print_owner, settings), tracing=open_tracing(settings))
    runner = BoundedRunner(app, shutdown_timeout=SECONDS_TO_STOP)
    metrics = _metrics_runner(app) if metrics_sockets else None
    try:
        await runner.setup()
        await _print_first_link(settings, app[SERVICES])
        await listen(runner, settings, sockets)
        if metrics:
            await metrics.setup()
            await listen(metrics, settings, metrics_sockets)
        async with collecting_in_small_steps(), reloading(Reloader(app, started_with, read).reload, hangup):
            delay = await until_stopped(app, settings)
        _log.info("draining", extra={"seconds": delay.total_seconds()})
        runner.drain()
        await asyncio.sleep(delay.total_seconds())
    finally:
        if metrics:
            await metrics.cleanup()
        await runner.cleanup()


def _metrics_runner(app: web.Application) -> web.AppRunner:
    from gql_secrets.api.metrics.listener import build_metrics_app
    from gql_secrets.api.web.aiohttp_internals.server import BoundedRunner

    return BoundedRunner(build_metrics_app(app), shutdown_timeout=0)


def listening_settings(settings: Settings, sockets: Sequence[socket.socket]) -> Settings:
    """Return the settings with the port that the sockets have."""
    return replace(settings, port=sockets[0].getsockname()[1])


async def listen(runner: web.AppRunner, settings: Settings, sockets: Sequence[socket.socket]) -> None:
    """Accept connections on these sockets.

    Raises:
        SetupError: another program listens there.
    """
    for each in sockets:
        try:
            await web.SockSite(runner, each, backlog=_BACKLOG).start()
        except OSError as error:
            raise cannot_listen(settings.host, settings.port, error) from error


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop that serves requests."""
    if sys.platform == "win32":
        return None
    import uvloop  # no such module on Windows

    return uvloop.new_event_loop


def _print_owner(settings: Settings, owner: Registration) -> None:
    data_dir = None if settings.database_url else settings.data_dir.absolute()
    write_text(
        first_start_text(owner, url=settings.address_url, data_dir=data_dir),
        done=f"The installation was created, and its owner's secret cannot be shown again. To get a new one, run: "
        f"gql-secrets client reset {owner.client.client_id} --hours 0 --yes",
    )


async def _print_first_link(settings: Settings, services: Services) -> None:
    if services.first_owner is None:
        return
    write_text(
        await first_link_text(services, settings.address_url),
        done="A sign-in link was created that cannot be shown again. To create another one, run: "
        "gql-secrets sign-in-link",
    )
