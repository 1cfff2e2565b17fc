"""The sockets that a server listens on: bound before anything else is done, so that a port in use changes nothing."""

import contextlib
import errno
import socket
import sys
from collections.abc import Iterator
from typing import Any

from gql_secrets.domain.errors import SetupError
from gql_secrets.settings import Settings


@contextlib.contextmanager
def bound_for_metrics(settings: Settings) -> Iterator[list[socket.socket]]:
    """Bind the port of the metrics; none where they are off."""
    if not settings.metrics_port:
        yield []
        return
    with contextlib.ExitStack() as stack:
        try:
            sockets = stack.enter_context(bound_sockets(settings.metrics_host, settings.metrics_port))
        except SetupError as error:
            raise SetupError(f"GQL_SECRETS_METRICS_PORT: {error}") from error
        yield sockets


@contextlib.contextmanager
def bound_sockets(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Bind the port on every address of the host; nobody can connect before the server listens."""
    sockets: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        failure: OSError | None = None
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:  # the latter of a name that has an empty part, or one that is too long
            why = getattr(error, "strerror", None) or "it is not the name of a host"
            raise SetupError(f"Cannot listen on {host}: {why}. Choose another address with --host.") from error
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
            raise cannot_listen(host, port, failure) from failure
        yield sockets


def _bind(own: socket.socket, family: int, address: tuple[Any, ...], port: int) -> None:
    if sys.platform != "win32":
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    own.bind((address[0], port, *address[2:]))


def cannot_listen(host: str, port: int, error: OSError | None) -> SetupError:
    """Return the failure to listen there, with what to do about it."""
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
