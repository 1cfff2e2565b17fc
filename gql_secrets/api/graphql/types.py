"""The shapes of the schema and the sentence of each."""

from datetime import datetime
from typing import Self

import strawberry

from gql_secrets.api.graphql.context import Info
from gql_secrets.api.graphql.enums import (
    ActorKind,
    AuditAction,
    Role,
    SecretEndReason,
    SecretState,
    Surface,
    ViewerKind,
)
from gql_secrets.api.graphql.guards import Guard
from gql_secrets.api.graphql.nodes import DEFAULT_PAGE, After, Connection, First, Node, global_id, page_request
from gql_secrets.domain.access import ActorKind as CallerKind
from gql_secrets.domain.access import Caller, may_change, outranks, parse_features, rank
from gql_secrets.domain.rotation import Judgement, judge
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


@strawberry.type(
    description="One secret of a client. The secret itself is never shown: it left once, when it was minted."
)
class ClientSecret(Node):
    """A secret's life."""

    row: strawberry.Private[models.ClientSecret]
    hint: str = strawberry.field(
        description="Its last four characters; empty for an imported secret under 24 characters."
    )
    created_at: datetime = strawberry.field(description="When it was minted.")
    created_by: str = strawberry.field(description="Who minted it, as the audit names the actor.")
    replaced_at: datetime | None = strawberry.field(description="When a smooth reset replaced it; null if none did.")
    expires_at: datetime | None = strawberry.field(
        description="When it ends, or would have ended; within 168 hours of replacedAt. Null for one never retained."
    )
    first_used_at: datetime | None = strawberry.field(description="When it was first accepted; exact. Null if never.")
    is_weak: bool = strawberry.field(
        description="Whether it was imported although it is short or guessable: reset it soon, a fast digest is no "
        "protection for such a one."
    )

    @strawberry.field(description="What it is worth now; decided at this moment, not when somebody last tidied.")
    async def state(self, info: Info) -> SecretState:
        """Judge."""
        return SecretState.EXPIRED if await self._is_due(info) else SecretState(self.row.state)

    @strawberry.field(description="When it ended; null while it lives.")
    async def ended_at(self, info: Info) -> datetime | None:
        """Judge."""
        return self.row.expires_at if await self._is_due(info) else self.row.ended_at

    @strawberry.field(description="Why it ended; null while it lives.")
    async def end_reason(self, info: Info) -> SecretEndReason | None:
        """Judge."""
        if await self._is_due(info):
            return SecretEndReason.EXPIRED
        return SecretEndReason(self.row.end_reason) if self.row.end_reason else None

    async def _is_due(self, info: Info) -> bool:
        if self.row.state != SecretState.RETAINED:
            return False
        now = await info.context.now()
        return judge(SecretState.RETAINED, self.row.expires_at, enabled=True, now=now) is Judgement.DUE

    @strawberry.field(
        description="When it was last accepted, or refused for the address alone; late by at most a minute."
    )
    def last_used_at(self) -> datetime | None:
        """Read."""
        return self.row.last_used_at

    @classmethod
    def of(cls, row: models.ClientSecret) -> Self:
        """Return the view of a row."""
        return cls(
            id=global_id("ClientSecret", row.id),
            row=row,
            hint=row.hint,
            created_at=row.created_at,
            created_by=row.created_by,
            replaced_at=row.replaced_at,
            expires_at=row.expires_at,
            first_used_at=row.first_used_at,
            is_weak=row.is_weak,
        )

    @classmethod
    def of_optional(cls, row: models.ClientSecret | None) -> Self | None:
        """Return the view of a row, or None."""
        return cls.of(row) if row else None


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

    @strawberry.field(description="What it is allowed: owner, operator and viewer give a role here.")
    async def features(self, info: Info) -> list[str]:
        """Load."""
        return await info.context.loaders.features.load(self.row.client_id)

    @strawberry.field(description="The networks that it may call from.")
    async def allow_list(self, info: Info) -> list[str]:
        """Load."""
        return await info.context.loaders.allow_lists.load(self.row.client_id)

    @strawberry.field(description="Whether it has two good secrets now (whether or not it is enabled).")
    async def in_rollover(self, info: Info) -> bool:
        """Load."""
        return SecretState.RETAINED in await info.context.loaders.living.load(self.row.client_id)

    @strawberry.field(description="The new secret.")
    async def current_secret(self, info: Info) -> ClientSecret | None:
        """Load."""
        living = await info.context.loaders.living.load(self.row.client_id)
        return ClientSecret.of_optional(living.get(SecretState.CURRENT))

    @strawberry.field(description="The old secret while it is RETAINED; null before, after and without a rollover.")
    async def old_secret(self, info: Info) -> ClientSecret | None:
        """Load."""
        living = await info.context.loaders.living.load(self.row.client_id)
        return ClientSecret.of_optional(living.get(SecretState.RETAINED))

    @strawberry.field(description="Every secret it ever had, newest first.")
    async def secrets(
        self, info: Info, first: First = DEFAULT_PAGE, after: After = None
    ) -> Connection[ClientSecret] | None:
        """Read a page."""
        page = await info.context.services.reading.page_of_secrets(self.row.client_id, page_request(first, after))
        return Connection[ClientSecret].of(page, ClientSecret.of)

    @strawberry.field(description="What was changed, newest first.", extensions=[Guard(Role.ADMIN)])
    async def audit_events(
        self, info: Info, first: First = DEFAULT_PAGE, after: After = None
    ) -> Connection[AuditEvent] | None:
        """Read a page."""
        page = await info.context.services.reading.page_of_audit_events(
            page_request(first, after), client_id=self.row.client_id
        )
        return Connection[AuditEvent].of(page, AuditEvent.of)

    @strawberry.field(description="Whether the viewer may reset its secret at all (a hard reset).")
    async def viewer_can_reset_secret(self, info: Info) -> bool:
        """Judge."""
        return await self._viewer_can(info, Role.OPERATOR)

    @strawberry.field(description="Whether the viewer may keep the old secret: show the smooth toggle only then.")
    async def viewer_can_smooth_reset(self, info: Info) -> bool:
        """Judge."""
        return await self._viewer_can(info, Role.ADMIN)

    @strawberry.field(
        description="Whether the viewer may revoke the old secret, change its retention, or cancel the rollover."
    )
    async def viewer_can_revoke_old_secret(self, info: Info) -> bool:
        """Judge."""
        return await self._viewer_can(info, Role.ADMIN)

    @strawberry.field(description="Whether the viewer may edit, enable, disable or delete it.")
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
