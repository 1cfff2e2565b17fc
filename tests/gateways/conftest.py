"""A gateway of each kind, with a server and an API behind it."""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import unused_port
from support.gateways import GATEWAYS, PROGRAM, Api, Gateway, Make, Server, running, started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("gql-secrets")
    port = unused_port()
    settings = {
        "GQL_SECRETS_DATA_DIR": str(folder / "data"),
        "GQL_SECRETS_HOST": "127.0.0.1",
        "GQL_SECRETS_PORT": str(port),
        "GQL_SECRETS_TRUSTED_PROXIES": "127.0.0.1",
    }
    with running([PROGRAM, "serve"], port, folder, **settings):
        made = subprocess.run(
            [PROGRAM, "client", "create", "Gateway tests", "--feature", "owner", "--json"],
            env={**os.environ, **settings},
            cwd=folder,
            capture_output=True,
            check=True,
            timeout=60,
        )
        owner = json.loads(made.stdout)
        yield Server(port, aiohttp.encode_basic_auth(owner["clientId"], owner["secret"]))


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


@pytest.fixture(params=GATEWAYS)
def make(request: pytest.FixtureRequest) -> tuple[Make, str]:
    make = GATEWAYS[request.param]
    program = make.program()
    if program is None:
        pytest.skip(f"{request.param} is not installed here ({make.install})")
    return make, program


@pytest.fixture
async def gateway(make: tuple[Make, str], server: Server, api: Api, tmp_path: Path) -> AsyncIterator[Gateway]:
    with started(make, tmp_path, server.port, api) as gateway:
        yield gateway
