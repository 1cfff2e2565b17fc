"""GraphQL over HTTP: a request is read to the letter, and answered in the media type and status it asked for.

Two kinds of refusal are kept apart. A request that is no GraphQL request (bad JSON, a parameter of the wrong type, a
wrong content type) is 4xx whatever it accepts. A well-formed request whose document cannot be executed is told in the
manner of the media type: 400 in `application/graphql-response+json`, 200 in `application/json`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, NoReturn

import orjson
import strawberry
from aiohttp import hdrs, web
from graphql import OperationType

from gql_secrets.graphql_server.cost import Limits
from gql_secrets.graphql_server.disconnects import is_disconnected
from gql_secrets.graphql_server.documents import TrustedDocuments
from gql_secrets.graphql_server.engine import Admitted, Answer, Call, Engine, RequestContext
from gql_secrets.graphql_server.errors import (
    BAD_REQUEST,
    RATE_LIMITED,
    UNAVAILABLE,
    Present,
    RequestRefused,
    error_entry,
    internal_entry,
    refused_entry,
)
from gql_secrets.graphql_server.parsing import DocumentRefused

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"

STATUS_OF_CODE = {UNAVAILABLE: 503, RATE_LIMITED: 429}
"""Failures of a field that proxies and clients must see as a status, though the answer may hold data."""

Stream = Callable[[web.Request, Admitted, RequestContext], Awaitable[web.StreamResponse]]
"""Answers a subscription as an event stream."""

Permit = Callable[[web.Request, OperationType, RequestContext], None]
"""Raises RequestRefused if a request may not ask for an operation of this kind; nothing was executed then."""


class Accepted(NamedTuple):
    """What a request accepts, of what this endpoint can give."""

    media_type: str | None
    event_stream: bool


class Malformed(Exception):  # noqa: N818  (named like the rest of the family)
    """A request that is no GraphQL request: answered with this status whatever it accepts."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class GraphQLEndpoint:
    """The handler of `/graphql`."""

    def __init__(
        self,
        schema: strawberry.Schema,
        *,
        limits: Limits,
        introspection: Callable[[RequestContext], bool],
        present: Present = lambda _failure: None,
        trusted_documents: TrustedDocuments | None = None,
        stream: Stream | None = None,
        permit: Permit | None = None,
    ) -> None:
        self.engine = Engine(
            schema,
            limits=limits,
            present=present,
            trusted_documents=trusted_documents,
            introspection=introspection,
        )
        self._limits = limits
        self._stream = stream
        self._permit = permit

    async def handle(self, request: web.Request, context: RequestContext) -> web.StreamResponse:
        """Answer a request; whatever fails is answered too, and no detail of it leaves."""
        accepted = accepted_by(request)
        admitted: Admitted | None = None
        try:
            call = await self._read(request, accepted)
            admitted = self.engine.admit(call, context)
            check_method(request, admitted.kind)
            if self._permit is not None:
                self._permit(request, admitted.kind, context)
            if admitted.kind is OperationType.SUBSCRIPTION:
                return await self._subscription(request, admitted, accepted, context)
            check_media_type(accepted)
            answer = await self.engine.execute(admitted, context)
            return respond(accepted, answer.data, answer.errors, status_of(answer), hold_data=True)
        except Malformed as malformed:
            errors = [error_entry(malformed.message, BAD_REQUEST)]
            return respond(accepted, None, errors, malformed.status, headers=malformed.headers)
        except RequestRefused as refused:
            return respond(accepted, None, [refused_entry(refused)], 403)
        except DocumentRefused as refused:
            status = 200 if accepted.media_type == JSON else 400
            return respond(accepted, None, refused.errors, status)
        except web.HTTPException:
            raise
        except Exception as failure:  # the last door before the caller
            if isinstance(failure, ConnectionError) and is_disconnected(request):
                raise
            self.engine.mask.record(failure, context, "", self.engine.hidden(admitted))
            return respond(accepted, None, [internal_entry(context)], 500)

    async def _subscription(
        self, request: web.Request, admitted: Admitted, accepted: Accepted, context: RequestContext
    ) -> web.StreamResponse:
        if self._stream is None or not accepted.event_stream:
            raise Malformed(406, f"A subscription is answered as an event stream: accept {EVENT_STREAM}.")
        return await self._stream(request, admitted, context)

    async def _read(self, request: web.Request, accepted: Accepted) -> Call:
        if request.method == hdrs.METH_POST:
            check_content_type(request)
            if not accepted.event_stream:
                check_media_type(accepted)
            return call_from(parse_json(await self._body(request), "The body"))
        if request.method == hdrs.METH_GET:
            if not accepted.event_stream:
                check_media_type(accepted)
            return call_from_query(request)
        raise Malformed(405, "GraphQL is asked by POST or GET.", {hdrs.ALLOW: "GET, POST"})

    async def _body(self, request: web.Request) -> bytes:
        self._check_length(request.content_length or 0)
        body = bytearray()
        try:
            if request.content.is_eof():
                # Nearly every request arrives whole, with its head.
                body += request.content.read_nowait()
                self._check_length(len(body))
                return bytes(body)
            async with asyncio.timeout(self._limits.body_seconds):
                async for part in request.content.iter_any():
                    self._check_length(len(body) + len(part))
                    body += part
            return bytes(body)
        except TimeoutError:
            raise Malformed(408, "The body took too long to arrive.", {hdrs.CONNECTION: "close"}) from None
        except (web.RequestPayloadError, ConnectionError):
            raise Malformed(400, "The body did not arrive whole.", {hdrs.CONNECTION: "close"}) from None

    def _check_length(self, length: int) -> None:
        if length > self._limits.body_bytes:
            # What is left of the body is not waited for.
            message = f"The body is longer than {self._limits.body_bytes} bytes."
            raise Malformed(413, message, {hdrs.CONNECTION: "close"})


def refusal(
    request: web.Request,
    refused: RequestRefused,
    *,
    status: int,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """A GraphQL answer that tells one refusal of the whole request, for what is decided before the endpoint."""
    return respond(accepted_by(request), None, [refused_entry(refused)], status, headers=headers)


def respond(
    accepted: Accepted,
    data: Mapping[str, object] | None,
    errors: list[dict[str, object]],
    status: int,
    *,
    headers: Mapping[str, str] | None = None,
    hold_data: bool = False,
) -> web.Response:
    """The response: `errors` first, so that they are seen, and `data` only where execution began (`hold_data`)."""
    content: dict[str, object] = {}
    if errors:
        content["errors"] = errors
    if hold_data:
        content["data"] = data
    # An answer can hold a new secret: nothing on the way may keep it.
    named = {
        hdrs.CONTENT_TYPE: f"{accepted.media_type or JSON}; charset=utf-8",
        hdrs.CACHE_CONTROL: "no-store",
        **(headers or {}),
    }
    if status in (429, 503):
        for entry in errors:
            extensions = entry["extensions"]
            if isinstance(extensions, dict) and isinstance(seconds := extensions.get("retryAfter"), int):
                named[hdrs.RETRY_AFTER] = str(seconds)
    return web.Response(body=orjson.dumps(content), status=status, headers=named)


def status_of(answer: Answer) -> int:
    """200, unless a field failed in a way that a status must tell."""
    for entry in answer.errors:
        extensions = entry["extensions"]
        if isinstance(extensions, dict) and (status := STATUS_OF_CODE.get(extensions["code"])):
            return status
    return 200


def accepted_by(request: web.Request) -> Accepted:
    """What the request accepts; everything, where it does not say."""
    headers = request.headers.getall(hdrs.ACCEPT, ())
    return _accepted(",".join(headers)) if headers else Accepted(JSON, event_stream=False)


@lru_cache(maxsize=512)
def _accepted(header: str) -> Accepted:
    """Negotiate: the better liked of the two media types, the first named if both are liked alike, else JSON."""
    liked: dict[str, float] = {}
    for item in header.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        liked.setdefault(name, quality)
    anything = liked.get("application/*", liked.get("*/*", 0.0))
    qualities = {name: liked.get(name, anything) for name in (JSON, GRAPHQL_JSON)}
    named = [name for name in liked if name in qualities] or [JSON]
    best = max(named, key=lambda name: qualities[name])
    others = [name for name in qualities if qualities[name] > qualities[best]]
    best = others[0] if others else best
    return Accepted(
        best if qualities[best] > 0 else None,
        event_stream=liked.get(EVENT_STREAM, 0.0) > 0,
    )


def check_content_type(request: web.Request) -> None:
    """Raise Malformed unless the body is JSON in UTF-8, which no form of a foreign page can send."""
    if not _is_json(request.headers.get(hdrs.CONTENT_TYPE, "")):
        raise Malformed(415, "Send the request as application/json in UTF-8.", {"Accept-Post": JSON})
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise Malformed(415, "Send the body without a content encoding.")


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
    """Raise Malformed if a mutation came by GET, which may be prefetched, repeated, linked and logged."""
    if request.method == hdrs.METH_GET and kind is OperationType.MUTATION:
        raise Malformed(405, "A mutation is sent by POST.", {hdrs.ALLOW: "POST"})


def parse_json(content: bytes | str, what: str) -> object:
    """The JSON value, or Malformed without any of it."""
    if not content:
        raise Malformed(400, f"{what} is empty: send a JSON object with `query`.")
    try:
        value: object = orjson.loads(content)
    except orjson.JSONDecodeError:
        # Without the cause, which holds the whole text.
        value = NotImplemented
    if value is NotImplemented:
        raise Malformed(400, f"{what} is not JSON in UTF-8.")
    return value


def call_from(body: object) -> Call:
    """What the JSON body of a POST asks for."""
    if isinstance(body, list):
        raise Malformed(400, "Batches are not taken: send one operation a request.")
    if not isinstance(body, dict):
        raise Malformed(400, "The body must be a JSON object with `query`.")
    return make_call(
        body.get("query"),
        body.get("variables"),
        body.get("operationName"),
        body.get("extensions"),
        body.get("documentId"),
    )


def call_from_query(request: web.Request) -> Call:
    """What the query string of a GET asks for; `variables` and `extensions` are JSON in it."""
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name in given:
            raise Malformed(400, "A parameter of the query string is there twice.")
        given[name] = value
    variables, extensions = (
        parse_json(given[name], f"`{name}`") if given.get(name) else None for name in ("variables", "extensions")
    )
    return make_call(
        given.get("query"), variables, given.get("operationName") or None, extensions, given.get("documentId")
    )


def make_call(
    query: object, variables: object, operation_name: object, extensions: object, document_id: object
) -> Call:
    """The call of these parameters, or Malformed for one of the wrong type."""
    if not isinstance(query, str | None):
        wrong_type("query", "a string")
    if not isinstance(operation_name, str | None):
        wrong_type("operationName", "a string")
    if not isinstance(variables, dict | None):
        wrong_type("variables", "an object")
    if not isinstance(extensions, dict | None):
        wrong_type("extensions", "an object")
    if not isinstance(document_id, str | None):
        wrong_type("documentId", "a string")
    if document_id is None and extensions:
        # The way in which Apollo's clients name a document by its sha256.
        persisted = extensions.get("persistedQuery")
        digest = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
        document_id = digest if isinstance(digest, str) else None
    if query is None and document_id is None:
        raise Malformed(400, "The request has no `query`.")
    return Call(query, variables or {}, operation_name, document_id)


def wrong_type(name: str, wanted: str) -> NoReturn:
    """Raise Malformed for a parameter of the wrong type."""
    raise Malformed(400, f"`{name}` must be {wanted}.")


def check_media_type(accepted: Accepted) -> None:
    """Raise Malformed before anything runs if the request accepts no media type of an answer.

    An event stream is none: a new secret must not get lost in a stream that nobody reads.
    """
    if accepted.media_type is None:
        raise Malformed(406, f"The answer is {GRAPHQL_JSON} or {JSON}: accept one of them.")
