"""The server, asked over HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from aiohttp import encode_basic_auth
from aiohttp.test_utils import TestClient
from graphql import OperationType
from support.callers import Made
from support.clocks import Clock
from support.installation import BuildApi

from gql_secrets.api.app import build_app
from gql_secrets.api.keys import SERVICES
from gql_secrets.api.web.aiohttp_internals.server import BoundedRunner, BoundedServer
from gql_secrets.graphql_server.direct import DirectOperation, MadeMutation
from gql_secrets.graphql_server.engine import Engine
from gql_secrets.graphql_server.operations import OperationResult, PreparedOperation
from gql_secrets.graphql_server.plans import Plans
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services


@dataclass(slots=True)
class Answer:
    """What GraphQL said, and by which HTTP status."""

    status: int
    data: dict[str, Any] | None
    errors: list[dict[str, Any]]
    headers: Mapping[str, str]

    @property
    def codes(self) -> list[str]:
        return [error["extensions"]["code"] for error in self.errors]

    def __getitem__(self, field: str) -> Any:
        assert not self.errors, self.errors
        assert self.data is not None
        return self.data[field]


Gql = Callable[..., Awaitable[Answer]]


@pytest.fixture(autouse=True)
def _every_operation_without_plans_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Execute each query a second time by graphql-core alone: compiled queries must give the same result.

    A mutation is made once; then graphql-core alone completes what its resolver returned.
    """
    execute, complete = Engine.execute, DirectOperation._completed
    returned: ContextVar[list[object]] = ContextVar("returned")

    async def note(self: DirectOperation, value: object, info: Any) -> object:
        if self.changes:
            returned.get().append(value)
        return await complete(self, value, info)

    monkeypatch.setattr(DirectOperation, "_completed", note)

    async def execute_both_ways(self: Engine, prepared: PreparedOperation, context: Any) -> OperationResult:
        direct = prepared.operation.direct
        if direct is not None and direct.changes:
            returned.set([])
            result = await execute(self, prepared, context)
            if made_of := returned.get():
                document = replace(prepared.document, plans=cast("Plans", None))
                made = await self._execute(prepared._replace(document=document), context, made=MadeMutation(made_of[0]))
                assert self._result(made, prepared, context) == result
            return result
        result = await execute(self, prepared, context)
        if prepared.kind is OperationType.QUERY:
            document = replace(prepared.document, plans=cast("Plans", None))
            operation = replace(prepared.operation, direct=None)
            assert await execute(self, prepared._replace(document=document, operation=operation), context) == result
        return result

    monkeypatch.setattr(Engine, "execute", execute_both_ways)


@pytest.fixture
async def runner(settings: Settings) -> AsyncIterator[BoundedRunner]:
    """The server on its own connections, for a test that looks into it."""
    runner = BoundedRunner(build_app(settings), shutdown_timeout=1.0)
    await runner.setup()
    yield runner
    await runner.cleanup()


@pytest.fixture
def server(runner: BoundedRunner) -> BoundedServer:
    assert isinstance(runner.server, BoundedServer)
    return runner.server


@pytest.fixture
async def api(aiohttp_client: Any, settings: Settings, clock: Clock) -> AsyncIterator[TestClient[Any, Any]]:
    client: TestClient[Any, Any] = await aiohttp_client(build_app(settings, adjust_clock=clock))
    yield client
    await client.close()  # before the database goes


@pytest.fixture
def services(api: TestClient[Any, Any]) -> Services:
    """The server's own services, so that what a test makes is what the server has."""
    return api.app[SERVICES]


@pytest.fixture
def gql(api: TestClient[Any, Any]) -> Gql:
    """Ask GraphQL as somebody: Strawberry's own test client drops the headers, so everybody would be anonymous."""

    async def ask(query: str, *, as_: Made | None, **variables: Any) -> Answer:
        headers = {"Authorization": encode_basic_auth(as_.id, as_.secret)} if as_ else {}
        async with api.post("/graphql", json={"query": query, "variables": variables}, headers=headers) as response:
            content = await response.json(content_type=None)
            return Answer(response.status, content.get("data"), content.get("errors", []), response.headers)

    return ask


@pytest.fixture
def build_api(aiohttp_client: Any, settings: Settings, clock: Clock) -> BuildApi:
    """Start the server with these settings."""

    async def start(**given: Any) -> Any:
        return await aiohttp_client(build_app(replace(settings, **given), adjust_clock=clock))

    return start
