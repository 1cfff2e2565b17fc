"""What the services are asked without limits: a test may reset one client as often as it likes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.databases import temporary_directory
from support.installation import OpenNode

from gql_secrets.settings import Settings
from gql_secrets.wiring import Services


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, rate_limits="off")


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_directory() as directory:
        yield Path(directory)


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, settings: Settings, folder: Path) -> Settings:
    """An empty, migrated database of either kind, other than the one of the services."""
    if request.param == "sqlite":
        return replace(settings, database_url=request.getfixturevalue("sqlite_template").copy_into(folder))
    server = request.getfixturevalue("postgres_server")
    url = server.create()
    request.addfinalizer(lambda: server.drop(url))  # noqa: PT021  where the fixture is asked for
    return replace(settings, database_url=url)


@pytest.fixture
async def other_node(open_node: OpenNode, services: Services) -> Services:
    """Another process on the same database: it sees what is written, and nothing else."""
    del services
    return await open_node()
