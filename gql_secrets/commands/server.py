"""`gql-secrets serve`: the server, from the first socket to the last answer."""

import asyncio
import contextlib
import errno
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any, Final

import typer
from aiohttp import web

from gql_secrets import __version__
from gql_secrets.commands.banner import first_start_text
from gql_secrets.commands.installation import DatabaseUrl, DataDir
from gql_secrets.commands.output import say
from gql_secrets.commands.sign_in import first_link_text, remember_address
from gql_secrets.domain.errors import SetupError
from gql_secrets.logs import set_up_logging
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

_BACKLOG: Final = 1024
# How long answers under way may take once the server was told to stop.
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
        bool, typer.Option("--insecure", help="Listen beyond this machine although the public URL is not https.")
    ] = False,
) -> None:
    """Start the server. The first start sets everything up and prints the owner's credentials once."""
    nearby = {"data_dir": data_dir, "database_url": database_url}
    given = {**(ctx.obj or {}), **{name: value for name, value in nearby.items() if value is not None}}
    settings = Settings.from_environment(**{"host": host, "port": port, "insecure": insecure or None, **given})
    set_up_logging(settings.log_level)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(run_server(settings))


async def run_server(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then answer what is under way, and close everything.

    Raises:
        SetupError: the address cannot be listened on, or the installation is not as it must be.
        Unavailable: the database does not answer.
    """
    # Here, so that the other commands start in half the time.
    from gql_secrets.api.app import build_app  # noqa: PLC0415
    from gql_secrets.api.keys import SERVICES  # noqa: PLC0415
    from gql_secrets.api.web.aiohttp_internals import BoundedRunner  # noqa: PLC0415

    # The address first: a start that fails for a port in use must not have made an owner whose secret nobody saw.
    with _listening_sockets(settings.host, settings.port) as sockets:
        settings = replace(settings, port=sockets[0].getsockname()[1])
        app = build_app(settings)
        runner = BoundedRunner(app, shutdown_timeout=_SECONDS_TO_STOP)
        try:
            await runner.setup()
            await _print_first_start(settings, app[SERVICES])
            await _listen(runner, settings, sockets)
            remember_address(settings)
            # What was made so far stays: not to look through it again and again spares pauses of 50 ms.
            gc.collect()
            gc.freeze()
            say(f"gql-secrets {__version__} listens on {settings.address_url} (Ctrl-C stops it)")
            await _told_to_stop()
        finally:
            await runner.cleanup()


async def _print_first_start(settings: Settings, services: Services) -> None:
    owner = services.first_owner
    if owner is None:
        return
    data_dir = None if settings.database_url else settings.data_dir.absolute()
    sys.stdout.write(first_start_text(owner, url=settings.address_url, data_dir=data_dir))
    sys.stdout.flush()  # before anything else can go wrong: nobody can read this secret again
    sys.stdout.write(await first_link_text(services, settings.address_url))
    sys.stdout.flush()


async def _listen(runner: web.AppRunner, settings: Settings, sockets: list[socket.socket]) -> None:
    for each in sockets:
        try:
            await web.SockSite(runner, each, backlog=_BACKLOG).start()
        except OSError as error:
            raise _cannot_listen(settings.host, settings.port, error) from error


async def _told_to_stop() -> None:
    stop = asyncio.Event()
    with _on_stop_signal(stop.set):
        await stop.wait()


@contextlib.contextmanager
def _on_stop_signal(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on the first signal; a second one ends the process at once, as the system has it."""
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":
        yield  # Ctrl-C raises KeyboardInterrupt there, and the runner's clean-up follows
        return
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _listening_sockets(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Take the port on every address of the host; nobody can connect before the server listens."""
    sockets: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        failure: OSError | None = None
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            raise SetupError(f"{host} is no address of this machine: {error.strerror}.") from error
        for family, _, _, _, address in dict.fromkeys(addresses):
            try:
                own = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                _take(own, family, address, sockets[0].getsockname()[1] if sockets else port)
            except OSError as error:  # `localhost` is ::1 too, also where there is no IPv6
                failure = error
                if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    continue
                break
            sockets.append(own)
            failure = None
        if failure is not None or not sockets:
            raise _cannot_listen(host, port, failure) from failure
        yield sockets


def _take(own: socket.socket, family: int, address: tuple[Any, ...], port: int) -> None:
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
            return SetupError(f"Port {port} needs more rights than this user has. Choose one above 1023 with --port.")
        case errno.EADDRNOTAVAIL:
            return SetupError(f"{host} is no address of this machine. Choose another with --host.")
        case _:
            return SetupError(f"Port {port} on {host} cannot be listened on: {error.strerror if error else 'unknown'}.")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415  no such module on Windows

    return uvloop.new_event_loop
