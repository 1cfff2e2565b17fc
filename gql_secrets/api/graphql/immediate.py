"""Operations that begin as soon as their request has arrived, without aiohttp's tasks and the middlewares.

A gateway's or a program's check that it is signed in (`{ viewer { name } }`, `{ __typename }`) awaits nothing: it is
answered on its arrival. A query that only reads a client needs no task to await it. Other queries and mutations are
executed in one task of the connection, where aiohttp would make and wake two, and what precedes them is done on
arrival. Only the plainest requests are answered so: by POST, with the whole body, a known document and Basic
credentials that verification has in memory, and without any header that asks for more than the answer. Everything else
goes through the application's handler, which answers the same requests in the same way
(tests/api/graphql/test_immediate.py).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Final, cast

from aiohttp import hdrs, web

from gql_secrets.api.authentication.acting_user import ROLE_HEADER, USER_HEADER
from gql_secrets.api.authentication.basic import KNOWN_VERDICT, KnownVerdict, caller_of, parse_basic
from gql_secrets.api.graphql.context import Context
from gql_secrets.api.keys import CALLER, GRAPHQL, REQUEST_ID, SERVICES, SOURCE, TRUSTED_PROXIES
from gql_secrets.api.web.aiohttp_internals.requests import (
    LaterAnswer,
    LaterResponse,
    MadeResponse,
    MakeSoon,
    SoonResponse,
    Steps,
    arrived_body,
)
from gql_secrets.api.web.aiohttp_internals.responses import HeadResponse, WholeResponse
from gql_secrets.api.web.client_address import find_source
from gql_secrets.api.web.cors import GRAPHQL_PATH
from gql_secrets.api.web.middleware import Answered, answer_and_log, log_answered, log_request
from gql_secrets.api.web.request_id import find_request_id, find_trace_id
from gql_secrets.api.web.security_headers import whole_response
from gql_secrets.domain.access import Surface
from gql_secrets.domain.errors import Unavailable
from gql_secrets.graphql_server.http import KnownRequest
from gql_secrets.graphql_server.responses import PlainAnswer
from gql_secrets.graphql_server.turns import Turn
from gql_secrets.service.verification import Accepted

# A request with one of these asks for more than an answer to its body.
_MORE: Final = (hdrs.CONTENT_ENCODING, hdrs.UPGRADE, USER_HEADER, ROLE_HEADER)


class ImmediateOperations:
    """Answers the requests of `/graphql` whose operation can begin on arrival."""

    def __init__(
        self, app: web.Application, handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    ) -> None:
        """Answer on the parts of an application; `handle` answers every other request, with all its middlewares."""
        self._endpoint, self._services, self._trusted = app[GRAPHQL], app[SERVICES], app[TRUSTED_PROXIES]
        self._dialect = self._services.database.dialect
        self._handle = handle
        self._later = LaterAnswer(handle)

    def begin(self, request: web.Request) -> Steps:
        """Answer a request in steps, or return what answers it."""
        began, headers = time.perf_counter(), request.headers
        if request.method != hdrs.METH_POST or any(map(headers.__contains__, _MORE)):
            return self._later
        body = arrived_body(request)
        asked = None if body is None else self._endpoint.read_now(request, body)
        if asked is None:
            return self._later
        authorizations = headers.getall(hdrs.AUTHORIZATION, ())
        credentials = parse_basic(authorizations[0]) if len(authorizations) == 1 else None
        if credentials is None:
            return self._later
        source, unclear = request[SOURCE] = find_source(request, self._trusted)
        try:
            verdict = self._services.verifier.verify_nowait(credentials.client_id, credentials.secret, source)
        except Unavailable:
            return self._later
        if verdict is None:
            return self._later
        if not isinstance(verdict, Accepted) or unclear is not None:
            return self._later_with(KnownVerdict(credentials, verdict))
        request_id = request[REQUEST_ID] = find_request_id(request, self._trusted)
        caller = caller_of(request, credentials, verdict, Surface.GRAPHQL)
        context = Context(self._services, caller, request_id)
        yield
        answer = self._endpoint.answer_now(request, asked, context, may_read=self._dialect.reads_now)
        if answer is None:
            may_begin = self._dialect.has_idle_connection
            if self._endpoint.needs_no_task(asked, context, may_begin):
                return self._in_turn(asked, context, began)
            return LaterResponse(self._executing(context, began))
        yield
        return self._respond(request, asked, context, answer, began)

    def _respond(
        self, request: web.Request, asked: KnownRequest, context: Context, answer: PlainAnswer, began: float
    ) -> WholeResponse:
        response = whole_response(request, *answer, {})
        name, trace_id = asked.known.operation.name, find_trace_id(request, self._trusted)
        address = request[SOURCE].address
        answered = Answered(request.method, GRAPHQL_PATH, context.request_id, context.caller, address, name, trace_id)
        log_answered(answered, web.HTTPOk.status_code, began)
        return response

    def _executing(
        self, context: Context, began: float, turn: Turn | None = None
    ) -> Callable[[web.BaseRequest], Coroutine[None, None, MadeResponse]]:
        """Return what executes the operation of a request that has all that the middlewares give it."""

        def handle(request: web.Request) -> Awaitable[web.StreamResponse]:
            return self._endpoint.handle(request, context, turn)

        async def make(request: web.BaseRequest) -> MadeResponse:
            request[CALLER] = context.caller
            return _made(await answer_and_log(cast("web.Request", request), handle, began))

        return make

    def _in_turn(self, asked: KnownRequest, context: Context, began: float) -> SoonResponse:
        """Return what executes such an operation without a task, if it can when its turn comes."""

        def begin(base: web.BaseRequest, done: Callable[[MakeSoon], None]) -> None:
            request = cast("web.Request", base)

            def make(answer: PlainAnswer | web.StreamResponse | Turn) -> MadeResponse | asyncio.Task[MadeResponse]:
                if isinstance(answer, tuple):
                    return self._respond(request, asked, context, answer, began)
                if isinstance(answer, Turn):
                    return asyncio.get_running_loop().create_task(self._executing(context, began, answer)(request))
                request[CALLER] = context.caller
                log_request(request, answer.status, began)
                return _made(answer)

            may_begin = self._dialect.has_idle_connection
            self._endpoint.answer_in_turn(
                request, asked, context, lambda answer: done(partial(make, answer)), may_begin=may_begin
            )

        return SoonResponse(begin)

    def _later_with(self, known: KnownVerdict) -> LaterAnswer:
        """Return what answers a request without a second verification of its credentials, which would count twice."""

        def answer(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
            request[KNOWN_VERDICT] = known
            return self._handle(request)

        return LaterAnswer(answer)


def _made(response: web.StreamResponse) -> MadeResponse:
    return response.whole if isinstance(response, HeadResponse) and response.keep_alive is None else response
