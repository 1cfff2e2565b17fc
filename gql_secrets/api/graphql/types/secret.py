"""The shapes of secrets: what each is worth, who uses it, and how its rollover stands."""

from datetime import datetime
from typing import Final, Self

import strawberry

from gql_secrets.api.graphql.context import Info
from gql_secrets.api.graphql.enums import Role, RolloverAdvice, SecretEndReason, SecretState
from gql_secrets.api.graphql.guards import Guard
from gql_secrets.api.graphql.nodes import Node, global_id
from gql_secrets.domain.rotation import SecretStatus, judge
from gql_secrets.graphql_server.weights import JUDGED, weighs
from gql_secrets.service.usage import queries as usage_queries
from gql_secrets.storage import models, usage

# GraphQL's Int has 32 bits; a secret in use on a busy API is used more often than that.
_MAX_INT: Final = 2**31 - 1


@strawberry.type(description="Where a secret is used from.")
class SecretUse:
    """One source of a secret."""

    address: str | None = strawberry.field(description="The client's address, as far as trusted proxies tell it.")
    user_agent: str | None = strawberry.field(description="What the caller calls itself; at most 256 characters.")
    first_seen_at: datetime = strawberry.field(description="When it was first seen with this secret.")
    last_seen_at: datetime = strawberry.field(description="When it was last seen; late by at most a minute.")
    count: int = strawberry.field(description="How often.")
    refused: bool = strawberry.field(
        description="Whether these are attempts after the secret had ended: somebody still has it."
    )

    @classmethod
    def of(cls, use: usage.SecretUse) -> Self:
        """Return the view of a source."""
        return cls(
            address=use.address,
            user_agent=use.user_agent,
            first_seen_at=use.first_seen_at,
            last_seen_at=use.last_seen_at,
            count=min(use.count, _MAX_INT),
            refused=use.refused,
        )


@strawberry.type(description="What happened with a secret within one hour.")
class UsageBucket:
    """One hour of a secret."""

    starts_at: datetime = strawberry.field(description="When the hour begins.")
    count: int = strawberry.field(description="How often it was accepted.")
    refused: int = strawberry.field(description="How often it was tried after it had ended.")

    @classmethod
    def of(cls, bucket: usage.UsageBucket) -> Self:
        """Return the view of an hour."""
        return cls(
            starts_at=bucket.starts_at,
            count=min(bucket.count, _MAX_INT),
            refused=min(bucket.refused, _MAX_INT),
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

    @strawberry.field(
        description="What it is worth now; decided at this moment, not when somebody last tidied.", metadata=JUDGED
    )
    async def state(self, info: Info) -> SecretState:
        """Judge."""
        return SecretState.EXPIRED if await self._is_due(info) else SecretState(self.row.state)

    @strawberry.field(description="When it ended; null while it lives.", metadata=JUDGED)
    async def ended_at(self, info: Info) -> datetime | None:
        """Judge."""
        return self.row.expires_at if await self._is_due(info) else self.row.ended_at

    @strawberry.field(description="Why it ended; null while it lives.", metadata=JUDGED)
    async def end_reason(self, info: Info) -> SecretEndReason | None:
        """Judge."""
        if await self._is_due(info):
            return SecretEndReason.EXPIRED
        return SecretEndReason(self.row.end_reason) if self.row.end_reason else None

    async def _is_due(self, info: Info) -> bool:
        if self.row.state != SecretState.RETAINED:
            return False
        now = await info.context.now()
        return judge(SecretState.RETAINED, self.row.expires_at, enabled=True, now=now) is SecretStatus.DUE

    @strawberry.field(
        description="When it was last accepted, or refused for the address alone; late by at most a minute.",
        metadata=JUDGED,
    )
    async def last_used_at(self, info: Info) -> datetime | None:
        """Load."""
        return (await info.context.loaders.totals.load(self.row.id)).last_used_at

    @strawberry.field(
        description="How often it was accepted; late by at most a minute, and never above 2147483647.",
        metadata=JUDGED,
    )
    async def use_count(self, info: Info) -> int:
        """Load."""
        return min((await info.context.loaders.totals.load(self.row.id)).use_count, _MAX_INT)

    @strawberry.field(
        description="How often it was tried after it had ended: the best sign of a straggler. Late by at most "
        "a minute.",
        metadata=JUDGED,
    )
    async def refused_attempts(self, info: Info) -> int:
        """Load."""
        return min((await info.context.loaders.totals.load(self.row.id)).refused_attempts, _MAX_INT)

    @strawberry.field(
        description="When it was last tried after it had ended; late by at most a minute.", metadata=JUDGED
    )
    async def last_refused_at(self, info: Info) -> datetime | None:
        """Load."""
        return (await info.context.loaders.totals.load(self.row.id)).last_refused_at

    @strawberry.field(
        description="Where it is used from, the most recent first: at most 50 sources of uses, 50 of refused attempts.",
        extensions=[Guard(Role.OPERATOR)],
        metadata=weighs(30, size=2 * usage.MAX_SOURCES),
    )
    async def uses(self, info: Info) -> list[SecretUse] | None:
        """Load."""
        return [SecretUse.of(use) for use in await info.context.loaders.uses.load(self.row.id)]

    @strawberry.field(
        description="The hours in which it was used or refused, the oldest first: its rollover's and a day before.",
        metadata=weighs(30, size=usage.MAX_KEPT // usage.BUCKET),
    )
    async def usage(self, info: Info) -> list[UsageBucket]:
        """Load."""
        return [UsageBucket.of(bucket) for bucket in await info.context.loaders.usage.load(self.row.id)]

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


@strawberry.type(description="A rollover under way, and whether the old secret may be revoked.")
class Rollover:
    """The time with two good secrets."""

    old_secret: ClientSecret = strawberry.field(description="The secret that will end.")
    new_secret: ClientSecret = strawberry.field(description="The secret that stays.")
    started_at: datetime = strawberry.field(description="When the reset replaced the old secret.")
    ends_at: datetime = strawberry.field(description="When the old secret ends by itself.")
    remaining_seconds: int = strawberry.field(description="How many whole seconds are left until then.")
    safe_to_revoke: bool = strawberry.field(
        description="Whether nobody would notice the old secret's end: the new one was used, and the quiet time "
        "(GQL_SECRETS_QUIET_TIME) has passed since the later of its first use and the old one's last use."
    )
    advice: RolloverAdvice = strawberry.field(description="What to do.")
    reason: str = strawberry.field(description="A sentence that says why.")

    @classmethod
    def of(cls, rollover: usage_queries.Rollover) -> Self:
        """Return the view of a rollover."""
        return cls(
            old_secret=ClientSecret.of(rollover.old_secret),
            new_secret=ClientSecret.of(rollover.new_secret),
            started_at=rollover.started_at,
            ends_at=rollover.ends_at,
            remaining_seconds=rollover.remaining_seconds,
            safe_to_revoke=rollover.safe_to_revoke,
            advice=rollover.advice,
            reason=rollover.reason,
        )
