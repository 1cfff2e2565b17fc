"""The subscriptions of the schema."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated

import strawberry

from gql_secrets.api.graphql.context import Context, Info
from gql_secrets.api.graphql.enums import Role
from gql_secrets.api.graphql.guards import Guard
from gql_secrets.api.graphql.nodes import parse_row_number
from gql_secrets.api.graphql.types.event import ClientEvent
from gql_secrets.domain.errors import BadRequest
from gql_secrets.service.event_feed import ClientEvents


@strawberry.type(
    description="The subscriptions of this API, over WebSocket (graphql-transport-ws) or server-sent events."
)
class Subscription:
    @strawberry.subscription(
        description="Streams the events of clients, regardless of who made a change and how: from now on, or after a "
        "revision. Events are delivered after their change is committed, in the order of revisions. The stream ends "
        "when the viewer's session, secret, or role ends.",
        extensions=[Guard(Role.VIEWER)],
    )
    async def client_events(
        self,
        info: Info,
        client_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="Filters by client id: at most 128 characters.")
        ] = None,
        after: Annotated[
            int | None,
            strawberry.argument(
                description="Resumes after this revision, 0 for the beginning: the events of later changes come first, "
                "at most 1,000. The stream fails with RESYNC_REQUIRED if there are more, if they were deleted, or if "
                "the database was restored: query again, and subscribe without it. Uses and refused attempts are not "
                "repeated. A Last-Event-ID header replaces it."
            ),
        ] = None,
    ) -> AsyncGenerator[ClientEvent, None]:
        # Awaited before the generator starts, so that a caller who is refused gets one error and no stream.
        known = _revision_of_header(info.context.last_event_ids)
        if known is None:
            known = _revision(after)
        stream = await info.context.services.feed.subscribe(client_id, by=info.context.caller, after=known)
        return _views_of(stream, info.context)


def _revision(after: int | None) -> int | None:
    if after is not None and after < 0:
        raise BadRequest("A revision is a number from 0.", argument="after")
    return after


def _revision_of_header(values: Sequence[str]) -> int | None:
    """Return the revision that a reader of an event stream knows; None without a `Last-Event-ID`.

    Raises:
        BadRequest: it is not a number, or there are two.
    """
    if not values:
        return None
    number = parse_row_number(values[0]) if len(values) == 1 else None
    if number is None:
        raise BadRequest("Last-Event-ID must be the id of an event: digits.")
    return number


async def _views_of(stream: ClientEvents, context: Context) -> AsyncGenerator[ClientEvent, None]:
    async with aclosing(stream):
        async for event in stream:
            # The context lives as long as the stream: each event is resolved with what is true now, and with the
            # role that the caller has now.
            context.forget()
            context.caller = stream.caller
            # A stream that breaks between two events of one revision resumes before both.
            context.event_id = str(event.revision) if event.revision and event.is_last_of_revision else None
            yield ClientEvent.of(event)
