"""The toy schema's endpoint behind a client; no test here needs a database."""

from collections.abc import AsyncGenerator

import pytest
from aiohttp.test_utils import TestClient, TestServer
from support.graphql_http import Client
from support.toy_graphql import Context, make_app


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
async def client(context: Context) -> AsyncGenerator[Client]:
    async with TestClient(TestServer(make_app(context=context))) as client:
        yield client
