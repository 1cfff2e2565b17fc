"""The queries of the schema."""

from datetime import datetime
from typing import Annotated, cast

import strawberry

from gql_secrets.api.graphql.client_parts import client_parts, selects_only_count
from gql_secrets.api.graphql.context import Info, is_only_field
from gql_secrets.api.graphql.enums import AuditAction, Role, Surface
from gql_secrets.api.graphql.guards import CurrentSecretGuard, Guard, client_of_argument
from gql_secrets.api.graphql.node_lookup import find_node, find_nodes
from gql_secrets.api.graphql.nodes import (
    After,
    Before,
    Connection,
    First,
    Last,
    Node,
)
from gql_secrets.api.graphql.types.audit import AuditEvent
from gql_secrets.api.graphql.types.client import Client
from gql_secrets.api.graphql.types.client_list import ClientFilter, ClientOrder, Overview, RotationPolicy
from gql_secrets.api.graphql.types.cluster import Cluster, ClusterMember
from gql_secrets.api.graphql.types.session import Session
from gql_secrets.api.graphql.types.viewer import Viewer
from gql_secrets.api.graphql.types.webhook import Webhook
from gql_secrets.api.graphql.weights import FOUND, OVERVIEW, PAGE, SEARCHED_PAGE
from gql_secrets.domain.errors import BadRequest
from gql_secrets.domain.webhooks import MAX_WEBHOOKS
from gql_secrets.graphql_server.resolvers import reads_now
from gql_secrets.graphql_server.schema_costs import weighs
from gql_secrets.service.audit_log import MAX_EXPORT, AuditLog
from gql_secrets.service.client_filter import EVERY_CLIENT, NEWEST_FIRST
from gql_secrets.service.pages import DEFAULT_PAGE, PageRequest

ClientId = Annotated[
    strawberry.ID,
    strawberry.argument(description="The client id with which the application signs in: at most 128 characters."),
]


@strawberry.type(description="The queries of this API. A refused field returns null without affecting the others.")
class Query:
    @strawberry.field(description="The signed-in caller. Null if the caller is not signed in.")
    def viewer(self, info: Info) -> Viewer | None:
        return Viewer.of(info.context.caller, info.context.services.sessions)

    @strawberry.field(
        description="The server's clock, which decides when a secret expires. Use it for countdowns.",
        metadata=weighs(30),
    )
    async def server_time(self, info: Info) -> datetime:
        return await info.context.now()

    @strawberry.field(
        description="The revision of the installation, which every change increments. Query it before other data, then "
        "pass it to clientEvents as after: the events of every change that the data may lack are delivered. "
        "Verifications do not increment it.",
        extensions=[Guard(Role.VIEWER)],
        metadata=weighs(30),
    )
    async def revision(self, info: Info) -> int | None:
        return await info.context.services.queries.revision()

    @strawberry.field(
        description="Finds a client by its client id. Null if no such client exists.",
        extensions=[Guard(Role.VIEWER, or_self=client_of_argument)],
        metadata={
            **FOUND,
            **reads_now(lambda _, info, client_id: Client.find_now(client_id, info, client_parts(info))),
        },
    )
    async def client(self, info: Info, client_id: ClientId) -> Client | None:
        if not is_only_field(info):
            return await Client.find(client_id, info)
        return await Client.find_alone(client_id, info, client_parts(info))

    @strawberry.field(
        description="The clients that are not deleted, newest first unless orderBy is given. Returns the first 20 if "
        "neither first nor last is given.",
        extensions=[Guard(Role.VIEWER)],
        metadata=SEARCHED_PAGE,
    )
    async def clients(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        search: Annotated[
            str | None,
            strawberry.argument(
                description="Filters by a part of the name, the description, or the client id, ignoring case. A text "
                "of one or two characters must be the beginning of a word in them; a text of more than 200 characters "
                "finds nothing."
            ),
        ] = None,
        filter: Annotated[  # noqa: A002  the usual name of this argument
            ClientFilter | None,
            strawberry.argument(description="Filters the clients. All given conditions must be met."),
        ] = None,
        order_by: Annotated[
            ClientOrder | None,
            strawberry.argument(
                description="Sorts the clients. Pass a cursor only with the order from which it was returned."
            ),
        ] = None,
    ) -> Connection[Client] | None:
        page = await info.context.services.queries.page_of_clients(
            PageRequest(first, after, last, before),
            search=search,
            filter=filter.parse() if filter else EVERY_CLIENT,
            order=order_by.parse() if order_by else NEWEST_FIRST,
            parts=client_parts(info),
        )
        return Connection[Client].of(page, Client.maker(info.context))

    @strawberry.field(
        description="All webhooks, the oldest first: at most 20. Not available to a caller who signed in with an old "
        "secret.",
        extensions=[Guard(Role.ADMIN), CurrentSecretGuard()],
        metadata=weighs(40, size=MAX_WEBHOOKS),
    )
    async def webhooks(self, info: Info) -> list[Webhook] | None:
        return [Webhook.of(row) for row in await info.context.services.webhooks.all()]

    @strawberry.field(
        description="The nodes that run on the installation's database.",
        extensions=[Guard(Role.ADMIN)],
        metadata=weighs(20),
    )
    async def cluster(self, info: Info) -> Cluster | None:
        services = info.context.services
        return Cluster(
            members=[ClusterMember.of(member) for member in await services.cluster.members()],
            uncertain_clients=await services.history.uncertain_clients(),
        )

    @strawberry.field(
        description="The rotation policy of the installation. It reports which secrets should be rotated, and never "
        "rotates one.",
        extensions=[Guard(Role.VIEWER)],
        metadata=weighs(),
    )
    async def rotation_policy(self, info: Info) -> RotationPolicy | None:
        return RotationPolicy(maximum_age_days=info.context.services.rotation_policy.maximum_age_days)

    @strawberry.field(
        description="How many clients need attention, and why.", extensions=[Guard(Role.VIEWER)], metadata=OVERVIEW
    )
    async def overview(self, info: Info) -> Overview | None:
        return Overview.of(await info.context.services.overviews.read())

    @strawberry.field(
        description="Finds an object by its global id. Null if no such object exists. Audit events and sessions are "
        "visible only to ADMIN.",
        extensions=[Guard(Role.VIEWER)],
        metadata=FOUND,
    )
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The value of a field `id`.")],  # noqa: A002
    ) -> Node | None:
        return await find_node(info.context, id)

    @strawberry.field(
        description="Finds objects by their global ids, at most 100, in the order of ids. Null for each object that "
        "does not exist. Audit events and sessions are visible only to ADMIN.",
        extensions=[Guard(Role.VIEWER)],
        metadata=weighs(160, row=5),
    )
    async def nodes(
        self,
        info: Info,
        ids: Annotated[list[strawberry.ID], strawberry.argument(description="Values of fields `id`: at most 100.")],
    ) -> list[Node | None] | None:
        # An exception in a list is an error of its item alone.
        return cast("list[Node | None]", await find_nodes(info.context, ids))

    @strawberry.field(
        description="The audit events of all clients, including deleted ones, newest first.",
        extensions=[Guard(Role.ADMIN)],
        metadata=PAGE,
    )
    async def audit_events(
        self,
        info: Info,
        client_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(
                description="Filters by client id, including deleted clients. A text that cannot be a client id finds "
                "nothing."
            ),
        ] = None,
        actor: Annotated[
            str | None,
            strawberry.argument(
                description="Filters by actor, in the format of AuditEvent.actor: at most 512 characters; a longer "
                "text finds nothing."
            ),
        ] = None,
        action: Annotated[AuditAction | None, strawberry.argument(description="Filters by action.")] = None,
        surface: Annotated[Surface | None, strawberry.argument(description="Filters by the interface used.")] = None,
        since: Annotated[
            datetime | None, strawberry.argument(description="Returns events at or after this time.")
        ] = None,
        until: Annotated[datetime | None, strawberry.argument(description="Returns events before this time.")] = None,
        first: First = DEFAULT_PAGE,
        after: After = None,
    ) -> Connection[AuditEvent] | None:
        page = await info.context.services.queries.page_of_audit_events(
            PageRequest(first, after),
            client_id=client_id,
            actor=actor,
            action=action.value if action else None,
            surface=surface.value if surface else None,
            since=since,
            until=until,
            only_count=selects_only_count(info),
        )
        return Connection[AuditEvent].of(page, AuditEvent.of)

    @strawberry.field(
        description="The lines of an export of the audit log, as gql-secrets audit export writes them, oldest first: "
        "each a JSON object with its hash. Empty after the newest event.",
        extensions=[Guard(Role.ADMIN)],
        metadata=weighs(160, row=10, size=DEFAULT_PAGE),
    )
    async def audit_export(
        self,
        info: Info,
        after: Annotated[int, strawberry.argument(description="Returns the events after this revision.")] = 0,
        first: Annotated[
            int, strawberry.argument(description=f"Returns at most this many lines (0 to {MAX_EXPORT}).")
        ] = DEFAULT_PAGE,
    ) -> list[str] | None:
        if not 0 <= first <= MAX_EXPORT:
            raise BadRequest(f"first must be from 0 to {MAX_EXPORT}.", argument="first")
        services = info.context.services
        return await AuditLog(services.database, services.changes.pepper).page(after=after, count=first)

    @strawberry.field(
        description="The sessions of people who are signed in with a browser, newest first.",
        extensions=[Guard(Role.ADMIN)],
        metadata=PAGE,
    )
    async def sessions(
        self, info: Info, first: First = DEFAULT_PAGE, after: After = None
    ) -> Connection[Session] | None:
        page = await info.context.services.queries.page_of_sessions(PageRequest(first, after))
        caller = info.context.caller
        return Connection[Session].of(page, lambda row: Session.of(row, caller))
