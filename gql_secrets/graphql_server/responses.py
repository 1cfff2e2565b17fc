"""GraphQL results as HTTP responses: the body, the media type and the status."""

from collections.abc import Mapping
from typing import Final

import orjson
from aiohttp import hdrs, web
from graphql import OperationType

from gql_secrets.graphql_server.compression import MIN_BYTES
from gql_secrets.graphql_server.errors import (
    FORBIDDEN,
    INTERNAL,
    RATE_LIMITED,
    UNAUTHENTICATED,
    UNAVAILABLE,
    DocumentRefused,
)
from gql_secrets.graphql_server.negotiation import JSON, AcceptedTypes, accepted_types
from gql_secrets.graphql_server.operations import OperationResult, PreparedOperation

# Failures of a field that proxies and clients must see as a status, though the response may hold data.
_STATUS_OF_FIELD: Final = {UNAVAILABLE: 503, RATE_LIMITED: 429}
# The status of a document that is refused, where the media type allows one.
_STATUS_OF_REFUSAL: Final = {UNAUTHENTICATED: 401, FORBIDDEN: 403, INTERNAL: 500, **_STATUS_OF_FIELD}

# The content type and the body of an answer with the status 200 that is sent as it is.
PlainAnswer = tuple[str, bytes]


def json_response(
    accepted: AcceptedTypes,
    errors: list[dict[str, object]],
    status: int,
    *,
    data: Mapping[str, object] | None = None,
    has_data: bool = False,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return the response: `errors` first, so that they are seen, and `data` only where execution began."""
    all_headers = {**_headers_of(content_type_of(accepted)), **(headers or {})}
    if status in (429, 503):
        for entry in errors:
            extensions = entry["extensions"]
            if isinstance(extensions, dict) and isinstance(seconds := extensions.get("retryAfter"), int):
                all_headers[hdrs.RETRY_AFTER] = str(seconds)
    return web.Response(body=body_of(errors, data, has_data=has_data), status=status, headers=all_headers)


def body_of(errors: list[dict[str, object]], data: Mapping[str, object] | None, *, has_data: bool) -> bytes:
    """Return the JSON of a response, without `errors` where there are none and `data` where nothing was executed."""
    content: dict[str, object] = {}
    if errors:
        content["errors"] = errors
    if has_data:
        content["data"] = data
    return orjson.dumps(content)


def plain_answer(request: web.Request, data: Mapping[str, object] | None) -> PlainAnswer | None:
    """Return the answer that has this data, or None if it is long enough to be compressed."""
    body = body_of([], data, has_data=True)
    return (content_type_of(accepted_types(request)), body) if len(body) < MIN_BYTES else None


def content_type_of(accepted: AcceptedTypes) -> str:
    """Return the content type of a response to a request that accepts these types."""
    return f"{accepted.json_type or JSON}; charset=utf-8"


def _headers_of(content_type: str) -> dict[str, str]:
    # A response can hold a new secret: nothing on its way may store it.
    return {hdrs.CONTENT_TYPE: content_type, hdrs.CACHE_CONTROL: "no-store"}


def plain_response(_request: web.Request, content_type: str, body: bytes, headers: Mapping[str, str]) -> web.Response:
    """Return a response with the status 200."""
    return web.Response(body=body, headers={**_headers_of(content_type), **headers})


def status_of(result: OperationResult) -> int:
    """Return 200, unless a field failed in a way that needs a status."""
    for entry in result.errors:
        extensions = entry["extensions"]
        if isinstance(extensions, dict) and (status := _STATUS_OF_FIELD.get(extensions["code"])):
            return status
    return 200


def status_of_refusal(refused: DocumentRefused, accepted: AcceptedTypes, prepared: PreparedOperation | None) -> int:
    """Return the status of a document that is not executed; a reader of an event stream sees nothing else."""
    is_stream = accepted.event_stream and prepared is not None and prepared.kind is OperationType.SUBSCRIPTION
    if accepted.json_type == JSON and not is_stream:
        return 200
    return _STATUS_OF_REFUSAL.get(str(refused.code), 400)
