"""The one process of `gql-secrets serve` without workers: it listens until it is signalled to stop."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta

from aiohttp import web

from gql_secrets import __version__
from gql_secrets.commands.output import say
from gql_secrets.commands.serving.app import STOP_SIGNALS, loop_factory, serve_app
from gql_secrets.commands.serving.reload import hangups
from gql_secrets.commands.serving.sockets import bound_for_metrics, bound_sockets
from gql_secrets.commands.sign_in_address import remember_address
from gql_secrets.settings import Settings


def serve_until_signalled(settings: Settings, read: Callable[[], Settings]) -> None:
    """Serve in this process until SIGTERM or SIGINT.

    Args:
        settings: the operator's settings.
        read: reads them again, at SIGHUP.

    Raises:
        SetupError: it cannot listen on the address, or the installation cannot start.
        OutputLost: it created the first owner and could not print the credentials.
        Unavailable: the database is unavailable.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(settings, read))


async def _serve(settings: Settings, read: Callable[[], Settings]) -> None:
    # A start that fails because its port is in use must not have created an owner whose secret nobody saw.
    with (
        bound_sockets(settings.host, settings.port) as sockets,
        bound_for_metrics(settings) as metrics_sockets,
        hangups() as hangup,
    ):
        await serve_app(settings, read, _until_signalled, hangup, sockets=sockets, metrics_sockets=metrics_sockets)


async def _until_signalled(_app: web.Application, settings: Settings) -> timedelta:
    remember_address(settings)
    stop = asyncio.Event()
    with _on_stop_signal(stop.set):
        # From here on a signal is an orderly stop.
        say(f"gql-secrets {__version__} listens on {settings.address_url} (press Ctrl-C to stop)")
        await stop.wait()
    # From here on another signal ends the process immediately.
    return settings.drain_delay


@contextlib.contextmanager
def _on_stop_signal(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on the first signal; a second signal ends the process immediately."""
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":
        yield  # Ctrl-C raises KeyboardInterrupt there, and the runner cleans up
        return
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
