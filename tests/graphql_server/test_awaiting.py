"""Compiled selections that await something answer exactly what graphql-core answers, and load everything together."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import pytest
import strawberry
from graphql import ExecutionResult, parse, validate
from strawberry.execution import optimized_is_awaitable

from gql_secrets.graphql_server.field_checks import FieldCheck
from gql_secrets.graphql_server.loading import Loader, loads
from gql_secrets.graphql_server.planned_executor import PlannedExecutor
from gql_secrets.graphql_server.plans import Plans
from gql_secrets.graphql_server.unfinished import take_unfinished
from gql_secrets.pauses import LongWork

FORBIDDEN = 13


class Context:
    """What resolvers share: a loader, what it read, and how often a resolver was called."""

    def __init__(self) -> None:
        self.read: list[list[int]] = []
        self.calls: Counter[str] = Counter()
        self.sizes = Loader(self._sizes)

    async def _sizes(self, numbers: list[int]) -> Mapping[int, int]:
        self.read.append(numbers)
        await asyncio.sleep(0)
        if 0 in numbers:
            raise ValueError("nothing has no size")
        return {number: number * 10 for number in numbers}


Info = strawberry.Info[Context, None]


class NotThirteen(FieldCheck):
    def check(self, source: Any, _info: Info, given: Mapping[str, Any]) -> None:
        if source.number == FORBIDDEN or given.get("plus") == FORBIDDEN:
            raise ValueError("forbidden")


async def load_sizes(context: Context, sources: list[Any], given: Mapping[str, Any]) -> bool:
    if given.get("plus") == 0:
        return False
    await context.sizes.load_all([source.number for source in sources])
    return True


@strawberry.type
class Part:
    number: int

    @strawberry.field(metadata=loads(load_sizes))
    async def size(self, info: Info) -> int:
        info.context.calls["size"] += 1
        return await info.context.sizes.load(self.number)

    @strawberry.field(metadata=loads(load_sizes), extensions=[NotThirteen()])
    async def guarded(self, info: Info, plus: int | None = None, name_of_it: str = "size") -> str | None:
        return f"{name_of_it} {await info.context.sizes.load(self.number) + (plus or 0)}"

    @strawberry.field(metadata=loads(load_sizes))
    async def slow(self, info: Info) -> int:
        await asyncio.sleep(0)
        return await info.context.sizes.load(self.number)

    @strawberry.field
    async def later(self) -> str | None:
        await asyncio.sleep(0)
        return None if self.number == 2 else f"later {self.number}"

    @strawberry.field
    def times(self, info: Info, number: int = 2) -> int:
        return self.number * number + len(info.path.key)  # type: ignore[arg-type]

    @strawberry.field
    async def failing(self) -> int | None:
        raise ValueError("broken")

    @strawberry.field
    async def next(self) -> "Part | None":
        return Part(number=self.number + 1) if self.number < 3 else None

    @strawberry.field
    async def parts(self) -> "list[Part | None] | None":
        return [Part(number=self.number), None, Part(number=5)] if self.number > 1 else None


@strawberry.type
class Query:
    @strawberry.field
    def parts(self, numbers: list[int]) -> list[Part]:
        return [Part(number=number) for number in numbers]

    @strawberry.field
    async def part(self, number: int = 1) -> Part | None:
        return Part(number=number) if number >= 0 else None


SCHEMA = strawberry.Schema(Query)._schema
VARIABLES = {"yes": True, "no": False, "plus": 4}
DOCUMENTS = [
    "{ parts(numbers: [1, 2, 3]) { number size later __typename } }",
    '{ parts(numbers: [1, 2]) { size b: guarded(plus: 3) number c: guarded(nameOfIt: "x") a: size } }',
    "{ parts(numbers: [1, 13]) { number guarded size } }",
    "{ parts(numbers: [1, 2]) { guarded(plus: 13) } }",
    "{ parts(numbers: [1, 2]) { guarded(plus: 0) } }",
    "{ parts(numbers: [0, 1]) { number size later } }",
    "{ parts(numbers: [1]) { number failing later } part { next { failing size } } }",
    "{ parts(numbers: [1, 2, 3]) { slow number } }",
    "{ parts(numbers: [1, 2, 3]) { next { size next { size parts { number size } } } parts { later size times } } }",
    "{ parts(numbers: []) { size guarded(plus: 13) next { size } } }",
    "{ part(number: -1) { size } other: part { size times(number: 5) longName: times } }",
    "{ part { ...P next { ...P } } } fragment P on Part { size ... on Part { later } }",
    "query($plus: Int, $none: Int) { part(number: 2) { guarded(plus: $plus) b: guarded(plus: $none) } }",
    "query($yes: Boolean!) { part { number @skip(if: $yes) size @include(if: $yes) later @skip(if: $yes) } }",
    (
        "query($no: Boolean = true) { part { ... on Part @include(if: $no) { size } ...P @skip(if: $no) } } "
        "fragment P on Part { later }"
    ),
    (
        "query($yes: Boolean!, $no: Boolean!) { part { size @include(if: $yes) @skip(if: $no) next @include(if: $no) "
        "{ size } number @include(if: true) } }"
    ),
]


async def ask(document: str, context: Context, *, planned: bool) -> ExecutionResult:
    tree = parse(document)
    assert validate(SCHEMA, tree) == []
    plans = Plans.of(SCHEMA, tree) if planned else None
    executor = PlannedExecutor.build(
        SCHEMA,
        tree,
        None,
        context,
        dict(VARIABLES),
        is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]
        plans=plans,
    )
    assert isinstance(executor, PlannedExecutor), executor
    result = executor.execute_operation()
    if optimized_is_awaitable(result):
        result = await result  # type: ignore[misc]
    assert isinstance(result, ExecutionResult)
    return result


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_a_selection_that_awaits_answers_what_graphql_core_answers(document: str, in_pieces: bool) -> None:
    with LongWork() if in_pieces else nullcontext():
        compiled = await ask(document, Context(), planned=True)
    walked = await ask(document, Context(), planned=False)
    assert str(compiled.data) == str(walked.data)  # in the same order too
    errors, expected = ([error.formatted for error in result.errors or ()] for result in (compiled, walked))
    assert sorted(errors, key=str) == sorted(expected, key=str)
    assert take_unfinished() is None


async def test_what_many_objects_and_fields_need_is_loaded_in_one_read() -> None:
    context = Context()
    result = await ask("{ parts(numbers: [1, 2, 3]) { size guarded(plus: 1) next { number } } }", context, planned=True)
    assert result.errors is None
    assert context.read == [[1, 2, 3]]


@pytest.mark.parametrize("variable", ["$plus: Int", "$none: Int", "$other: Int = 3"])
async def test_an_argument_from_a_variable_is_no_reason_to_resolve_a_field_twice(variable: str) -> None:
    """Pages are asked for with variables: their selections would be executed by graphql-core after all."""
    context = Context()
    name = variable.partition(":")[0]
    result = await ask(f"query({variable}) {{ part {{ size guarded(plus: {name}) }} }}", context, planned=True)
    assert result.errors is None
    assert context.calls == {"size": 1}


async def test_nothing_is_loaded_for_a_field_that_is_refused() -> None:
    context = Context()
    await ask("{ parts(numbers: [1, 2]) { guarded(plus: 13) } }", context, planned=True)
    assert context.read == []


async def test_no_check_is_made_for_objects_that_there_are_not() -> None:
    result = await ask("{ parts(numbers: []) { guarded(plus: 13) } }", Context(), planned=True)
    assert (result.data, result.errors) == ({"parts": []}, None)


async def test_what_fails_is_tried_again_once_at_any_depth() -> None:
    """Or a caller could make the server try again at each depth of a document."""
    context = Context()
    selection = "size failing"
    for _ in range(6):
        selection = f"size parts {{ {selection} }}"
    await ask(f"{{ part(number: 2) {{ {selection} }} }}", context, planned=False)
    walked = context.calls["size"]
    context.calls.clear()
    await ask(f"{{ part(number: 2) {{ {selection} }} }}", context, planned=True)
    assert 0 < context.calls["size"] <= 2 * walked


async def test_each_combination_of_truths_has_plans_of_its_own_and_few_are_kept() -> None:
    tree = parse("query($a: Boolean!) { part { number @include(if: $a) } }")
    plans = Plans.of(SCHEMA, tree)
    assert plans.with_variables({"a": True}) is plans.with_variables({"a": True, "size": 3})
    assert plans.with_variables({"a": True}) is not plans.with_variables({"a": False})
    assert plans.with_variables({"size": 1}) is plans
    for number in range(100):
        plans.with_variables({f"a{number}": True})
    assert len(plans._with_variables) <= 8
