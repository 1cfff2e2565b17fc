"""GraphQL over HTTP: a request is read to the letter, and answered in the media type and status that it asks for.

Two kinds of refusal are distinguished. A request that is not a GraphQL request (invalid JSON, a parameter of the
wrong type, a wrong content type) is 4xx regardless of what it accepts. A well-formed request whose document cannot be
executed is answered as its media type requires: 200 in `application/json`, else a status that follows from the code.
"""

import asyncio
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Final, NamedTuple

import strawberry
from aiohttp import hdrs, web
from graphql import OperationType

from gql_secrets.graphql_server.compression import MIN_BYTES, compress
from gql_secrets.graphql_server.disconnects import is_disconnected
from gql_secrets.graphql_server.documents import TrustedDocuments
from gql_secrets.graphql_server.engine import Engine, OperationObserver, OperationSurrounding
from gql_secrets.graphql_server.errors import (
    BAD_REQUEST,
    DocumentRefused,
    FailureTable,
    RequestRefused,
    error_entry,
    internal_entry,
)
from gql_secrets.graphql_server.limits import Limits
from gql_secrets.graphql_server.negotiation import (
    EVENT_STREAM,
    AcceptedTypes,
    accepted_types,
    check_accepted,
    check_content_type,
    check_method,
    may_be_streamed,
)
from gql_secrets.graphql_server.operations import KnownOperation, OperationResult, PreparedOperation
from gql_secrets.graphql_server.protocols import RequestContext
from gql_secrets.graphql_server.requests import GraphQLRequest, MalformedRequest, parse_json
from gql_secrets.graphql_server.responses import (
    PlainAnswer,
    body_of,
    content_type_of,
    json_response,
    plain_answer,
    plain_response,
    status_of,
    status_of_refusal,
)
from gql_secrets.graphql_server.sse import stream_events, stream_of_one
from gql_secrets.graphql_server.taskless import run_without_task
from gql_secrets.graphql_server.turns import Turn

_NO_HEADERS: Final[Mapping[str, str]] = {}

# The name of the operation that a request asks for, as its document has it; empty without a name.
OPERATION_NAME: Final = web.RequestKey("operation_name", str)


class KnownRequest(NamedTuple):
    """What a request asks for, and the operation that it names, whose document was read before."""

    asked: GraphQLRequest
    known: KnownOperation


# Of a request that was read on its arrival.
_KNOWN: Final = web.RequestKey("known", KnownRequest)

# Makes the response with the status 200, of the request, the content type, the body, and more headers.
ResponseFactory = Callable[[web.Request, str, bytes, Mapping[str, str]], web.StreamResponse]
# Raises RequestRefused if a request may not ask for an operation of this kind; nothing was executed then.
OperationCheck = Callable[[web.Request, OperationType, RequestContext], None]


class GraphQLEndpoint:
    """The handler of `/graphql`.

    Args:
        schema: the schema.
        limits: the limits of requests and documents.
        introspection: whether the caller of a request may query the schema itself.
        present: the table from a failure to the error that a caller gets.
        redact: removes credentials from messages.
        trusted_documents: where given, no other document is executed.
        check_operation: what a request must pass before its operation is executed.
        challenges: the `WWW-Authenticate` headers of a 401.
        known_documents: documents whose operations are reported by name, in addition to the trusted ones.
        observe: is called with the name and the outcome of each operation.
        surround: returns the context in which an operation is executed.
        make_response: makes the responses with the status 200.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        *,
        limits: Limits,
        introspection: Callable[[RequestContext], bool],
        present: FailureTable = lambda _failure: None,
        redact: Callable[[str], str] = str,
        trusted_documents: TrustedDocuments | None = None,
        check_operation: OperationCheck | None = None,
        challenges: Callable[[web.Request], Sequence[str]] = lambda _request: (),
        known_documents: Container[str] = frozenset(),
        observe: OperationObserver = lambda _name, _outcome: None,
        surround: OperationSurrounding | None = None,
        make_response: ResponseFactory | None = None,
    ) -> None:
        self.engine = Engine(
            schema,
            limits=limits,
            present=present,
            redact=redact,
            trusted_documents=trusted_documents,
            introspection=introspection,
            known_documents=known_documents,
            observe=observe,
            surround=surround,
        )
        self._limits = limits
        self._check_operation = check_operation
        self._challenges = challenges
        self._make_response = make_response or plain_response

    async def handle(
        self, request: web.Request, context: RequestContext, turn: Turn | None = None
    ) -> web.StreamResponse:
        """Answer a request; every failure is answered too, and no internal detail of it leaves.

        `turn` is the turn that the caller already has; without it, this waits for the next one.
        """
        accepted = accepted_types(request)
        prepared: PreparedOperation | None = None
        try:
            parameters, known = request.get(_KNOWN) or (await self._read(request, accepted), None)
            async with turn or self.engine.turns.take(context.turn_key):
                prepared = await self.engine.prepare(parameters, context, known)
                request[OPERATION_NAME] = prepared.operation.name or ""
                kind = prepared.kind
                check_method(request, kind)
                if self._check_operation is not None:
                    self._check_operation(request, kind, context)
                if kind is not OperationType.SUBSCRIPTION:
                    return await self._execute(request, accepted, prepared, context)
            if not accepted.event_stream:
                raise MalformedRequest(406, f"A subscription is answered as an event stream: accept {EVENT_STREAM}.")
            return await stream_events(self.engine, request, prepared, context)
        except MalformedRequest as malformed:
            errors = [error_entry(malformed.message, BAD_REQUEST)]
            return self._respond(request, accepted, errors, malformed.status, headers=malformed.headers)
        except RequestRefused as refused:
            return self.refuse(request, refused, status=403)
        except DocumentRefused as refused:
            return self._respond(request, accepted, refused.errors, status_of_refusal(refused, accepted, prepared))
        except web.HTTPException:
            raise
        except Exception as failure:  # the last place before the caller
            if isinstance(failure, ConnectionError) and is_disconnected(request):
                raise
            self.engine.mask.log(failure, context, "", self.engine.hidden_values(prepared))
            return self._respond(request, accepted, [internal_entry(context)], 500)

    def read_now(self, request: web.Request, content: bytes) -> KnownRequest | None:
        """Return what a POST request with this body asks for: a query or a mutation of a known document.

        None for everything else. `handle` answers any of them.
        """
        accepted = accepted_types(request)
        if accepted.json_type is None or accepted.event_stream or len(content) > self._limits.body_bytes:
            return None
        try:
            check_content_type(request)
            asked = GraphQLRequest.from_body(parse_json(content, "The body"))
        except MalformedRequest:
            return None
        known = self.engine.find(asked)
        if known is None or known.operation.kind is OperationType.SUBSCRIPTION:
            return None
        request[_KNOWN] = arrived = KnownRequest(asked, known)
        return arrived

    def answer_now(
        self, request: web.Request, arrived: KnownRequest, context: RequestContext, *, may_read: bool = False
    ) -> PlainAnswer | None:
        """Return the answer to what `read_now` returned, if it awaits nothing.

        With `may_read`, a read of the database need not be awaited. None if `handle` must answer; nothing was counted
        then.
        """
        done = self.engine.execute_now(arrived.known, arrived.asked.variables, context, may_read=may_read)
        if done is None:
            return None
        prepared, data = done
        answer = plain_answer(request, data)
        if answer is not None:
            self.engine.note_done(prepared)
        return answer

    def needs_no_task(self, arrived: KnownRequest, context: RequestContext, may_begin: Callable[[], bool]) -> bool:
        """Whether `answer_in_turn` can answer what `read_now` returned, if `may_begin` is true when its turn comes."""
        if not arrived.known.operation.is_immediate(may_read=True):
            return False
        return may_begin() or not self.engine.turns.is_free(context.turn_key)

    def answer_in_turn(
        self,
        request: web.Request,
        arrived: KnownRequest,
        context: RequestContext,
        done: Callable[[PlainAnswer | web.StreamResponse | Turn], None],
        *,
        may_begin: Callable[[], bool],
    ) -> None:
        """Answer a query for which `is_immediate` is true when the turn of its caller comes, without a task.

        The caller's next operation begins before `done` is called: the database works while the response is written.

        Args:
            request: the request.
            arrived: what `read_now` returned for it.
            context: its context.
            done: called with the answer, as `answer_now` returns it where it is one, or with the turn: then `handle`
                must answer, and nothing was counted.
            may_begin: whether a read needs no task; asked when the turn has come.
        """

        def begin(turn: Turn) -> None:
            def end(answer: PlainAnswer | web.StreamResponse | None) -> None:
                if answer is None:
                    done(turn)
                else:
                    turn.pass_on()
                    done(answer)

            if may_begin():
                run_without_task(self._answer_directly(request, arrived, context), end)
            else:
                done(turn)

        self.engine.turns.call(context.turn_key, begin)

    async def _answer_directly(
        self, request: web.Request, arrived: KnownRequest, context: RequestContext
    ) -> PlainAnswer | web.StreamResponse | None:
        executed = await self.engine.execute_directly(arrived.known, arrived.asked.variables, context)
        if executed is None:
            return None
        prepared, result = executed
        answer = None if result.errors else plain_answer(request, result.data)
        if answer is not None:
            return answer
        request[OPERATION_NAME] = prepared.operation.name or ""
        return await self._respond_with(request, accepted_types(request), prepared.kind, result)

    async def _execute(
        self, request: web.Request, accepted: AcceptedTypes, prepared: PreparedOperation, context: RequestContext
    ) -> web.StreamResponse:
        kind = prepared.kind
        is_stream = may_be_streamed(accepted, kind)
        if not is_stream:
            check_accepted(accepted)
        result = await self.engine.execute(prepared, context)
        if is_stream and status_of(result) == web.HTTPOk.status_code:
            return stream_of_one(result)
        return await self._respond_with(request, accepted, kind, result)

    async def _respond_with(
        self, request: web.Request, accepted: AcceptedTypes, kind: OperationType, result: OperationResult
    ) -> web.StreamResponse:
        status = status_of(result)
        if status == web.HTTPOk.status_code and kind is OperationType.QUERY:
            body, headers = body_of(result.errors, result.data, has_data=True), _NO_HEADERS
            if len(body) >= MIN_BYTES:
                body, headers = await compress(request, body)
            return self._make_response(request, content_type_of(accepted), body, headers)
        return self._respond(request, accepted, result.errors, status, data=result.data, has_data=True)

    def refuse(
        self, request: web.Request, refused: RequestRefused, *, status: int, challenges: Sequence[str] | None = None
    ) -> web.Response:
        """Return the GraphQL response that refuses a whole request, for what is decided before `handle`.

        Args:
            request: the request.
            refused: the reason.
            status: the HTTP status.
            challenges: with the status 401, the `WWW-Authenticate` headers in place of the usual ones.
        """
        entry = self.engine.mask.refused_entry(refused)
        return self._with_challenges(request, json_response(accepted_types(request), [entry], status), challenges)

    async def _read(self, request: web.Request, accepted: AcceptedTypes) -> GraphQLRequest:
        if request.method == hdrs.METH_POST:
            check_content_type(request)
            if not accepted.event_stream:
                check_accepted(accepted)
            return GraphQLRequest.from_body(parse_json(await self._body(request), "The body"))
        if request.method == hdrs.METH_GET:
            if not accepted.event_stream:
                check_accepted(accepted)
            return GraphQLRequest.from_query_string(request.query)
        raise MalformedRequest(405, "Use POST or GET.", {hdrs.ALLOW: "GET, POST"})

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
            raise MalformedRequest(408, "The body took too long to arrive.", {hdrs.CONNECTION: "close"}) from None
        except (web.RequestPayloadError, ConnectionError):
            raise MalformedRequest(400, "The body is incomplete.", {hdrs.CONNECTION: "close"}) from None

    def _check_length(self, length: int) -> None:
        if length > self._limits.body_bytes:
            # The rest of the body is not waited for.
            message = f"The body is longer than {self._limits.body_bytes} bytes."
            raise MalformedRequest(413, message, {hdrs.CONNECTION: "close"})

    def _respond(
        self,
        request: web.Request,
        accepted: AcceptedTypes,
        errors: list[dict[str, object]],
        status: int,
        *,
        data: Mapping[str, object] | None = None,
        has_data: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> web.StreamResponse:
        if status == web.HTTPOk.status_code and not headers:
            body = body_of(errors, data, has_data=has_data)
            return self._make_response(request, content_type_of(accepted), body, {})
        return self._with_challenges(
            request, json_response(accepted, errors, status, data=data, has_data=has_data, headers=headers)
        )

    def _with_challenges(
        self, request: web.Request, response: web.Response, challenges: Sequence[str] | None = None
    ) -> web.Response:
        if response.status == web.HTTPUnauthorized.status_code:
            for challenge in self._challenges(request) if challenges is None else challenges:
                response.headers.add(hdrs.WWW_AUTHENTICATE, challenge)
        return response
