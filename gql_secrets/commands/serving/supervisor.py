"""The supervisor of `serve --workers`: it starts the workers, starts those that die again, and passes signals on.

All workers listen on the same sockets, which the supervisor bound and keeps open. A worker that is free takes the next
connection. One that drains or has died takes none, and no connection waits for it. With a socket for each worker
(SO_REUSEPORT), connections that the system has assigned to a worker would be lost when it dies.

The first worker starts alone: it migrates the database and prints what a first start prints. The supervisor itself
opens no database.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final, Self

from gql_secrets import __version__
from gql_secrets.api.metrics.workers import Restarts, Sums, build_workers_metrics_app
from gql_secrets.api.web.aiohttp_internals.server import BoundedRunner
from gql_secrets.commands.output import say
from gql_secrets.commands.serving.app import SECONDS_TO_STOP, STOP_SIGNALS, listen, listening_settings
from gql_secrets.commands.serving.channel import Channel
from gql_secrets.commands.serving.reload import hangups
from gql_secrets.commands.serving.sockets import bound_for_metrics, bound_sockets
from gql_secrets.commands.serving.worker import Assignment
from gql_secrets.commands.sign_in_address import remember_address
from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.settings import Settings

_log: Final = logging.getLogger(__name__)
# Without the directory in which the server was started, from which anybody's modules would be imported.
_PROGRAM: Final = (sys.executable, "-P", "-m", "gql_secrets.cli", "serve", "--worker")
# A worker that ran for this long is started again immediately, another one after a pause that doubles each time.
_SECONDS_OF_GOOD_LIFE: Final = 60.0
_LONGEST_PAUSE: Final = 30.0
_MAX_FAILED_STARTS: Final = 5
# Beyond what a worker takes in order to stop.
_SECONDS_TO_END: Final = 30.0
# A scraper waits ten seconds by default.
_SECONDS_FOR_METRICS: Final = 8.0


def supervise(settings: Settings, given: Mapping[str, object]) -> None:
    """Serve with several workers until SIGTERM or SIGINT.

    Args:
        settings: the operator's settings.
        given: those of the command line.

    Raises:
        SetupError: it cannot listen on the address.
        Failure: the workers die again and again.
        SystemExit: a worker could not start, and said why.
    """
    if sys.platform == "win32":
        raise SetupError("Several workers are not supported on Windows. Leave out --workers and GQL_SECRETS_WORKERS.")
    with asyncio.Runner() as runner:
        code = runner.run(_supervise(settings, given))
    if code:
        raise SystemExit(code)


async def _supervise(settings: Settings, given: Mapping[str, object]) -> int:
    with (
        bound_sockets(settings.host, settings.port) as sockets,
        bound_for_metrics(settings) as metrics_sockets,
        hangups() as hangup,
    ):
        supervisor = _Supervisor(settings, given, sockets)
        with supervisor.receiving_signals():
            passing = asyncio.create_task(supervisor.pass_on(hangup))
            try:
                return await supervisor.run(metrics_sockets)
            finally:
                passing.cancel()


class _Worker:
    """A worker process, and what is known of it."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, channel: Channel) -> None:
        self.number = number
        self.process = process
        self.is_ready = asyncio.Event()
        self.named: object = None
        self.started_at = time.monotonic()
        self.ended = asyncio.create_task(process.wait())
        self._channel = channel
        self._questions: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count()
        self._hearing = asyncio.create_task(self._hear())

    @classmethod
    async def start(
        cls,
        number: int,
        settings: Settings,
        given: Mapping[str, object],
        sockets: Sequence[socket.socket],
        *,
        reload: bool,
    ) -> Self:
        """Start the process. It is ready when it listens."""
        own, its = socket.socketpair()
        with its, contextlib.ExitStack() as stack:
            stack.callback(own.close)
            numbers = tuple(each.fileno() for each in sockets)
            process = await asyncio.create_subprocess_exec(
                *_PROGRAM, stdin=asyncio.subprocess.PIPE, pass_fds=(its.fileno(), *numbers)
            )
            assignment = Assignment(number, settings, given, its.fileno(), numbers, reload)
            stack.pop_all()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(pickle.dumps(assignment))
                await process.stdin.drain()
            process.stdin.close()
        return cls(number, process, await Channel.over(own))

    @property
    def id(self) -> str:
        """An id that no other worker of this supervisor has."""
        return f"{self.process.pid}/{self.started_at}"

    async def introduce(self, processes: Sequence[object]) -> None:
        """Let it know the processes of all workers, as they named themselves."""
        await self._channel.send({"do": "know", "processes": processes})

    def is_running(self) -> bool:
        """Return whether it listens and has not ended."""
        return self.is_ready.is_set() and not self.ended.done()

    async def tell(self, what: str) -> None:
        """Let it do something."""
        await self._channel.send({"do": what})

    async def ask_for_metrics(self, *, with_figures: bool) -> Any | None:  # noqa: ANN401  what JSON holds
        """Return its metrics, or None if it does not answer."""
        number = next(self._numbers)
        answer = self._questions[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_SECONDS_FOR_METRICS):
                await self._channel.send({"do": "metrics", "of": number, "figures": with_figures})
                return await answer
        except TimeoutError:
            _log.warning("worker_silent", extra={"worker": self.number, "pid": self.process.pid})
            return None
        finally:
            del self._questions[number]

    async def until_ready_or_ended(self) -> None:
        """Return as soon as it listens, or has ended."""
        ready = asyncio.create_task(self.is_ready.wait())
        await asyncio.wait((ready, self.ended), return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()

    def kill(self) -> None:
        """End it immediately."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def _hear(self) -> None:
        async for message in self._channel.messages():
            if message["is"] == "ready":
                self.named = message["process"]
                self.is_ready.set()
            elif (question := self._questions.get(message["of"])) is not None and not question.done():
                question.set_result(message["families"])
        for question in self._questions.values():
            if not question.done():
                question.set_result(None)
        self._channel.close()


class _Supervisor:
    def __init__(self, settings: Settings, given: Mapping[str, object], sockets: Sequence[socket.socket]) -> None:
        self._settings = settings
        self._given = given
        self._sockets = sockets
        self._address = listening_settings(settings, sockets)
        self._workers: dict[int, _Worker] = {}
        self._stop = asyncio.Event()
        self._failure: Failure | None = None
        self._failed_starts = 0
        self._was_reloaded = False
        self._sums = Sums()
        self._restarts = Restarts()

    async def run(self, metrics_sockets: Sequence[socket.socket]) -> int:
        """Keep the workers running until the stop; return the exit code."""
        keeping: list[asyncio.Task[None]] = []
        try:
            code = await self._start_all()
            if code is None:
                keeping = [asyncio.create_task(self._keep(number)) for number in self._workers]
                async with self._serving_metrics(metrics_sockets):
                    remember_address(self._address)
                    say(
                        f"gql-secrets {__version__} listens on {self._address.address_url} with {len(self._workers)} "
                        "workers (press Ctrl-C to stop)"
                    )
                    await self._stop.wait()
                code = 0
        finally:
            self._stop.set()
            ended_well = await self._end_all()
            await asyncio.gather(*keeping)
        if self._failure is not None:
            raise self._failure
        return code or (0 if ended_well else 1)

    @contextlib.contextmanager
    def receiving_signals(self) -> Iterator[None]:
        """Stop at the first signal; at the second, end all processes immediately."""
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._receive, number)
        try:
            yield
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)

    async def pass_on(self, hangup: asyncio.Event) -> None:
        """Let every worker read its settings again at each SIGHUP."""
        while True:
            await hangup.wait()
            hangup.clear()
            self._was_reloaded = True
            await asyncio.gather(*(worker.tell("reload") for worker in self._workers.values()))

    def _receive(self, number: int) -> None:
        if not self._stop.is_set():
            self._stop.set()
            return
        for worker in self._workers.values():
            worker.kill()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    async def _start_all(self) -> int | None:
        """Start the first worker and then the others; return an exit code if the server must end.

        Raises:
            Failure: the system allows no more processes or open files.
        """
        for numbers in ((1,), range(2, self._settings.workers + 1)):
            try:
                await asyncio.gather(*map(self._start, numbers))
            except OSError as error:
                raise Failure(f"A worker cannot be started: {error.strerror}.") from error
            starting = asyncio.gather(*(self._workers[number].until_ready_or_ended() for number in numbers))
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            starting.cancel()
            stopping.cancel()
            if self._stop.is_set() or not all(worker.is_ready.is_set() for worker in self._workers.values()):
                break
        if self._stop.is_set():
            return 0
        for worker in self._workers.values():
            if not worker.is_ready.is_set():
                code = await worker.ended
                if code <= 0:  # it said nothing
                    why = signal.Signals(-code).name if code else "code 0"
                    say(f"gql-secrets: Worker {worker.number} ended before it listened: {why}.")
                return code if code > 0 else 1
        return None

    async def _start(self, number: int) -> None:
        worker = await _Worker.start(number, self._settings, self._given, self._sockets, reload=self._was_reloaded)
        self._workers[number] = worker
        _log.info("worker_started", extra={"worker": number, "pid": worker.process.pid})
        if self._stop.is_set():
            await worker.tell("stop")

    async def _introduce(self) -> None:
        """Let the workers know each other."""
        running = list(filter(_Worker.is_running, self._workers.values()))
        await asyncio.gather(*(each.introduce([other.named for other in running]) for each in running))

    async def _keep(self, number: int) -> None:
        """Start the worker again each time that it ends, until the stop."""
        attempts = 0
        while True:
            worker = self._workers[number]
            await worker.until_ready_or_ended()
            if worker.is_ready.is_set():
                self._failed_starts = 0
            await self._introduce()
            code = await worker.ended
            if self._stop.is_set():
                return
            await self._introduce()
            if time.monotonic() - worker.started_at >= _SECONDS_OF_GOOD_LIFE:
                attempts = 0
            pause = min(2.0 ** (attempts - 1), _LONGEST_PAUSE) if attempts else 0.0
            attempts += 1
            facts = {"worker": number, "pid": worker.process.pid, "code": code, "restart_in": pause}
            _log.error("worker_ended", extra=facts)
            if not worker.is_ready.is_set() and self._is_hopeless():
                return
            await self._start_again(number, pause)
            if self._stop.is_set():
                return
            self._restarts.count += 1

    async def _start_again(self, number: int, pause: float) -> None:
        """Start the worker after a pause; where the system allows no more processes, later. Return at the stop."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stop.wait()
            if self._stop.is_set():
                return
            try:
                await self._start(number)
            except OSError as error:
                pause = _LONGEST_PAUSE
                facts = {"worker": number, "reason": error.strerror, "restart_in": pause}
                _log.error("worker_not_started", extra=facts)
            else:
                return

    def _is_hopeless(self) -> bool:
        """Stop the server if no worker runs and none can be started."""
        self._failed_starts += 1
        if self._failed_starts < _MAX_FAILED_STARTS or any(map(_Worker.is_running, self._workers.values())):
            return False
        self._failure = Failure(
            f"No worker runs, and {self._failed_starts} attempts to start one failed. The lines above say why."
        )
        self._stop.set()
        return True

    async def _end_all(self) -> bool:
        """Let every worker stop, and kill those that do not; return whether all stopped in an orderly way."""
        for each in self._sockets:  # the workers have their own: when the last one stops listening, nobody does
            each.close()
        workers = list(self._workers.values())
        await asyncio.gather(*(worker.tell("stop") for worker in workers))
        if not workers:
            return True
        limit = self._settings.drain_delay.total_seconds() + SECONDS_TO_STOP + _SECONDS_TO_END
        _, hanging = await asyncio.wait([worker.ended for worker in workers], timeout=limit)
        for worker in workers:
            if worker.ended in hanging:
                _log.error("worker_killed", extra={"worker": worker.number, "pid": worker.process.pid})
                worker.kill()
        codes = await asyncio.gather(*(worker.ended for worker in workers))
        return not any(codes)

    @contextlib.asynccontextmanager
    async def _serving_metrics(self, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
        if not sockets:
            yield
            return
        app = build_workers_metrics_app(self._sums, self._restarts, self._ask_for_metrics)
        runner = BoundedRunner(app, shutdown_timeout=0)
        try:
            await runner.setup()
            await listen(runner, self._settings, sockets)
            yield
        finally:
            await runner.cleanup()

    async def _ask_for_metrics(self) -> Mapping[str, Any]:
        """Return the metrics of each worker that answers; those of the installation from the oldest one alone."""
        running = sorted(filter(_Worker.is_running, self._workers.values()), key=lambda each: each.started_at)
        self._sums.forget_all_but([each.id for each in running])
        answers = await asyncio.gather(
            *(worker.ask_for_metrics(with_figures=worker is running[0]) for worker in running)
        )
        return {worker.id: families for worker, families in zip(running, answers, strict=True) if families is not None}
