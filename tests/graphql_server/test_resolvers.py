"""Resolvers are called without Strawberry only where they get the same from it."""

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

import pytest
import strawberry
from graphql import GraphQLField, GraphQLObjectType
from strawberry.extensions import FieldExtension

from gql_secrets.graphql_server.field_checks import FieldCheck
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


class Other(FieldExtension):
    async def resolve_async(self, next_: Callable[..., Awaitable[Any]], source: Any, info: Any, **given: Any) -> Any:
        return await next_(source, info, **given)


@strawberry.type
class Query:
    @strawberry.field(extensions=[Check("first"), Check("second")])
    async def checked(self, info: "strawberry.Info[Any, Any]", number_of: int, colour: Colour | None = None) -> str:
        info.context.append(("resolver", {"number_of": number_of, "colour": colour}))
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


async def test_checks_and_the_function_get_what_strawberry_gives_them_in_its_order():
    asked: list[Any] = []
    await SCHEMA.execute("{ checked(numberOf: 1) }", context_value=asked)
    by_strawberry, asked[:] = list(asked), []
    resolver = PlainResolver.of(field("checked"), ["numberOf"])
    assert resolver is not None

    class Raw:
        context = asked

    assert await resolver.resolve(None, Raw(), **resolver.named({"numberOf": 1, "colour": None})) == "done"  # type: ignore[arg-type]

    assert [name for name, _ in asked] == [name for name, _ in by_strawberry] == ["second", "first", "resolver"]
    assert asked[-1] == by_strawberry[-1]


@pytest.mark.parametrize(
    ("name", "given"),
    [("checked", ["numberOf", "colour"]), ("extended", []), ("maybe", ["text"]), ("maybe", [])],
)
def test_strawberry_calls_what_needs_its_conversions_or_its_extensions(name: str, given: list[str]):
    assert PlainResolver.of(field(name), given) is None
