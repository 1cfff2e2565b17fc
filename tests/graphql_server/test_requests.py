"""What is not a GraphQL request is refused with a 4xx status, and bodies are read within bounds."""

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator

import pytest
from aiohttp.test_utils import TestServer
from support.graphql_http import GRAPHQL_JSON, JSON, RESET, URQL, Client, content_of, post
from support.toy_graphql import Context, make_app, make_endpoint

from gql_secrets.graphql_server.limits import Limits

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
async def test_a_body_that_is_not_a_request_is_4xx_regardless_of_accept(
    client: Client, context: Context, name: str, accept: str | None
) -> None:
    body, status = BODIES[name]
    response = await post(client, body, accept=accept)

    assert response.status == status
    content = await content_of(response)
    assert "data" not in content
    assert content["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}
    assert context.resets == []


async def test_a_batch_has_a_message_of_its_own(client: Client) -> None:
    response = await post(client, [{"query": "{ viewer { name } }"}])

    assert (await content_of(response))["errors"][0][
        "message"
    ] == "Batching is not supported; send one operation per request."


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
async def test_a_query_string_that_is_not_a_request_is_4xx(client: Client, query_string: str) -> None:
    response = await client.get(f"/graphql?{query_string}", headers={"Accept": GRAPHQL_JSON})

    assert 400 <= response.status < 500
    assert "data" not in await content_of(response)


async def test_a_body_that_arrives_in_pieces_is_put_together(client: Client) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        for piece in (b'{"query": "{ vie', b"wer { na", b'me } }"}'):
            yield piece
            await asyncio.sleep(0.01)

    response = await client.post("/graphql", data=pieces(), headers={"Content-Type": JSON})

    assert await content_of(response) == {"data": {"viewer": {"name": "ops"}}}


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
        answer = await asyncio.wait_for(reader.readline(), timeout=30)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
