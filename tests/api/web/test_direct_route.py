"""`/graphql` is answered without a search for its route, exactly as if there had been one."""

import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from gql_secrets.api.app import build_app
from gql_secrets.api.keys import SERVICES
from gql_secrets.api.web.aiohttp_internals.requests import DIRECT_ROUTE, DirectRoute
from gql_secrets.api.web.aiohttp_internals.server import BoundedRunner
from gql_secrets.settings import Settings

APP = "https://app.example.com"
# A path that only the search finds, and that is the same route.
SEARCHED = "/graphql?a=b"
VIEWER: dict[str, Any] = {"json": {"query": "{ viewer { name } }"}}
CASES: Mapping[str, Mapping[str, Any]] = {
    "query": VIEWER,
    "query of an allowed frontend": VIEWER | {"headers": {"Origin": APP}},
    "query of another site": VIEWER | {"headers": {"Origin": "https://evil.example.com"}},
    "preflight": {"method": "OPTIONS", "headers": {"Origin": APP, "Access-Control-Request-Method": "POST"}},
    "response type": VIEWER | {"headers": {"Accept": "application/graphql-response+json"}},
    "refused field": {"json": {"query": '{ client(clientId: "a") { name } }'}},
    "refused document": {"json": {"query": "{ nothing }"}},
    "not JSON": {"data": b"x", "headers": {"Content-Type": "application/json"}},
    "form": {"data": {"query": "{ viewer { name } }"}},
    "encoded body": {"data": b"x", "headers": {"Content-Encoding": "gzip"}},
    "invalid credentials": VIEWER | {"headers": {"Authorization": "Basic eDp5"}},
    "unknown scheme": VIEWER | {"headers": {"Authorization": "Digest x"}},
    "explorer": {"method": "GET", "headers": {"Accept": "text/html"}},
    "explorer by another name": {"method": "GET", "headers": {"Accept": "text/html", "Host": "evil.example.com"}},
    "nothing": {"method": "DELETE"},
    "expectation": VIEWER | {"expect100": True},
}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


@pytest.fixture
async def runner(settings: Settings) -> AsyncIterator[BoundedRunner]:
    runner = BoundedRunner(build_app(replace(settings, allowed_origins=APP)), shutdown_timeout=1.0)
    await runner.setup()
    yield runner
    await runner.cleanup()


@pytest.fixture
async def session(runner: BoundedRunner) -> AsyncIterator[aiohttp.ClientSession]:
    port = unused_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    # The host of every request is the same, so that only the path differs.
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session


async def ask(session: aiohttp.ClientSession, path: str, given: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the answer, but for what differs between any two requests."""
    own = {"x-request-id", "date"}
    rest = {name: value for name, value in given.items() if name != "method"}
    async with session.request(given.get("method", "POST"), path, **rest) as answer:
        headers = sorted((name.lower(), value) for name, value in answer.headers.items())
        assert own <= {name for name, _ in headers}
        headers = [(name, value) for name, value in headers if name not in own]
        body = (await answer.text()).replace(answer.headers["X-Request-Id"], "")
        return answer.status, headers, body


@pytest.mark.parametrize("case", CASES)
async def test_an_answer_is_the_same_as_with_a_search_for_the_route(
    session: aiohttp.ClientSession, runner: BoundedRunner, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gql_secrets.api.web.middleware")
    given = CASES[case]
    searched = await ask(session, SEARCHED, given)
    direct = await ask(session, "/graphql", given)
    assert direct == searched

    lines = [record.__dict__ for record in caplog.records if record.message == "request"]
    varying = ("ms", "request_id", "created", "msecs", "relativeCreated", "taskName")
    one, other = ({name: value for name, value in line.items() if name not in varying} for line in lines)
    assert one == other
    assert runner.app[DIRECT_ROUTE].path == "/graphql"


async def test_only_the_path_itself_takes_the_direct_route(
    session: aiohttp.ClientSession, runner: BoundedRunner
) -> None:
    paths: list[str] = []
    route = runner.app[DIRECT_ROUTE]

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        paths.append(request.raw_path)
        return await route.answer(request)

    server: Any = runner.server
    server.direct_route = DirectRoute(route.path, answer)
    for path in ("/graphql", SEARCHED, "/graphql/", "/Graphql", "/readyz", "/"):
        async with session.get(path) as response:
            assert response.status in {200, 400, 404}
    assert paths == ["/graphql"]


async def test_callers_sign_in_over_the_direct_route(session: aiohttp.ClientSession, runner: BoundedRunner) -> None:
    owner = runner.app[SERVICES].first_owner
    assert owner is not None
    headers = {"Authorization": aiohttp.encode_basic_auth(owner.client.client_id, owner.secret.reveal())}
    for _ in range(2):
        status, _, body = await ask(session, "/graphql", VIEWER | {"headers": headers})
        assert (status, body) == (200, f'{{"data":{{"viewer":{{"name":"{owner.client.client_id}"}}}}}}')
