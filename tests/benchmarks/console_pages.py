"""How much processor time do the pages of the console take?

    uv run --all-groups python tests/benchmarks/console_pages.py [--postgres] [--short]

Executes what the list of clients and the page of a client ask for, as an ADMIN, with the documents of the built
console: from the body of the request to the body of the response, without HTTP, with garbage collected as a server
does. The database has 10,000 clients; the one whose page is opened was reset six times and is in rollover, and its
secrets have 50 sources and 192 hours of counts. What counts is the processor time of the whole process (on PostgreSQL
not the database's own): medians of 15 rounds after two that are not counted, in which the documents are read. Fails
above 15 ms a page. `--short` checks only that it works.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import orjson
from benchmarks import list_times
from benchmarks.query_cost import fill_usage, reset_often
from support.callers import ADMIN
from support.databases import PostgresServer, temporary_directory
from support.installation import PEPPER

from gql_secrets.api.console import console_documents
from gql_secrets.api.graphql.context import Context
from gql_secrets.api.graphql.errors import present
from gql_secrets.api.graphql.limits import LIMITS
from gql_secrets.api.graphql.schema import build_schema
from gql_secrets.commands.serving.collecting import collecting_in_small_steps
from gql_secrets.graphql_server.engine import Engine
from gql_secrets.graphql_server.http import GraphQLEndpoint
from gql_secrets.graphql_server.requests import GraphQLRequest, parse_json
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services, open_services

BAR_MS = 15.0
CLIENTS, SHORT_CLIENTS = 10_000, 500
ROUNDS = 15
LIST_SIZE, TABLE_SIZE = 25, 10  # as the console has them


async def make_client(services: Services) -> str:
    """Make the client whose page is opened; return its id."""
    made = await services.clients.create_client("Shop", by=ADMIN, description="d" * 200, features=["viewer"])
    await reset_often(services, made.client.client_id, made.secret.reveal())
    await services.usage.flush()
    await fill_usage(services)
    return made.client.client_id


def requests_of(client_id: str) -> dict[str, list[bytes]]:
    """Return the bodies of the requests of each page."""
    documents = {document.split("(")[0].split("{")[0].split()[1]: document for document in console_documents()}
    one = {"clientId": client_id, "first": TABLE_SIZE}
    pages: Mapping[str, Mapping[str, Mapping[str, object]]] = {
        "list": {"AuthorizedApps": {"first": LIST_SIZE}, "RefusedAttempts": {"first": LIST_SIZE}},
        "client": {
            "AuthorizedApp": {"clientId": client_id, "sources": True, "audit": True},
            "SecretHistory": one,
            "AuditTrail": one,
        },
    }
    return {
        page: [json.dumps({"query": documents[name], "variables": given}).encode() for name, given in asked.items()]
        for page, asked in pages.items()
    }


async def milliseconds(engine: Engine, services: Services, bodies: list[bytes]) -> float:
    """Return the processor time of the requests of a page."""
    began = time.process_time()
    for body in bodies:
        context = Context(services, replace(ADMIN, request_id="x" * 16), "x" * 16)
        prepared = await engine.prepare(GraphQLRequest.from_body(parse_json(body, "The body")), context)
        result = await engine.execute(prepared, context)
        assert not result.errors, result.errors
        orjson.dumps({"data": result.data})
    return (time.process_time() - began) * 1000


async def run(settings: Settings, *, is_short: bool) -> int:
    services = await open_services(settings)
    try:
        client_id = await make_client(services)
        await list_times.fill(services, SHORT_CLIENTS if is_short else CLIENTS)
        engine = GraphQLEndpoint(build_schema(), limits=LIMITS, introspection=lambda _: True, present=present).engine
        slow = 0
        async with collecting_in_small_steps():
            for page, bodies in requests_of(client_id).items():
                taken = [await milliseconds(engine, services, bodies) for _ in range(3 if is_short else ROUNDS + 2)][2:]
                median = statistics.median(taken)
                slow += median > BAR_MS
                print(f"{page:8} {len(bodies)} requests  {median:6.1f} ms  {min(taken):6.1f} ms at least")
    finally:
        await services.close()
    return 0 if is_short else int(slow > 0)


def main() -> int:
    """Measure both pages, and tell whether one was too slow."""
    parser = argparse.ArgumentParser(description="What do the pages of the console cost?")
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--short", action="store_true", help="check only that it works")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder, url = Path(stack.enter_context(temporary_directory())), ""
        if given.postgres:
            server = PostgresServer()
            stack.callback(server.stop)
            url = server.create()
        settings = Settings(data_dir=folder, database_url=url, pepper=PEPPER, rate_limits="off")
        return asyncio.run(run(settings, is_short=given.short))


if __name__ == "__main__":
    sys.exit(main())
