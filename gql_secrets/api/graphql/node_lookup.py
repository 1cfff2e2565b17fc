"""Objects by their global ids, one query for each type."""

from collections.abc import Mapping, Sequence
from typing import Final

from gql_secrets.api.graphql.context import Context
from gql_secrets.api.graphql.enums import Role
from gql_secrets.api.graphql.nodes import Node, parse_global_id, parse_row_number
from gql_secrets.api.graphql.types.audit import AuditEvent
from gql_secrets.api.graphql.types.client import Client
from gql_secrets.api.graphql.types.secret import ClientSecret
from gql_secrets.api.graphql.types.session import Session
from gql_secrets.domain.access import require_role
from gql_secrets.domain.errors import BadRequest, Forbidden

MAX_IDS: Final = 100


async def find_node(context: Context, global_id: str) -> Node | None:
    """Return the object with this global id, or None if there is none.

    Raises:
        BadRequest: it is not a global id.
        Forbidden: it is the id of an audit event or a session, and the caller is not an ADMIN.
    """
    [found] = await _find([parse_global_id(global_id, argument="id")], context)
    if isinstance(found, Forbidden):
        raise found
    return found


async def find_nodes(context: Context, global_ids: Sequence[str]) -> list[Node | Forbidden | None]:
    """Return the objects with these global ids, in the same order.

    An object that does not exist is None, and one that the caller may not see is the refusal, which GraphQL reports for
    this item alone.

    Raises:
        BadRequest: there are too many, or one is not a global id.
    """
    if len(global_ids) > MAX_IDS:
        raise BadRequest(f"Pass at most {MAX_IDS} ids.", argument="ids")
    return await _find([parse_global_id(each, argument="ids") for each in global_ids], context)


async def _find(keys: list[tuple[str, str]], context: Context) -> list[Node | Forbidden | None]:
    queries = context.services.queries
    found: dict[tuple[str, str], Node] = {}
    if client_ids := {key for type_name, key in keys if type_name == "Client"}:
        for client_id, client in (await queries.find_clients(client_ids)).items():
            found["Client", client_id] = Client.of(client, context)
    if secret_ids := _row_numbers("ClientSecret", keys):
        now = await context.now()
        for secret in await queries.find_secrets(secret_ids):
            found["ClientSecret", str(secret.id)] = ClientSecret.of(secret, now=now)
    for_admins = {name: numbers for name in ("AuditEvent", "Session") if (numbers := _row_numbers(name, keys))}
    if not for_admins:
        return [found.get(key) for key in keys]
    try:
        require_role(context.caller, Role.ADMIN)
    except Forbidden as refusal:
        return [refusal if _is_among(for_admins, key) else found.get(key) for key in keys]
    found |= await _find_for_admins(for_admins, context)
    return [found.get(key) for key in keys]


async def _find_for_admins(numbers: Mapping[str, set[int]], context: Context) -> dict[tuple[str, str], Node]:
    queries = context.services.queries
    found: dict[tuple[str, str], Node] = {}
    if revisions := numbers.get("AuditEvent"):
        for event in await queries.find_audit_events(revisions):
            found["AuditEvent", str(event.revision)] = AuditEvent.of(event)
    if session_ids := numbers.get("Session"):
        for session in await queries.find_sessions(session_ids):
            found["Session", str(session.id)] = Session.of(session, context.caller)
    return found


def _is_among(numbers: Mapping[str, set[int]], key: tuple[str, str]) -> bool:
    type_name, text = key
    return parse_row_number(text) in numbers.get(type_name, ())


def _row_numbers(type_name: str, keys: list[tuple[str, str]]) -> set[int]:
    numbers = (parse_row_number(key) for each, key in keys if each == type_name)
    return {number for number in numbers if number is not None}
