"""Relay's Node, global ids, and keyset connections."""

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Any, Final, Generic, Self, TypeVar

import strawberry

from gql_secrets.api.graphql.context import Info
from gql_secrets.domain.errors import BadRequest
from gql_secrets.graphql_server.weights import COUNT
from gql_secrets.service.queries import Page, PageRequest

NodeType = TypeVar("NodeType")

First = Annotated[
    int | None, strawberry.argument(description="At most so many, from 0 to 100; the first ones after `after`.")
]
After = Annotated[
    str | None, strawberry.argument(description="The cursor after which to begin, from `pageInfo.endCursor`.")
]
Last = Annotated[
    int | None, strawberry.argument(description="At most so many, from 0 to 100; the last ones before `before`.")
]
Before = Annotated[
    str | None, strawberry.argument(description="The cursor before which to end, from `pageInfo.startCursor`.")
]

DEFAULT_PAGE: Final = 20


@strawberry.interface(description="Anything with a global id.")
class Node:
    """What `Query.node` can return."""

    id: strawberry.ID = strawberry.field(description="The global id, for `node`; opaque.")


@strawberry.type(description="Where a page lies among all pages.")
class PageInfo:
    """Relay's page information."""

    has_next_page: bool = strawberry.field(description="Whether there is more after this page.")
    has_previous_page: bool = strawberry.field(description="Whether there is more before this page.")
    start_cursor: str | None = strawberry.field(description="The cursor of the first one here.")
    end_cursor: str | None = strawberry.field(description="The cursor of the last one here.")


@strawberry.type(description="One of a page, with its cursor.")
class Edge(Generic[NodeType]):
    """Relay's edge."""

    cursor: str = strawberry.field(description="Where this one stands; for `after` and `before`.")
    node: NodeType = strawberry.field(description="The thing itself.")


@strawberry.type(description="A page of many, newest first.")
class Connection(Generic[NodeType]):
    """Relay's connection, with `nodes` beside `edges` for those who need no cursors."""

    edges: list[Edge[NodeType]] = strawberry.field(description="The page, each with its cursor.")
    nodes: list[NodeType] = strawberry.field(description="The page.")
    page_info: PageInfo = strawberry.field(description="Where this page lies.")
    page: strawberry.Private[Page[Any]]

    @strawberry.field(
        description="How many there are on all pages together. Counted only when asked for.", metadata=COUNT
    )
    async def total_count(self, info: Info) -> int:
        """Count."""
        return await info.context.services.reading.count(self.page)

    @classmethod
    def of(cls, page: Page[Any], make: Callable[[Any], NodeType]) -> Self:
        """Return the connection of this page of rows."""
        nodes = [make(row) for row in page.rows]
        return cls(
            edges=[Edge(cursor=cursor, node=node) for cursor, node in zip(page.cursors, nodes, strict=True)],
            nodes=nodes,
            page_info=PageInfo(
                has_next_page=page.has_next,
                has_previous_page=page.has_previous,
                start_cursor=page.cursors[0] if page.cursors else None,
                end_cursor=page.cursors[-1] if page.cursors else None,
            ),
            page=page,
        )


def page_request(
    first: int | None, after: str | None, last: int | None = None, before: str | None = None
) -> PageRequest:
    """Return the page that these arguments ask for; `last` without a `first` of the caller's goes backward.

    Raises:
        BadRequest: they cannot be.
    """
    return PageRequest(first, after, last, before)


def global_id(type_name: str, key: object) -> strawberry.ID:
    """Return the global id of a row."""
    return strawberry.ID(base64.urlsafe_b64encode(f"{type_name}:{key}".encode()).decode().rstrip("="))


def parse_global_id(text: str) -> tuple[str, str]:
    """Return type name and key.

    Raises:
        BadRequest: it is not a global id.
    """
    try:
        type_name, colon, key = (
            base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode().partition(":")
        )
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise BadRequest("This is not a global id: take it from a field `id`.", argument="id")
    return type_name, key


def parse_row_number(text: str) -> int | None:
    """Return the number of a row, or None where it cannot be one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < len(str(2**63)) else None
