"""The results of changes of clients."""

from dataclasses import dataclass

from gql_secrets.domain.effects import Effect
from gql_secrets.storage.models import Client


@dataclass(frozen=True, slots=True)
class Edit:
    """A client after it was edited, enabled or disabled."""

    client: Client
    effect: Effect


@dataclass(frozen=True, slots=True)
class Deletion:
    """A client that was deleted."""

    client_id: str
    effect: Effect
