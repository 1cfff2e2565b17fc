"""Relay nodes, global ids, and keyset connections."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Generic, Self, TypeVar

import strawberry

from gql_secrets.api.graphql.weights import COUNT
from gql_secrets.domain import base64url
from gql_secrets.domain.errors import BadRequest, SecretNotOld
from gql_secrets.service.pages import Page

NodeType = TypeVar("NodeType")

MAX_GLOBAL_ID: Final = 1_024

First = Annotated[
    int | None,
    strawberry.argument(
        description="Returns at most this many items (0 to 100) from the start, or after the cursor `after`."
    ),
]
After = Annotated[
    str | None,
    strawberry.argument(description="Returns the items after this cursor, such as `pageInfo.endCursor`."),
]
Last = Annotated[
    int | None,
    strawberry.argument(
        description="Returns at most this many items (0 to 100) from the end, or before the cursor `before`."
    ),
]
Before = Annotated[
    str | None,
    strawberry.argument(description="Returns the items before this cursor, such as `pageInfo.startCursor`."),
]


@strawberry.interface(description="An object with a global id.")
class Node:
    @property
    def key(self) -> object:
        """What makes the global id, together with the name of the type."""
        raise NotImplementedError

    @strawberry.field(description="The global id of the object. Opaque. Pass it to node.")
    def id(self) -> strawberry.ID:
        return global_id(type(self).__name__, self.key)


@strawberry.type(description="The position of a page among all pages.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether there are items after this page.")
    has_previous_page: bool = strawberry.field(description="Whether there are items before this page.")
    start_cursor: str | None = strawberry.field(description="The cursor of the first item of this page.")
    end_cursor: str | None = strawberry.field(description="The cursor of the last item of this page.")


@strawberry.type(description="An item of a page and its cursor.")
class Edge(Generic[NodeType]):
    cursor: str = strawberry.field(description="The cursor of this item. Pass it as `after` or `before`.")
    node: NodeType = strawberry.field(description="The item.")


@strawberry.type(description="A page of results, newest first unless the field has another order.")
class Connection(Generic[NodeType]):
    page: strawberry.Private[Page[Any]]

    @strawberry.field(description="The items of this page with their cursors.")
    def edges(self) -> list[Edge[NodeType]]:
        return [Edge(cursor=cursor, node=node) for cursor, node in zip(self.page.cursors, self.nodes, strict=True)]

    nodes: list[NodeType] = strawberry.field(description="The items of this page.")

    @strawberry.field(description="The position of this page.")
    def page_info(self) -> PageInfo:
        rows = self.page.rows
        return PageInfo(
            has_next_page=self.page.has_next,
            has_previous_page=self.page.has_previous,
            start_cursor=self.page.cursor_of(rows[0]) if rows else None,
            end_cursor=self.page.cursor_of(rows[-1]) if rows else None,
        )

    @strawberry.field(description="The number of items on all pages. Counted only when requested.", metadata=COUNT)
    async def total_count(self) -> int:
        return await self.page.count()

    @classmethod
    def of(cls, page: Page[Any], make: Callable[[Any], NodeType]) -> Self:
        """Return the connection of a page of rows."""
        return cls(page=page, nodes=[make(row) for row in page.rows])


def global_id(type_name: str, key: object) -> strawberry.ID:
    """Return the global id of a row."""
    return strawberry.ID(base64url.encode(f"{type_name}:{key}".encode()))


def parse_global_id(text: str, *, argument: str) -> tuple[str, str]:
    """Return the type name and the key of a global id.

    Raises:
        BadRequest: it is not a global id; `argument` is the one given here.
    """
    try:
        if len(text) > MAX_GLOBAL_ID:
            raise ValueError
        type_name, colon, key = base64url.decode(text).decode().partition(":")
    except ValueError:
        colon = ""
    if not colon:
        raise BadRequest("Not a global id. Pass the value of a field `id`.", argument=argument)
    return type_name, key


def secret_number(global_id_of_secret: str) -> int:
    """Return the number of the secret with this global id.

    Raises:
        BadRequest: it is not a global id.
        SecretNotOld: it is not the global id of a secret.
    """
    type_name, text = parse_global_id(global_id_of_secret, argument="secret_id")
    number = parse_row_number(text)
    if type_name != "ClientSecret" or number is None:
        raise SecretNotOld
    return number


def parse_row_number(text: str) -> int | None:
    """Return the number of a row, or None where it cannot be one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < len(str(2**63)) else None
