"""Running commands of the command line in this process, and asking the services about the results."""

import errno
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from gql_secrets.commands import output
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services, open_services
from support.callers import is_good
from support.databases import apart

T = TypeVar("T")

# A test with this mark runs its commands on the database and against a server.
BOTH_WAYS = pytest.mark.parametrize("where", ["local", "remote"], indirect=True)
# One with this mark runs them against a server only.
REMOTELY = pytest.mark.parametrize("where", ["remote"], indirect=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


RunCommand = Callable[..., Outcome]


class FullDisk(output._Stdout):
    """Stdout that becomes full after it was checked."""

    def write(self, text: str) -> int:
        del text
        raise self._lost(OSError(errno.ENOSPC, "No space left on device"))


def ask_services(settings: Settings, work: Callable[[Services], Awaitable[T]]) -> T:
    """Do this with services of their own, next to those of the command."""

    async def ask() -> T:
        services = await open_services(settings)
        try:
            return await work(services)
        finally:
            await services.close()

    return apart(ask())


def are_valid(settings: Settings, client_id: str, *secrets: str) -> list[bool]:
    async def work(services: Services) -> list[bool]:
        return [await is_good(services, client_id, secret) for secret in secrets]

    return ask_services(settings, work)


def create(run: RunCommand, name: str = "Shop", *arguments: str) -> dict[str, str]:
    outcome = run("client", "create", name, *arguments, "--json")
    assert outcome.code == 0, outcome.err
    return dict(outcome.data)


def owner_of(run: RunCommand) -> str:
    [owner] = run("client", "list", "--search", "First owner", "--json").data
    return str(owner["clientId"])


def revision(run: RunCommand) -> int:
    return int(run("db", "check", "--json").data["revision"])
