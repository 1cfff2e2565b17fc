"""What can be listened to."""

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


@strawberry.type(description="One thing that happened to a client. It never holds a secret.")
class ClientEvent:
    """What a subscriber is told."""

    kind: ClientEventKind = strawberry.field(description="What happened.")
    at: datetime = strawberry.field(description="When, by the database's clock.")
    revision: int | None = strawberry.field(
        description="The revision of the change that did it: events come in its order. Null for a use, which is no "
        "change."
    )
    client_id: strawberry.ID = strawberry.field(description="The client that it happened to.")
    secret_id: strawberry.ID | None = strawberry.field(
        description="The secret that it is about: the new one of a reset, the one that ended, the one that was used."
    )
    actor: str | None = strawberry.field(
        description="Who did it, as AuditEvent.actor writes it; null for a use, of which ClientSecret.uses tells more."
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
    description="What can be listened to, over a WebSocket (graphql-transport-ws) or as an event stream (SSE)."
)
class Subscription:
    """The root of all streams."""

    @strawberry.subscription(
        description="What happens to clients from now on: after the commit and in the order of revisions, whoever did "
        "it and by whatever process. The stream ends when the viewer's session, credential or role does.",
        extensions=[Guard(Role.VIEWER)],
    )
    async def client_events(
        self,
        info: Info,
        client_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="Only what happens to this client.")
        ] = None,
    ) -> AsyncGenerator[ClientEvent, None]:
        """Listen; what refuses the listener refuses the whole subscription, before it begins."""
        return _told(await info.context.services.feed.subscribe(client_id, by=info.context.caller))


async def _told(stream: ClientEvents) -> AsyncGenerator[ClientEvent, None]:
    async with aclosing(stream):
        async for event in stream:
            yield ClientEvent.of(event)
