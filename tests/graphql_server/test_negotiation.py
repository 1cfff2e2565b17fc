"""Which media type answers, which method may ask, and which content type is read."""

import gzip
import json

import pytest
from aiohttp import FormData
from support.graphql_http import GRAPHQL_JSON, JSON, RESET, URQL, Client, content_of, post
from support.toy_graphql import Context


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL_JSON, GRAPHQL_JSON),
        (f"{GRAPHQL_JSON}; charset=utf-8", GRAPHQL_JSON),
        (f"{JSON}, {GRAPHQL_JSON}", JSON),
        (f"{GRAPHQL_JSON}, {JSON}", GRAPHQL_JSON),
        (f"{JSON};q=0.9, {GRAPHQL_JSON}", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON};q=0.1, {JSON}", JSON),
        (f"{JSON};q=0, */*;q=0.1", GRAPHQL_JSON),
        (f"text/html, {GRAPHQL_JSON};q=0.2", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON};q=nonsense, {JSON};q=0.1", JSON),
        (f"{JSON};q=nan", JSON),
        (f"{JSON};q=nan, {GRAPHQL_JSON}", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON};q=inf, {JSON};q=0.5", JSON),
        (f"{GRAPHQL_JSON};q=, text/html", GRAPHQL_JSON),
        ("APPLICATION/JSON", JSON),
        (URQL, GRAPHQL_JSON),
        ("text/event-stream, */*;q=0.1", JSON),
    ],
)
async def test_the_response_has_the_preferred_media_type(client: Client, accept: str | None, answered: str) -> None:
    response = await post(client, {"query": "{ viewer { name } }"}, accept=accept)

    assert response.status == 200
    assert response.headers["Content-Type"] == f"{answered}; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert await content_of(response) == {"data": {"viewer": {"name": "ops"}}}


@pytest.mark.parametrize(
    "accept", ["text/html", "text/event-stream", "image/*", f"{JSON};q=0", "text/event-stream;q=1"]
)
async def test_nothing_runs_for_a_request_that_accepts_no_response(
    client: Client, context: Context, accept: str
) -> None:
    """A mutation answered as a stream, or as nothing, would lose the new secret."""
    response = await post(client, {"query": RESET}, accept=accept)

    assert response.status == 406
    assert response.content_type == JSON
    assert context.resets == []


@pytest.mark.parametrize("accept", [URQL, "text/event-stream, application/json", "text/event-stream;q=1, */*;q=0.1"])
async def test_a_mutation_is_never_answered_as_a_stream(client: Client, context: Context, accept: str) -> None:
    response = await post(client, {"query": RESET}, accept=accept)

    assert response.content_type in (JSON, GRAPHQL_JSON)
    assert (await content_of(response))["data"]["resetSecret"]["newSecret"]
    assert context.resets == ["x"]


async def test_a_query_may_come_by_get(client: Client) -> None:
    response = await client.get(
        "/graphql",
        params={
            "query": "query Q($id: ID!) { client(clientId: $id) { clientId } } query R { viewer { name } }",
            "variables": '{"id": "é"}',
            "operationName": "Q",
            "extensions": "{}",
        },
    )

    assert response.status == 200
    assert await content_of(response) == {"data": {"client": {"clientId": "é"}}}


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON, "*/*"])
@pytest.mark.parametrize(
    "query",
    [
        RESET,
        f"query Q {{ viewer {{ name }} }} {RESET.replace('mutation', 'mutation M')}",
        "#query\n" + RESET,
    ],
)
async def test_a_mutation_by_get_is_405_and_does_nothing(
    client: Client, context: Context, query: str, accept: str
) -> None:
    """GitLab #462012: the operation's type comes from the parsed document."""
    parameters = {"query": query, **({"operationName": "M"} if "Q" in query else {})}
    response = await client.get("/graphql", params=parameters, headers={"Accept": accept})

    assert response.status == 405
    assert response.headers["Allow"] == "POST"
    assert context.resets == []


async def test_a_query_in_the_same_document_as_a_mutation_may_come_by_get(client: Client, context: Context) -> None:
    query = f"query Q {{ viewer {{ name }} }} {RESET.replace('mutation', 'mutation M')}"
    response = await client.get("/graphql", params={"query": query, "operationName": "Q"})

    assert response.status == 200
    assert context.resets == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "PROPFIND"])
async def test_other_methods_are_405(client: Client, context: Context, method: str) -> None:
    response = await client.request(method, "/graphql", json={"query": RESET})

    assert response.status == 405
    assert response.headers["Allow"] == "GET, POST"
    assert context.resets == []


@pytest.mark.parametrize("accept", [None, JSON, GRAPHQL_JSON])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_subscription_without_an_event_stream_is_a_clear_4xx(
    client: Client, method: str, accept: str | None
) -> None:
    query = "subscription { ticks }"
    response = await (
        post(client, {"query": query}, accept=accept)
        if method == "POST"
        else client.get("/graphql", params={"query": query}, headers={"Accept": accept} if accept else {})
    )

    assert response.status == 406
    assert "text/event-stream" in (await content_of(response))["errors"][0]["message"]


async def test_a_query_is_answered_as_a_stream_of_one_event_to_a_reader_of_streams_alone(client: Client) -> None:
    response = await post(client, {"query": "{ viewer { name } }"}, accept="text/event-stream")

    assert (response.status, response.content_type) == (200, "text/event-stream")
    first, second, rest = (await response.text()).split("\n\n")
    assert first.startswith('event: next\ndata: {"data":{"viewer":')
    assert (second, rest) == ("event: complete\ndata: ", "")


async def test_where_json_is_accepted_only_a_subscription_is_answered_as_a_stream(client: Client) -> None:
    for query in ("{ viewer { name } }", RESET):
        response = await post(client, {"query": query}, accept=URQL)
        assert response.content_type == GRAPHQL_JSON

    response = await post(client, {"query": "subscription { ticks(upto: 1) }"}, accept=URQL)

    assert response.content_type == "text/event-stream"
    assert 'event: next\ndata: {"data":{"ticks":0}}\n\n' in await response.text()


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain; charset=utf-8; application/json",
        "application/x-www-form-urlencoded",
        "application/graphql",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        "application/jsonp",
        "application/graphql-response+json",
        "multipart/form-data; boundary=x",
        "application",
        "",
        ";",
    ],
)
async def test_a_content_type_other_than_json_in_utf_8_is_415(
    client: Client, context: Context, content_type: str
) -> None:
    """The types that a form of a foreign page can send are among them."""
    response = await post(client, {"query": RESET}, **{"Content-Type": content_type})

    assert response.status == 415
    assert context.resets == []


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"', "application/json;charset=utf8"],
)
async def test_json_in_utf_8_is_accepted_in_every_spelling(client: Client, content_type: str) -> None:
    response = await post(client, {"query": "{ viewer { name } }"}, **{"Content-Type": content_type})

    assert response.status == 200


async def test_an_upload_is_415(client: Client, context: Context) -> None:
    """Strawberry CVE-2024-47082: multipart needs no preflight."""
    form = FormData()
    form.add_field("operations", json.dumps({"query": RESET}))
    form.add_field("map", "{}")
    form.add_field("0", b"file", filename="a.txt")
    response = await client.post("/graphql", data=form)

    assert response.status == 415
    assert context.resets == []


async def test_a_compressed_body_is_415(client: Client, context: Context) -> None:
    body = gzip.compress(json.dumps({"query": RESET}).encode())
    response = await post(client, body, **{"Content-Encoding": "gzip"})

    assert response.status == 415
    assert context.resets == []
