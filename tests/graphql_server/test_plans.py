"""Compiled selections answer exactly what graphql-core answers, errors and nulls included."""

from contextlib import nullcontext
from dataclasses import field
from enum import Enum
from typing import Annotated

import pytest
import strawberry
from graphql import ExecutionResult, parse, validate
from strawberry.execution import optimized_is_awaitable
from strawberry.extensions import FieldExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.types.scalar import ScalarDefinition

from gql_secrets.graphql_server.completions import Serializer, of_columns
from gql_secrets.graphql_server.planned_executor import PlannedExecutor
from gql_secrets.graphql_server.plans import Plans
from gql_secrets.graphql_server.unfinished import take_unfinished
from gql_secrets.pauses import LongWork


@strawberry.enum
class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@strawberry.interface
class Thing:
    id: strawberry.ID


class Counted(FieldExtension):
    def resolve(self, next_: object, source: object, info: object, **given: object) -> object:
        return next_(source, info, **given)  # type: ignore[operator]


class Sound(str):
    __slots__ = ()


def loud(sound: Sound) -> str:
    return sound.upper()


SCALARS: dict[object, ScalarDefinition] = {
    Sound: strawberry.scalar(name="Sound", serialize=Serializer(loud, lambda sounds: list(map(loud, sounds))))
}


@strawberry.type
class Part(Thing):
    name: str | None
    size: int = 1
    colour: Colour = Colour.RED
    sound: Sound | None = None
    broken: strawberry.Private[bool] = False

    @strawberry.field
    def label(self) -> str:
        if self.broken:
            raise ValueError("broken")
        return f"part {self.name}"

    @strawberry.field
    def maybe(self) -> str | None:
        if self.broken:
            raise ValueError("broken")
        return None

    @strawberry.field
    async def later(self) -> str:
        return "later"

    @strawberry.field(extensions=[Counted()])
    def extended(self) -> str:
        return "extended"

    @strawberry.field
    def times(self, number: int = 2) -> int:
        return self.size * number

    @strawberry.field
    def who(self, info: strawberry.Info) -> str:
        return str(info.context)


@strawberry.type
class Box(Thing):
    parts: list[Part]
    optional: list[Part | None] = field(default_factory=list)
    first: Part | None = None
    thing: Thing | None = None


Anything = Annotated[Part | Box, strawberry.union("Anything")]


SMALL, LARGE = (
    Part(id=strawberry.ID("1"), name="small", sound=Sound("tick")),
    Part(id=strawberry.ID("2"), name="large", size=9, colour=Colour.BLUE, sound=Sound("boom")),
)
NAMELESS, BROKEN = Part(id=strawberry.ID("3"), name=None), Part(id=strawberry.ID("4"), name="broken", broken=True)
NOT_A_NUMBER = Part(id=strawberry.ID("5"), name="x", size="many")  # type: ignore[arg-type]
NO_SIZE = Part(id=strawberry.ID("6"), name="x", size=None)  # type: ignore[arg-type]
NUMBERED = Part(id=7, name="x")  # type: ignore[arg-type]
NO_ID = Part(id=None, name="x")  # type: ignore[arg-type]
NO_SOUND = Part(id=strawberry.ID("9"), name="x", sound=3)  # type: ignore[arg-type]
NO_TEXT = Part(id=strawberry.ID("8"), name=["x"])  # type: ignore[arg-type]


@strawberry.type
class Query:
    @strawberry.field
    async def box(self) -> Box | None:
        return Box(
            id=strawberry.ID("b"),
            parts=[SMALL, LARGE],
            optional=[NAMELESS, None, LARGE, SMALL],
            first=SMALL,
            thing=LARGE,
        )

    @strawberry.field
    def bad(self) -> Box | None:
        return Box(
            id=strawberry.ID("b"),
            parts=[SMALL, BROKEN],
            optional=[BROKEN, NOT_A_NUMBER, NO_SIZE],
            first=BROKEN,
            thing=BROKEN,
        )

    @strawberry.field
    def odd_texts(self) -> Box | None:
        return Box(id=strawberry.ID("b"), parts=[SMALL], optional=[NUMBERED, NO_ID, NO_TEXT, NAMELESS, SMALL])

    @strawberry.field
    def not_a_box(self) -> Box | None:
        return SMALL  # type: ignore[return-value]

    @strawberry.field
    def no_parts(self) -> Box | None:
        return Box(id=strawberry.ID("b"), parts=None, optional=[SMALL, NO_SOUND])  # type: ignore[arg-type]

    @strawberry.field
    def lost_part(self) -> Box | None:
        return Box(id=strawberry.ID("b"), parts=[SMALL, None])  # type: ignore[list-item]

    @strawberry.field
    def nobody(self) -> Box | None:
        return None

    @strawberry.field
    def anything(self) -> Anything | None:
        return SMALL

    @strawberry.field
    def required(self) -> Part:
        return BROKEN

    @strawberry.field
    def lost(self) -> Part:
        return None  # type: ignore[return-value]


SCHEMA = strawberry.Schema(Query, types=[Part], config=StrawberryConfig(scalar_map=SCALARS))._schema
LEAVES = "id name size colour sound __typename"
DOCUMENTS = [
    f"{{ box {{ id parts {{ {LEAVES} label }} first {{ {LEAVES} }} }} }}",
    f"{{ box {{ optional {{ {LEAVES} maybe }} }} nobody {{ id }} __typename }}",
    "{ box { parts { again: name label2: label name } } }",
    "{ box { parts { label later extended who times(number: 3) times2: times } } }",
    "{ box { thing { id __typename ... on Part { name label } } } }",
    "{ box { parts { name ... on Anything { __typename } ... on Anything { ... on Part { size } } } } }",
    "{ anything { ... on Thing { id } ... on Part { name ... on Anything { __typename } } } }",
    "{ box { ...B parts { ...on Thing { id } ...P } } } fragment B on Box { id } fragment P on Part { id }",
    "{ box { first { id } first { name first: label } ... { parts { id } } parts { name } } }",
    "query($yes: Boolean!) { box { parts { id name @include(if: $yes) label @skip(if: $yes) } } }",
    "query($no: Boolean = false) { box { parts { ... on Part @include(if: $no) { name } size } } }",
    f"{{ bad {{ parts {{ {LEAVES} label }} }} }}",
    f"{{ bad {{ optional {{ {LEAVES} }} }} }}",
    "{ bad { optional { label } first { maybe name } } }",
    "{ bad { first { label } } box { first { label } } }",
    "{ oddTexts { optional { id name } } }",
    "{ oddTexts { optional { name id size } parts { name id } } }",
    "{ noParts { parts { id } } }",
    "{ noParts { optional { sound } } }",
    "{ lostPart { parts { __typename } } }",
    "{ lost { __typename } }",
    "{ notABox { id } }",
    "{ required { label } }",
    "{ required { name maybe } }",
]


async def ask(document: str, *, planned: bool) -> ExecutionResult:
    tree = parse(document)
    assert validate(SCHEMA, tree) == []
    executor = PlannedExecutor.build(
        SCHEMA,
        tree,
        None,
        "context",
        {"yes": True},
        is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]
        plans=Plans.of(SCHEMA, tree) if planned else None,
    )
    assert isinstance(executor, PlannedExecutor)
    result = executor.execute_operation()
    if optimized_is_awaitable(result):
        result = await result  # type: ignore[misc]
    assert isinstance(result, ExecutionResult)
    return result


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_a_compiled_selection_answers_what_graphql_core_answers(document: str, in_pieces: bool) -> None:
    with LongWork() if in_pieces else nullcontext():
        compiled = await ask(document, planned=True)
    walked = await ask(document, planned=False)
    assert compiled.data == walked.data
    errors, expected = ([error.formatted for error in result.errors or ()] for result in (compiled, walked))
    if in_pieces:  # what is completed later fails later
        errors, expected = (sorted(each, key=str) for each in (errors, expected))
    assert errors == expected
    assert str(compiled.data) == str(walked.data)  # in the same order too
    assert take_unfinished() is None


def plan_of(selection: str) -> bool:
    tree = parse(f"{{ box {{ parts {{ {selection} }} }} }}")
    plans = Plans.of(SCHEMA, tree)
    [operation] = tree.definitions
    box = operation.selection_set.selections[0]  # type: ignore[attr-defined]
    query = SCHEMA.query_type
    assert query is not None
    return plans.completion(query.fields["box"].type, box) is not None


@pytest.mark.parametrize("selection", ["id", "name label", "__typename", "...on Thing { id } ...on Part { size }"])
def test_plain_fields_are_compiled(selection: str) -> None:
    assert plan_of(selection)


@pytest.mark.parametrize(
    "selection", ["later", "extended", "who", "times", "times(number: 1)", "id @include(if: true)", "label later"]
)
def test_what_is_not_plain_is_never_completed_at_once(selection: str) -> None:
    assert not plan_of(selection)


async def test_a_document_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = parse("{ box { parts { id name } } }")
    plans = Plans.of(SCHEMA, tree)
    compiled: list[object] = []
    compile_ = Plans._complete

    def count(*given: object) -> object:
        compiled.append(given)
        return compile_(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(Plans, "_complete", count)
    counts = []
    for _ in range(3):
        executor = PlannedExecutor.build(SCHEMA, tree, is_awaitable=optimized_is_awaitable, plans=plans)  # type: ignore[arg-type]
        assert isinstance(executor, PlannedExecutor)
        await executor.execute_operation()  # type: ignore[misc]
        counts.append(len(compiled))
    assert counts[0] > 0
    assert counts == [counts[0]] * 3


def test_objects_have_their_fields_in_the_order_in_which_they_were_selected() -> None:
    made = of_columns(("b", "a"), [[1, 2], ["x", "y"]])
    assert [list(each.items()) for each in made] == [[("b", 1), ("a", "x")], [("b", 2), ("a", "y")]]
    with pytest.raises(ValueError, match="shorter"):
        of_columns(("b", "a"), [[1, 2], ["x"]])
