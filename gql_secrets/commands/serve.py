"""`gql-secrets serve`: start the server, and stop it in an orderly way."""

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any, Final

import typer
from aiohttp import web

from gql_secrets import __version__
from gql_secrets.commands.context import DatabaseUrl, DataDir, read_settings
from gql_secrets.commands.first_start import first_start_text
from gql_secrets.commands.output import require_stdout, say, write_text
from gql_secrets.commands.serve_collecting import collecting_in_small_steps
from gql_secrets.commands.serve_reload import hangups, ignore_other_signals, reloading
from gql_secrets.commands.sign_in_address import remember_address
from gql_secrets.commands.sign_in_link import first_link_text
from gql_secrets.domain.errors import SetupError
from gql_secrets.logs import set_up_logging
from gql_secrets.settings import Settings
from gql_secrets.storage.address import DatabaseAddress
from gql_secrets.wiring import Services

_log: Final = logging.getLogger(__name__)
_BACKLOG: Final = 1024
# How long requests in progress may take once the server has been asked to stop.
_SECONDS_TO_STOP: Final = 10.0
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def serve(
    ctx: typer.Context,
    host: Annotated[
        str | None, typer.Option("--host", help="The address to listen on. [env: GQL_SECRETS_HOST; default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", help="The port; 0 for any free one. [env: GQL_SECRETS_PORT; default: 8080]"),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow a non-loopback address without an https public URL.")
    ] = False,
) -> None:
    """Start the server. The first start creates the installation and prints the owner's credentials once."""
    ignore_other_signals()

    def read() -> Settings:
        return read_settings(ctx, data_dir, database_url, host=host, port=port, insecure=insecure or None)

    settings = read()
    set_up_logging(settings.log_level, settings.log_format)
    if settings.ignored_variables:
        _log.info("service_links_ignored", extra={"variables": ", ".join(settings.ignored_variables)})
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(run_server(settings, read))


async def run_server(settings: Settings, read: Callable[[], Settings]) -> None:
    """Serve until SIGTERM or SIGINT; then drain, finish the requests in progress and close everything.

    Args:
        settings: the operator's settings.
        read: reads them again, at SIGHUP.

    Raises:
        SetupError: it cannot listen on the address, or the installation cannot start.
        OutputLost: it created the first owner and could not print the credentials.
        Unavailable: the database is unavailable.
    """
    # Imported here, so that the other commands start faster.
    from gql_secrets.api.app import build_app  # noqa: PLC0415
    from gql_secrets.api.keys import SERVICES  # noqa: PLC0415
    from gql_secrets.api.metrics.listener import build_metrics_app  # noqa: PLC0415
    from gql_secrets.api.reloading import Reloader  # noqa: PLC0415
    from gql_secrets.api.tracing.opening import open_tracing  # noqa: PLC0415
    from gql_secrets.api.web.aiohttp_internals import BoundedRunner  # noqa: PLC0415

    # A start that fails because its port is in use must not have created an owner whose secret nobody saw.
    with (
        _listening_sockets(settings.host, settings.port) as sockets,
        _metrics_sockets(settings) as metrics_sockets,
        hangups() as hangup,
    ):
        started_with = settings
        settings = replace(settings, port=sockets[0].getsockname()[1])
        path = DatabaseAddress.parse(settings.resolved_database_url).path
        if path is not None and not path.exists():
            require_stdout()  # this first start prints the only copy of a secret
        app = build_app(settings, tracing=open_tracing(settings))
        runner = BoundedRunner(app, shutdown_timeout=_SECONDS_TO_STOP)
        metrics = BoundedRunner(build_metrics_app(app), shutdown_timeout=0)
        try:
            await runner.setup()
            await _print_first_start(settings, app[SERVICES])
            await _listen(runner, settings, sockets)
            if metrics_sockets:
                await metrics.setup()
                await _listen(metrics, settings, metrics_sockets)
            remember_address(settings)
            async with collecting_in_small_steps(), reloading(Reloader(app, started_with, read).reload, hangup):
                await _run_until_stopped(f"gql-secrets {__version__} listens on {settings.address_url}")
            # From here on another signal ends the process immediately.
            _log.info("draining", extra={"seconds": settings.drain_delay.total_seconds()})
            runner.drain()
            await asyncio.sleep(settings.drain_delay.total_seconds())
        finally:
            await metrics.cleanup()
            await runner.cleanup()


async def _print_first_start(settings: Settings, services: Services) -> None:
    owner = services.first_owner
    if owner is None:
        return
    data_dir = None if settings.database_url else settings.data_dir.absolute()
    # Written before anything else can fail: the secret cannot be read again.
    write_text(
        first_start_text(owner, url=settings.address_url, data_dir=data_dir),
        done=f"The installation was created, and its owner's secret cannot be shown again. To get a new one, run: "
        f"gql-secrets client reset {owner.client.client_id} --hours 0 --yes",
    )
    write_text(
        await first_link_text(services, settings.address_url),
        done="A sign-in link was created that cannot be shown again. To create another one, run: "
        "gql-secrets sign-in-link",
    )


async def _listen(runner: web.AppRunner, settings: Settings, sockets: list[socket.socket]) -> None:
    for each in sockets:
        try:
            await web.SockSite(runner, each, backlog=_BACKLOG).start()
        except OSError as error:
            raise _cannot_listen(settings.host, settings.port, error) from error


async def _run_until_stopped(message: str) -> None:
    stop = asyncio.Event()
    with _on_stop_signal(stop.set):
        say(f"{message} (press Ctrl-C to stop)")  # from here on a signal is an orderly stop
        await stop.wait()


@contextlib.contextmanager
def _on_stop_signal(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on the first signal; a second signal ends the process immediately."""
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":
        yield  # Ctrl-C raises KeyboardInterrupt there, and the runner cleans up
        return
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _metrics_sockets(settings: Settings) -> Iterator[list[socket.socket]]:
    """Bind the port of the metrics; none where they are off."""
    if not settings.metrics_port:
        yield []
        return
    try:
        with _listening_sockets(settings.metrics_host, settings.metrics_port) as sockets:
            yield sockets
    except SetupError as error:
        raise SetupError(f"GQL_SECRETS_METRICS_PORT: {error}") from error


@contextlib.contextmanager
def _listening_sockets(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Bind the port on every address of the host; nobody can connect before the server listens."""
    sockets: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        failure: OSError | None = None
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            raise SetupError(
                f"Cannot listen on {host}: {error.strerror}. Choose another address with --host."
            ) from error
        for family, _, _, _, address in dict.fromkeys(addresses):
            try:
                own = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                _bind(own, family, address, sockets[0].getsockname()[1] if sockets else port)
            except OSError as error:  # `localhost` is also ::1, even on a machine without IPv6
                failure = error
                if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    continue
                break
            sockets.append(own)
            failure = None
        if failure is not None or not sockets:
            raise _cannot_listen(host, port, failure) from failure
        yield sockets


def _bind(own: socket.socket, family: int, address: tuple[Any, ...], port: int) -> None:
    if sys.platform != "win32":
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    own.bind((address[0], port, *address[2:]))


def _cannot_listen(host: str, port: int, error: OSError | None) -> SetupError:
    match error.errno if error else None:
        case errno.EADDRINUSE:
            return SetupError(f"Port {port} on {host} is in use. Stop the other program, or choose another --port.")
        case errno.EACCES:
            return SetupError(f"This user may not listen on port {port}. Choose a port above 1023 with --port.")
        case errno.EADDRNOTAVAIL:
            return SetupError(
                f"Cannot listen on {host}: it is not an address of this machine. Choose another one with --host."
            )
        case _:
            why = error.strerror if error else "it has no address"
            return SetupError(f"Cannot listen on port {port} of {host}: {why}.")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415  no such module on Windows

    return uvloop.new_event_loop
