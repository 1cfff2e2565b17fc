"""Three servers on one PostgreSQL, what goes wrong around them, and a history of what they answered.

Each server reaches the database through a proxy of its own, and has its own wall clock: one is right, one is an hour
ahead, one an hour behind.
"""

import asyncio
import base64
import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from gql_secrets.wiring import Services
from support.callers import ADMIN, DAY, HARD, Made
from support.databases import PostgresServer, name_in, postmaster_in
from support.installation import PEPPER
from support.processes import children_of
from support.serving import Serving, start, wait_for_url
from support.standbys import PROGRAMS, Standby, socket_of, url_on

NODES = 3
HOUR = 3600
# Python's own hook for what must run before a program: this server's wall clock is wrong.
WRONG_CLOCK = """
import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + {0}
time.time_ns = lambda: _time_ns() + {0} * 1_000_000_000
"""


@dataclass(slots=True)
class Verification:
    """One question to `/verify` and its answer; 0 where the server broke the connection."""

    secret: Made
    node: int
    began: float
    status: int


@dataclass(slots=True)
class Ending:
    """An ended secret, and when its end was acknowledged."""

    secret: Made
    began: float
    acknowledged: float
    fault: str
    is_effective: bool | None


@dataclass(slots=True)
class History:
    """What was asked and answered. Times are of one clock: that of the process that asks."""

    verifications: list[Verification] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)

    def accepted_too_late(self) -> list[tuple[Ending, Verification]]:
        """Return the verifications that began after an acknowledgement and were accepted all the same."""
        endings = {ending.secret.secret: ending for ending in self.endings if ending.is_effective is not False}
        return [
            (endings[each.secret.secret], each)
            for each in self.verifications
            if each.status == 200
            and each.secret.secret in endings
            and each.began > endings[each.secret.secret].acknowledged
        ]

    def wrongly_refused(self) -> list[Verification]:
        """Return the answers about a valid secret that are neither 200 nor 503."""
        return [
            each for each in self.verifications if each.secret.secret in self.valid and each.status not in (0, 200, 503)
        ]

    def statuses(self) -> Counter[int]:
        return Counter(each.status for each in self.verifications)

    def seconds_to_acknowledge(self, fault: str) -> list[float]:
        """Return how long the changes took during this fault, in ascending order."""
        return sorted(each.acknowledged - each.began for each in self.endings if each.fault == fault)


class Proxy:
    """A proxy between one server and the database. While it is cut, it takes everything and passes nothing on."""

    def __init__(self, directory: str, folder: Path, *, delay: float = 0) -> None:
        self._delay = delay
        self._target = f"{directory}/.s.PGSQL.5432"
        self.folder = folder
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self.folder.mkdir()
        self._server = await asyncio.start_unix_server(self._serve, self.folder / ".s.PGSQL.5432")

    def lead_to(self, directory: str) -> None:
        """Lead new connections to the server with this socket, and break those to the one before."""
        self._target = f"{directory}/.s.PGSQL.5432"
        self._break_all()

    def cut(self) -> None:
        self._is_open.clear()

    def heal(self, *, keep: bool) -> None:
        """Pass on what waited, or break the connections of before."""
        if not keep:
            self._break_all()
        self._is_open.set()

    def _break_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.heal(keep=False)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._is_open.wait()
            other_reader, other_writer = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(other_writer)
        await asyncio.gather(self._pass(reader, other_writer), self._pass(other_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._is_open.wait()
                await asyncio.sleep(self._delay)
                writer.write(data)
                await writer.drain()
        self._writers.discard(writer)
        writer.transport.abort()


class Cluster:
    """The servers, their proxies and their database."""

    def __init__(
        self,
        server: PostgresServer,
        url: str,
        folder: Path,
        services: Services,
        link: Proxy | None = None,
        *,
        is_one_deaf: bool = True,
    ) -> None:
        """Prepare it.

        Args:
            server: where the database is at first.
            url: the database there.
            folder: where the servers have their files.
            services: what makes the changes.
            link: the proxy between these and the database; the database can fail over only with one.
            is_one_deaf: whether one of the servers never hears a notification.
        """
        self.services = services
        self.history = History()
        self._database: PostgresServer | Standby = server
        self._link = link
        self._url = url
        self._folder = folder
        self._is_one_deaf = is_one_deaf
        self.proxies = [Proxy(socket_of(url), folder / f"link{number}") for number in range(NODES)]
        self.nodes: list[Serving] = []
        self._asked: dict[str, Made] = {}
        self._stopping = False

    async def begin(self) -> None:
        for proxy in self.proxies:
            await proxy.start()
        for number in range(NODES):
            (self._folder / f"node{number}").mkdir()
            (self._folder / f"clock{number}").mkdir()
            error = (0, HOUR, -HOUR)[number]
            (self._folder / f"clock{number}" / "sitecustomize.py").write_text(WRONG_CLOCK.format(error))
            self.nodes.append(await self.serve(number))

    async def serve(self, number: int) -> Serving:
        """Start a server."""
        folder = self._folder / f"node{number}"
        settings = {
            "database_url": url_on(self._url, str(self.proxies[number].folder)),
            "pepper": PEPPER,
            "verify_from": "memory",
            "rate_limits": "off",
            "data_dir": str(folder / "data"),
        }
        if number == 2 and self._is_one_deaf:
            settings["statement_cache_size"] = "0"
        process = start(folder, "--port", "0", source=self._folder / f"clock{number}", **settings)
        return Serving(await asyncio.to_thread(wait_for_url, process, folder), process, folder)

    async def close(self) -> None:
        await self.stop_nodes()
        if isinstance(self._database, Standby):
            await asyncio.to_thread(self._database.stop)

    async def stop_nodes(self) -> None:
        self._stopping = True
        for node in self.nodes:
            node.process.kill()
            await asyncio.to_thread(node.process.wait)
        for proxy in self.proxies:
            await proxy.close()

    @contextlib.asynccontextmanager
    async def asking(self, connections: int) -> AsyncIterator[None]:
        """Ask every server about every secret of the moment, over some connections each, as fast as they answer."""
        self._stopping = False
        tasks = [asyncio.create_task(self._ask(number)) for number in range(NODES) for _ in range(connections)]
        try:
            yield
        finally:
            self._stopping = True
            _, hanging = await asyncio.wait(tasks, timeout=30)
            for task in hanging:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result

    async def _ask(self, number: int) -> None:
        while not self._stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.nodes[number].port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            try:
                while not self._stopping:
                    if not self._asked:
                        await asyncio.sleep(0.01)
                    for secret in list(self._asked.values()):
                        await self._verify(number, secret, reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.transport.abort()

    async def _verify(
        self, number: int, secret: Made, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        basic = base64.b64encode(f"{secret.id}:{secret.secret}".encode()).decode()
        began = time.monotonic()
        writer.write(f"GET /verify HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {basic}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        self.history.verifications.append(Verification(secret, number, began, int(head[9:12])))

    async def add_bystander(self) -> None:
        """Ask about a secret that is valid the whole time."""
        made = await self.services.clients.create_client("Bystander", by=ADMIN)
        client = Made(made.client.client_id, made.secret.reveal())
        self._asked[client.secret] = client
        self.history.valid.add(client.secret)

    async def end_one(self, fault: "Fault", chance: random.Random, *, settle: float = 0.3, after: float = 1.3) -> None:
        """End a secret that every server remembers, while something goes wrong."""
        made = await self.services.clients.create_client("Shop", by=ADMIN)
        client = Made(made.client.client_id, made.secret.reveal())
        self._asked[client.secret] = client
        await asyncio.sleep(settle)  # it is used, and remembered
        way = chance.choice(("hard", "revoke", "disable"))
        if way == "revoke":
            await self.services.rotation.reset_secret(client.id, DAY, by=ADMIN)
            await asyncio.sleep(settle)
        number = chance.randrange(NODES)
        await fault.begin(self, number)
        began = time.monotonic()
        try:
            effect = await self._end(client.id, way)
        except Exception as error:
            error.add_note(f"while this was wrong: {fault.name}")
            raise
        acknowledged = time.monotonic()
        self.history.endings.append(Ending(client, began, acknowledged, fault.name, effect))
        await asyncio.sleep(after / 2)
        await fault.end(self, number, chance)
        await asyncio.sleep(after / 2)
        del self._asked[client.secret]

    async def _end(self, client_id: str, way: str) -> bool | None:
        """End it until there is an answer: the database may be gone for a while."""
        deadline = time.monotonic() + 60
        while True:
            try:
                if way == "revoke":
                    return (await self.services.rotation.revoke_old_secret(client_id, by=ADMIN)).effect.everywhere
                if way == "hard":
                    return (await self.services.rotation.reset_secret(client_id, HARD, by=ADMIN)).effect.everywhere
                return (
                    await self.services.clients.set_client_enabled(client_id, enabled=False, by=ADMIN)
                ).effect.everywhere
            except Exception:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)

    def pids_of_database(self) -> list[int]:
        """The processes of PostgreSQL, the first one first."""
        first = postmaster_in(self._database.directory)
        return [first, *children_of(first)]

    def signal_database(self, number: int) -> None:
        for pid in self.pids_of_database():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def cut_database(self) -> None:
        self._database.execute(
            f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name_in(self._url)}'"  # noqa: S608
        )

    def add_standby(self) -> Standby:
        standby = Standby(self._database)
        standby.be_synchronous()
        return standby

    def use(self, standby: Standby) -> None:
        """Let every proxy lead to the standby of a primary that crashed for good."""
        assert self._link is not None
        if isinstance(self._database, Standby):
            self._database.remove()
        self._database = standby
        for proxy in (*self.proxies, self._link):
            proxy.lead_to(socket_of(standby.url_of("postgres")))

    def restart_database(self) -> None:
        directory = self._database.directory
        owner = {} if directory.owner() == Path("/proc/self").owner() else {"user": directory.owner()}
        subprocess.run(
            [PROGRAMS / "pg_ctl", "-D", directory, "-m", "fast", "-l", directory / "log", "-w", "restart"],
            cwd=directory, check=True, stdout=subprocess.DEVNULL, **owner,
        )  # type: ignore[call-overload]  # fmt: skip


class Fault:
    """Something that goes wrong from before an ending until some time after it."""

    name = "none"

    async def begin(self, cluster: Cluster, number: int) -> None:
        """Nothing happens."""

    async def end(self, cluster: Cluster, number: int, chance: random.Random) -> None:
        """Nothing happened."""


class Stopped(Fault):
    name = "node stopped"

    async def begin(self, cluster: Cluster, number: int) -> None:
        cluster.nodes[number].process.send_signal(signal.SIGSTOP)

    async def end(self, cluster: Cluster, number: int, chance: random.Random) -> None:
        del chance
        cluster.nodes[number].process.send_signal(signal.SIGCONT)


class Killed(Fault):
    name = "node killed"

    async def begin(self, cluster: Cluster, number: int) -> None:
        cluster.nodes[number].process.kill()

    async def end(self, cluster: Cluster, number: int, chance: random.Random) -> None:
        del chance
        await asyncio.to_thread(cluster.nodes[number].process.wait)
        cluster.nodes[number] = await cluster.serve(number)


class Terminated(Killed):
    name = "node terminated"

    async def begin(self, cluster: Cluster, number: int) -> None:
        cluster.nodes[number].process.terminate()


class Cut(Fault):
    name = "link cut"

    async def begin(self, cluster: Cluster, number: int) -> None:
        cluster.proxies[number].cut()

    async def end(self, cluster: Cluster, number: int, chance: random.Random) -> None:
        cluster.proxies[number].heal(keep=chance.random() < 0.5)


class ConnectionsCut(Fault):
    name = "connections ended"

    async def begin(self, cluster: Cluster, number: int) -> None:
        del number
        await asyncio.to_thread(cluster.cut_database)


class DatabasePaused(Fault):
    name = "database paused"

    async def begin(self, cluster: Cluster, number: int) -> None:
        del number
        cluster.signal_database(signal.SIGSTOP)
        self._resuming = asyncio.create_task(self._resume(cluster))

    async def _resume(self, cluster: Cluster) -> None:
        await asyncio.sleep(1.2)
        cluster.signal_database(signal.SIGCONT)

    async def end(self, cluster: Cluster, number: int, chance: random.Random) -> None:
        del cluster, number, chance
        await self._resuming


class DatabaseRestarted(Fault):
    name = "database restarted"

    async def begin(self, cluster: Cluster, number: int) -> None:
        del number
        await asyncio.to_thread(cluster.restart_database)


class FailedOver(Fault):
    """The primary crashes, and its standby is promoted half a second later: it answers as a standby until then."""

    name = "failed over"

    async def begin(self, cluster: Cluster, number: int) -> None:
        del number
        standby = await asyncio.to_thread(cluster.add_standby)
        await asyncio.to_thread(standby.stop_primary)
        cluster.use(standby)
        self._promoting = asyncio.create_task(self._promote(standby))

    async def _promote(self, standby: Standby) -> None:
        await asyncio.sleep(0.5)
        await asyncio.to_thread(standby.promote)

    async def end(self, cluster: Cluster, number: int, chance: random.Random) -> None:
        del cluster, number, chance
        await self._promoting


FAULTS: tuple[Callable[[], Fault], ...] = (
    Fault, Stopped, Cut, Killed, Fault, ConnectionsCut, Terminated, Cut, Stopped, DatabasePaused, DatabaseRestarted,
)  # fmt: skip
# A new standby takes seconds, so only the long run has them.
SLOW_FAULTS: tuple[Callable[[], Fault], ...] = (*FAULTS, FailedOver)
