"""GraphQL over HTTP: requests, answers, statuses, and what an answer never holds."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import logging
import os
import shutil
import tracemalloc
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import strawberry
from aiohttp import ClientResponse, FormData, web
from aiohttp.test_utils import TestClient, TestServer
from graphql import GraphQLError, parse
from strawberry.extensions import SchemaExtension
from support.toy_graphql import Caller, Context, Query, make_app, make_endpoint

from gql_secrets.graphql_server import documents
from gql_secrets.graphql_server.cost import Limits
from gql_secrets.graphql_server.documents import Documents, TrustedDocuments, digest_of
from gql_secrets.graphql_server.engine import Admitted, Answer, Call, RequestContext
from gql_secrets.graphql_server.errors import RequestRefused, describe
from gql_secrets.graphql_server.http import GraphQLEndpoint, refusal
from gql_secrets.graphql_server.parsing import DocumentRefused

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)
CANARY = "hunter2" + "canary"
RESET = 'mutation { resetSecret(clientId: "x", hoursToLive: 24) { newSecret } }'

Client = TestClient[web.Request, web.Application]


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
async def client(context: Context) -> AsyncGenerator[Client]:
    async with TestClient(TestServer(make_app(context=context))) as client:
        yield client


async def post(client: Client, body: object, *, accept: str | None = JSON, **headers: str) -> ClientResponse:
    """Send a body: text and bytes as they are, anything else as JSON."""
    sent = body if isinstance(body, (str, bytes)) else json.dumps(body)
    named = {"Content-Type": JSON, **({"Accept": accept} if accept is not None else {}), **headers}
    return await client.post("/graphql", data=sent, headers=named, skip_auto_headers=["Accept"])


async def told(response: ClientResponse) -> dict[str, Any]:
    content = json.loads(await response.read())
    assert isinstance(content, dict)
    return content


async def code_of(response: ClientResponse) -> str:
    content = await told(response)
    code = content["errors"][0]["extensions"]["code"]
    assert isinstance(code, str)
    return code


# -- The public audits


async def run(*command: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_all_61_public_audits_pass(client: Client, tmp_path: Path) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("the audits are an npm package: node and npm are not installed")
    install = ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(tmp_path)]
    code, _, trouble = await run(*install, "graphql-http@1.23.1", "graphql@16")
    if code:
        pytest.skip(f"npm could not install graphql-http: {trouble.strip().splitlines()[-1:]}")
    script = Path(__file__).with_name("graphql_http_audits.mjs")

    _, out, trouble = await run("node", str(script), str(tmp_path), str(client.make_url("/graphql")))

    results = json.loads(out or "[]")
    assert [result for result in results if result["status"] != "ok"] == [], trouble
    assert len(results) == 61


# -- What is accepted and answered


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
        ("APPLICATION/JSON", JSON),
        (URQL, GRAPHQL_JSON),
        ("text/event-stream, */*;q=0.1", JSON),
    ],
)
async def test_the_answer_has_the_media_type_that_is_liked_best(
    client: Client, accept: str | None, answered: str
) -> None:
    response = await post(client, {"query": "{ viewer { name } }"}, accept=accept)

    assert response.status == 200
    assert response.headers["Content-Type"] == f"{answered}; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert await told(response) == {"data": {"viewer": {"name": "ops"}}}


@pytest.mark.parametrize(
    "accept", ["text/html", "text/event-stream", "image/*", f"{JSON};q=0", "text/event-stream;q=1"]
)
async def test_nothing_runs_for_a_caller_that_accepts_no_answer(client: Client, context: Context, accept: str) -> None:
    """A mutation answered as a stream, or as nothing, would lose the new secret."""
    response = await post(client, {"query": RESET}, accept=accept)

    assert response.status == 406
    assert response.content_type == JSON
    assert context.resets == []


@pytest.mark.parametrize("accept", [URQL, "text/event-stream, application/json", "text/event-stream;q=1, */*;q=0.1"])
async def test_a_mutation_is_no_stream_whatever_else_is_accepted(client: Client, context: Context, accept: str) -> None:
    response = await post(client, {"query": RESET}, accept=accept)

    assert response.content_type in (JSON, GRAPHQL_JSON)
    assert (await told(response))["data"]["resetSecret"]["newSecret"]
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
    assert await told(response) == {"data": {"client": {"clientId": "é"}}}


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


async def test_the_query_beside_a_mutation_may_come_by_get(client: Client, context: Context) -> None:
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
    assert "text/event-stream" in (await told(response))["errors"][0]["message"]


async def test_only_a_subscription_reaches_the_stream(context: Context) -> None:
    reached: list[Admitted] = []

    async def stream(_request: web.Request, admitted: Admitted, _context: RequestContext) -> web.StreamResponse:
        reached.append(admitted)
        return web.Response(text="data: 0", content_type="text/event-stream")

    async with TestClient(TestServer(make_app(make_endpoint(stream=stream), context))) as client:
        for query in ("{ viewer { name } }", RESET):
            response = await post(client, {"query": query}, accept=URQL)
            assert response.content_type == GRAPHQL_JSON
        assert (await post(client, {"query": "subscription { ticks }"}, accept=JSON)).status == 406
        assert reached == []

        response = await post(client, {"query": "subscription { ticks }"}, accept="text/event-stream")

    assert response.content_type == "text/event-stream"
    assert len(reached) == 1


# -- Requests that are none

DEEP = "[" * 100_000 + "]" * 100_000

BODIES: dict[str, tuple[str | bytes, int]] = {
    "nothing": ("", 400),
    "no JSON": ("{ nonsense", 400),
    "half a JSON": ('{"query": "{ viewer', 400),
    "a document": ("{ viewer { name } }", 400),
    "a number": ("5", 400),
    "null": ("null", 400),
    "true": ("true", 400),
    "a string": ('"{ viewer { name } }"', 400),
    "NaN": ('{"query": "{viewer{name}}", "variables": {"a": NaN}}', 400),
    "an empty object": ("{}", 400),
    "no query": ('{"qeury": "{ viewer { name } }"}', 400),
    "a query of null": ('{"query": null}', 400),
    "a query of a number": ('{"query": 5}', 400),
    "a query of a list": ('{"query": ["{ viewer { name } }"]}', 400),
    "a query of an object": ('{"query": {"kind": "Document"}}', 400),
    "variables of a string": ('{"query": "{viewer{name}}", "variables": "{}"}', 400),
    "variables of a list": ('{"query": "{viewer{name}}", "variables": []}', 400),
    "variables of a number": ('{"query": "{viewer{name}}", "variables": 0}', 400),
    "variables of false": ('{"query": "{viewer{name}}", "variables": false}', 400),
    "an operation name of a number": ('{"query": "{viewer{name}}", "operationName": 1}', 400),
    "an operation name of an object": ('{"query": "{viewer{name}}", "operationName": {}}', 400),
    "extensions of a string": ('{"query": "{viewer{name}}", "extensions": "x"}', 400),
    "extensions of a list": ('{"query": "{viewer{name}}", "extensions": [1]}', 400),
    "a document id of a number": ('{"documentId": 7}', 400),
    "a batch": ('[{"query": "{viewer{name}}"}]', 400),
    "an empty batch": ("[]", 400),
    "a batch of a thousand": (json.dumps([{"query": RESET}] * 1000), 400),
    "lists a hundred thousand deep": (DEEP[:131_000], 400),
    "objects thousands deep": ('{"a":' * 20_000 + "1" + "}" * 20_000, 400),
    "deep variables": ('{"query": "{viewer{name}}", "variables": {"a": ' + DEEP[98_000:102_000] + "}}", 400),
    "deep extensions": ('{"query": "{viewer{name}}", "extensions": {"a": ' + DEEP[98_000:102_000] + "}}", 400),
    "bytes that are no UTF-8": (b'{"query": "{viewer{name}}\xff\xfe"}', 400),
    "half a character": (b'{"query": "\xf0\x9f\x92"}', 400),
    "a lone surrogate": ('{"query": "\\ud800 {viewer{name}}"}', 400),
    "UTF-16": ('{"query": "{viewer{name}}"}'.encode("utf-16"), 400),
    "a byte order mark": (b'\xef\xbb\xbf{"query": "{viewer{name}}"}', 400),
    "zero bytes": (b"\x00" * 100, 400),
    "compressed JSON without a word about it": (gzip.compress(b'{"query": "{viewer{name}}"}'), 400),
    "too much": (b'{"query": "' + b"x" * 200_000 + b'"}', 413),
}


@pytest.mark.parametrize("accept", [None, JSON, GRAPHQL_JSON, URQL])
@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_no_request_is_4xx_whatever_is_accepted(
    client: Client, context: Context, name: str, accept: str | None
) -> None:
    body, status = BODIES[name]
    response = await post(client, body, accept=accept)

    assert response.status == status
    content = await told(response)
    assert "data" not in content
    assert content["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}
    assert context.resets == []


async def test_a_batch_is_told_apart(client: Client) -> None:
    response = await post(client, [{"query": "{ viewer { name } }"}])

    assert (await told(response))["errors"][0]["message"] == "Batches are not taken: send one operation a request."


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
async def test_json_in_utf_8_is_taken_however_it_is_spelled(client: Client, content_type: str) -> None:
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


@pytest.mark.parametrize(
    "query_string",
    [
        "",
        "query=",
        "query",
        "variables={}",
        "query={viewer{name}}&query={viewer{name}}",
        "query={viewer{name}}&variables={",
        "query={viewer{name}}&variables=5",
        "query={viewer{name}}&variables=[]",
        "query={viewer{name}}&extensions=no",
        "query={viewer{name}}&variables=" + "[" * 1500,
        "query=%ff%fe",
        "query=%",
        "query=%00",
    ],
)
async def test_a_query_string_that_is_no_request_is_4xx(client: Client, query_string: str) -> None:
    response = await client.get(f"/graphql?{query_string}", headers={"Accept": GRAPHQL_JSON})

    assert 400 <= response.status < 500
    assert "data" not in await told(response)


async def test_a_body_that_arrives_in_pieces_is_put_together(client: Client) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        for piece in (b'{"query": "{ vie', b"wer { na", b'me } }"}'):
            yield piece
            await asyncio.sleep(0.01)

    response = await client.post("/graphql", data=pieces(), headers={"Content-Type": JSON})

    assert await told(response) == {"data": {"viewer": {"name": "ops"}}}


async def test_an_endless_body_is_413_before_its_end(client: Client) -> None:
    sent = 0

    async def pieces() -> AsyncGenerator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 1
            yield b" " * 16_384
            await asyncio.sleep(0)

    try:
        response = await client.post("/graphql", data=pieces(), headers={"Content-Type": JSON})
    except (ConnectionError, OSError):
        pass  # The server closed while we were still sending.
    else:
        assert response.status == 413
    assert sent < 5_000


async def test_a_body_that_does_not_arrive_is_408() -> None:
    app = make_app(make_endpoint(limits=Limits(body_seconds=0.05)))
    async with TestServer(app) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(
            b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
        )
        answer = await asyncio.wait_for(reader.readline(), timeout=5)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")


# -- Documents that cannot be executed

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
async def test_a_document_that_cannot_run_is_told_in_the_manner_of_the_media_type(
    client: Client, name: str, accept: str | None, status: int
) -> None:
    response = await post(client, {"query": UNFIT[name]}, accept=accept)

    assert response.status == status
    content = await told(response)
    assert "data" not in content
    assert content["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}


async def test_an_operation_of_another_name_is_not_found(client: Client, context: Context) -> None:
    response = await post(client, {"query": RESET, "operationName": "Other"}, accept=GRAPHQL_JSON)

    assert response.status == 400
    assert context.resets == []


async def test_a_syntax_error_tells_where_and_what_kind(client: Client) -> None:
    response = await post(client, {"query": '{ viewer {\n  name "hunter2" } }'})

    assert (await told(response))["errors"] == [
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


# -- What an answer and a log line never hold

ECHOES: dict[str, tuple[str, dict[str, object]]] = {
    "a string literal of a wrong type": (f'{{ trouble {{ wants(hours: "{CANARY}") }} }}', {}),
    "a block string literal of a wrong type": (f'{{ trouble {{ wants(hours: """{CANARY}""") }} }}', {}),
    "a bare word": (f"{{ client(clientId: {CANARY}) {{ id }} }}", {}),
    "a bare word in a list": (f"mutation {{ createClient(name: {CANARY}, features: [{CANARY}]) {{ id }} }}", {}),
    "an object literal": (f'{{ client(clientId: {{{CANARY}: "{CANARY}"}}) {{ id }} }}', {}),
    "a literal of a scalar": (f'{{ trouble {{ since(instant: "{CANARY}") }} }}', {}),
    "a literal of a directive": (f'{{ viewer @skip(if: "{CANARY}") {{ name }} }}', {}),
    "a default of a variable": (f'query ($h: Int = "{CANARY}") {{ trouble {{ wants(hours: $h) }} }}', {}),
    "a default bare word": (f"query ($h: Int = {CANARY}) {{ trouble {{ wants(hours: $h) }} }}", {}),
    "conflicting arguments": (
        f'{{ client(clientId: "{CANARY}") {{ id }} client(clientId: "{CANARY}2") {{ id }} }}',
        {},
    ),
    "a syntax error at a string": (f'{{ viewer {{ name "{CANARY}" }} }}', {}),
    "a syntax error at a block string": (f'{{ viewer {{ name """{CANARY}""" }} }}', {}),
    "a syntax error at a word": (f'{{ client(clientId "{CANARY}" {CANARY}) {{ id }} }}', {}),
    "a string that does not end": (f'{{ client(clientId: "{CANARY}', {}),
    "an escape that is none": (f'{{ client(clientId: "\\{CANARY}") {{ id }} }}', {}),
    "a unicode escape that is none": (f'{{ client(clientId: "\\u{{{CANARY}}}") {{ id }} }}', {}),
    "a number that is none": (f"{{ client(clientId: 0{CANARY}) {{ id }} }}", {}),
    "a variable of a wrong type": ("query ($h: Int!) { trouble { wants(hours: $h) } }", {"h": CANARY}),
    "a variable of a wrong scalar": ("query ($i: DateTime!) { trouble { since(instant: $i) } }", {"i": CANARY}),
    "a variable of a list": ("query ($h: Int!) { trouble { wants(hours: $h) } }", {"h": [CANARY]}),
    "a variable of an object": ("query ($h: Int!) { trouble { wants(hours: $h) } }", {"h": {CANARY: CANARY}}),
    "an item of a variable": (
        'mutation ($f: [String!]) { createClient(name: "a", features: $f) { id } }',
        {"f": [{CANARY: CANARY}]},
    ),
    "a variable nobody declared": ("{ viewer { name } }", {CANARY: CANARY, "deep": [[[[[[[[[[[[CANARY]]]]]]]]]]]]}),
    "a crash over a literal": (f'{{ trouble {{ crash(text: "{CANARY}") }} }}', {}),
    "a crash over an escaped literal": (f'{{ trouble {{ crash(text: "\\"{CANARY}\\n\\u00e9") }} }}', {}),
    "a crash over a variable": ("query ($t: String!) { trouble { crash(text: $t) } }", {"t": CANARY}),
    "a crash over a default": (f'query ($t: String! = "{CANARY}") {{ trouble {{ crash(text: $t) }} }}', {}),
}


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])
@pytest.mark.parametrize("name", ECHOES)
async def test_no_value_is_echoed_or_logged(
    client: Client, caplog: pytest.LogCaptureFixture, name: str, accept: str
) -> None:
    query, variables = ECHOES[name]
    with caplog.at_level(logging.DEBUG):
        response = await post(client, {"query": query, "variables": variables}, accept=accept)
        text = await response.text()

    assert response.status < 500
    assert CANARY not in text
    assert CANARY not in caplog.text
    assert CANARY not in repr(response.headers)


async def test_no_malformed_body_is_echoed_or_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for body in (f"{{{CANARY}", f'"{CANARY}"', f'["{CANARY}"]', json.dumps({"query": [CANARY]})):
            assert CANARY not in await (await post(client, body)).text()

    assert CANARY not in caplog.text


async def test_a_misfit_is_told_by_the_names_of_argument_variable_and_type(client: Client) -> None:
    asked = {
        '{ trouble { wants(hours: "x") } }': "The value of argument 'hours' does not fit its type 'Int!'.",
        "query ($h: Int!) { trouble { wants(hours: $h) } }": "Variable '$h' does not fit its type 'Int!'.",
        "query ($g: Int!) { trouble { wants(hours: $g) } }": "Variable '$g' is missing; its type is 'Int!'.",
    }
    for query, sentence in asked.items():
        response = await post(client, {"query": query, "variables": {"h": "x"}})
        assert (await told(response))["errors"][0]["message"] == sentence


async def test_a_null_that_meets_a_non_null_argument_is_the_callers_mistake(client: Client) -> None:
    """Only execution finds it: the variable has a default, so validation lets it pass."""
    query = "query ($h: Int = 5) { trouble { wants(hours: $h) } }"
    response = await post(client, {"query": query, "variables": {"h": None}})

    content = await told(response)
    assert content["data"] == {"trouble": {"wants": None}}
    assert content["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}
    assert content["errors"][0]["message"] == "The value of argument 'hours' does not fit its type."


# -- Failures of fields


async def test_a_failure_nobody_foresaw_is_masked_and_logged_in_full(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    response = await post(client, {"query": '{ trouble { crash(text: "it") refused } viewer { name } }'})

    assert response.status == 200
    content = await told(response)
    assert content["data"] == {"trouble": {"crash": None, "refused": None}, "viewer": {"name": "ops"}}
    assert content["errors"][0] == {
        "message": "Unexpected error.",
        "locations": [{"line": 1, "column": 13}],
        "path": ["trouble", "crash"],
        "extensions": {"code": "INTERNAL", "requestId": "req-1"},
    }
    assert "req-1" in caplog.text
    assert "trouble.crash" in caplog.text
    assert "RuntimeError: could not handle it ('it')" in caplog.text
    assert 'toy_graphql.py", line' in caplog.text


async def test_a_value_that_cannot_be_answered_is_masked(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """graphql-core quotes what a resolver returned, which may be a row of the database, and the document's lines."""
    response = await post(client, {"query": "{ trouble { wrongType } }"})

    assert "database" not in await response.text()
    assert await code_of(response) == "INTERNAL"
    assert "GraphQL request" not in caplog.text
    assert "{ trouble" not in caplog.text


async def test_a_failure_of_every_item_is_logged_once(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    response = await post(client, {"query": "{ trouble { many { crash } } }"})

    assert len((await told(response))["errors"]) == 3
    assert len(caplog.records) == 1


def test_a_log_line_prints_no_line_of_the_document() -> None:
    """As the text of a GraphQLError would that knows its place."""
    failure = RuntimeError("outer")
    failure.__cause__ = GraphQLError("inner", parse("{ viewer { name } }").definitions[0])

    assert "viewer" not in describe(failure, set())
    assert "GraphQLError: inner" in describe(failure, set())


async def test_a_refusal_keeps_its_code_message_and_facts(client: Client) -> None:
    response = await post(client, {"query": "{ trouble { refused } }"})

    assert (await told(response))["errors"] == [
        {
            "message": "Only an ADMIN may see this.",
            "locations": [{"line": 1, "column": 13}],
            "path": ["trouble", "refused"],
            "extensions": {"code": "FORBIDDEN", "requiredRoles": ["ADMIN"]},
        }
    ]


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])
async def test_infrastructure_trouble_is_503_and_keeps_what_was_done(client: Client, accept: str) -> None:
    """A sibling's new secret is in the answer all the same."""
    query = (
        'mutation { a: resetSecret(clientId: "a", hoursToLive: 1) { newSecret }'
        ' b: resetSecret(clientId: "b", hoursToLive: 999) { newSecret } }'
    )
    response = await post(client, {"query": query}, accept=accept)

    assert response.status == 503
    assert response.headers["Retry-After"] == "2"
    content = await told(response)
    assert content["data"] == {"a": {"newSecret": "gqls_" + "new"}, "b": None}
    assert content["errors"][0]["extensions"]["code"] == "UNAVAILABLE"


async def test_field_extensions_run_and_see_the_context(client: Client, context: Context) -> None:
    assert (await told(await post(client, {"query": "{ guarded }"})))["data"] == {"guarded": "seen by ops"}

    context.caller = Caller(None)
    response = await post(client, {"query": "{ guarded viewer { name } }"})

    assert await code_of(response) == "UNAUTHENTICATED"
    assert (await told(response))["data"] == {"guarded": None, "viewer": None}


async def test_a_defect_of_the_endpoint_is_masked_too(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: object, **_named: object) -> None:
        raise RuntimeError(f"while reading {CANARY}")

    monkeypatch.setattr(Documents, "read", fail)
    response = await post(client, {"query": f'{{ client(clientId: "{CANARY}") {{ id }} }}'})

    assert response.status == 500
    assert (await told(response))["errors"] == [
        {"message": "Unexpected error.", "extensions": {"code": "INTERNAL", "requestId": "req-1"}}
    ]
    assert CANARY not in caplog.text
    assert "RuntimeError" in caplog.text


async def test_what_is_refused_before_the_endpoint_speaks_graphql_too() -> None:
    async def handler(request: web.Request) -> web.Response:
        refused = RequestRefused("UNAUTHENTICATED", "These credentials are not good.")
        return refusal(request, refused, status=401, headers={"WWW-Authenticate": "Basic"})

    app = web.Application()
    app.router.add_post("/graphql", handler)
    async with TestClient(TestServer(app)) as client:
        response = await post(client, {"query": "{ viewer { name } }"}, accept=GRAPHQL_JSON)
        content = await told(response)

    assert response.status == 401
    assert response.content_type == GRAPHQL_JSON
    assert response.headers["WWW-Authenticate"] == "Basic"
    assert content == {
        "errors": [{"message": "These credentials are not good.", "extensions": {"code": "UNAUTHENTICATED"}}]
    }


def test_schema_extensions_that_would_not_run_are_not_accepted() -> None:
    with pytest.raises(ValueError, match="field extensions"):
        GraphQLEndpoint(
            strawberry.Schema(Query, extensions=[SchemaExtension]),
            limits=Limits(),
            introspection=lambda _context: True,
        )


# -- Introspection


@pytest.mark.parametrize("query", ["{ __schema { queryType { name } } }", '{ a: __type(name: "Client") { name } }'])
async def test_the_schema_is_shown_to_those_who_may_see_it(client: Client, context: Context, query: str) -> None:
    assert "errors" not in await told(await post(client, {"query": query}))

    context.caller = Caller(None)
    for asked in (query, f"{{ viewer {{ name }} ...F }} fragment F on Query {query}"):
        response = await post(client, {"query": asked})
        assert await code_of(response) == "UNAUTHENTICATED"
        assert "data" not in await told(response)


async def test_a_typename_is_no_introspection(client: Client, context: Context) -> None:
    context.caller = Caller(None)
    response = await post(client, {"query": "{ __typename viewer { __typename } }"})

    assert await told(response) == {"data": {"__typename": "Query", "viewer": None}}


# -- Documents are read once, and kept within bounds


async def test_a_known_document_is_neither_parsed_nor_validated_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "query ($n: Int) { clients(first: $n) { totalCount } }"
    await post(client, {"query": query, "variables": {"n": 1}})

    def fail(*_args: object, **_named: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(documents, "parse_document", fail)
    monkeypatch.setattr(documents, "validate", fail)
    for size in (2, 3):
        response = await post(client, {"query": query, "variables": {"n": size}})
        assert await told(response) == {"data": {"clients": {"totalCount": size}}}


def kept(limits: Limits) -> Documents:
    return make_endpoint(limits=limits).engine.documents


def test_only_so_many_documents_are_kept_and_the_latest_used_longest() -> None:
    documents = kept(Limits(cached_documents=3))
    first = documents.read("{ viewer { name } }")
    for n in range(10):
        documents.read(f"{{ viewer {{ a{n}: name }} }}")
        assert documents.read("{ viewer { name } }") is first
        assert len(documents) <= 3


def test_large_literals_cannot_pin_memory() -> None:
    """Each document is as large as the limits let it be; the estimate must hold against what is really taken."""
    limits = Limits(cached_bytes=2_000_000)
    documents = kept(limits)
    documents.read("{ viewer { name } }")
    words = 'mutation { createClient(name: "#", features: [' + '"x" ' * 370 + "]) { id } }"
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for n in range(200):
        documents.read(f'{{ client(clientId: "{"é" * 16_000}{n}") {{ id }} }}')
        documents.read(words.replace("#", str(n)))
        documents.read(f"{{ viewer {{ name }} }} # {n}{'x' * 60_000}")
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert documents.bytes <= limits.cached_bytes
    assert after - before < limits.cached_bytes * 1.2


def test_a_document_too_large_for_the_cache_displaces_nothing() -> None:
    documents = kept(Limits(cached_bytes=200_000))
    small = documents.read("{ viewer { name } }")
    documents.read(f'{{ client(clientId: "{"x" * 16_000}") {{ id }} }}')

    assert len(documents) == 1
    assert documents.read("{ viewer { name } }") is small


def test_a_document_that_is_refused_is_not_kept() -> None:
    documents = kept(Limits())
    with pytest.raises(DocumentRefused):
        documents.read("{ nothing }")

    assert len(documents) == 0
    assert documents.bytes == 0


# -- Trusted documents

VIEWER = "query Viewer { viewer { name } }"


@pytest.mark.parametrize(
    "body",
    [
        {"query": VIEWER},
        {"documentId": digest_of(VIEWER)},
        {"documentId": "sha256:" + digest_of(VIEWER).upper()},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest_of(VIEWER)}}},
    ],
)
async def test_a_trusted_document_runs_by_text_and_by_sha256(body: dict[str, object]) -> None:
    endpoint = make_endpoint(trusted=TrustedDocuments([VIEWER]))
    async with TestClient(TestServer(make_app(endpoint))) as client:
        response = await post(client, body, accept=GRAPHQL_JSON)
        assert response.status == 200
        assert await told(response) == {"data": {"viewer": {"name": "ops"}}}


@pytest.mark.parametrize(
    "body",
    [
        {"query": RESET},
        {"query": VIEWER + " "},
        {"query": RESET, "documentId": digest_of(VIEWER)},
        {"documentId": digest_of(RESET)},
        {"documentId": ""},
        {"extensions": {"persistedQuery": {"sha256Hash": digest_of(RESET)}}},
    ],
)
async def test_with_trusted_documents_nothing_else_runs(context: Context, body: dict[str, object]) -> None:
    endpoint = make_endpoint(trusted=TrustedDocuments([VIEWER]))
    async with TestClient(TestServer(make_app(endpoint, context))) as client:
        response = await post(client, body, accept=GRAPHQL_JSON)
        content = await told(response)

    assert response.status == 400
    assert "data" not in content
    assert context.resets == []


async def test_without_trusted_documents_an_id_is_refused(client: Client) -> None:
    response = await post(client, {"documentId": digest_of(VIEWER)}, accept=GRAPHQL_JSON)

    assert response.status == 400


def test_a_manifest_is_checked_when_it_is_read(tmp_path: Path) -> None:
    manifest = tmp_path / "documents.json"
    manifest.write_text(json.dumps({digest_of(VIEWER): VIEWER}))
    trusted = TrustedDocuments.load(manifest, besides=[RESET])
    assert trusted.find(digest_of(VIEWER)) == VIEWER
    assert RESET in trusted

    manifest.write_text(json.dumps({digest_of(VIEWER): VIEWER + " "}))
    with pytest.raises(ValueError, match="another sha256"):
        TrustedDocuments.load(manifest)
    manifest.write_text("[]")
    with pytest.raises(ValueError, match="JSON object"):
        TrustedDocuments.load(manifest)


def test_a_trusted_document_that_cannot_run_stops_the_start() -> None:
    with pytest.raises(ValueError, match="nothing"):
        make_endpoint(trusted=TrustedDocuments(["{ nothing }"]))


# -- Subscriptions, by whatever transport


async def test_a_subscription_gives_an_answer_for_each_event_and_masks_its_end() -> None:
    engine = make_endpoint().engine
    admitted = engine.admit(Call("subscription ($f: Boolean!) { ticks(upto: 2, fail: $f) }", {"f": False}), Context())

    answers = [answer async for answer in await engine.subscribe(admitted, Context())]

    assert answers == [Answer({"ticks": 0}, []), Answer({"ticks": 1}, [])]


async def test_a_subscription_that_fails_says_no_more_than_a_query_does(caplog: pytest.LogCaptureFixture) -> None:
    engine = make_endpoint().engine
    admitted = engine.admit(Call("subscription { ticks(upto: 1, fail: true) }"), Context())

    answers = [answer async for answer in await engine.subscribe(admitted, Context())]

    assert answers[0].data == {"ticks": 0}
    assert answers[1].data is None
    assert answers[1].errors[0]["extensions"] == {"code": "INTERNAL", "requestId": "req-1"}
    assert "ended badly" in caplog.text


async def test_a_subscription_with_a_misfitting_variable_does_not_begin() -> None:
    engine = make_endpoint().engine
    call = Call("subscription ($n: Int!) { ticks(upto: $n) }", {"n": CANARY})
    with pytest.raises(DocumentRefused) as refused:
        await engine.subscribe(engine.admit(call, Context()), Context())

    assert refused.value.errors[0]["message"] == "Variable '$n' does not fit its type 'Int!'."
