"""Requests to the toy schema's endpoint, as tests send them, and what their answers and log lines say."""

import json
from typing import Any

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
# What the client library urql accepts.
URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)
RESET = 'mutation { resetSecret(clientId: "x", hoursToLive: 24) { newSecret } }'
# A value that no answer and no log line may hold.
CANARY = "hunter2" + "canary"

Client = TestClient[web.Request, web.Application]


async def post(client: Client, body: object, *, accept: str | None = JSON, **headers: str) -> ClientResponse:
    """Send a body: text and bytes as they are, anything else as JSON."""
    sent = body if isinstance(body, (str, bytes)) else json.dumps(body)
    all_headers = {"Content-Type": JSON, **({"Accept": accept} if accept is not None else {}), **headers}
    return await client.post("/graphql", data=sent, headers=all_headers, skip_auto_headers=["Accept"])


async def content_of(response: ClientResponse) -> dict[str, Any]:
    content = json.loads(await response.read())
    assert isinstance(content, dict)
    return content


async def code_of(response: ClientResponse) -> str:
    content = await content_of(response)
    code = content["errors"][0]["extensions"]["code"]
    assert isinstance(code, str)
    return code
