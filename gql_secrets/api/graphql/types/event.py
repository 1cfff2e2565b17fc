"""An event that a subscriber receives."""

from datetime import datetime
from typing import Self

import strawberry

from gql_secrets.api.graphql.context import Info
from gql_secrets.api.graphql.enums import ClientEventKind
from gql_secrets.api.graphql.nodes import global_id
from gql_secrets.api.graphql.types.client import Client
from gql_secrets.api.graphql.weights import FOUND
from gql_secrets.domain import events


@strawberry.type(description="An event that happened to a client. Never contains a secret.")
class ClientEvent:
    kind: ClientEventKind = strawberry.field(description="The kind of the event.")
    at: datetime = strawberry.field(description="When the event happened, by the server's clock.")
    revision: int | None = strawberry.field(
        description="The revision of the change that caused the event. Events are delivered in the order of revisions. "
        "Null for uses and refused attempts, which are not changes."
    )
    client_id: strawberry.ID = strawberry.field(description="The client id of the client.")
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of the client if the event is its deletion. Null otherwise. Use it to remove the "
        "client from a cache."
    )
    secret_id: strawberry.ID | None = strawberry.field(
        description="The global id of the secret: the new secret of a reset, or the secret that ended or was used."
    )
    actor: str | None = strawberry.field(
        description="The actor who made the change, in the format of AuditEvent.actor. Null for uses and refused "
        "attempts; see ClientSecret.uses."
    )
    actor_name: str | None = strawberry.field(
        description="The display name of the actor. Null if the actor is not a person."
    )

    @strawberry.field(
        description="The client as it is when the event is delivered, so that a normalized cache updates itself. Null "
        "if the client was deleted.",
        metadata=FOUND,
    )
    async def client(self, info: Info) -> Client | None:
        return await Client.find(self.client_id, info)

    @classmethod
    def of(cls, event: events.ClientEvent) -> Self:
        """Return the view of an event."""
        is_deletion = event.kind is ClientEventKind.DELETED
        return cls(
            kind=event.kind,
            at=event.at,
            revision=event.revision,
            client_id=strawberry.ID(event.client_id),
            deleted_id=global_id("Client", event.client_id) if is_deletion else None,
            secret_id=global_id("ClientSecret", event.secret_id) if event.secret_id else None,
            actor=event.actor,
            actor_name=event.actor_name,
        )
