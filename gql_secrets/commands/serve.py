"""`gql-secrets serve`: start the server, and stop it in an orderly way."""

import asyncio
import contextlib
import functools
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Annotated, Final

import typer
from aiohttp import web

from gql_secrets import __version__
from gql_secrets.commands.context import DatabaseUrl, DataDir, given_settings, read_settings
from gql_secrets.commands.output import say
from gql_secrets.commands.serving.app import STOP_SIGNALS, loop_factory, serve_app
from gql_secrets.commands.serving.reload import hangups, ignore_other_signals
from gql_secrets.commands.serving.sockets import bound_for_metrics, bound_sockets
from gql_secrets.commands.sign_in_address import remember_address
from gql_secrets.logs import set_up_logging
from gql_secrets.settings import Settings, parse_workers

_log: Final = logging.getLogger(__name__)


def serve(
    ctx: typer.Context,
    host: Annotated[
        str | None, typer.Option("--host", help="The address to listen on. [env: GQL_SECRETS_HOST; default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", help="The port; 0 for any free one. [env: GQL_SECRETS_PORT; default: 8080]"),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            "--workers",
            metavar="N",
            help="How many processes serve; auto for one per processor. [env: GQL_SECRETS_WORKERS; default: 1]",
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow a non-loopback address without an https public URL.")
    ] = False,
    is_worker: Annotated[
        bool, typer.Option("--worker", hidden=True, help="Be a worker: only a supervisor passes it.")
    ] = False,
) -> None:
    """Start the server. The first start creates the installation and prints the owner's credentials once."""
    ignore_other_signals()
    if is_worker:
        from gql_secrets.commands.serving.worker import run_worker  # noqa: PLC0415  only a supervisor needs it

        run_worker()
        return
    count = None if workers is None else parse_workers(workers)
    given = given_settings(ctx, data_dir, database_url, host=host, port=port, workers=count, insecure=insecure or None)
    settings = read_settings(given)
    set_up_logging(settings.log_level, settings.log_format)
    if settings.ignored_variables:
        _log.info("service_links_ignored", extra={"variables": ", ".join(settings.ignored_variables)})
    if settings.workers > 1:
        from gql_secrets.commands.serving.supervisor import supervise  # noqa: PLC0415  not needed by one process

        supervise(settings, given)
        return
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(run_server(settings, functools.partial(read_settings, given)))


async def run_server(settings: Settings, read: Callable[[], Settings]) -> None:
    """Serve in this process until SIGTERM or SIGINT.

    Args:
        settings: the operator's settings.
        read: reads them again, at SIGHUP.

    Raises:
        SetupError: it cannot listen on the address, or the installation cannot start.
        OutputLost: it created the first owner and could not print the credentials.
        Unavailable: the database is unavailable.
    """
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
