"""CPU that the heaviest documents cost against the product's own schema and a database, from body to answer.

    uv run --all-groups python tests/benchmarks/query_cost.py [--postgres]

Each shape is a document of the product's own schema, as wide as a page may be, then made smaller until the budget
accepts it: what is measured is the most expensive accepted document of that shape. The database holds 150 clients in
rollovers with histories, sources and hourly counts, each with an allow list and addresses of its own. What counts is
the processor time of the whole process (event loop and SQLite's threads; on PostgreSQL not the database's own), the
best of nine, each document, allow list and address read again, with garbage collected as a server does. Documents with
rollovers are measured once more with a use of every source that is counted but not written. Prints a line for each
shape, and fails where a page of a frontend takes more than 50 ms, or any other document more than 80 ms.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, cast

sys.path.insert(0, str(Path(__file__).parent.parent))

from graphql import GraphQLObjectType, GraphQLSchema, get_named_type, is_leaf_type, is_required_argument
from support.callers import ADMIN, DAY, use
from support.databases import PostgresServer, temporary_directory
from support.frontend_pages import PAGES

from gql_secrets.api.graphql.context import Context
from gql_secrets.api.graphql.errors import present
from gql_secrets.api.graphql.limits import LIMITS
from gql_secrets.api.graphql.schema import build_schema
from gql_secrets.commands.serving.collecting import collecting_in_small_steps
from gql_secrets.domain import networks
from gql_secrets.domain.access import Caller
from gql_secrets.domain.credentials import Pepper
from gql_secrets.graphql_server.errors import DocumentRefused
from gql_secrets.graphql_server.http import GraphQLEndpoint
from gql_secrets.graphql_server.negotiation import AcceptedTypes
from gql_secrets.graphql_server.operations import OperationResult
from gql_secrets.graphql_server.requests import GraphQLRequest, parse_json
from gql_secrets.graphql_server.responses import json_response
from gql_secrets.service.usage.tallies import Source
from gql_secrets.settings import Settings
from gql_secrets.storage.transaction import Transaction
from gql_secrets.storage.usage import MAX_KEPT, MAX_SOURCES, add_usage
from gql_secrets.wiring import Services, open_services

# What a page of a frontend may take, and any other accepted document: the console lists 100 rollovers before it ends
# them together.
PAGE_MS, ANSWERED_MS = 50.0, 80.0
ROUNDS = 9
CLIENTS = 150
RESETS = 6
FEATURES = ["direct_access", "direct_read_access", "viewer"]
NETWORKS, USED_FROM = 100, "198.51.100.7/32"
PAGE_SIZES = (100, 70, 50, 35, 25, 18, 12, 8, 5, 3, 2, 1)


class Cost(NamedTuple):
    milliseconds: float
    weight: int
    page: int
    answer_bytes: int


class Shapes:
    """Documents in which SIZE is the size of a page."""

    def __init__(self, schema: GraphQLSchema, client_ids: list[str]) -> None:
        self._schema = schema
        self._client_ids = client_ids
        self._client = self._leaves("Client")
        self._secret = self._leaves("ClientSecret")
        self._event = self._leaves("AuditEvent")
        self._everything = f"{self._client} {self._objects('Client', set())}"

    def __iter__(self) -> Iterator[tuple[str, str]]:
        yield from self._fields_one_by_one()
        yield from self._pages_below()
        yield from self._many_at_the_top()
        both = f"currentSecret {{ {self._secret} }} oldSecret {{ {self._secret} }}"
        yield "clients, every leaf", of_clients(self._client)
        yield "clients, one field many times", of_clients(numbered("viewerCanResetSecret", 28))
        yield "clients, fields of a secret many times", of_clients(f"currentSecret {{ {numbered('createdAt', 29)} }}")
        yield (
            "clients, two pages of plain fields",
            at_top(
                "clients(first: SIZE) { nodes { id createdAt features viewerCanEdit currentSecret { id createdAt } } }",
                2,
            ),
        )
        yield "clients, both secrets", of_clients(both)
        yield "clients, everything below", of_clients(self._everything)
        yield from ((name, page.inlined(self._client_ids[0])) for name, page in PAGES.items())

    def _type(self, name: str) -> GraphQLObjectType:
        type_ = self._schema.type_map[name]
        assert isinstance(type_, GraphQLObjectType)
        return type_

    def _leaves(self, name: str) -> str:
        return " ".join(
            name
            for name, field in self._type(name).fields.items()
            if is_leaf_type(get_named_type(field.type)) and not any(map(is_required_argument, field.args.values()))
        )

    def _below(self, name: str) -> dict[str, str]:
        """The fields of a type that give objects without being asked for a page, and these objects' types."""
        return {
            field_name: below.name
            for field_name, field in self._type(name).fields.items()
            if isinstance(below := get_named_type(field.type), GraphQLObjectType) and not field.args
        }

    def _objects(self, name: str, without: set[str]) -> str:
        """Every object below a type, with its leaves."""
        return " ".join(
            f"{field} {{ {self._leaves(below)} {self._objects(below, without | {name, below})} }}"
            for field, below in self._below(name).items()
            if below not in without
        )

    def _fields_one_by_one(self) -> Iterator[tuple[str, str]]:
        for field in self._client.split():
            yield f"clients, {field}", of_clients(field)
        for field in self._secret.split():
            yield f"clients, currentSecret.{field}", of_clients(f"currentSecret {{ {field} }}")
        for field, below in self._below("Client").items():
            yield f"clients, {field}", of_clients(f"{field} {{ {self._leaves(below)} }}")
        for field, below in self._below("ClientSecret").items():
            inner = f"currentSecret {{ {field} {{ {self._leaves(below)} }} }}"
            yield f"clients, currentSecret.{field}", of_clients(inner)

    def _pages_below(self) -> Iterator[tuple[str, str]]:
        for name, leaves in (("secrets", self._secret), ("auditEvents", self._event)):
            yield f"clients, {name} ids", of_clients(f"{name}(first: 1) {{ nodes {{ id }} }}")
            yield f"clients, {name} counted", of_clients(f"{name}(first: 0) {{ totalCount }}")
            yield f"clients, {name} of 5", of_clients(f"{name}(first: 5) {{ nodes {{ {leaves} }} }}")
            twice = numbered(f"{name}(first: 1) {{ totalCount }}", 2)
            yield f"clients, {name} counted twice", of_clients(f"currentSecret {{ id }} {twice}")
            yield f"one client, {name}", self._by_id(1, f"{name}(first: SIZE) {{ nodes {{ {leaves} }} }}")
            many = numbered(f"{name}(first: SIZE) {{ totalCount nodes {{ id }} }}", 20)
            yield f"one client, {name} twenty times", self._by_id(1, many)

    def _many_at_the_top(self) -> Iterator[tuple[str, str]]:
        event = self._event
        yield "audit, every leaf", f"{{ auditEvents(first: SIZE) {{ totalCount nodes {{ {event} }} }} }}"
        yield "audit, ten pages", at_top(f"auditEvents(first: SIZE) {{ nodes {{ {event} }} }}", 10)
        yield "audit by filters", at_top("auditEvents(first: SIZE, action: SECRET_RESET) { totalCount }", 20)
        yield "clients, twenty pages", at_top("clients(first: SIZE) { totalCount nodes { id } }", 20)
        search = 'clients(first: SIZE, search: "s", filter: {inRollover: true}) { totalCount nodes { id } }'
        yield "clients, fifteen searches", at_top(search, 15)
        pages = f"secrets(first: SIZE) {{ totalCount nodes {{ {self._secret} }} }} auditEvents {{ totalCount }}"
        for count in (1, 8):
            yield f"{count} by id, every leaf", self._by_id(count, self._client)
            yield f"{count} by id, everything below", self._by_id(count, self._everything)
            yield f"{count} by id, pages", self._by_id(count, pages)

    def _by_id(self, count: int, inner: str) -> str:
        clients = enumerate(self._client_ids[:count])
        return "{" + " ".join(f'a{n}: client(clientId: "{id_}") {{ {inner} }}' for n, id_ in clients) + "}"


def of_clients(inner: str) -> str:
    return f"{{ clients(first: SIZE) {{ nodes {{ {inner} }} }} }}"


def at_top(field: str, count: int) -> str:
    return "{" + numbered(field, count) + "}"


def numbered(field: str, count: int) -> str:
    return " ".join(f"a{n}: {field}" for n in range(count))


def address_of(secret_id: int, number: int) -> str:
    """Return one of the addresses from which a client uses this secret and the one before; every other is of IPv6."""
    client = secret_id // (RESETS + 1)
    return f"2001:db8:{client:x}::{number:x}" if number % 2 else f"10.{client // 256}.{client % 256}.{number}"


async def fill(services: Services) -> list[str]:
    """Make the clients; return their ids."""
    client_ids = []
    for number in range(CLIENTS):
        others = [f"172.{16 + number // 256}.{number % 256}.{place}/32" for place in range(NETWORKS - 1)]
        made = await services.clients.create_client(
            f"Shop {number}", by=ADMIN, description="d" * 200, features=FEATURES, allow_list=[USED_FROM, *others]
        )
        client_ids.append(made.client.client_id)
        await reset_often(services, made.client.client_id, made.secret.reveal())
    await services.usage.flush()
    await fill_usage(services)
    return client_ids


async def reset_often(services: Services, client_id: str, secret: str) -> None:
    """Reset a secret `RESETS` times, and use each."""
    for _ in range(RESETS):
        await use(services, client_id, secret)
        reset = await services.rotation.reset_secret(client_id, DAY, by=ADMIN, end_active_rollover=True)
        secret = reset.new_secret.reveal()
    await use(services, client_id, secret)


async def fill_usage(services: Services) -> None:
    rows = await services.database.fetch("SELECT id FROM client_secret WHERE state IN ('CURRENT', 'RETAINED')")
    ids = sorted(row["id"] for row in rows)
    now = await services.database.now()
    at = int(now.timestamp() * 1_000_000)
    hours = MAX_KEPT // timedelta(hours=1)
    for ago in range(hours):
        start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=ago)
        sources = [
            value
            for id_ in ids
            for n in range(MAX_SOURCES if not ago else 1)
            for value in (id_, address_of(id_, n), "agent/1", at, at, 5)
        ]

        async def work(tx: Transaction) -> None:
            counts = [value for id_ in ids for value in (id_, 5)]
            await add_usage(tx, start, refused=False, secrets=[], hours=counts, sources=sources)  # noqa: B023  it runs immediately

        await services.database.run_tx(work)


async def count_every_source(services: Services) -> None:
    """Count a use of every source of every active secret, which is not written yet."""
    now = await services.database.now()
    for row in await services.database.fetch("SELECT id FROM client_secret WHERE state IN ('CURRENT', 'RETAINED')"):
        for number in range(MAX_SOURCES):
            services.usage.used(row["id"], Source(address_of(row["id"], number), "agent/1"), now)


class Measuring:
    """The endpoint as the server builds it, without a socket."""

    def __init__(self, services: Services) -> None:
        self.schema = build_schema()
        self._endpoint = GraphQLEndpoint(self.schema, limits=LIMITS, introspection=lambda _: True, present=present)
        self._services = services

    async def cost(self, document: str) -> Cost | None:
        """What the dearest document of this shape costs; None if none is accepted."""
        for page in PAGE_SIZES:
            body = json.dumps({"query": document.replace("SIZE", str(page))}).encode()
            try:
                rounds = [await self._once(body) for _ in range(ROUNDS)]
            except DocumentRefused:
                continue
            best = min(rounds)
            return best._replace(page=page)
        return None

    async def _once(self, body: bytes) -> Cost:
        began = time.process_time()
        weight, result, content = await self.answer(body, ADMIN)
        took = (time.process_time() - began) * 1000
        assert not result.errors, result.errors
        return Cost(took, weight, 0, len(content))

    async def answer(self, body: bytes, caller: Caller) -> tuple[int, OperationResult, bytes]:
        """The weight and the result of a document that was not read before, and the body of the response."""
        engine = self._endpoint.engine
        engine.documents.clear()
        networks.stored_allow_list.cache_clear()
        networks._position.cache_clear()
        context = Context(self._services, replace(caller, request_id="x" * 16), "x" * 16)
        prepared = await engine.prepare(GraphQLRequest.from_body(parse_json(body, "The body")), context)
        result = await engine.execute(prepared, context)
        accepted = AcceptedTypes("application/json", event_stream=False)
        response = json_response(accepted, result.errors, 200, data=result.data, has_data=True)
        return prepared.operation.weight.cost, result, cast("bytes", response.body)


async def run(settings: Settings) -> int:
    services = await open_services(settings)
    try:
        client_ids = await fill(services)
        measuring = Measuring(services)
        async with collecting_in_small_steps():
            shapes = list(Shapes(measuring.schema._schema, client_ids))
            costs = {name: await measuring.cost(document) for name, document in shapes}
            await count_every_source(services)
            costs |= {
                f"{name}, counted": await measuring.cost(document)
                for name, document in shapes
                if "rollover" in document
            }
    finally:
        await services.close()
    broken = 0
    for name, cost in sorted(costs.items(), key=lambda item: -(item[1].milliseconds if item[1] else 0)):
        if cost is None:
            print(f"  refused     {name}")
            continue
        wrong = cost.milliseconds > (PAGE_MS if name in PAGES else ANSWERED_MS)
        broken += wrong
        print(
            f"{'!' if wrong else ' '} {cost.milliseconds:7.2f} ms  {name:53} page {cost.page:3}  cost {cost.weight:5}  "
            f"{cost.answer_bytes / 1024:6.1f} KiB"
        )
    return 1 if broken else 0


def main() -> int:
    """Measure all shapes, print all, and tell whether one was too dear."""
    arguments = argparse.ArgumentParser(description="What do the heaviest documents cost?")
    arguments.add_argument("--postgres", action="store_true", help="measure on PostgreSQL instead of SQLite")
    given = arguments.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(temporary_directory()))
        url = ""
        if given.postgres:
            server = PostgresServer()
            stack.callback(server.stop)
            url = server.create()
        settings = Settings(data_dir=folder, database_url=url, pepper=Pepper.mint().written(), rate_limits="off")
        return asyncio.run(run(settings))


if __name__ == "__main__":
    sys.exit(main())
