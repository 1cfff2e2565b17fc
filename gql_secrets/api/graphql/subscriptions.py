"""The subscriptions."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Self

import strawberry

from gql_secrets.api.graphql.context import Info
from gql_secrets.api.graphql.enums import ClientEventKind, Role
from gql_secrets.api.graphql.guards import Guard
from gql_secrets.api.graphql.nodes import global_id
from gql_secrets.domain import events
from gql_secrets.service.event_feed import ClientEvents


@strawberry.type(description="An event that happened to a client. Never contains a secret.")
class ClientEvent:
    kind: ClientEventKind = strawberry.field(description="The kind of the event.")
    at: datetime = strawberry.field(description="When the event happened, by the server's clock.")
    revision: int | None = strawberry.field(
        description="The revision of the change that caused the event. Events are delivered in the order of revisions. "
        "Null for uses and refused attempts, which are not changes."
    )
    client_id: strawberry.ID = strawberry.field(description="The client id of the client.")
    secret_id: strawberry.ID | None = strawberry.field(
        description="The global id of the secret: the new secret of a reset, or the secret that ended or was used."
    )
    actor: str | None = strawberry.field(
        description="The actor who made the change, in the format of AuditEvent.actor. Null for uses and refused "
        "attempts; see ClientSecret.uses."
    )

    @classmethod
    def of(cls, event: events.ClientEvent) -> Self:
        """Return the view of an event."""
        return cls(
            kind=event.kind,
            at=event.at,
            revision=event.revision,
            client_id=strawberry.ID(event.client_id),
            secret_id=global_id("ClientSecret", event.secret_id) if event.secret_id else None,
            actor=event.actor,
        )


@strawberry.type(
    description="The subscriptions of this API, over WebSocket (graphql-transport-ws) or server-sent events."
)
class Subscription:
    @strawberry.subscription(
        description="Streams the events of clients from now on, regardless of who made a change and how. Events are "
        "delivered after their change is committed, in the order of revisions. The stream ends when the viewer's "
        "session, secret, or role ends.",
        extensions=[Guard(Role.VIEWER)],
    )
    async def client_events(
        self,
        info: Info,
        client_id: Annotated[strawberry.ID | None, strawberry.argument(description="Filters by client id.")] = None,
    ) -> AsyncGenerator[ClientEvent, None]:
        # Awaited before the generator starts, so that a caller who is refused gets one error and no stream.
        return _views_of(await info.context.services.feed.subscribe(client_id, by=info.context.caller))


async def _views_of(stream: ClientEvents) -> AsyncGenerator[ClientEvent, None]:
    async with aclosing(stream):
        async for event in stream:
            yield ClientEvent.of(event)
