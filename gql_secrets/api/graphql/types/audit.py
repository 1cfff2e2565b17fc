"""An event of the audit log."""

from datetime import datetime
from typing import Self

import strawberry

from gql_secrets.api.graphql.enums import ActorKind, AuditAction, Surface
from gql_secrets.api.graphql.nodes import Node, global_id
from gql_secrets.storage import models


@strawberry.type(
    description="An event of the audit log: a change, its actor, and its time. Events are chained by their hashes."
)
class AuditEvent(Node):
    at: datetime = strawberry.field(description="When the change was made, by the server's clock.")
    revision: int = strawberry.field(description="The revision of the installation that this change created.")
    action: AuditAction = strawberry.field(description="The action.")
    actor: str = strawberry.field(
        description="The actor: `api_client:<client id>`, `user:<name>`, `cli:<system user>`, or `system`."
    )
    actor_kind: ActorKind = strawberry.field(description="The kind of the actor.")
    surface: Surface = strawberry.field(description="The interface through which the change was made.")
    request_id: str | None = strawberry.field(
        description="The id of the request, as in its X-Request-Id response header and in the server's log."
    )
    address: str | None = strawberry.field(description="The IP address from which the request was made.")
    client_id: strawberry.ID | None = strawberry.field(description="The client id of the client that was changed.")
    generation_before: int | None = strawberry.field(description="The client's generation before the change.")
    generation_after: int | None = strawberry.field(
        description="The client's generation after the change. Unchanged by the expiry of a secret."
    )
    secret_id: strawberry.ID | None = strawberry.field(
        description="The secret that it was about: the new one of a reset, the old one of a revoke or a retention."
    )
    ended_secret_ids: list[strawberry.ID] = strawberry.field(description="The secrets that ended with the change.")
    hours_to_live: int | None = strawberry.field(description="The hours that were asked for.")
    expires_at: datetime | None = strawberry.field(description="When the old secret ended or will end.")
    reason: str | None = strawberry.field(description="Why secrets ended, or what was edited.")

    @classmethod
    def of(cls, row: models.AuditEvent) -> Self:
        """Return the view of a row."""
        return cls(
            id=global_id("AuditEvent", row.revision),
            at=row.at,
            revision=row.revision,
            action=AuditAction(row.action),
            actor=row.actor,
            actor_kind=ActorKind(row.actor_kind),
            surface=Surface(row.surface),
            request_id=row.request_id,
            address=row.address,
            client_id=strawberry.ID(row.client_id) if row.client_id else None,
            generation_before=row.generation_before,
            generation_after=row.generation_after,
            secret_id=global_id("ClientSecret", row.secret_id) if row.secret_id else None,
            ended_secret_ids=[global_id("ClientSecret", part) for part in row.ended_secret_ids.split(",") if part],
            hours_to_live=row.hours_to_live,
            expires_at=row.expires_at,
            reason=row.reason,
        )
