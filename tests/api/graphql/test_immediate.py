"""Operations that begin as soon as they arrive are answered exactly as by the application's handler."""

import asyncio
import base64
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import encode_basic_auth, web
from aiohttp.test_utils import unused_port
from support.callers import ADMIN, DAY, Made, is_good
from support.sockets import until

from gql_secrets.api.graphql.types.client import Client
from gql_secrets.api.keys import COUNTERS, GRAPHQL, SERVICES
from gql_secrets.api.web.aiohttp_internals.server import BoundedRunner, BoundedServer
from gql_secrets.domain.credentials import PlaintextSecret
from gql_secrets.graphql_server.engine import Engine
from gql_secrets.graphql_server.operations import OperationResult, PreparedOperation
from gql_secrets.settings import Settings
from gql_secrets.storage.dialect import MustAwait
from gql_secrets.storage.postgres.memory_lookup import MemoryLookup
from gql_secrets.wiring import Services

APP = "https://app.example.com"
VIEWER = "query Who { viewer { name } }"
TYPENAME = "{ __typename }"
ONE_CLIENT = "query ($id: ID!) { client(clientId: $id) { clientId name createdAt currentSecret { hint } } }"
WHOLE_CLIENT = """
    query ($id: ID!) { client(clientId: $id) {
        id clientId name description enabled createdAt generation selfReset contact maximumAgeDays features
        effectiveMaximumAgeDays rotationDueAt inRollover viewerCanResetSecret viewerCanSmoothReset viewerCanEdit
        viewerCanRevokeOldSecret labels
        currentSecret { ...secret } oldSecret { ...secret }
    } }
    fragment secret on ClientSecret {
        id hint isWeak state createdAt createdBy createdByName replacedAt expiresAt firstUsedAt endedAt endReason
    }
"""
KNOWN = {"Authorization": "owner"}

# The body, or its content as JSON, and the headers. Each is asked in both ways.
Case = tuple[Any, Mapping[str, str]]
NOW: Mapping[str, Case] = {
    "type name": ({"query": TYPENAME}, KNOWN),
    "viewer": ({"query": VIEWER, "operationName": "Who", "variables": {"a": 1}}, KNOWN),
    "alias": ({"query": "{ me: viewer { id: name } }"}, KNOWN),
    "old secret": ({"query": VIEWER}, {"Authorization": "old"}),
    "response type": ({"query": VIEWER}, {**KNOWN, "Accept": "application/graphql-response+json"}),
    "frontend": ({"query": VIEWER}, {**KNOWN, "Origin": APP, "Sec-Fetch-Site": "cross-site"}),
    "another site": ({"query": VIEWER}, {**KNOWN, "Origin": "https://evil.example.com"}),
    "its own id": ({"query": VIEWER}, {**KNOWN, "X-Request-Id": "own-id-of-a-proxy"}),
    "forwarded": ({"query": VIEWER}, {**KNOWN, "X-Forwarded-For": "192.0.2.7", "User-Agent": "a"}),
    "trace": ({"query": VIEWER}, {**KNOWN, "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}),
    "cookie": ({"query": VIEWER}, {**KNOWN, "Cookie": "a=b"}),
    "too many variables": ({"query": VIEWER, "variables": {"a": list(range(2000))}}, KNOWN),
    "accepts gzip": ({"query": VIEWER}, {**KNOWN, "Accept-Encoding": "gzip"}),
}
# Begun on arrival, and awaited by the connection.
BEGUN: Mapping[str, Case] = {
    "awaits": ({"query": "{ clients { totalCount } }"}, KNOWN),
    "two fields": ({"query": "{ __typename viewer { name } }"}, KNOWN),
    "mutation": ({"query": "mutation { signOut { signedOut } }"}, KNOWN),
    "mutation of nothing": ({"query": "mutation { __typename }"}, KNOWN),
    "no such client": ({"query": '{ client(clientId: "a") { name } }'}, KNOWN),
    "no client id": ({"query": '{ client(clientId: "a b") { name } }'}, KNOWN),
    "one client": ({"query": ONE_CLIENT, "variables": {"id": "owner"}}, KNOWN),
    "one client, compressed": (
        {"query": WHOLE_CLIENT, "variables": {"id": "owner"}},
        {**KNOWN, "Accept-Encoding": "gzip"},
    ),
    "client id as a number": ({"query": ONE_CLIENT, "variables": {"id": 1}}, KNOWN),
    "forbidden client": ({"query": ONE_CLIENT, "variables": {"id": "owner"}}, {"Authorization": "guest"}),
    "list, compressed": (
        {"query": "{ clients { nodes { id name createdAt } } }"},
        {**KNOWN, "Accept-Encoding": "gzip"},
    ),
    "failing field": ({"query": "{ clients(first: 101) { totalCount } }"}, KNOWN),
    "forbidden": ({"query": "{ viewer { name } clients { totalCount } }"}, {"Authorization": "guest"}),
}
LATER: Mapping[str, Case] = {
    "anonymous": ({"query": VIEWER}, {}),
    "wrong secret": ({"query": VIEWER}, {"Authorization": "wrong"}),
    "another scheme": ({"query": VIEWER}, {"Authorization": "Digest x"}),
    "another address": ({"query": VIEWER}, {"Authorization": "restricted"}),
    "unclear address": ({"query": VIEWER}, {**KNOWN, "X-Forwarded-For": "x"}),
    "acting user": ({"query": VIEWER}, {**KNOWN, "X-Acting-User": "ada"}),
    "acting role": ({"query": VIEWER}, {**KNOWN, "X-Acting-Role": "ADMIN"}),
    "subscription": ({"query": "subscription { __typename }"}, KNOWN),
    "no such field": ({"query": "{ nothing }"}, KNOWN),
    "no such operation": ({"query": VIEWER, "operationName": "What"}, KNOWN),
    "no query": ({}, KNOWN),
    "list": ([{"query": VIEWER}], KNOWN),
    "not JSON": (b"x", KNOWN),
    "empty": (b"", KNOWN),
    "form": (b"query=x", {**KNOWN, "Content-Type": "application/x-www-form-urlencoded"}),
    "encoded": ({"query": VIEWER}, {**KNOWN, "Content-Encoding": "gzip"}),
    "long": ({"query": VIEWER, "variables": {"a": "x" * 140_000}}, KNOWN),
    "accepts nothing": ({"query": VIEWER}, {**KNOWN, "Accept": "text/plain"}),
    "event stream": ({"query": VIEWER}, {**KNOWN, "Accept": "text/event-stream"}),
    "upgrade": ({"query": VIEWER}, {**KNOWN, "Upgrade": "websocket"}),
    "expectation": ({"query": VIEWER}, {**KNOWN, "Expect": "anything"}),
}


@pytest.fixture(autouse=True)
def _every_operation_without_plans_too() -> None:
    """Here each query is executed once: what the server counts is compared."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, allowed_origins=APP, trusted_proxies="127.0.0.1")


@pytest.fixture
async def basic(runner: BoundedRunner) -> Mapping[str, str]:
    """The values of `Authorization` by their names in the cases; each secret was used before."""
    services = runner.app[SERVICES]
    owner, restricted = await make(services), await make(services)
    await services.clients.update_client(restricted.id, allow_list=["192.0.2.1"], by=ADMIN)
    current = (await services.rotation.reset_secret(owner.id, DAY, by=ADMIN)).new_secret.reveal()
    made = {
        "owner": Made(owner.id, current),
        "old": owner,
        "wrong": Made(owner.id, PlaintextSecret.mint().reveal()),
        "restricted": restricted,
        "guest": await make(services, "login_client"),
    }
    await is_good(services, owner.id, current)
    lookup = services.lookup
    if isinstance(lookup, MemoryLookup):  # the next poll forgets these clients once more
        await until(lambda: lookup._memory.newest_own is None)
    return {name: encode_basic_auth(each.id, each.secret) for name, each in made.items()}


@pytest.fixture
def owner_id(basic: Mapping[str, str]) -> str:
    return base64.b64decode(basic["owner"].removeprefix("Basic ")).decode().partition(":")[0]


async def make(services: Services, feature: str = "owner") -> Made:
    made = await services.clients.create_client("Owner", features=[feature], by=ADMIN)
    client = Made(made.client.client_id, made.secret.reveal())
    assert await is_good(services, client.id, client.secret)
    return client


Ask = Callable[[Case], Coroutine[Any, Any, bytes]]


@pytest.fixture
async def ask(runner: BoundedRunner, basic: Mapping[str, str], owner_id: str) -> Ask:
    """Ask on one connection, which a refusal may end; return the whole answer but for what no two have in common."""
    port, lookup = unused_port(), runner.app[SERVICES].lookup
    await web.TCPSite(runner, "127.0.0.1", port).start()

    async def answer(case: Case) -> bytes:
        content, headers = case
        if isinstance(content, dict) and content.get("variables") == {"id": "owner"}:
            content = {**content, "variables": {"id": owner_id}}
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        given = {"Host": "a", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        if "Authorization" in given:
            given["Authorization"] = basic.get(given["Authorization"], given["Authorization"])
        lines = [f"{name}: {value}\r\n" for name, value in given.items()]
        while not lookup.is_current():  # noqa: ASYNC110  on a busy machine, a node may lose its lease for a moment
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"POST /graphql HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        length = re.search(rb"(?i)content-length: (\d+)", head)
        whole = head + (await reader.readexactly(int(length[1])) if length else await reader.read())
        writer.close()
        # In another order: what matters is which lines there are.
        varying = re.sub(rb'(?i)(date: |x-request-id: |"requestId":")[^\r"]+', rb"\1-", whole)
        head, _, body = varying.partition(b"\r\n\r\n")
        return b"\n".join([*sorted(head.lower().split(b"\r\n")), body])

    return answer


def in_tasks(server: BoundedServer, monkeypatch: pytest.MonkeyPatch) -> list[web.BaseRequest]:
    """Return where the requests appear that aiohttp's task answers."""
    found: list[web.BaseRequest] = []
    respond = server._respond

    async def note_and_respond(request: web.BaseRequest) -> web.StreamResponse:
        found.append(request)
        return await respond(request)

    monkeypatch.setattr(server, "_respond", note_and_respond)
    return found


def counted_by(runner: BoundedRunner, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return where it appears what the server counts: uses, attempts, failures, and outcomes of operations."""
    found: list[object] = []
    services, operations = runner.app[SERVICES], runner.app[COUNTERS].operations

    def note(owner: object, name: str) -> None:
        count = getattr(owner, name)

        def note_and_count(*given: object) -> object:
            found.append((name, given[0]))
            return count(*given)

        monkeypatch.setattr(owner, name, note_and_count)

    for name in ("used", "refused", "refused_unknown"):
        note(services.usage, name)
    note(services.limits, "failed")
    monkeypatch.setattr(operations, "counts", Noted(found))
    return found


class Noted(Counter[tuple[str, str]]):
    """Counts, and notes what."""

    def __init__(self, found: list[object]) -> None:
        super().__init__()
        self.found = found

    def __setitem__(self, key: tuple[str, str], count: int) -> None:
        self.found.append(key)
        super().__setitem__(key, count)


def lines_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    varying = ("ms", "request_id", "created", "msecs", "relativeCreated", "taskName")
    lines = [record.__dict__ for record in caplog.records if record.message == "request"]
    return [{name: value for name, value in line.items() if name not in varying} for line in lines]


@pytest.mark.parametrize("name", [*NOW, *BEGUN, *LATER])
async def test_the_answer_the_log_and_the_counts_are_those_of_the_handler(
    server: BoundedServer,
    runner: BoundedRunner,
    ask: Ask,
    name: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = {**NOW, **BEGUN, **LATER}[name]
    caplog.set_level(logging.INFO, "gql_secrets.api.web.middleware")
    await ask((case[0], KNOWN))  # its document is known now
    await ask(case)
    caplog.clear()
    answered_later = in_tasks(server, monkeypatch)

    counted = counted_by(runner, monkeypatch)
    now = await ask(case)
    counted_now = counted[:]
    assert bool(answered_later) == (name in LATER)
    assert server.direct_route is not None
    server.direct_route = server.direct_route._replace(begin=None)
    handled = await ask(case)

    assert now == handled
    assert counted == counted_now * 2
    one, other = lines_of(caplog) if name != "expectation" else ({}, {})
    assert one == other


async def test_a_document_is_read_by_the_handler_until_it_is_kept(
    server: BoundedServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered_later = in_tasks(server, monkeypatch)
    first, second, third = [await ask(NOW["viewer"]) for _ in range(3)]
    assert first == second == third
    assert len(answered_later) == 2


async def test_a_client_is_read_without_a_task_unless_something_is_in_the_way(
    runner: BoundedRunner, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite answers faster than a task begins, and PostgreSQL's answer is all that is awaited."""
    executed: list[str | None] = []
    execute, dialect = Engine.execute, runner.app[SERVICES].database.dialect

    async def note(self: Engine, prepared: PreparedOperation, context: Any) -> OperationResult:
        executed.append(prepared.operation.name)
        return await execute(self, prepared, context)

    case = BEGUN["one client"]
    answer = await ask(case)
    assert b'"hint"' in answer
    await ask(case)  # its document is kept now
    monkeypatch.setattr(Engine, "execute", note)
    assert await ask(case) == answer
    assert executed == []

    # Where another process holds SQLite's lock, or a connection must be waited for or made.
    monkeypatch.setattr(type(dialect), "fetch_now", raise_must_await)
    monkeypatch.setattr(type(dialect), "has_idle_connection", lambda _: False)
    assert await ask(case) == answer
    assert len(executed) == 1
    assert len(runner.app[GRAPHQL].engine.turns) == 0


def raise_must_await(*_: object) -> None:
    raise MustAwait


async def test_reads_of_one_caller_run_one_at_a_time(
    runner: BoundedRunner, ask: Ask, owner_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = BEGUN["one client"]
    for _ in range(2):
        await ask(case)  # its document is kept now
    events: list[str] = []
    find, engine = Client.find_alone, runner.app[GRAPHQL].engine

    async def note(*given: Any) -> Client | None:
        events.append("begins")
        await asyncio.sleep(0.01)  # makes no difference: others would begin
        found = await find(*given)
        events.append("ends")
        return found

    monkeypatch.setattr(Client, "find_alone", note)
    monkeypatch.setattr(Client, "find_now", raise_must_await)
    turn_key = f"api_client:{owner_id}"
    async with engine.turns.take(turn_key):
        reads = [asyncio.create_task(ask(case)) for _ in range(4)]
        await until(lambda: len(engine.turns._queues[turn_key]) == len(reads))
        assert events == []
    answers = await asyncio.gather(*reads)
    assert events == ["begins", "ends"] * 4
    assert len(set(answers)) == 1
    assert len(engine.turns) == 0


async def test_a_read_whose_response_cannot_be_made_is_answered_500_and_the_next_one_as_usual(
    runner: BoundedRunner, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = BEGUN["one client"]
    answer = [await ask(case) for _ in range(3)][-1]
    with monkeypatch.context() as broken:
        broken.setattr("gql_secrets.api.graphql.immediate.whole_response", raise_must_await)
        broken.setattr("gql_secrets.api.graphql.entry.api_response", raise_must_await)
        if not runner.app[SERVICES].database.dialect.reads_now:  # SQLite's is made by the handler then
            assert b" 500 internal server error" in await ask(case)
    assert await ask(case) == answer


async def test_a_read_that_fails_is_answered_503_and_the_next_one_as_usual(
    runner: BoundedRunner, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, dialect = BEGUN["one client"], runner.app[SERVICES].database.dialect
    answer = [await ask(case) for _ in range(3)][-1]

    async def fail(*_: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as broken:
        broken.setattr(type(dialect), "fetch_now", raise_must_await)
        broken.setattr(type(dialect), "fetch_quickly", fail)
        failed = await ask(case)
    assert b" 503 service unavailable" in failed
    assert b'"UNAVAILABLE"' in failed
    assert await ask(case) == answer


async def test_a_query_waits_for_the_turn_of_its_caller(runner: BoundedRunner, ask: Ask, owner_id: str) -> None:
    """While another operation of the same caller runs, this one does not overtake it."""
    for _ in range(2):
        await ask(NOW["viewer"])  # its document is kept now
    turns = runner.app[GRAPHQL].engine.turns
    async with turns.take(f"api_client:{owner_id}"):
        asked = asyncio.create_task(ask(NOW["viewer"]))
        await asyncio.sleep(0.1)
        assert not asked.done()
    assert b" 200 ok" in await asked
    assert len(turns) == 0


async def test_a_secret_is_refused_as_soon_as_it_has_ended(runner: BoundedRunner, ask: Ask, owner_id: str) -> None:
    for name in ("old secret", "viewer", "old secret"):
        assert b" 200 ok" in await ask(NOW[name])

    await runner.app[SERVICES].rotation.revoke_old_secret(owner_id, by=ADMIN)
    assert b" 401 unauthorized" in await ask(NOW["old secret"])
    assert b" 200 ok" in await ask(NOW["viewer"])

    await runner.app[SERVICES].clients.set_client_enabled(owner_id, enabled=False, by=ADMIN)
    assert b" 401 unauthorized" in await ask(NOW["viewer"])
