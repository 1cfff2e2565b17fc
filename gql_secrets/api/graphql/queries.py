"""What can be asked."""

from datetime import datetime
from typing import Annotated

import strawberry

from gql_secrets.api.graphql.context import Info
from gql_secrets.api.graphql.enums import AuditAction, Role, Surface
from gql_secrets.api.graphql.guards import Guard
from gql_secrets.api.graphql.nodes import (
    DEFAULT_PAGE,
    After,
    Before,
    Connection,
    First,
    Last,
    Node,
    page_request,
    parse_global_id,
    parse_row_number,
)
from gql_secrets.api.graphql.types.audit import AuditEvent
from gql_secrets.api.graphql.types.client import Client, Viewer
from gql_secrets.api.graphql.types.secret import ClientSecret
from gql_secrets.domain.access import require_role
from gql_secrets.graphql_server.weights import FOUND, PAGE, SEARCHED_PAGE, weighs

ClientId = Annotated[strawberry.ID, strawberry.argument(description="The client id that people hold.")]


@strawberry.type(description="What can be asked. A field that is refused is null and leaves the others alone.")
class Query:
    """The root of all reads."""

    @strawberry.field(description="Who is asking; null when not signed in.")
    def viewer(self, info: Info) -> Viewer | None:
        """Tell."""
        return Viewer.of(info.context.caller)

    @strawberry.field(
        description="The clock that decides what is good: the database's. Count down by it, not by your own.",
        metadata=weighs(30),
    )
    async def server_time(self, info: Info) -> datetime:
        """Tell."""
        return await info.context.now()

    @strawberry.field(
        description="One client; null when it is unknown or deleted.", extensions=[Guard(Role.VIEWER)], metadata=FOUND
    )
    async def client(self, info: Info, client_id: ClientId) -> Client | None:
        """Find."""
        row = await info.context.services.reading.find_client(client_id)
        return Client.of(row) if row else None

    @strawberry.field(
        description="The clients that are not deleted, newest first.",
        extensions=[Guard(Role.VIEWER)],
        metadata=SEARCHED_PAGE,
    )
    async def clients(
        self,
        info: Info,
        first: First = DEFAULT_PAGE,
        after: After = None,
        last: Last = None,
        before: Before = None,
        search: Annotated[
            str | None,
            strawberry.argument(
                description="Only those whose name or client id begins with this, in any case. An index answers it; "
                "a prefix that very many share costs the sorting of those."
            ),
        ] = None,
        in_rollover: Annotated[
            bool | None,
            strawberry.argument(description="true: only those with two good secrets; false: only the others."),
        ] = None,
    ) -> Connection[Client] | None:
        """Read a page."""
        page = await info.context.services.reading.page_of_clients(
            page_request(first, after, last, before), search=search, in_rollover=in_rollover
        )
        return Connection[Client].of(page, Client.of)

    @strawberry.field(
        description="Anything by its global id; null when it is unknown. Audit events are for ADMIN.",
        extensions=[Guard(Role.VIEWER)],
        metadata=FOUND,
    )
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="A global id, from a field `id`.")],  # noqa: A002
    ) -> Node | None:
        """Find."""
        reading = info.context.services.reading
        match parse_global_id(id):
            case "Client", client_id:
                client = await reading.find_client(client_id)
                return Client.of(client) if client else None
            case "ClientSecret", text if (number := parse_row_number(text)) is not None:
                return ClientSecret.of_optional(await reading.find_secret(number))
            case "AuditEvent", text if (number := parse_row_number(text)) is not None:
                require_role(info.context.caller, Role.ADMIN)
                event = await reading.find_audit_event(number)
                return AuditEvent.of(event) if event else None
        return None

    @strawberry.field(
        description="What was changed, newest first; of deleted clients too.",
        extensions=[Guard(Role.ADMIN)],
        metadata=PAGE,
    )
    async def audit_events(
        self,
        info: Info,
        client_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="Only changes of this client, deleted or not.")
        ] = None,
        actor: Annotated[
            str | None,
            strawberry.argument(description="Only changes by this actor, written as AuditEvent.actor has it."),
        ] = None,
        action: Annotated[AuditAction | None, strawberry.argument(description="Only changes of this kind.")] = None,
        surface: Annotated[Surface | None, strawberry.argument(description="Only changes through this door.")] = None,
        since: Annotated[
            datetime | None, strawberry.argument(description="Only changes at this instant or later.")
        ] = None,
        until: Annotated[datetime | None, strawberry.argument(description="Only changes before this instant.")] = None,
        first: First = DEFAULT_PAGE,
        after: After = None,
    ) -> Connection[AuditEvent] | None:
        """Read a page."""
        page = await info.context.services.reading.page_of_audit_events(
            page_request(first, after),
            client_id=client_id,
            actor=actor,
            action=action.value if action else None,
            surface=surface.value if surface else None,
            since=since,
            until=until,
        )
        return Connection[AuditEvent].of(page, AuditEvent.of)
