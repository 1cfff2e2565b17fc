"""A worker: one of several processes that serve on the same sockets, started and watched by a supervisor.

The supervisor says over a channel when to stop, to read the settings again, and to send the metrics. A stop signal that
the worker itself receives stops it in the same order, and a second one changes nothing: a terminal and systemd send
signals to every process of the group, and the supervisor passes its own on. A worker whose supervisor is gone stops
listening immediately, so that the next supervisor gets the port.
"""

import asyncio
import contextlib
import pickle
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from gql_secrets.api.keys import SERVICES
from gql_secrets.api.metrics.listener import read_registry
from gql_secrets.api.metrics.workers import families_of
from gql_secrets.commands.context import read_settings
from gql_secrets.commands.serving.app import STOP_SIGNALS, loop_factory, serve_app
from gql_secrets.commands.serving.channel import Channel
from gql_secrets.commands.serving.reload import hangups
from gql_secrets.domain.errors import SetupError
from gql_secrets.domain.instants import rfc3339
from gql_secrets.logs import set_up_logging
from gql_secrets.service.cluster import Process
from gql_secrets.settings import Settings


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker gets from its supervisor, on stdin: the pepper is among it.

    Attributes:
        number: which worker it is, from 1 on.
        settings: those that the supervisor started with, so that a worker that is started later has the same.
        given: the settings of the command line, for reading the settings again.
        channel: the file descriptor of its side of the channel.
        sockets: the file descriptors of the sockets to listen on.
        reload: whether the settings were read again since the supervisor started.
    """

    number: int
    settings: Settings
    given: Mapping[str, object]
    channel: int
    sockets: tuple[int, ...]
    reload: bool


def run_worker() -> None:
    """Serve as the supervisor at the other end of stdin says.

    Raises:
        SetupError: no supervisor started this process, or the installation cannot start.
        OutputLost: it created the first owner and could not print the credentials.
        Unavailable: the database is unavailable.
    """
    try:
        assignment = pickle.load(sys.stdin.buffer)  # noqa: S301  the parent process wrote it
    except (EOFError, pickle.UnpicklingError):
        raise SetupError("Only `gql-secrets serve --workers` starts workers.") from None
    settings = assignment.settings
    set_up_logging(settings.log_level, settings.log_format, worker=assignment.number)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_Worker(assignment).run())


class _Worker:
    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._stop = asyncio.Event()
        self._is_orphan = False
        self._app: web.Application | None = None
        self._channel: Channel
        self._answers: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until the supervisor says stop, is gone, or a signal arrives. A stop waits for the end of the start."""
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        given = self._assignment
        self._channel = await Channel.over(socket.socket(fileno=given.channel))
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket(fileno=each)) for each in given.sockets]
            hangup = stack.enter_context(hangups())
            if given.reload:
                hangup.set()
            hearing = asyncio.create_task(self._hear(hangup))
            try:
                await serve_app(
                    given.settings, lambda: read_settings(given.given), self._until_stopped, hangup, sockets=sockets
                )
            finally:
                hearing.cancel()
                self._channel.close()

    async def _until_stopped(self, app: web.Application, settings: Settings) -> timedelta:
        self._app = app
        own = app[SERVICES].cluster.own
        process = [own.id, rfc3339(own.started_at)] if own else None
        await self._channel.send({"is": "ready", "process": process})
        await self._stop.wait()
        return timedelta(0) if self._is_orphan else settings.drain_delay

    async def _hear(self, hangup: asyncio.Event) -> None:
        async for message in self._channel.messages():
            match message["do"]:
                case "stop":
                    self._stop.set()
                case "reload":
                    hangup.set()
                case "know":
                    self._know(message["processes"])
                case "metrics":
                    answer = asyncio.create_task(self._send_metrics(message))
                    self._answers.add(answer)
                    answer.add_done_callback(self._answers.discard)
        self._is_orphan = True
        self._stop.set()

    def _know(self, processes: Sequence[tuple[str, str]]) -> None:
        if self._app is not None:
            known = [Process(each, datetime.fromisoformat(started_at)) for each, started_at in filter(None, processes)]
            self._app[SERVICES].cluster.siblings = known

    async def _send_metrics(self, question: Mapping[str, Any]) -> None:
        if self._app is not None:
            registry = await read_registry(self._app, with_figures=question["figures"])
            await self._channel.send({"is": "metrics", "of": question["of"], "families": families_of(registry)})
