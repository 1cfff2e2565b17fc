"""Three processes on one SQLite file: no verification that starts after the answer to a change accepts what ended."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.cluster import NODES, Cluster, Fault, History, Killed, Stopped, Terminated
from support.databases import SqliteTemplate
from support.installation import PEPPER
from support.serving import Serving, start, wait_for_url

from gql_secrets.settings import Settings
from gql_secrets.wiring import Services, open_services

ENDINGS = 8
VERIFICATIONS = 2_000


class Processes(Cluster):
    """Servers on one file. The machine's clock is the database's, and there is no link that could be cut."""

    def __init__(self, url: str, folder: Path, services: Services) -> None:
        self.services = services
        self.history = History()
        self.proxies = []
        self.nodes = []
        self._url = url
        self._folder = folder
        self._asked = {}
        self._stopping = False

    async def begin(self) -> None:
        for number in range(NODES):
            (self._folder / f"node{number}").mkdir()
            self.nodes.append(await self.serve(number))

    async def serve(self, number: int) -> Serving:
        folder = self._folder / f"node{number}"
        data_dir = str(folder / "data")
        process = start(
            folder, "--port", "0", database_url=self._url, pepper=PEPPER, rate_limits="off", data_dir=data_dir
        )
        return Serving(await asyncio.to_thread(wait_for_url, process, folder), process, folder)


class StoppedForAWhile(Stopped):
    """A process that is stopped in the middle of a write holds the one write lock until it goes on."""

    async def begin(self, cluster: Cluster, number: int) -> None:
        await super().begin(cluster, number)
        asyncio.get_running_loop().call_later(1, cluster.nodes[number].process.send_signal, signal.SIGCONT)


@pytest.fixture
async def processes(sqlite_template: SqliteTemplate, data_dir: Path) -> AsyncIterator[Processes]:
    url = sqlite_template.copy_into(data_dir)
    # The changes are made as the command line makes them.
    services = await open_services(
        Settings(data_dir=data_dir / "own", database_url=url, pepper=PEPPER, rate_limits="off")
    )
    made = Processes(url, data_dir, services)
    try:
        await made.begin()
        yield made
    finally:
        await made.stop_nodes()
        await services.close()


async def test_nothing_that_ended_is_accepted_while_processes_stop_and_die(processes: Processes) -> None:
    chance = random.Random(13)  # noqa: S311  the order of the faults is not secret
    faults = (Fault, StoppedForAWhile, Killed, Terminated)
    for _ in range(3):
        await processes.add_bystander()
    history = processes.history
    async with processes.asking(connections=1):
        number = 0
        while number < ENDINGS or len(history.verifications) < VERIFICATIONS:
            await processes.end_one(faults[number % len(faults)](), chance, settle=0.2, after=0.4)
            number += 1
    assert history.accepted_too_late() == []
    assert history.wrongly_refused() == []
    assert history.statuses()[200] > VERIFICATIONS / 10
    assert history.statuses()[401] > 0
    assert all(each.is_effective for each in history.endings)
