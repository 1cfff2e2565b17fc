"""Writes the rows of new clients, as a part of a change."""

from dataclasses import dataclass

from gql_secrets.domain.access import Feature
from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.credentials import PlaintextSecret
from gql_secrets.domain.details import NO_DETAILS, ClientDetails
from gql_secrets.domain.errors import Conflict
from gql_secrets.domain.networks import EVERYWHERE, AllowList
from gql_secrets.domain.search import search_text
from gql_secrets.domain.texts import folded
from gql_secrets.service.changes import Change
from gql_secrets.service.client_details import values_of_details, values_of_labels
from gql_secrets.service.secret_store import store_secret
from gql_secrets.storage.errors import IntegrityError
from gql_secrets.storage.models import MAX_FOLDED, Client, ClientFeature, ClientLabel, ClientListing, ClientNetwork


@dataclass(frozen=True, slots=True)
class NewClient:
    """A client that is not written yet; its values are valid."""

    client_id: str
    name: str
    description: str | None = None
    features: frozenset[Feature] = frozenset()
    allow_list: AllowList = EVERYWHERE
    self_reset: bool = False
    details: ClientDetails = NO_DETAILS


@dataclass(frozen=True, slots=True)
class Registration:
    """A new client with its first secret. `secret` is the only copy of the plaintext."""

    client: Client
    secret: PlaintextSecret


async def register(change: Change, new: NewClient) -> Registration:
    """Write a new client with a new secret.

    Raises:
        Conflict: the client id is in use, or was used by a deleted client.
    """
    plaintext = PlaintextSecret.mint()
    client = await write_client(change, new)
    secret = await store_secret(change, client, plaintext)
    await change.record(
        AuditAction.CLIENT_CREATED,
        client_id=new.client_id,
        generation_before=0,
        generation_after=client.generation,
        secret_id=secret.id,
    )
    return Registration(client, plaintext)


async def write_client(change: Change, new: NewClient) -> Client:
    """Write the rows of a new client without a secret.

    Raises:
        Conflict: the client id is in use, or was used by a deleted client.
    """
    client = Client(**values_of_client(change, new))
    try:
        await client.save(using_db=change.connection, force_create=True)
    except IntegrityError as error:
        raise Conflict(
            "This client id is in use, or was used by a deleted client: ids are never reused.", argument="client_id"
        ) from error
    await change.tx.insert(ClientListing, [values_of_listing(new)])
    await change.tx.insert(ClientFeature, values_of_features(new.client_id, new.features))
    await change.tx.insert(ClientNetwork, values_of_networks(new.client_id, new.allow_list))
    await change.tx.insert(ClientLabel, values_of_labels(new.client_id, new.details.labels))
    return client


def values_of_client(change: Change, new: NewClient) -> dict[str, object]:
    """Return the row of a new client."""
    return {
        "client_id": new.client_id,
        "client_id_folded": folded(new.client_id)[:MAX_FOLDED],
        "name": new.name,
        "name_folded": folded(new.name)[:MAX_FOLDED],
        "description": new.description,
        "is_restricted": not new.allow_list.is_everywhere,
        "self_reset": new.self_reset,
        "generation": 1,
        "created_at": change.now,
        **values_of_details(new.details),
    }


def values_of_listing(new: NewClient) -> dict[str, object]:
    """Return the row by which lists find a new client."""
    return {"client_id": new.client_id, "search_text": search_text(new.name, new.client_id, new.description)}


def values_of_features(client_id: str, features: frozenset[Feature]) -> list[dict[str, object]]:
    """Return the rows of a client's features."""
    return [{"client_id": client_id, "feature": feature.value} for feature in sorted(features)]


def values_of_networks(client_id: str, allow_list: AllowList) -> list[dict[str, object]]:
    """Return the rows of a client's allow list; none if every address is allowed."""
    if allow_list.is_everywhere:
        return []
    return [
        {"client_id": client_id, "position": position, "network": text}
        for position, text in enumerate(allow_list.texts)
    ]
