"""A schema in the shape of the product's, without a database, and an application that serves it.

Tests and benchmarks of the GraphQL transport share it; `python tests/support/toy_graphql.py` serves it on a free port
and prints the address.
"""

from __future__ import annotations

import asyncio
import enum
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import strawberry
from aiohttp import web
from strawberry.extensions import FieldExtension

from gql_secrets.graphql_server.documents import TrustedDocuments
from gql_secrets.graphql_server.errors import RequestRefused
from gql_secrets.graphql_server.http import GraphQLEndpoint
from gql_secrets.graphql_server.limits import Limits

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@dataclass
class Caller:
    name: str | None = "ops"

    @property
    def is_anonymous(self) -> bool:
        return self.name is None


@dataclass
class Context:
    request_id: str = "req-1"
    caller: Caller = field(default_factory=Caller)
    resets: list[str] = field(default_factory=list)
    event_id: str | None = None

    @property
    def is_anonymous(self) -> bool:
        return self.caller.is_anonymous

    @property
    def turn_key(self) -> Hashable:
        return self.caller.name


def without_credentials(text: str) -> str:
    """In place of the product's removal of credentials from messages."""
    return re.sub(r"gqls_[0-9A-Za-z]+", "gqls_...", text)


class Gone(Exception):  # noqa: N818
    """In place of a failure of the domain, which the endpoint's table knows."""


def present(failure: Exception) -> RequestRefused | None:
    """In place of the product's table of failures."""
    if isinstance(failure, Gone):
        return RequestRefused("UNAVAILABLE", "Try again in a moment.", {"retryAfter": 2})
    return None


@strawberry.enum
class State(enum.Enum):
    CURRENT = "CURRENT"
    RETAINED = "RETAINED"


@strawberry.interface
class Node:
    id: strawberry.ID


@strawberry.type
class Use:
    address: str = "192.0.2.7"
    count: int = 3


@strawberry.type
class ClientSecret(Node):
    hint: str = "abcd"
    state: State = State.CURRENT
    created_at: datetime = NOW
    replaced_at: datetime | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = NOW
    use_count: int = 3

    @strawberry.field
    def uses(self) -> list[Use]:
        return [Use()]


@strawberry.type
class PageInfo:
    has_next_page: bool = False
    end_cursor: str | None = None


@strawberry.type
class ClientSecretEdge:
    cursor: str
    node: ClientSecret


@strawberry.type
class ClientSecretConnection:
    nodes: list[ClientSecret]
    edges: list[ClientSecretEdge]
    page_info: PageInfo
    total_count: int


@strawberry.type
class Client(Node):
    client_id: strawberry.ID
    name: str = "billing"
    description: str | None = None
    features: list[str] = strawberry.field(default_factory=lambda: ["viewer"])
    allow_list: list[str] = strawberry.field(default_factory=lambda: ["0.0.0.0/0", "::/0"])
    enabled: bool = True
    created_at: datetime = NOW
    generation: int = 1
    in_rollover: bool = False
    viewer_can_reset_secret: bool = True

    @strawberry.field
    def current_secret(self) -> ClientSecret:
        return ClientSecret(id=strawberry.ID("s1"))

    @strawberry.field
    def old_secret(self) -> ClientSecret | None:
        return None

    @strawberry.field
    def secrets(self, first: int | None = 20, after: str | None = None) -> ClientSecretConnection | None:  # noqa: ARG002
        nodes = [ClientSecret(id=strawberry.ID(f"s{n}")) for n in range(first or 20)]
        edges = [ClientSecretEdge(cursor=node.id, node=node) for node in nodes]
        return ClientSecretConnection(nodes=nodes, edges=edges, page_info=PageInfo(), total_count=len(nodes))


@strawberry.type
class ClientEdge:
    cursor: str
    node: Client


@strawberry.type
class ClientConnection:
    nodes: list[Client]
    edges: list[ClientEdge]
    page_info: PageInfo
    total_count: int


@strawberry.type
class Viewer:
    name: str
    roles: list[str] = strawberry.field(default_factory=lambda: ["ADMIN"])
    can_create_client: bool = True


class SignedIn(FieldExtension):
    """In place of the product's guards: it reads `info.context` before the field runs."""

    async def resolve_async(
        self, next_: Callable[..., Awaitable[Any]], source: Any, info: strawberry.Info[Context, None], **arguments: Any
    ) -> Any:
        if info.context.caller.is_anonymous:
            raise RequestRefused("UNAUTHENTICATED", "Sign in first.")
        return await next_(source, info, **arguments)


@strawberry.input
class NoteFilter:
    text: strawberry.Maybe[str]


@strawberry.type
class Trouble:
    """Fields that fail, each in its own way."""

    @strawberry.field
    def crash(self, text: str = "") -> str | None:
        raise RuntimeError(f"could not handle {text} ({text!r})")

    @strawberry.field
    def many(self) -> list[Trouble]:
        return [Trouble(), Trouble(), Trouble()]

    @strawberry.field
    def crash_hard(self) -> str:
        raise RuntimeError("a non-null field failed")

    @strawberry.field
    def refused(self) -> str | None:
        raise RequestRefused("FORBIDDEN", "Only an ADMIN may see this.", {"requiredRoles": ["ADMIN"]})

    @strawberry.field
    def gone(self) -> str | None:
        raise Gone

    @strawberry.field
    def wrong_type(self) -> int | None:
        return "hunter2-from-the-database"  # type: ignore[return-value]

    @strawberry.field
    def wants(self, hours: int) -> int | None:
        return hours

    @strawberry.field
    def notes(self, first: strawberry.Maybe[str], second: strawberry.Maybe[str], only: NoteFilter | None = None) -> int:
        return sum(each is not None for each in (first, second, only))

    @strawberry.field
    def since(self, instant: datetime) -> datetime | None:
        return instant


@strawberry.type
class Query:
    @strawberry.field
    def viewer(self, info: strawberry.Info[Context, None]) -> Viewer | None:
        caller = info.context.caller
        return Viewer(name=caller.name) if caller.name else None

    @strawberry.field
    async def client(self, client_id: strawberry.ID) -> Client | None:
        return Client(id=strawberry.ID("c1"), client_id=client_id)

    @strawberry.field
    async def clients(
        self,
        first: int | None = 20,
        after: str | None = None,  # noqa: ARG002
        last: int | None = None,
        before: str | None = None,  # noqa: ARG002
        search: str | None = None,  # noqa: ARG002
    ) -> ClientConnection | None:
        nodes = [
            Client(id=strawberry.ID(f"c{n}"), client_id=strawberry.ID(f"c{n}"))
            for n in range(min(last or first or 20, 100))
        ]
        edges = [ClientEdge(cursor=node.id, node=node) for node in nodes]
        return ClientConnection(nodes=nodes, edges=edges, page_info=PageInfo(), total_count=len(nodes))

    @strawberry.field
    async def recent(self, first: int = 10) -> list[Client] | None:
        return [Client(id=strawberry.ID(f"c{n}"), client_id=strawberry.ID(f"c{n}")) for n in range(first)]

    @strawberry.field
    async def node(self, id: strawberry.ID) -> Node | None:  # noqa: A002
        return Client(id=id, client_id=strawberry.ID("c1"))

    @strawberry.field
    async def nodes(self, ids: list[strawberry.ID]) -> list[Node | None] | None:
        return [Client(id=id_, client_id=strawberry.ID("c1")) for id_ in ids]

    @strawberry.field(extensions=[SignedIn()])
    async def guarded(self, info: strawberry.Info[Context, None]) -> str | None:
        return f"seen by {info.context.caller.name}"

    @strawberry.field
    def trouble(self) -> Trouble | None:
        return Trouble()


@strawberry.type
class ResetSecretPayload:
    new_secret: str | None
    client: Client | None
    replayed: bool = False


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def reset_secret(
        self,
        info: strawberry.Info[Context, None],
        client_id: strawberry.ID,
        hours_to_live: int,
        idempotency_key: str | None = None,  # noqa: ARG002
    ) -> ResetSecretPayload | None:
        info.context.resets.append(client_id)
        if hours_to_live > 168:
            raise Gone
        return ResetSecretPayload(new_secret="gqls_" + "new", client=Client(id=client_id, client_id=client_id))

    @strawberry.mutation
    def create_client(
        self,
        name: str,
        features: list[str] | None = None,  # noqa: ARG002
        allow_list: list[str] | None = None,  # noqa: ARG002
    ) -> Client | None:
        return Client(id=strawberry.ID("c1"), client_id=strawberry.ID("c1"), name=name)


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticks(self, upto: int = 3, fail: bool = False) -> AsyncIterator[int]:
        for tick in range(upto):
            await asyncio.sleep(0)
            yield tick
        if fail:
            raise RuntimeError("the ticks ended badly")


schema = strawberry.Schema(query=Query, mutation=Mutation, subscription=Subscription, types=[Client, ClientSecret])


def make_endpoint(*, limits: Limits | None = None, trusted: TrustedDocuments | None = None) -> GraphQLEndpoint:
    return GraphQLEndpoint(
        schema,
        limits=limits or Limits(),
        trusted_documents=trusted,
        introspection=lambda context: not context.is_anonymous,
        present=present,
        redact=without_credentials,
        challenges=lambda _request: ("Basic",),
    )


CONTEXT = web.AppKey("CONTEXT", Context)


def make_app(endpoint: GraphQLEndpoint | None = None, context: Context | None = None) -> web.Application:
    endpoint = endpoint or make_endpoint()
    app = web.Application()
    app[CONTEXT] = context or Context()

    async def handler(request: web.Request) -> web.StreamResponse:
        return await endpoint.handle(request, request.app[CONTEXT])

    app.router.add_route("*", "/graphql", handler)
    return app


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/graphql", flush=True)
        web.run_app(make_app(), sock=listener, print=None)


if __name__ == "__main__":
    main()
