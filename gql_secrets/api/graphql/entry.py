"""The `/graphql` entry: from an HTTP request to the GraphQL server, with this product's callers and origins."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web
from graphql import OperationType

from gql_secrets.api.authentication import authenticate
from gql_secrets.api.authentication.access_tokens import ACCESS_TOKENS
from gql_secrets.api.authentication.basic import basic_challenges
from gql_secrets.api.authentication.bearer import INVALID_TOKEN_CHALLENGE
from gql_secrets.api.cli_documents import cli_documents
from gql_secrets.api.console import console_documents, explorer_page, wants_explorer
from gql_secrets.api.graphql.context import Context
from gql_secrets.api.graphql.errors import HTTP_STATUS, present
from gql_secrets.api.graphql.immediate import ImmediateOperations
from gql_secrets.api.graphql.limits import LIMITS
from gql_secrets.api.graphql.schema import build_schema
from gql_secrets.api.graphql.streaming import (
    check_socket_origin,
    end_streams,
    serve_socket,
    wants_socket,
)
from gql_secrets.api.keys import COUNTERS, GRAPHQL, OWN_ORIGIN, REQUEST_ID, SERVICES, SOCKETS
from gql_secrets.api.web.aiohttp_internals.requests import DIRECT_ROUTE
from gql_secrets.api.web.cors import GRAPHQL_PATH, answer_preflight
from gql_secrets.api.web.direct_route import make_direct_route
from gql_secrets.api.web.origin import CrossOriginRefused
from gql_secrets.api.web.security_headers import api_response
from gql_secrets.domain.access import Surface
from gql_secrets.domain.errors import Failure, InvalidToken, SetupError
from gql_secrets.graphql_server.documents import InvalidTrustedDocuments, TrustedDocuments
from gql_secrets.graphql_server.engine import OperationObserver
from gql_secrets.graphql_server.errors import FORBIDDEN, RequestRefused
from gql_secrets.graphql_server.http import GraphQLEndpoint
from gql_secrets.graphql_server.protocols import RequestContext
from gql_secrets.graphql_server.websocket import Sockets
from gql_secrets.logs import without_credentials
from gql_secrets.settings import Settings

if TYPE_CHECKING:
    from gql_secrets.api.tracing.spans import Tracing

_BEARER_CHALLENGE: Final = 'Bearer realm="gql-secrets"'
# Which callers may query the schema itself, by the value of GQL_SECRETS_INTROSPECTION.
_MAY_INTROSPECT: Final[Mapping[str, Callable[[RequestContext], bool]]] = {
    "everyone": lambda _: True,
    "nobody": lambda _: False,
    "signed-in": lambda context: not context.is_anonymous,
}


def add_graphql_routes(app: web.Application, settings: Settings, tracing: "Tracing | None" = None) -> None:
    """Add the `/graphql` route, its endpoint and its WebSockets.

    Raises:
        SetupError: the trusted documents cannot be read, or do not fit the schema.
    """
    app[GRAPHQL] = _endpoint(settings, app[COUNTERS].operations.observe, tracing)
    app[SOCKETS] = Sockets(app[GRAPHQL].engine)
    app.on_shutdown.append(end_streams)
    route = app.router.add_route("*", GRAPHQL_PATH, _handle)

    async def make_direct(app: web.Application) -> None:
        # A trace has a span around each request and operation, which lasts until it was answered.
        immediate = None if tracing else (lambda answer: ImmediateOperations(app, answer).begin)
        app[DIRECT_ROUTE] = make_direct_route(app, GRAPHQL_PATH, route, immediate)

    app.on_startup.append(make_direct)


def load_trusted_documents(settings: Settings) -> TrustedDocuments | None:
    """Return the documents of the operator's manifest, the console's and the command line's; None without a manifest.

    Raises:
        SetupError: the manifest cannot be read, or is malformed.
    """
    if not settings.trusted_documents:
        return None
    try:
        return TrustedDocuments.load(Path(settings.trusted_documents), additional=_own_documents())
    except OSError as error:
        raise SetupError(
            f"GQL_SECRETS_TRUSTED_DOCUMENTS: {settings.trusted_documents} cannot be read: {error.strerror}."
        ) from error
    except InvalidTrustedDocuments as error:
        raise SetupError(f"GQL_SECRETS_TRUSTED_DOCUMENTS: {error}") from error


def _own_documents() -> tuple[str, ...]:
    return (*console_documents(), *cli_documents())


def _endpoint(settings: Settings, count: OperationObserver, tracing: "Tracing | None") -> GraphQLEndpoint:
    def count_and_trace(name: str | None, outcome: str) -> None:
        count(name, outcome)
        if tracing is not None:
            tracing.note_outcome(outcome)

    try:
        return GraphQLEndpoint(
            build_schema(),
            limits=LIMITS,
            introspection=_MAY_INTROSPECT[settings.introspection],
            present=present,
            redact=without_credentials,
            trusted_documents=load_trusted_documents(settings),
            check_operation=_check_mutation_origin,
            challenges=_challenges,
            known_documents=frozenset(_own_documents()),
            observe=count_and_trace if tracing else count,
            surround=tracing.operation if tracing else None,
            make_response=api_response,
        )
    except InvalidTrustedDocuments as error:
        raise SetupError(f"GQL_SECRETS_TRUSTED_DOCUMENTS: {error}") from error


async def _handle(request: web.Request) -> web.StreamResponse:
    if (answer := answer_preflight(request)) is not None:
        return answer
    if wants_explorer(request):
        return explorer_page(request)
    try:
        caller = await authenticate(request, Surface.GRAPHQL)
        if wants_socket(request):
            check_socket_origin(request, caller)
    except Failure as failure:
        refused = present(failure)
        if refused is None:
            raise
        challenges = (INVALID_TOKEN_CHALLENGE,) if isinstance(failure, InvalidToken) else None
        return request.app[GRAPHQL].refuse(request, refused, status=HTTP_STATUS[refused.code], challenges=challenges)
    if wants_socket(request):
        return await serve_socket(request, caller)
    last_event_ids = tuple(request.headers.getall("Last-Event-ID", ()))
    context = Context(request.app[SERVICES], caller, request[REQUEST_ID], last_event_ids)
    return await request.app[GRAPHQL].handle(request, context)


def _challenges(request: web.Request) -> Sequence[str]:
    """Return the ways to sign in that a 401 names."""
    basic = basic_challenges(request)
    return (*basic, _BEARER_CHALLENGE) if request.app[ACCESS_TOKENS].providers else basic


def _check_mutation_origin(request: web.Request, kind: OperationType, context: RequestContext) -> None:
    """Pass unless the request is a mutation that another site's page could have sent.

    A session's cookie is sent by the browser automatically, so with a cookie the request must prove its origin.

    Raises:
        RequestRefused: the origin is not allowed, or not proven.
    """
    if kind is not OperationType.MUTATION:
        return
    own = request.app[OWN_ORIGIN]
    try:
        if isinstance(context, Context) and context.caller.session_id is not None:
            own.require_own_page(request)
        else:
            own.require_allowed_origin(request)
    except CrossOriginRefused as foreign:
        raise RequestRefused(FORBIDDEN, str(foreign), {"reason": foreign.reason}) from None
