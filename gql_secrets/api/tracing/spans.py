"""The spans: one for each HTTP request, and below it one for each transaction and each read of the database.

A span holds names that are in this program, numbers, and names of known GraphQL operations. It holds nothing else that
a caller sent or the database returned: no path or query string, header, address, client id, document, argument,
variable, SQL or message of an error.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web
from graphql import OperationType
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags

from gql_secrets import __version__
from gql_secrets.api.keys import TRACE_ID, TRUSTED_PROXIES
from gql_secrets.api.web.client_address import TrustedProxies
from gql_secrets.api.web.middleware import Handler, route_of
from gql_secrets.api.web.request_id import find_trace_parent
from gql_secrets.graphql_server.errors import INTERNAL, UNAVAILABLE
from gql_secrets.graphql_server.operations import OK

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# The names of attributes are those of OpenTelemetry's semantic conventions.
METHOD: Final = "http.request.method"
ROUTE: Final = "http.route"
STATUS: Final = "http.response.status_code"
OPERATION_TYPE: Final = "graphql.operation.type"
OPERATION_NAME: Final = "graphql.operation.name"
ERROR_TYPE: Final = "error.type"
DATABASE: Final = "db.system.name"
# Any other method is text of the caller.
_METHODS: Final = hdrs.METH_ALL
_OTHER_METHOD: Final = "_OTHER"
_FAILURES: Final = (INTERNAL, UNAVAILABLE)
_SYSTEMS: Final = {"postgres": "postgresql", "sqlite": "sqlite"}
_NOTHING: Final = contextlib.nullcontext()
_SPAN: Final = web.RequestKey("span", Span)
_HANDSHAKE: Final = contexts.create_key("handshake")


class Tracing:
    """Makes the spans of one server."""

    def __init__(self, provider: trace.TracerProvider, close: Callable[[], Awaitable[None]]) -> None:
        """Make spans with this provider; `close` sends the last ones."""
        self._tracer = provider.get_tracer("gql_secrets", __version__)
        self.close = close

    def surround_requests(self, app: web.Application) -> None:
        """Give each request that goes through the middlewares a span, around all of them."""

        @web.middleware
        async def trace_request(request: web.Request, handler: Handler) -> web.StreamResponse:
            route = route_of(request)
            with self._serving(request, route, request.app[TRUSTED_PROXIES]) as span:
                request[_SPAN] = span
                if span.get_span_context().is_valid:
                    request[TRACE_ID] = trace.format_trace_id(span.get_span_context().trace_id)
                try:
                    response = await handler(request)
                except web.HTTPException as answer:
                    _end(span, answer.status)
                    raise
                _end(span, response.status)
                return response

        app.middlewares.insert(0, trace_request)
        app.on_response_prepare.append(_end_at_head)

    def surround(self, answer: Answer, route: str, trusted: TrustedProxies) -> Answer:
        """Return what gives a span to each request of this route, which has no middlewares."""

        async def trace_and_answer(request: web.BaseRequest) -> web.StreamResponse:
            with self._serving(request, route, trusted) as span:
                response = await answer(request)
                _end(span, response.status)
                return response

        return trace_and_answer

    @contextlib.contextmanager
    def _serving(self, request: web.BaseRequest, route: str | None, trusted: TrustedProxies) -> Iterator[Span]:
        is_known = request.method in _METHODS
        attributes = {METHOD: request.method if is_known else _OTHER_METHOD}
        if route is not None:
            attributes[ROUTE] = route
        name = f"{request.method if is_known else 'HTTP'} {route or ''}".rstrip()
        span = self._tracer.start_span(name, _parent_of(request, trusted), SpanKind.SERVER, attributes)
        try:
            with _current(span):
                yield span
        finally:
            if span.is_recording():  # a request that was cancelled has no status
                span.end()

    @contextlib.contextmanager
    def operation(self, kind: OperationType, name: str | None) -> Iterator[None]:
        """Surround a GraphQL operation: the span of its request describes it; on a WebSocket it has a span of its own.

        Args:
            kind: query, mutation or subscription.
            name: its name, None where the document is not a known one.
        """
        attributes = {OPERATION_TYPE: kind.value}
        if name is not None:
            attributes[OPERATION_NAME] = name
        current = trace.get_current_span()
        if current.get_span_context().is_valid:
            current.set_attributes(attributes)
            yield
            return
        handshake = contexts.get_value(_HANDSHAKE)
        links = [Link(handshake)] if isinstance(handshake, SpanContext) else []
        title = f"{kind.value} {name or ''}".rstrip()
        span = self._tracer.start_span(title, contexts.Context(), SpanKind.SERVER, attributes, links)
        try:
            with _current(span):
                yield
        finally:
            span.end()

    def note_outcome(self, outcome: str) -> None:
        """Record the outcome of a GraphQL operation in the current span, unless it is `ok`."""
        if outcome != OK:
            span = trace.get_current_span()
            span.set_attribute(ERROR_TYPE, outcome)
            if outcome in _FAILURES:
                span.set_status(StatusCode.ERROR)

    def database_observer(self, dialect: str) -> Callable[[str], AbstractContextManager[object]]:
        """Return what surrounds each transaction and each read of a database, within a request only.

        Args:
            dialect: which kind of database it is.
        """
        attributes = {DATABASE: _SYSTEMS[dialect]}

        def observe(what: str) -> AbstractContextManager[object]:
            if not trace.get_current_span().is_recording():
                return _NOTHING  # the background work of a server, or a request that is not sampled
            return self._database_span(what, attributes)

        return observe

    @contextlib.contextmanager
    def _database_span(self, what: str, attributes: dict[str, str]) -> Iterator[None]:
        span = self._tracer.start_span(what, kind=SpanKind.CLIENT, attributes=attributes)
        try:
            yield
        except Exception as error:
            span.set_attribute(ERROR_TYPE, type(error).__name__)
            raise
        finally:
            span.end()


def _current(span: Span) -> AbstractContextManager[Span]:
    """Make a span the current one. The message of an exception may hold anything, so none is recorded."""
    return trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)


def _parent_of(request: web.BaseRequest, trusted: TrustedProxies) -> contexts.Context:
    parent = find_trace_parent(request, trusted)
    if parent is None:
        return contexts.Context()
    flags = TraceFlags(int(parent.flags, 16))
    span_context = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(NonRecordingSpan(span_context), contexts.Context())


def _end(span: Span, status: int) -> None:
    """End the span of a request; do nothing where the head of its response ended it."""
    if span.is_recording():
        span.set_attribute(STATUS, status)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        span.end()


async def _end_at_head(request: web.Request, response: web.StreamResponse) -> None:
    """End the span of a WebSocket or an event stream as its head is sent: it may go on for days.

    Any other response is sent after the middlewares, when its span has ended.
    """
    span = request.get(_SPAN)
    if span is not None and trace.get_current_span() is span:
        _end(span, response.status)
        # The rest of the handler has no current span.
        contexts.attach(contexts.set_value(_HANDSHAKE, span.get_span_context(), contexts.Context()))
