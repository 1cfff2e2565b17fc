"""The media types of GraphQL over HTTP: what a request accepts, and what it may send."""

from functools import lru_cache
from typing import Final, NamedTuple

from aiohttp import hdrs, web
from graphql import OperationType

from gql_secrets.graphql_server.requests import MalformedRequest

JSON: Final = "application/json"
GRAPHQL_JSON: Final = "application/graphql-response+json"
EVENT_STREAM: Final = "text/event-stream"
_LEAST_WEIGHT: Final = 0.001


class AcceptedTypes(NamedTuple):
    """What a request accepts, of what this endpoint can send.

    Attributes:
        json_type: the preferred type of a JSON response, None where none is accepted.
        event_stream: whether an event stream is accepted.
    """

    json_type: str | None
    event_stream: bool


def accepted_types(request: web.Request) -> AcceptedTypes:
    """Return what the request accepts; JSON, where it does not say."""
    headers = request.headers.getall(hdrs.ACCEPT, ())
    return _accepted(",".join(headers)) if headers else AcceptedTypes(JSON, event_stream=False)


@lru_cache(maxsize=512)
def _accepted(header: str) -> AcceptedTypes:
    """Return the preferred of the two JSON types, the first named if both are preferred alike, else JSON."""
    qualities: dict[str, float] = {}
    for item in header.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                quality = _weight(parameter[2:])
        qualities.setdefault(name, quality)
    wildcard = qualities.get("application/*", qualities.get("*/*", 0.0))
    json_types = {name: qualities.get(name, wildcard) for name in (JSON, GRAPHQL_JSON)}
    named = [name for name in qualities if name in json_types] or [JSON]
    best = max(named, key=lambda name: json_types[name])
    better = [name for name in json_types if json_types[name] > json_types[best]]
    best = better[0] if better else best
    return AcceptedTypes(
        best if json_types[best] > 0 else None,
        event_stream=qualities.get(EVENT_STREAM, 0.0) > 0,
    )


def _weight(text: str) -> float:
    """Return a weight from 0 to 1 (RFC 9110, section 12.4.2); for any other text the least that accepts."""
    try:
        weight = float(text)
    except ValueError:
        return _LEAST_WEIGHT
    return weight if 0 <= weight <= 1 else _LEAST_WEIGHT


def check_accepted(accepted: AcceptedTypes) -> None:
    """Pass if the request accepts a JSON response: checked before anything runs.

    Raises:
        MalformedRequest: it does not.
    """
    if accepted.json_type is None:
        raise MalformedRequest(406, f"The response is {GRAPHQL_JSON} or {JSON}: accept one of them.")


def may_be_streamed(accepted: AcceptedTypes, kind: OperationType) -> bool:
    """Return whether the result is sent as the only event of a stream, for readers that accept nothing else.

    The result of a mutation is not: a new secret must not get lost in a stream that nobody reads.
    """
    return kind is OperationType.QUERY and accepted.event_stream and accepted.json_type is None


def check_content_type(request: web.Request) -> None:
    """Pass if the body is JSON in UTF-8, which a form of another site's page cannot send.

    Raises:
        MalformedRequest: it is something else, or compressed.
    """
    if not _is_json(request.headers.get(hdrs.CONTENT_TYPE, "")):
        raise MalformedRequest(415, "Send the request as application/json in UTF-8.", {"Accept-Post": JSON})
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise MalformedRequest(415, "Send the body without a content encoding.")


@lru_cache(maxsize=512)
def _is_json(header: str) -> bool:
    name, *parameters = (part.strip() for part in header.lower().split(";"))
    if name != JSON:
        return False
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8"):
            return False
    return True


def check_method(request: web.Request, kind: OperationType) -> None:
    """Pass unless a mutation came by GET, which may be prefetched, repeated, linked and logged.

    Raises:
        MalformedRequest: one did.
    """
    if request.method == hdrs.METH_GET and kind is OperationType.MUTATION:
        raise MalformedRequest(405, "A mutation must be sent by POST.", {hdrs.ALLOW: "POST"})
