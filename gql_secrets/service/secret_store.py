"""Stores secrets in the database: only ever as digests."""

from gql_secrets.domain.credentials import PlaintextSecret
from gql_secrets.domain.errors import Conflict
from gql_secrets.domain.rotation import SecretState
from gql_secrets.service.changes import Change, ClientChange
from gql_secrets.storage.errors import IntegrityError
from gql_secrets.storage.models import Client, ClientSecret
from gql_secrets.storage.objects import object_of
from gql_secrets.storage.transaction import new_row


async def store_secret(change: Change, client: Client, plaintext: PlaintextSecret) -> ClientSecret:
    """Store a new current secret of a client, its digest and its hint; a reset does so with its audit event.

    Raises:
        Conflict: this client had the same secret before (only an imported client can).
    """
    values = values_of_secret(change, client.client_id, plaintext)
    if isinstance(change, ClientChange) and change.new_secret_id is not None:
        row = {"id": change.new_secret_id, **values}
        change.unwritten.new_rows.append(new_row(ClientSecret, row))
        return object_of(ClientSecret, row)
    try:
        secret_id = await change.tx.insert_one(ClientSecret, values)
    except IntegrityError as error:
        raise Conflict("This client had this secret before.") from error
    return object_of(ClientSecret, {"id": secret_id, **values})


def values_of_secret(
    change: Change, client_id: str, plaintext: PlaintextSecret, *, is_weak: bool = False
) -> dict[str, object]:
    """Return the row of a new current secret of a client."""
    key = change.pepper.first
    return {
        "client_id": client_id,
        "digest": key.digest(client_id, plaintext.reveal()),
        "pepper_key_id": key.key_id,
        "hint": plaintext.hint,
        "is_weak": is_weak,
        "state": SecretState.CURRENT.value,
        "created_at": change.now,
        "created_by": change.caller.actor,
        "created_by_name": change.caller.display_name,
        "use_count": 0,
        "refused_attempts": 0,
    }
