"""One operation of a caller runs at a time, and a long one lets others run."""

import asyncio
from typing import Any

import pytest
import strawberry
from graphql import ExecutionResult, Undefined, parse
from strawberry.execution import optimized_is_awaitable
from support.graphql_http import Client, content_of, post
from support.toy_graphql import Context, make_endpoint

from gql_secrets import pauses
from gql_secrets.graphql_server.engine import Engine
from gql_secrets.graphql_server.operations import OperationResult
from gql_secrets.graphql_server.requests import GraphQLRequest
from gql_secrets.graphql_server.turns import PausingExecutor, Turn, Turns
from gql_secrets.pauses import LongWork

# `secrets` takes an argument, so every client is resolved on its own.
PAGE = "{ clients(first: 40) { nodes { clientId secrets(first: 15) { nodes { id hint state } } } } }"

PLAIN_PAGE = "{ clients(first: 80) { nodes { clientId id name enabled generation oldSecret { id } } } }"


async def ticks_during(work: Any) -> int:
    """How often the event loop ran while this work was done."""
    ticks = 0
    task = asyncio.ensure_future(work)
    while not task.done():
        ticks += 1
        await asyncio.sleep(0)
    task.result()
    return ticks


async def test_operations_of_one_key_run_in_the_order_of_their_arrival_and_others_do_not_wait() -> None:
    turns = Turns()
    order: list[str] = []
    release = asyncio.Event()

    async def operate(key: str | None, name: str) -> None:
        async with turns.take(key):
            order.append(name)
            if name == "first":
                await release.wait()

    tasks = [
        asyncio.create_task(operate(key, name))
        for key, name in (("a", "first"), ("a", "second"), ("a", "third"), ("b", "other"), (None, "unlimited"))
    ]
    while len(order) < 3:  # noqa: ASYNC110  each task runs as far as it can
        await asyncio.sleep(0)
    assert order == ["first", "other", "unlimited"]

    release.set()
    await asyncio.gather(*tasks)
    assert order[3:] == ["second", "third"]
    assert len(turns) == 0


async def test_operations_without_a_task_take_their_turns_among_the_others() -> None:
    turns = Turns()
    order: list[str] = []
    held: list[Turn] = []

    def call(name: str) -> None:
        def begin(turn: Turn) -> None:
            order.append(name)
            held.append(turn)

        turns.call("a", begin)

    async def operate(name: str, turn: Turn) -> None:
        async with turn:
            order.append(name)

    call("first")
    waiting = asyncio.create_task(operate("second", turns.take("a")))
    await asyncio.sleep(0)
    call("third")
    call("fourth")
    turns.call(None, lambda turn: turn.pass_on())  # waits for nobody
    assert order == ["first"]

    held.pop().pass_on()
    await waiting
    assert order == ["first", "second", "third"]
    # A task may go on with a turn that it was given.
    await operate("third, in a task", held.pop())
    assert order[3:] == ["third, in a task", "fourth"]
    held.pop().pass_on()
    assert len(turns) == 0


async def test_an_operation_cancelled_while_it_waits_does_not_block_the_next_one() -> None:
    turns = Turns()

    async def operate() -> None:
        async with turns.take("a"):
            pass

    async with turns.take("a"):
        cancelled = asyncio.create_task(operate())
        await asyncio.sleep(0)
        cancelled.cancel()
        next_one = asyncio.create_task(operate())
    await asyncio.wait_for(next_one, 30)
    assert len(turns) == 0


async def test_requests_of_one_caller_are_executed_one_at_a_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most = 0, 0
    execute = Engine.execute

    async def counted(*given: Any) -> OperationResult:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return await execute(*given)

    monkeypatch.setattr(Engine, "execute", counted)
    responses = await asyncio.gather(*(post(client, {"query": "{ viewer { name } }"}) for _ in range(5)))

    assert [await content_of(response) for response in responses] == [{"data": {"viewer": {"name": "ops"}}}] * 5
    assert most == 1


@pytest.mark.parametrize(
    ("query", "least"),
    [
        (PAGE, 40),
        # Executed by a plan, directly and below an alias: one pause for each item.
        (PLAIN_PAGE, 80),
        (f"{{ a: {PLAIN_PAGE[1:-1]} b: {PLAIN_PAGE[1:-1]} }}", 160),
        ("{ trouble { many { crash } } }", 1),
        ("{ trouble { many { crashHard } } }", 1),
    ],
)
async def test_an_operation_pauses_when_its_time_slice_is_spent_and_answers_the_same(
    monkeypatch: pytest.MonkeyPatch, query: str, least: int
) -> None:
    engine = make_endpoint().engine
    prepared = await engine.prepare(GraphQLRequest(query), Context())
    expected = await engine.execute(prepared, Context())
    monkeypatch.setattr(pauses, "SLICE_SECONDS", 0.0)

    results = []

    async def execute() -> None:
        results.append(await engine.execute(prepared, Context()))

    ticks = await ticks_during(execute())

    assert results == [expected]
    assert ticks > least


@strawberry.type
class Part:
    name: str = "part"


@strawberry.type
class Box:
    parts: list[Part]


@strawberry.type
class Boxes:
    @strawberry.field
    async def box(self, nothing: strawberry.Parent[object]) -> Box | None:
        return Box(parts=[Part(), nothing])  # type: ignore[list-item]


@pytest.mark.parametrize("nothing", [None, Undefined])
async def test_a_value_that_may_not_be_null_is_never_null_after_a_pause(
    monkeypatch: pytest.MonkeyPatch, nothing: object
) -> None:
    """It was null in the answer, without an error: graphql-core looked for null before the pause was over."""
    monkeypatch.setattr(pauses, "SLICE_SECONDS", -1.0)
    schema, query = strawberry.Schema(Boxes)._schema, parse("{ box { parts { __typename } } __typename }")
    executor = PausingExecutor.build(schema, query, nothing, is_awaitable=optimized_is_awaitable)  # type: ignore[arg-type]
    assert isinstance(executor, PausingExecutor)
    with LongWork():
        result = await executor.execute_operation()  # type: ignore[misc]

    assert isinstance(result, ExecutionResult)
    assert result.data == {"box": None, "__typename": "Boxes"}
    assert [error.path for error in result.errors or ()] == [["box", "parts", 1]]


async def test_a_document_is_read_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = make_endpoint().engine.documents
    monkeypatch.setattr(pauses, "SLICE_SECONDS", 0.0)

    for _ in range(2):
        assert await ticks_during(documents.read("{ viewer { name } }")) > 3
    assert await ticks_during(documents.read("{ viewer { name } }")) <= 2  # kept
