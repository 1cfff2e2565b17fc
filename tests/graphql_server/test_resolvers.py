"""Resolvers are called without Strawberry only where they get the same from it."""

from collections.abc import Awaitable, Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
import strawberry
from graphql import GraphQLField, GraphQLObjectType
from strawberry.extensions import FieldExtension

from gql_secrets.graphql_server.field_checks import FailuresAreData, FieldCheck
from gql_secrets.graphql_server.resolvers import PlainResolver


@strawberry.enum
class Colour(Enum):
    RED = "red"


class Check(FieldCheck):
    """Writes down that it was asked, and with which arguments."""

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self, _source: Any, info: "strawberry.Info[Any, Any]", given: Any) -> None:
        info.context.append((self.name, dict(given)))


class Refused(Exception):  # noqa: N818
    pass


class Failures(FailuresAreData):
    """Writes down that it began, and returns who refused."""

    kinds = (Refused,)

    def begin(self, info: "strawberry.Info[Any, Any]") -> None:
        info.context.append(("failures", {}))

    def value_of(self, failure: Refused, given: Any) -> str:
        return f"{failure} with {dict(given)}"


class Refusing(Check):
    def check(self, _source: Any, info: "strawberry.Info[Any, Any]", given: Any) -> None:
        super().check(_source, info, given)
        if given["by"] == self.name:
            raise Refused(self.name)


class Other(FieldExtension):
    async def resolve_async(self, next_: Callable[..., Awaitable[Any]], source: Any, info: Any, **given: Any) -> Any:
        return await next_(source, info, **given)


@strawberry.type
class Query:
    @strawberry.field(extensions=[Check("first"), Check("second")])
    async def checked(self, info: "strawberry.Info[Any, Any]", number_of: int, colour: Colour | None = None) -> str:
        info.context.append(("resolver", {"number_of": number_of, "colour": colour}))
        return "done"

    @strawberry.field(extensions=[Refusing("check"), Failures()])
    async def refused(self, info: "strawberry.Info[Any, Any]", by: str) -> str:
        info.context.append(("resolver", {"by": by}))
        if by == "resolver":
            raise Refused(by)
        if by == "defect":
            raise ValueError(by)
        return "done"

    @strawberry.field(extensions=[Failures(), Check("around it")])
    async def checked_first(self) -> str:
        return "done"

    @strawberry.field(extensions=[Other()])
    async def extended(self) -> str:
        return "done"

    @strawberry.field
    async def maybe(self, text: strawberry.Maybe[str]) -> str:
        return text.value if text else "nothing"


SCHEMA = strawberry.Schema(query=Query)


def field(name: str) -> GraphQLField:
    query = SCHEMA._schema.query_type
    assert isinstance(query, GraphQLObjectType)
    return query.fields[name]


def raw_info(context: list[Any]) -> Any:
    return SimpleNamespace(context=context)


async def test_checks_and_the_function_get_what_strawberry_gives_them_in_its_order():
    asked: list[Any] = []
    await SCHEMA.execute("{ checked(numberOf: 1) }", context_value=asked)
    by_strawberry, asked[:] = list(asked), []
    resolver = PlainResolver.of(field("checked"), ["numberOf"])
    assert resolver is not None

    assert await resolver.resolve(None, raw_info(asked), **resolver.named({"numberOf": 1, "colour": None})) == "done"

    assert [name for name, _ in asked] == [name for name, _ in by_strawberry] == ["second", "first", "resolver"]
    assert asked[-1] == by_strawberry[-1]


@pytest.mark.parametrize("by", ["check", "resolver", "nobody"])
async def test_failures_of_the_checks_and_of_the_function_are_data_as_they_are_with_strawberry(by: str):
    asked: list[Any] = []
    answer = await SCHEMA.execute(f'{{ refused(by: "{by}") }}', context_value=asked)
    by_strawberry, asked[:] = list(asked), []
    resolver = PlainResolver.of(field("refused"), ["by"])
    assert resolver is not None

    value = await resolver.resolve(None, raw_info(asked), by=by)

    assert answer.data == {"refused": value}
    assert value == ("done" if by == "nobody" else f"{by} with {{'by': '{by}'}}")
    assert asked == by_strawberry


async def test_any_other_failure_is_not_data():
    resolver = PlainResolver.of(field("refused"), ["by"])
    assert resolver is not None

    with pytest.raises(ValueError, match="defect"):
        await resolver.resolve(None, raw_info([]), by="defect")


@pytest.mark.parametrize(
    ("name", "given"),
    [("checked", ["numberOf", "colour"]), ("checkedFirst", []), ("extended", []), ("maybe", ["text"]), ("maybe", [])],
)
def test_strawberry_calls_what_needs_its_conversions_or_its_extensions(name: str, given: list[str]):
    assert PlainResolver.of(field(name), given) is None
