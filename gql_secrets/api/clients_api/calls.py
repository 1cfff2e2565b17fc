"""The calls of the /clients dialect: each one call of a service."""

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
from gql_secrets.service.queries import MAX_PAGE, PageRequest, Reading
from gql_secrets.wiring import Services

KEY_HEADER: Final = "Idempotency-Key"
_ID: Final = "for_client_id"
_ID_TO_DELETE: Final = "client_id_for_deletion"


@dataclass(frozen=True, slots=True)
class Asked:
    """One call that was read: what is asked of whom, and by which owner."""

    services: Services
    caller: Caller
    arguments: Arguments
    idempotency_key: str | None


Fields = Mapping[str, object]
Pages = AsyncIterator[list[dict[str, object]]]


@dataclass(frozen=True, slots=True)
class Call:
    """What a call does, the argument that it names its client by, and how it is sent."""

    act: Callable[[Asked], Awaitable[Fields | Pages]]
    target: str = _ID
    methods: tuple[str, ...] = (hdrs.METH_POST,)


async def _add(asked: Asked) -> Fields:
    description = _description(asked)
    made = await asked.services.clients.create_client(
        name_from(description),
        by=asked.caller,
        description=description,
        features=asked.arguments.texts("features") if asked.arguments.has("features") else (),
    )
    return {"client_id": made.client.client_id, "client_secret": made.secret.reveal()}


async def _delete(asked: Asked) -> Fields:
    await asked.services.clients.delete_client(asked.arguments.text(_ID_TO_DELETE), by=asked.caller)
    return {}


async def _list(asked: Asked) -> Pages:
    # An older client sends the same under another name.
    names = [name for name in ("has_features", "features") if asked.arguments.has(name)]
    if len(names) > 1:
        raise ClientsApiError(
            Code.DUPLICATE_ARGUMENT, "duplicate argument: has_features, which features is another name of"
        )
    try:
        features = [feature for name in names for feature in parse_features(asked.arguments.texts(name))]
    except InvalidFeature as refusal:
        raise invalid(names[0], str(refusal)) from refusal
    return _pages(asked.services.reading, features)


async def _reset_secret(asked: Asked) -> Fields:
    """Reset, and end a rollover that is running: who calls this knows of two secrets, and of no more to ask about."""
    reset = await asked.services.rotation.reset_secret(
        asked.arguments.text(_ID),
        asked.arguments.retention("hours_to_live"),
        by=asked.caller,
        end_active_rollover=True,
        idempotency_key=asked.idempotency_key,
    )
    return {"new_secret": reset.new_secret.reveal()}


async def _set_description(asked: Asked) -> Fields:
    client_id = asked.arguments.text(_ID)
    await asked.services.clients.update_client(client_id, by=asked.caller, description=_description(asked))
    return {}


async def _set_features(asked: Asked) -> Fields:
    client_id, features = asked.arguments.text(_ID), asked.arguments.texts("features")
    if client_id == asked.caller.name and Feature.OWNER not in features:
        raise invalid("features", "an owner may not remove owner from itself")
    await asked.services.clients.update_client(client_id, by=asked.caller, features=features)
    return {}


async def _set_whitelist(asked: Asked) -> Fields:
    allow_list = parse_whitelist(asked.arguments.texts("whitelist"))
    await asked.services.clients.update_client(_target(asked), by=asked.caller, allow_list=allow_list.texts)
    return {}


async def _clear_whitelist(asked: Asked) -> Fields:
    await asked.services.clients.update_client(_target(asked), by=asked.caller, allow_list=EVERYWHERE.texts)
    return {}


CALLS: Final[Mapping[str, Call]] = {
    "add": Call(_add),
    "delete": Call(_delete, target=_ID_TO_DELETE),
    "list": Call(_list, methods=(hdrs.METH_GET, hdrs.METH_POST)),
    "reset_secret": Call(_reset_secret),
    "set_description": Call(_set_description),
    "set_features": Call(_set_features),
    "set_whitelist": Call(_set_whitelist),
    "clear_whitelist": Call(_clear_whitelist),
}


def _target(asked: Asked) -> str:
    return asked.arguments.text(_ID) if asked.arguments.has(_ID) else asked.caller.name


def _description(asked: Asked) -> str:
    description = parse_description(asked.arguments.text("description"))
    if description is None:
        raise invalid("description", "description must not be empty")
    return description


async def _pages(reading: Reading, features: list[Feature]) -> Pages:
    """Yield all clients with any of these features (all, without features), newest first, and never a secret."""
    after: str | None = None
    while True:
        page = await reading.page_of_clients(PageRequest(first=MAX_PAGE, after=after), has_features=features)
        client_ids = [client.client_id for client in page.rows]
        features_of = await reading.features(client_ids)
        allow_list_of = await reading.allow_lists(client_ids)
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
