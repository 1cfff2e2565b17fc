"""Databases in which nothing was created yet, and services without rate limits."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.databases import PostgresServer
from support.installation import PEPPER

from gql_secrets.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, rate_limits="off")


@pytest.fixture
def empty(request: pytest.FixtureRequest, data_dir: Path, kind: str) -> Iterator[Settings]:
    """Settings for a database in which nothing was created yet."""
    if kind == "sqlite":
        yield Settings(data_dir=data_dir, pepper=PEPPER)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create("template1")
    yield Settings(data_dir=data_dir, pepper=PEPPER, database_url=url)
    server.drop(url)
