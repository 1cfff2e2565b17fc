"""How a command speaks: data on stdout, in the words of the GraphQL schema; prose on stderr."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import typer

from gql_secrets.domain.instants import rfc3339
from gql_secrets.domain.rotation import SecretState
from gql_secrets.storage.models import Client, ClientSecret

AsJson = Annotated[bool, typer.Option("--json", help="Write the data as JSON, with the field names of GraphQL.")]

Data = Mapping[str, object]


def say(prose: str) -> None:
    """Tell the person in front of the terminal something, on stderr."""
    typer.echo(prose, err=True)


def write(data: Data, *, as_json: bool) -> None:
    """Write data on stdout: a JSON object, or a line `name: value` for each field."""
    if as_json:
        typer.echo(to_json(data))
        return
    for name, value in data.items():
        typer.echo(f"{name}: {_in_words(value)}")


def to_json(value: object) -> str:
    """Return the value as JSON for people and programs."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def instant(value: datetime | None) -> str | None:
    """Return an instant as GraphQL's DateTime writes it."""
    return rfc3339(value) if value else None


def client_data(
    client: Client, features: list[str], allow_list: list[str], secrets: Mapping[SecretState, ClientSecret]
) -> dict[str, object]:
    """Return what GraphQL's `Client` says of a client."""
    old = secrets.get(SecretState.RETAINED)
    return {
        "clientId": client.client_id,
        "name": client.name,
        "description": client.description,
        "features": features,
        "allowList": allow_list,
        "enabled": client.enabled,
        "createdAt": instant(client.created_at),
        "generation": client.generation,
        "inRollover": old is not None,
        "currentSecret": secret_data(secrets.get(SecretState.CURRENT)),
        "oldSecret": secret_data(old),
    }


def secret_data(secret: ClientSecret | None) -> dict[str, object] | None:
    """Return what GraphQL's `ClientSecret` says of a secret."""
    if secret is None:
        return None
    return {
        "hint": secret.hint,
        "state": secret.state,
        "createdAt": instant(secret.created_at),
        "createdBy": secret.created_by,
        "replacedAt": instant(secret.replaced_at),
        "expiresAt": instant(secret.expires_at),
        "endedAt": instant(secret.ended_at),
        "endReason": secret.end_reason,
        "firstUsedAt": instant(secret.first_used_at),
        "lastUsedAt": instant(secret.last_used_at),
    }


def _in_words(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_in_words(each)}" for name, each in value.items() if each is not None)
    if isinstance(value, list):
        return ", ".join(str(each) for each in value) or "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "-" if value is None else str(value).replace("\n", " ")
