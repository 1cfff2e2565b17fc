"""The /clients API over HTTP: its routes, requests and responses."""

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Final

import orjson
from aiohttp import hdrs, web

from gql_secrets.api.authentication.basic import basic_challenges
from gql_secrets.api.clients_api.arguments import read_arguments
from gql_secrets.api.clients_api.calls import CALLS, KEY_HEADER, CallKind, ClientsCall, RowPages
from gql_secrets.api.clients_api.errors import ClientsApiError, Code, present
from gql_secrets.api.clients_api.form import authenticate_call
from gql_secrets.api.keys import OWN_ORIGIN, REQUEST_ID, SERVICES, SETTINGS
from gql_secrets.domain.access import Role, require_role
from gql_secrets.domain.errors import Failure
from gql_secrets.graphql_server.disconnects import is_disconnected

_log: Final = logging.getLogger(__name__)
_JSON: Final = "application/json"


def add_clients_api_routes(app: web.Application) -> None:
    """Serve `/clients/…`, and answer that `/settings/…`, which the vendor has too, is not supported."""
    for path in ("/clients", "/clients/{call:.*}"):
        app.router.add_route("*", path, _answer_clients)
    for path in ("/settings", "/settings/{call:.*}"):
        app.router.add_route("*", path, _answer_settings)


async def _answer_clients(request: web.Request) -> web.StreamResponse:
    call = CALLS.get(request.match_info.get("call", ""))
    try:
        if call is None:
            raise ClientsApiError(Code.API_FEATURE_DISABLED, "unknown call", status=404, always=True)
        answer = await call.act(await _read(request, call))
        if isinstance(answer, AsyncIterator):
            return await _stream(request, answer)
        return _response({**answer, "stat": "ok"})
    except ClientsApiError as error:
        return _error_response(request, error, call)
    except Failure as failure:
        presented = present(failure, call.target if call else "")
        return _error_response(request, presented or _defect(request), call)
    except Exception as error:  # callers expect JSON, even from a defect
        if isinstance(error, ConnectionError) and is_disconnected(request):
            raise
        return _error_response(request, _defect(request), call)


async def _answer_settings(request: web.Request) -> web.Response:
    return _error_response(
        request, ClientsApiError(Code.API_FEATURE_DISABLED, "settings are not supported; see the documentation"), None
    )


async def _read(request: web.Request, call: CallKind) -> ClientsCall:
    """Return the call of an authenticated owner.

    Raises:
        ClientsApiError: it cannot be read.
        Failure: the caller is not authenticated, or not allowed.
    """
    if request.method not in call.methods:
        by = " or ".join(call.methods)
        raise ClientsApiError(Code.API_FEATURE_DISABLED, f"send this call with {by}", status=405, always=True)
    # Browsers add remembered Basic credentials even to a form that another site submits.
    request.app[OWN_ORIGIN].refuse_cross_site(request)
    arguments = await read_arguments(request)
    keys = request.headers.getall(KEY_HEADER, ())
    if len(keys) > 1:
        raise ClientsApiError(Code.DUPLICATE_ARGUMENT, f"duplicate argument: {KEY_HEADER}")
    caller = await authenticate_call(request, arguments)
    # Only clients with the feature owner may use this API; operators and viewers use GraphQL.
    require_role(caller, Role.ADMIN)
    return ClientsCall(request.app[SERVICES], caller, arguments, keys[0] if keys else None)


async def _stream(request: web.Request, pages: RowPages) -> web.StreamResponse:
    """Answer with rows as they are read, so that a long list is never completely in memory."""
    page = await anext(pages, None)  # a failure here can still be answered
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: _JSON})
    await response.prepare(request)
    try:
        await response.write(b'{"results":[')
        comma = b""
        while page is not None:
            await response.write(comma + orjson.dumps(page)[1:-1])
            comma = b","
            page = await anext(pages, None)
        await response.write(b'],"stat":"ok"}')
    except Exception as failure:  # too late for an error response
        if isinstance(failure, ConnectionError) and is_disconnected(request):
            raise
        # Half a JSON object on an aborted connection cannot be mistaken for a complete one.
        _log.exception("list_aborted", extra={"request_id": request[REQUEST_ID]})
        if request.transport is not None:
            request.transport.abort()
    return response


def _error_response(request: web.Request, error: ClientsApiError, call: CallKind | None) -> web.Response:
    fields: dict[str, object] = {
        "request_id": request[REQUEST_ID],
        "code": error.code.value,
        "error": error.word,
        "error_description": error.description,
        "stat": "error",
    }
    if error.argument is not None:
        fields["argument_name"] = error.argument
    is_mapped = error.always or request.app[SETTINGS].clients_api_status == "mapped"
    response = _response(fields, status=error.status if is_mapped else 200)
    if error.retry_after is not None:
        response.headers[hdrs.RETRY_AFTER] = str(error.retry_after)
    if response.status == web.HTTPUnauthorized.status_code:
        for challenge in basic_challenges(request):
            response.headers[hdrs.WWW_AUTHENTICATE] = challenge
    if response.status == web.HTTPMethodNotAllowed.status_code and call is not None:
        response.headers[hdrs.ALLOW] = ", ".join(call.methods)
    return response


def _response(fields: Mapping[str, object], *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(fields), content_type=_JSON, status=status)


def _defect(request: web.Request) -> ClientsApiError:
    """Log a defect of ours, and return the error that reveals nothing of it."""
    _log.exception("unexpected_error", extra={"request_id": request[REQUEST_ID]})
    return ClientsApiError(Code.UNEXPECTED_ERROR, "unexpected error", always=True)
