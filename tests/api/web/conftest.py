"""A server on a port of its own."""

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from gql_secrets.api.web.aiohttp_internals.server import BoundedRunner


@pytest.fixture
async def port(runner: BoundedRunner) -> int:
    port = unused_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return port
