"""The calls of the /clients API: each is one call of a service."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from aiohttp import hdrs

from gql_secrets.api.clients_api.arguments import Arguments
from gql_secrets.api.clients_api.errors import ClientsApiError, Code, invalid
from gql_secrets.api.clients_api.whitelist import format_whitelist
from gql_secrets.domain.access import Caller, Feature, parse_features
from gql_secrets.domain.clients import name_from, parse_description
from gql_secrets.domain.errors import InvalidFeature
from gql_secrets.domain.networks import EVERYWHERE, AllowList, parse_whitelist
from gql_secrets.service.client_filter import ClientFilter
from gql_secrets.service.pages import MAX_PAGE, PageRequest
from gql_secrets.service.queries import Queries
from gql_secrets.wiring import Services

KEY_HEADER: Final = "Idempotency-Key"
_ID: Final = "for_client_id"
_ID_TO_DELETE: Final = "client_id_for_deletion"


@dataclass(frozen=True, slots=True)
class ClientsCall:
    """An authenticated call and its arguments."""

    services: Services
    caller: Caller
    arguments: Arguments
    idempotency_key: str | None


Fields = Mapping[str, object]
RowPages = AsyncIterator[list[dict[str, object]]]


@dataclass(frozen=True, slots=True)
class CallKind:
    """A kind of call: what it does, the argument that names its client, and its HTTP methods."""

    act: Callable[[ClientsCall], Awaitable[Fields | RowPages]]
    target: str = _ID
    methods: tuple[str, ...] = (hdrs.METH_POST,)


async def _add(call: ClientsCall) -> Fields:
    description = _description(call)
    made = await call.services.clients.create_client(
        name_from(description),
        by=call.caller,
        description=description,
        features=call.arguments.texts("features") if call.arguments.has("features") else (),
    )
    return {"client_id": made.client.client_id, "client_secret": made.secret.reveal()}


async def _delete(call: ClientsCall) -> Fields:
    await call.services.clients.delete_client(call.arguments.text(_ID_TO_DELETE), by=call.caller)
    return {}


async def _list(call: ClientsCall) -> RowPages:
    # Older client libraries send the same argument under another name.
    names = [name for name in ("has_features", "features") if call.arguments.has(name)]
    if len(names) > 1:
        raise ClientsApiError(Code.DUPLICATE_ARGUMENT, "duplicate argument: has_features (features is an alias)")
    try:
        features = [feature for name in names for feature in parse_features(call.arguments.texts(name))]
    except InvalidFeature as refusal:
        raise invalid(names[0], str(refusal)) from refusal
    return _pages(call.services.queries, features)


async def _reset_secret(call: ClientsCall) -> Fields:
    """Reset, overriding an active rollover: this API has no way to ask the caller."""
    reset = await call.services.rotation.reset_secret(
        call.arguments.text(_ID),
        call.arguments.retention("hours_to_live"),
        by=call.caller,
        end_active_rollover=True,
        idempotency_key=call.idempotency_key,
    )
    return {"new_secret": reset.new_secret.reveal()}


async def _set_description(call: ClientsCall) -> Fields:
    client_id = call.arguments.text(_ID)
    await call.services.clients.update_client(client_id, by=call.caller, description=_description(call))
    return {}


async def _set_features(call: ClientsCall) -> Fields:
    client_id, features = call.arguments.text(_ID), call.arguments.texts("features")
    if client_id == call.caller.name and Feature.OWNER not in features:
        raise invalid("features", "an owner may not remove owner from itself")
    await call.services.clients.update_client(client_id, by=call.caller, features=features)
    return {}


async def _set_whitelist(call: ClientsCall) -> Fields:
    allow_list = parse_whitelist(call.arguments.texts("whitelist"))
    await call.services.clients.update_client(_target(call), by=call.caller, allow_list=allow_list.texts)
    return {}


async def _clear_whitelist(call: ClientsCall) -> Fields:
    await call.services.clients.update_client(_target(call), by=call.caller, allow_list=EVERYWHERE.texts)
    return {}


CALLS: Final[Mapping[str, CallKind]] = {
    "add": CallKind(_add),
    "delete": CallKind(_delete, target=_ID_TO_DELETE),
    "list": CallKind(_list, methods=(hdrs.METH_GET, hdrs.METH_POST)),
    "reset_secret": CallKind(_reset_secret),
    "set_description": CallKind(_set_description),
    "set_features": CallKind(_set_features),
    "set_whitelist": CallKind(_set_whitelist),
    "clear_whitelist": CallKind(_clear_whitelist),
}


def _target(call: ClientsCall) -> str:
    return call.arguments.text(_ID) if call.arguments.has(_ID) else call.caller.name


def _description(call: ClientsCall) -> str:
    description = parse_description(call.arguments.text("description"))
    if description is None:
        raise invalid("description", "description must not be empty")
    return description


async def _pages(queries: Queries, features: list[Feature]) -> RowPages:
    """Yield all clients that have any of these features (all clients, without features), newest first, no secrets."""
    after: str | None = None
    while True:
        page = await queries.page_of_clients(
            PageRequest(first=MAX_PAGE, after=after), filter=ClientFilter(features=tuple(features))
        )
        client_ids = [client.client_id for client in page.rows]
        features_of = await queries.features(client_ids)
        allow_list_of = await queries.allow_lists(client_ids)
        if page.rows:
            yield [
                {
                    "client_id": client.client_id,
                    "client_secret": None,
                    "description": client.description or client.name,
                    "features": features_of.get(client.client_id, []),
                    "whitelist": _whitelist(tuple(allow_list_of[client.client_id])),
                }
                for client in page.rows
            ]
        if not page.has_next:
            return
        after = page.cursors[-1]


@lru_cache(maxsize=1024)
def _whitelist(networks: tuple[str, ...]) -> list[str]:
    return format_whitelist(AllowList.parse(networks))
