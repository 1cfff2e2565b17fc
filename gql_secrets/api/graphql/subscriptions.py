"""The subscriptions of the schema."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import strawberry

from gql_secrets.api.graphql.context import Context, Info
from gql_secrets.api.graphql.enums import Role
from gql_secrets.api.graphql.guards import Guard
from gql_secrets.api.graphql.types.event import ClientEvent
from gql_secrets.service.event_feed import ClientEvents


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
        client_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="Filters by client id: at most 128 characters.")
        ] = None,
    ) -> AsyncGenerator[ClientEvent, None]:
        # Awaited before the generator starts, so that a caller who is refused gets one error and no stream.
        stream = await info.context.services.feed.subscribe(client_id, by=info.context.caller)
        return _views_of(stream, info.context)


async def _views_of(stream: ClientEvents, context: Context) -> AsyncGenerator[ClientEvent, None]:
    async with aclosing(stream):
        async for event in stream:
            # The context lives as long as the stream: each event is resolved with what is true now, and with the
            # role that the caller has now.
            context.forget()
            context.caller = stream.caller
            yield ClientEvent.of(event)
