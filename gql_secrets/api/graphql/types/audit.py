"""An event of the audit log."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Self

import strawberry

from gql_secrets.api.graphql.context import Info
from gql_secrets.api.graphql.enums import ActorKind, AuditAction, Role, SecretEndReason, SessionEndReason, Surface
from gql_secrets.api.graphql.nodes import Node, global_id
from gql_secrets.api.graphql.weights import FOUND_TOGETHER
from gql_secrets.service.audit_events import entry_of
from gql_secrets.storage import models

if TYPE_CHECKING:
    from gql_secrets.api.graphql.types.client import Client


@strawberry.type(description="A secret that ended with a change.")
class EndedSecret:
    secret_id: strawberry.ID = strawberry.field(description="The global id of the secret.")
    reason: SecretEndReason = strawberry.field(description="The reason why it ended.")


@strawberry.type(
    description="An event of the audit log: a change, its actor, and its time. Events are chained by their hashes."
)
class AuditEvent(Node):
    at: datetime = strawberry.field(description="When the change was made, by the server's clock.")
    revision: int = strawberry.field(description="The revision of the installation that this change created.")
    action: AuditAction = strawberry.field(description="The action.")
    actor: str = strawberry.field(
        description="The actor: `api_client:<client id>`, `user:link/<number of the sign-in link>`, "
        "`user:<issuer without its scheme>/<subject>` for a person with an access token, `cli:<system user>`, or "
        "`system`. It identifies the actor: two people can have the same name."
    )
    actor_name: str | None = strawberry.field(
        description="The display name of the actor at the time of the change. Null if the actor is not a person, or "
        "has no name."
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
        description="The global id of the secret that the change is about: the new secret of a reset, otherwise the "
        "old secret."
    )
    ended_secrets: list[EndedSecret] = strawberry.field(description="The secrets that ended with the change.")
    hours_to_live: int | None = strawberry.field(description="The hoursToLive that the caller passed.")
    expires_at: datetime | None = strawberry.field(description="When the old secret expires, as the change set it.")
    edited_fields: list[str] = strawberry.field(description="The fields of Client that an edit changed.")
    clamped: bool = strawberry.field(
        description="Whether the requested expiry was moved back to 168 hours after the reset."
    )
    weak_secret: bool = strawberry.field(description="Whether the secret of an imported client looks easy to guess.")
    reason: str | None = strawberry.field(description="The reason for the change, in the words of the caller.")
    link_number: int | None = strawberry.field(
        description="The number of the sign-in link that was created, voided, or used, or that the session began with."
    )
    session_number: int | None = strawberry.field(description="The number of the session that began or ended.")
    person_name: str | None = strawberry.field(
        description="The display name of the person to whom the sign-in link or the session belongs."
    )
    person_role: Role | None = strawberry.field(description="The role of that person.")
    session_end_reason: SessionEndReason | None = strawberry.field(description="Why the session ended.")
    webhook_number: int | None = strawberry.field(description="The number of the webhook that was changed.")
    pepper_key_id: str | None = strawberry.field(description="The id of the pepper key that secrets are moved to.")

    @property
    def key(self) -> int:
        """The revision."""
        return self.revision

    @strawberry.field(
        description="The client that was changed, as it is now. Null if the event is not about a client, or if the "
        "client was deleted.",
        metadata=FOUND_TOGETHER,
    )
    async def client(
        self, info: Info
    ) -> Annotated["Client", strawberry.lazy("gql_secrets.api.graphql.types.client")] | None:
        from gql_secrets.api.graphql.types.client import Client  # noqa: PLC0415  clients have audit events

        return await Client.find(self.client_id, info) if self.client_id else None

    @classmethod
    def of(cls, row: models.AuditEvent) -> Self:
        """Return the view of a row, which was read together with its `ended_secrets`."""
        entry = entry_of(row)
        return cls(
            at=row.at,
            revision=row.revision,
            action=AuditAction(row.action),
            actor=row.actor,
            actor_name=row.actor_name,
            actor_kind=ActorKind(row.actor_kind),
            surface=Surface(row.surface),
            request_id=row.request_id,
            address=row.address,
            client_id=strawberry.ID(row.client_id) if row.client_id else None,
            generation_before=row.generation_before,
            generation_after=row.generation_after,
            secret_id=global_id("ClientSecret", row.secret_id) if row.secret_id else None,
            ended_secrets=[
                EndedSecret(secret_id=global_id("ClientSecret", ended.secret_id), reason=ended.reason)
                for ended in entry.ended
            ],
            hours_to_live=row.hours_to_live,
            expires_at=row.expires_at,
            edited_fields=list(entry.edited_fields),
            clamped=entry.clamped,
            weak_secret=entry.weak_secret,
            reason=entry.reason,
            link_number=row.link_number,
            session_number=row.session_number,
            person_name=row.person_name,
            person_role=Role(row.person_role) if row.person_role else None,
            session_end_reason=SessionEndReason(row.session_end_reason) if row.session_end_reason else None,
            webhook_number=row.webhook_number,
            pepper_key_id=row.pepper_key_id,
        )
