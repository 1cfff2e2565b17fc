"""The toy schema's endpoint behind a client; no test here needs a database."""

from collections.abc import AsyncGenerator

import pytest
from aiohttp.test_utils import TestClient, TestServer
from support.graphql_http import Client
from support.toy_graphql import Context, make_app

from gql_secrets import pauses
from gql_secrets.graphql_server import completions


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
async def client(context: Context) -> AsyncGenerator[Client]:
    async with TestClient(TestServer(make_app(context=context))) as client:
        yield client


@pytest.fixture(params=[False, True], ids=["", "in pieces"])
def in_pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether there is a pause before each value, and not only where many are completed."""
    if request.param:
        monkeypatch.setattr(completions, "_MAX_VALUES", 0)
        monkeypatch.setattr(pauses, "_ROWS", 1)
        monkeypatch.setattr(pauses, "SLICE_SECONDS", -1.0)
    return bool(request.param)
