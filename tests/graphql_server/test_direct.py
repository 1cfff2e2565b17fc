"""Compiled operations of one field answer exactly what graphql-core answers, errors and nulls included."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

import pytest
import strawberry
from graphql import ExecutionResult, OperationDefinitionNode, parse, validate
from strawberry.extensions import FieldExtension
from support.toy_graphql import Context, present

from gql_secrets.graphql_server.direct import compile_operation, is_awaitable
from gql_secrets.graphql_server.http import GraphQLEndpoint
from gql_secrets.graphql_server.limits import Limits
from gql_secrets.graphql_server.planned_executor import PlannedExecutor
from gql_secrets.graphql_server.plans import Plans
from gql_secrets.graphql_server.requests import GraphQLRequest
from gql_secrets.graphql_server.unfinished import take_unfinished
from gql_secrets.pauses import LongWork


@strawberry.enum
class Size(Enum):
    SMALL = "small"
    LARGE = "large"


@strawberry.input
class Part:
    number: int = 1


class Upper(FieldExtension):
    async def resolve_async(self, next_: Any, source: object, info: object, **given: object) -> object:
        return str(await next_(source, info, **given)).upper()


@strawberry.type
class Box:
    label: str
    count: int | None

    @strawberry.field
    async def later(self) -> str:
        return self.label


@strawberry.type
class Query:
    @strawberry.field
    def box(self, label: str = "a", count: int | None = None, size: Size = Size.SMALL) -> Box | None:
        return Box(label=f"{label} {size.value}", count=count)

    @strawberry.field
    async def found(self, info: strawberry.Info[str, None], box_id: strawberry.ID) -> Box | None:
        path = f"{info.path.key} of {info.path.typename}"
        return Box(label=f"{box_id} {info.context} {path} {info.variable_values}", count=2)

    @strawberry.field(extensions=[Upper()])
    async def shout(self, word: str, times: int = 2) -> str | None:
        return word * times

    @strawberry.field
    def part(self, part: Part | None = None, numbers: list[int] | None = None) -> str:
        return f"{part} {numbers}"

    @strawberry.field
    async def failing(self) -> Box | None:
        raise ValueError("broken")

    @strawberry.field
    async def required(self) -> Box:
        raise ValueError("broken")

    @strawberry.field
    def boxes(self) -> list[Box]:
        return [Box(label=f"box {number}", count=number) for number in range(200)]

    @strawberry.field
    def wrong_boxes(self) -> list[Box]:
        return [Box(label=str(number), count=number) for number in range(200)] + [Box(label="a", count="many")]  # type: ignore[arg-type]

    @strawberry.field
    def wrong(self) -> Box | None:
        return Box(label="a", count="many")  # type: ignore[arg-type]


made: list[str] = []


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def make(self, label: str, times: int = 1) -> Box | None:
        made.append(label)
        return Box(label=label * times, count=times)

    @strawberry.mutation
    async def make_wrong(self) -> Box | None:
        made.append("wrong")
        return Box(label="a", count="many")  # type: ignore[arg-type]

    @strawberry.mutation
    async def refuse(self) -> Box | None:
        raise ValueError("broken")


STRAWBERRY = strawberry.Schema(Query, mutation=Mutation)
SCHEMA = STRAWBERRY._schema
COMPILED: list[tuple[str, Mapping[str, Any]]] = [
    ("{ __typename }", {}),
    ("{ what: __typename }", {}),
    ("query Named { box { label count __typename } }", {}),
    ('{ other: box(label: "b", count: 3, size: LARGE) { label } }', {}),
    ("query($label: String!) { box(label: $label, count: null) { label count } }", {"label": "c", "unused": 1}),
    ("query($count: Int) { box(count: $count) { count } }", {"count": 2**31 - 1}),
    (
        "query($label: String!, $count: Int) { box(label: $label, count: $count) { label count } }",
        {"label": "c", "count": -5},
    ),
    ("query($id: ID!) { found(boxId: $id) { label } }", {"id": "x"}),
    ("query($word: String!) { shout(word: $word) }", {"word": "no", "unused": [1]}),
    ('query { shout(word: "yes", times: 3) }', {}),
    ("{ failing { label } }", {}),
    ("{ alias: failing { label } }", {}),
    ("{ required { label } }", {}),
    ("{ box { ...F } } fragment F on Box { label }", {}),
    ("{ boxes { label count } }", {}),
    ("{ box { label later } }", {}),
    ("{ boxes { later label } }", {}),
    ('mutation { make(label: "a") { label later } }', {}),
    ("mutation($label: String!) { make(label: $label, times: 2) { label count __typename } }", {"label": "d"}),
    ("mutation { other: refuse { label } }", {}),
    ("mutation { __typename }", {}),
]
LEFT: list[tuple[str, Mapping[str, Any]]] = [
    ("{ box { label } __typename }", {}),
    ("{ box @include(if: true) { label } }", {}),
    ("{ ... { box { label } } }", {}),
    ("query($size: Size!) { box(size: $size) { label } }", {"size": "LARGE"}),
    ("query($numbers: [Int!]) { part(numbers: $numbers) }", {"numbers": [1]}),
    ("query($number: Int!) { part(numbers: [$number]) }", {"number": 4}),
    ("query($number: Int!) { part(part: {number: $number}) }", {"number": 4}),
    ("{ __schema { queryType { name } } }", {}),
    ('mutation { make(label: "a") { label } again: make(label: "b") { label } }', {}),
]


def compiled(document: str) -> Any:
    tree = parse(document)
    assert validate(SCHEMA, tree) == []
    operation = tree.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    return compile_operation(SCHEMA, Plans.of(SCHEMA, tree), operation)


async def walked(document: str, variables: Mapping[str, Any]) -> ExecutionResult | list[Any]:
    executor = PlannedExecutor.build(
        SCHEMA, parse(document), None, "context", dict(variables), is_awaitable=is_awaitable, plans=None
    )
    if isinstance(executor, list):
        return executor
    result = executor.execute_operation()
    if is_awaitable(result):
        result = await result
    assert isinstance(result, ExecutionResult)
    return result


@pytest.mark.parametrize(("document", "variables"), COMPILED)
async def test_a_compiled_query_answers_what_graphql_core_answers(document: str, variables: Mapping[str, Any]) -> None:
    query = compiled(document)
    assert query is not None
    with LongWork():
        result = await query.execute(variables, "context")
    assert str(result.data) == str((await query.execute(variables, "context")).data)  # without pauses
    expected = await walked(document, variables)
    assert isinstance(expected, ExecutionResult)
    assert result.data == expected.data
    assert [error.formatted for error in result.errors or ()] == [error.formatted for error in expected.errors or ()]


@pytest.mark.parametrize(("document", "variables"), LEFT)
def test_other_queries_are_left_to_graphql_core(document: str, variables: Mapping[str, Any]) -> None:
    del variables
    assert compiled(document) is None


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        ("query($count: Int) { box(count: $count) { count } }", {"count": 2**31}),
        ("query($count: Int) { box(count: $count) { count } }", {"count": True}),
        ("query($count: Int) { box(count: $count) { count } }", {"count": None}),
        ("query($count: Int = 7) { box(count: $count) { count } }", {}),
        ("query($id: ID!) { found(boxId: $id) { label } }", {"id": 5}),
        ("query($id: ID!) { found(boxId: $id) { label } }", {}),
        ("{ wrong { label count } }", {}),
        ("{ wrongBoxes { label count } }", {}),
    ],
)
async def test_values_of_another_type_are_left_to_graphql_core(document: str, variables: Mapping[str, Any]) -> None:
    assert await compiled(document).execute(variables, "context") is None
    with LongWork():
        assert await compiled(document).execute(variables, "context") is None
    assert take_unfinished() is None


async def test_a_mutation_whose_result_is_left_to_graphql_core_is_made_once() -> None:
    made.clear()
    document = "mutation { other: makeWrong { label count } }"
    endpoint = GraphQLEndpoint(STRAWBERRY, limits=Limits(), introspection=lambda _: True, present=present)
    prepared = await endpoint.engine.prepare(GraphQLRequest.from_body({"query": document}), Context())
    assert prepared.operation.direct is not None
    result = await endpoint.engine.execute(prepared, Context())
    assert made == ["wrong"]
    assert take_unfinished() is None
    expected = await walked(document, {})
    assert isinstance(expected, ExecutionResult)
    assert result.data == expected.data == {"other": {"label": "a", "count": None}}
    assert [error["path"] for error in result.errors] == [error.path for error in expected.errors or ()]


async def test_a_mutation_with_variables_of_another_type_is_not_made() -> None:
    made.clear()
    document = "mutation($label: String!, $times: Int) { make(label: $label, times: $times) { label } }"
    assert await compiled(document).execute({"label": "a", "times": 1.5}, "context") is None
    assert made == []
