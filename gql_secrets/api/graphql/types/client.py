"""The shapes of callers and clients, and the sentence of each (secrets: secret_types.py; audit: audit_types.py)."""

from datetime import datetime
from typing import Self

import strawberry

from gql_secrets.api.graphql.context import Info
from gql_secrets.api.graphql.enums import Role, SecretState, ViewerKind
from gql_secrets.api.graphql.guards import Guard
from gql_secrets.api.graphql.nodes import DEFAULT_PAGE, After, Connection, First, Node, global_id, page_request
from gql_secrets.api.graphql.types.audit import AuditEvent
from gql_secrets.api.graphql.types.secret import ClientSecret, Rollover
from gql_secrets.domain.access import ActorKind as CallerKind
from gql_secrets.domain.access import Caller, may_change, outranks, parse_features, rank
from gql_secrets.graphql_server.weights import LOADED, PAGE_BELOW, weighs
from gql_secrets.storage import models


@strawberry.type(description="Who is asking.")
class Viewer:
    """The caller, as a frontend greets it."""

    name: str = strawberry.field(description="The client id of an application, or a person's name.")
    kind: ViewerKind = strawberry.field(description="An application or a person.")
    roles: list[Role] = strawberry.field(description="What the viewer may do, most powerful first; empty for nothing.")
    can_create_client: bool = strawberry.field(description="Whether to show what registers a client.")

    @classmethod
    def of(cls, caller: Caller) -> Self | None:
        """Return the caller's own view, or None for the anonymous one."""
        if caller.is_anonymous:
            return None
        return cls(
            name=caller.name,
            kind=ViewerKind.API_CLIENT if caller.kind is CallerKind.API_CLIENT else ViewerKind.USER,
            roles=[role for role in Role if role.rank <= rank(caller.role)],
            can_create_client=caller.role is Role.ADMIN,
        )


@strawberry.type(description="An application that signs in with its client id and a secret.")
class Client(Node):
    """A client, its secrets, and what the viewer may do with it."""

    row: strawberry.Private[models.Client]
    client_id: strawberry.ID = strawberry.field(
        description="The client id that people hold; every argument clientId takes it."
    )
    name: str = strawberry.field(description="What people call it.")
    description: str | None = strawberry.field(description="What it is for.")
    enabled: bool = strawberry.field(
        description="Whether its secrets are accepted; a disabled client's secrets go on ageing."
    )
    created_at: datetime = strawberry.field(description="When it was registered.")
    generation: int = strawberry.field(
        description="How often it was changed: give it back as ifGeneration to change only what you saw."
    )

    @strawberry.field(description="What it is allowed: owner, operator and viewer give a role here.", metadata=LOADED)
    async def features(self, info: Info) -> list[str]:
        """Load."""
        return await info.context.loaders.features.load(self.row.client_id)

    @strawberry.field(description="The networks that it may call from.", metadata=weighs(38))
    async def allow_list(self, info: Info) -> list[str]:
        """Load."""
        return await info.context.loaders.allow_lists.load(self.row.client_id)

    @strawberry.field(
        description="Whether it has two good secrets now (whether or not it is enabled).", metadata=LOADED
    )
    async def in_rollover(self, info: Info) -> bool:
        """Load."""
        return SecretState.RETAINED in await info.context.loaders.living.load(self.row.client_id)

    @strawberry.field(description="The new secret.", metadata=weighs(12))
    async def current_secret(self, info: Info) -> ClientSecret | None:
        """Load."""
        living = await info.context.loaders.living.load(self.row.client_id)
        return ClientSecret.of_optional(living.get(SecretState.CURRENT))

    @strawberry.field(
        description="The old secret while it is RETAINED; null before, after and without a rollover.",
        metadata=weighs(12),
    )
    async def old_secret(self, info: Info) -> ClientSecret | None:
        """Load."""
        living = await info.context.loaders.living.load(self.row.client_id)
        return ClientSecret.of_optional(living.get(SecretState.RETAINED))

    @strawberry.field(
        description="Its rollover while one is under way, and whether the old secret may be revoked.",
        metadata=weighs(30),
    )
    async def rollover(self, info: Info) -> Rollover | None:
        """Load."""
        rollover = await info.context.loaders.rollovers.load(self.row.client_id)
        return Rollover.of(rollover) if rollover else None

    @strawberry.field(description="Every secret it ever had, newest first.", metadata=PAGE_BELOW)
    async def secrets(
        self, info: Info, first: First = DEFAULT_PAGE, after: After = None
    ) -> Connection[ClientSecret] | None:
        """Read a page."""
        page = await info.context.services.reading.page_of_secrets(self.row.client_id, page_request(first, after))
        return Connection[ClientSecret].of(page, ClientSecret.of)

    @strawberry.field(
        description="What was changed, newest first.", extensions=[Guard(Role.ADMIN)], metadata=PAGE_BELOW
    )
    async def audit_events(
        self, info: Info, first: First = DEFAULT_PAGE, after: After = None
    ) -> Connection[AuditEvent] | None:
        """Read a page."""
        page = await info.context.services.reading.page_of_audit_events(
            page_request(first, after), client_id=self.row.client_id
        )
        return Connection[AuditEvent].of(page, AuditEvent.of)

    @strawberry.field(description="Whether the viewer may reset its secret at all (a hard reset).", metadata=LOADED)
    async def viewer_can_reset_secret(self, info: Info) -> bool:
        """Judge."""
        return await self._viewer_can(info, Role.OPERATOR)

    @strawberry.field(
        description="Whether the viewer may keep the old secret: show the smooth toggle only then.", metadata=LOADED
    )
    async def viewer_can_smooth_reset(self, info: Info) -> bool:
        """Judge."""
        return await self._viewer_can(info, Role.ADMIN)

    @strawberry.field(
        description="Whether the viewer may revoke the old secret, change its retention, or cancel the rollover.",
        metadata=LOADED,
    )
    async def viewer_can_revoke_old_secret(self, info: Info) -> bool:
        """Judge."""
        return await self._viewer_can(info, Role.ADMIN)

    @strawberry.field(description="Whether the viewer may edit, enable, disable or delete it.", metadata=LOADED)
    async def viewer_can_edit(self, info: Info) -> bool:
        """Judge."""
        return await self._viewer_can(info, Role.ADMIN)

    async def _viewer_can(self, info: Info, least: Role) -> bool:
        caller = info.context.caller
        features = parse_features(await info.context.loaders.features.load(self.row.client_id))
        return rank(caller.role) >= least.rank and not outranks(caller.role, features) and may_change(caller, features)

    @classmethod
    def of(cls, row: models.Client) -> Self:
        """Return the view of a row."""
        return cls(
            id=global_id("Client", row.client_id),
            row=row,
            client_id=strawberry.ID(row.client_id),
            name=row.name,
            description=row.description,
            enabled=row.enabled,
            created_at=row.created_at,
            generation=row.generation,
        )
