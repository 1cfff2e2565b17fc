"""A secret, its use, and its rollover."""

from datetime import datetime
from typing import Final, Self

import strawberry

from gql_secrets.api.graphql.context import Info, loaded_by
from gql_secrets.api.graphql.enums import Role, RolloverAdvice, RolloverSourceState, SecretEndReason, SecretState
from gql_secrets.api.graphql.guards import Guard, client_of_source
from gql_secrets.api.graphql.nodes import Node
from gql_secrets.api.graphql.types.usage import MAX_INT, SecretUse, UsageBucket
from gql_secrets.api.graphql.weights import EVALUATED
from gql_secrets.domain import sources
from gql_secrets.domain.rotation import SecretStatus, evaluate
from gql_secrets.graphql_server.schema_costs import weighs
from gql_secrets.service.usage import queries as usage_queries
from gql_secrets.service.usage.sources import MAX_ROLLOVER_SOURCES, RolloverKey
from gql_secrets.storage import models, usage
from gql_secrets.storage.client_rows import ActiveSecretRow

_FROM_TOTALS: Final = {**EVALUATED, **loaded_by(lambda loaders: loaders.totals)}
_OF_SOURCES: Final = loaded_by(lambda loaders: loaders.sources)


@strawberry.type(
    description="A secret of a client. The secret itself is returned only once, by the mutation that creates it."
)
class ClientSecret(Node):
    row: strawberry.Private[models.ClientSecret | ActiveSecretRow]
    # Whether it has expired, which its row does not show yet.
    is_due: strawberry.Private[bool] = False

    @property
    def key(self) -> int:
        """The number of the row."""
        return self.row.id

    @property
    def client_id(self) -> str:
        """The client whose secret this is."""
        return self.row.client_id

    @strawberry.field(
        description="The last four characters of the secret. Empty for an imported secret of fewer than 24 characters."
    )
    def hint(self) -> str:
        return self.row.hint

    @strawberry.field(description="When the secret was created.")
    def created_at(self) -> datetime:
        return self.row.created_at

    @strawberry.field(description="The actor who created the secret, in the format of AuditEvent.actor.")
    def created_by(self) -> str:
        return self.row.created_by

    @strawberry.field(description="The display name of the actor who created the secret. Null if it is not a person.")
    def created_by_name(self) -> str | None:
        return self.row.created_by_name

    @strawberry.field(description="When a smooth reset replaced the secret. Null if it was never retained.")
    def replaced_at(self) -> datetime | None:
        return self.row.replaced_at

    @strawberry.field(
        description="When the retained secret expires, or would have expired if it had not ended earlier: at most 168 "
        "hours after replacedAt. Null if it was never retained."
    )
    def expires_at(self) -> datetime | None:
        return self.row.expires_at

    @strawberry.field(description="When the secret was first used. Exact. Null if it was never used.")
    def first_used_at(self) -> datetime | None:
        return self.row.first_used_at

    @strawberry.field(
        description="Whether the secret was imported although it is short or easy to guess. Reset such a secret soon: "
        "its stored digest does not protect it against guessing."
    )
    def is_weak(self) -> bool:
        return self.row.is_weak

    @strawberry.field(description="The state of the secret now, evaluated at the time of the request.")
    def state(self) -> SecretState:
        return SecretState.EXPIRED if self.is_due else SecretState(self.row.state)

    @strawberry.field(description="When the secret ended. Null while it is active.")
    def ended_at(self) -> datetime | None:
        return self.row.expires_at if self.is_due else self.row.ended_at

    @strawberry.field(description="Why the secret ended. Null while it is active.")
    def end_reason(self) -> SecretEndReason | None:
        if self.is_due:
            return SecretEndReason.EXPIRED
        return SecretEndReason(self.row.end_reason) if self.row.end_reason else None

    @strawberry.field(
        description="When the secret was last used, including attempts refused only because of the allow list. Delayed "
        "by at most a minute.",
        metadata=_FROM_TOTALS,
    )
    async def last_used_at(self, info: Info) -> datetime | None:
        return (await info.context.loaders.totals.load(self.key)).last_used_at

    @strawberry.field(
        description="How often the secret was used, including attempts refused only because of the allow list. Delayed "
        "by at most a minute, and never above 2147483647.",
        metadata=_FROM_TOTALS,
    )
    async def use_count(self, info: Info) -> int:
        return min((await info.context.loaders.totals.load(self.key)).use_count, MAX_INT)

    @strawberry.field(
        description="How often the secret was tried after it had ended, or while its client was disabled: a copy of "
        "the application still has it. Delayed by at most a minute.",
        metadata=_FROM_TOTALS,
    )
    async def refused_attempts(self, info: Info) -> int:
        return min((await info.context.loaders.totals.load(self.key)).refused_attempts, MAX_INT)

    @strawberry.field(
        description="When the secret was last tried after it had ended, or while its client was disabled. Delayed by "
        "at most a minute.",
        metadata=_FROM_TOTALS,
    )
    async def last_refused_at(self, info: Info) -> datetime | None:
        return (await info.context.loaders.totals.load(self.key)).last_refused_at

    @strawberry.field(
        description="The sources that used the secret, most recent first: at most 50 sources of accepted uses and 50 "
        "of refused attempts.",
        extensions=[Guard(Role.OPERATOR, or_self=client_of_source)],
        metadata={**weighs(30, size=2 * usage.MAX_SOURCES), **loaded_by(lambda loaders: loaders.uses)},
    )
    async def uses(self, info: Info) -> list[SecretUse] | None:
        return await info.context.loaders.uses.find(self.key) or []

    @strawberry.field(
        description="The hours in which the secret was used or refused, oldest first. Covers its rollover and the day "
        "before.",
        metadata={**weighs(30, size=usage.MAX_KEPT // usage.BUCKET), **loaded_by(lambda loaders: loaders.usage)},
    )
    async def usage(self, info: Info) -> list[UsageBucket]:
        return await info.context.loaders.usage.find(self.key) or []

    @classmethod
    def of(cls, row: models.ClientSecret | ActiveSecretRow, *, now: datetime | None = None) -> Self:
        """Return the view of a row.

        Args:
            row: the secret.
            now: when it is looked at; None where its state was evaluated as the row was read.
        """
        if now is None:
            return cls(row=row)
        status = evaluate(SecretState(row.state), row.expires_at, enabled=True, now=now)
        return cls(row=row, is_due=status is SecretStatus.DUE)

    @classmethod
    def of_active(cls, row: ActiveSecretRow) -> Self:
        """Return the view of an active secret as it was read.

        A list makes two for each client, so without `__init__`, which takes as long again. What is not set here has its
        default.
        """
        made = object.__new__(cls)
        made.row = row
        return made

    @classmethod
    def of_optional(cls, row: models.ClientSecret | ActiveSecretRow | None) -> Self | None:
        """Return the view of a row whose state was evaluated as it was read, or None."""
        return cls(row=row) if row else None


@strawberry.type(description="A source that a rollover concerns: an address and a user agent.")
class RolloverSource:
    address: str | None = strawberry.field(description="The address of the source, as reported by trusted proxies.")
    user_agent: str | None = strawberry.field(
        description="The User-Agent header of the source, truncated to 256 characters."
    )
    new_secret_last_used_at: datetime | None = strawberry.field(
        description="When the source last used the new secret. Null if it was not seen with it."
    )
    old_secret_last_used_at: datetime | None = strawberry.field(
        description="When the source last used the old secret. Null if it was not seen with it."
    )
    state: RolloverSourceState = strawberry.field(description="How far the source has come.")

    @classmethod
    def of(cls, source: sources.RolloverSource) -> Self:
        """Return the view of a source."""
        return cls(
            address=source.seen.address,
            user_agent=source.seen.user_agent,
            new_secret_last_used_at=source.seen.new_secret_last_used_at,
            old_secret_last_used_at=source.seen.old_secret_last_used_at,
            state=source.state,
        )


@strawberry.type(description="A rollover in progress: the time in which both the new and the old secret are valid.")
class Rollover:
    old_secret: ClientSecret = strawberry.field(description="The retained secret.")
    new_secret: ClientSecret = strawberry.field(description="The current secret.")
    started_at: datetime = strawberry.field(description="When the reset replaced the old secret with the new one.")
    ends_at: datetime = strawberry.field(description="When the old secret expires.")
    remaining_seconds: int = strawberry.field(description="The number of whole seconds until endsAt.")
    safe_to_revoke: bool = strawberry.field(
        description="Whether the old secret is safe to revoke: the new secret was used, and the quiet time "
        "(GQL_SECRETS_QUIET_TIME) has passed since both its first use and the last use of the old secret."
    )
    advice: RolloverAdvice = strawberry.field(description="The recommended next step.")
    reason: str = strawberry.field(description="A sentence that explains the advice.")
    key: strawberry.Private[RolloverKey]

    @property
    def client_id(self) -> str:
        """The client whose rollover this is."""
        return self.key.client_id

    @strawberry.field(
        description="The sources of the rollover, at most 100: those at greatest risk first, then the most recent. "
        "Excludes sources last seen with the old secret more than a day before the reset. Delayed by at most a "
        "minute.",
        extensions=[Guard(Role.OPERATOR, or_self=client_of_source)],
        metadata={**weighs(60, size=MAX_ROLLOVER_SOURCES), **_OF_SOURCES},
    )
    async def sources(self, info: Info) -> list[RolloverSource] | None:
        return [RolloverSource.of(source) for source in (await info.context.loaders.sources.load(self.key)).sources]

    @strawberry.field(
        description="The number of sources that have moved to the new secret. Excludes sources that the allow list "
        "refuses or that are locked out.",
        metadata={**weighs(45), **_OF_SOURCES},
    )
    async def sources_moved(self, info: Info) -> int | None:
        return (await info.context.loaders.sources.load(self.key)).moved

    @strawberry.field(
        description="The number of sources that must move to the new secret, including those that have. Excludes "
        "sources that the allow list refuses or that are locked out.",
        metadata={**weighs(4), **_OF_SOURCES},
    )
    async def sources_total(self, info: Info) -> int | None:
        return (await info.context.loaders.sources.load(self.key)).total

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
            key=RolloverKey(
                rollover.old_secret.client_id,
                rollover.new_secret.id,
                rollover.old_secret.id,
                rollover.started_at,
                rollover.reads,
            ),
        )
