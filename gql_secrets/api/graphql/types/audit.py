"""The shape of the audit."""

from datetime import datetime
from typing import Self

import strawberry

from gql_secrets.api.graphql.enums import ActorKind, AuditAction, Surface
from gql_secrets.api.graphql.nodes import Node, global_id
from gql_secrets.storage import models


@strawberry.type(description="One change: who, when, what. Chained by hash to the change before.")
class AuditEvent(Node):
    """What the audit remembers of a change."""

    at: datetime = strawberry.field(description="When, by the database's clock.")
    revision: int = strawberry.field(description="The revision of the whole installation that this change made.")
    action: AuditAction = strawberry.field(description="What was done.")
    actor: str = strawberry.field(
        description="Who did it: `api_client:<client id>`, `user:<name>`, `cli:<system user>`, `system`."
    )
    actor_kind: ActorKind = strawberry.field(description="What kind of actor.")
    surface: Surface = strawberry.field(description="Through which door.")
    request_id: str | None = strawberry.field(
        description="The id of the request, as the answer's X-Request-Id and the log have it."
    )
    address: str | None = strawberry.field(description="The address that the request came from.")
    client_id: strawberry.ID | None = strawberry.field(description="The client that was changed.")
    generation_before: int | None = strawberry.field(description="The client's generation before the change.")
    generation_after: int | None = strawberry.field(
        description="The client's generation after it; the same where a secret expired."
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
