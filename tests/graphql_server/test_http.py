"""GraphQL over HTTP: documents that cannot be executed, introspection, and refusals before the endpoint."""

import pytest
import strawberry
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from strawberry.extensions import SchemaExtension
from support.graphql_http import GRAPHQL_JSON, JSON, RESET, Client, code_of, content_of, post
from support.toy_graphql import Caller, Context, Query, make_endpoint

from gql_secrets.graphql_server.errors import RequestRefused
from gql_secrets.graphql_server.http import GraphQLEndpoint
from gql_secrets.graphql_server.limits import Limits

UNFIT = {
    "a syntax error": "{",
    "an unknown field": "{ nothing }",
    "a misfitting argument": "{ client(clientId: 1.5) { id } }",
    "a missing argument": "{ client { id } }",
    "a missing variable": "query ($id: ID!) { client(clientId: $id) { id } }",
    "several operations and no name": "query A { viewer { name } } query B { viewer { name } }",
    "no operation": "fragment F on Client { id }",
    "an empty document": "   # nothing",
    "an empty selection": "{ viewer { } }",
    "a definition": "type Query { a: Int }",
    "a budget overrun": "{ clients(first: 100) { nodes { secrets(first: 100) { nodes { id } } } } }",
}


@pytest.mark.parametrize(("accept", "status"), [(None, 200), (JSON, 200), (GRAPHQL_JSON, 400)])
@pytest.mark.parametrize("name", UNFIT)
async def test_a_refused_document_has_the_status_that_its_media_type_requires(
    client: Client, name: str, accept: str | None, status: int
) -> None:
    response = await post(client, {"query": UNFIT[name]}, accept=accept)

    assert response.status == status
    content = await content_of(response)
    assert "data" not in content
    assert content["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}


async def test_an_operation_of_another_name_is_not_found(client: Client, context: Context) -> None:
    response = await post(client, {"query": RESET, "operationName": "Other"}, accept=GRAPHQL_JSON)

    assert response.status == 400
    assert context.resets == []


async def test_a_syntax_error_has_a_place_and_a_kind(client: Client) -> None:
    response = await post(client, {"query": '{ viewer {\n  name "hunter2" } }'})

    assert (await content_of(response))["errors"] == [
        {
            "message": "Syntax error: expected Name, found String.",
            "locations": [{"line": 2, "column": 8}],
            "extensions": {"code": "BAD_REQUEST"},
        }
    ]


async def test_no_suggestions_are_made(client: Client) -> None:
    """They cost much, and tell the schema to those it is hidden from."""
    response = await post(client, {"query": "{ viewr { name } } "})

    assert "mean" not in await response.text()


async def test_a_refusal_before_the_endpoint_is_a_graphql_response_too() -> None:
    endpoint = make_endpoint()

    async def handler(request: web.Request) -> web.Response:
        return endpoint.refuse(request, RequestRefused("UNAUTHENTICATED", "Invalid credentials."), status=401)

    app = web.Application()
    app.router.add_post("/graphql", handler)
    async with TestClient(TestServer(app)) as client:
        response = await post(client, {"query": "{ viewer { name } }"}, accept=GRAPHQL_JSON)
        content = await content_of(response)

    assert response.status == 401
    assert response.content_type == GRAPHQL_JSON
    assert response.headers["WWW-Authenticate"] == "Basic"
    assert content == {"errors": [{"message": "Invalid credentials.", "extensions": {"code": "UNAUTHENTICATED"}}]}


def test_schema_extensions_that_would_not_run_are_not_accepted() -> None:
    with pytest.raises(ValueError, match="field extensions"):
        GraphQLEndpoint(
            strawberry.Schema(Query, extensions=[SchemaExtension]),
            limits=Limits(),
            introspection=lambda _context: True,
        )


# -- Introspection


@pytest.mark.parametrize("query", ["{ __schema { queryType { name } } }", '{ a: __type(name: "Client") { name } }'])
async def test_only_callers_that_may_introspect_see_the_schema(client: Client, context: Context, query: str) -> None:
    assert "errors" not in await content_of(await post(client, {"query": query}))

    context.caller = Caller(None)
    for asked in (query, f"{{ viewer {{ name }} ...F }} fragment F on Query {query}"):
        response = await post(client, {"query": asked})
        assert await code_of(response) == "UNAUTHENTICATED"
        assert "data" not in await content_of(response)


async def test_a_typename_is_not_introspection(client: Client, context: Context) -> None:
    context.caller = Caller(None)
    response = await post(client, {"query": "{ __typename viewer { __typename } }"})

    assert await content_of(response) == {"data": {"__typename": "Query", "viewer": None}}
