"""The mutations of many clients: each client has its own transaction, and its own result with its own userErrors."""

from datetime import datetime
from typing import Annotated, Final, Self

import strawberry

from gql_secrets.api.graphql.context import Info
from gql_secrets.api.graphql.enums import Role
from gql_secrets.api.graphql.errors import RefusalsAreData, UserError
from gql_secrets.api.graphql.guards import CurrentSecretGuard, Guard
from gql_secrets.api.graphql.nodes import secret_number
from gql_secrets.api.graphql.payloads import EFFECTIVE_EVERYWHERE, ERRORS, NOT_EFFECTIVE_REASON
from gql_secrets.api.graphql.types.client import Client
from gql_secrets.api.graphql.types.secret import ClientSecret
from gql_secrets.api.graphql.weights import BULK, FOUND_TOGETHER
from gql_secrets.domain.errors import Refusal, Unavailable
from gql_secrets.domain.rotation import MAX_ACTIVE, Retention
from gql_secrets.graphql_server.schema_costs import weighs
from gql_secrets.service import bulk
from gql_secrets.service.rotation import Reset, ResetPreview, Revoke
from gql_secrets.storage import models


@strawberry.input(description="A client to reset.")
class ResetTarget:
    client_id: strawberry.ID = strawberry.field(description="The client id.")
    if_generation: int | None = strawberry.field(
        default=None,
        description="Refuses the reset with CONFLICT if the client is no longer at this generation.",
    )


@strawberry.input(description="An old secret to revoke.")
class RevokeTarget:
    client_id: strawberry.ID = strawberry.field(description="The client id.")
    secret_id: strawberry.ID = strawberry.field(
        description="The global id of the old secret. A newer old secret is not revoked instead."
    )


@strawberry.type
class _TargetResult:
    client_id: strawberry.ID = strawberry.field(description="The client id of the target.")
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why this client was refused or not attempted. Empty on success."
    )

    effective_everywhere: bool | None = strawberry.field(default=None, description=EFFECTIVE_EVERYWHERE)
    not_effective_reason: str | None = strawberry.field(default=None, description=NOT_EFFECTIVE_REASON)

    @strawberry.field(
        description="The client after the change, or unchanged if the change was refused. Null if it does not exist.",
        metadata=FOUND_TOGETHER,
    )
    async def client(self, info: Info) -> Client | None:
        try:
            return await Client.find(self.client_id, info)
        except Unavailable:  # the change was made: its result must not be lost with the client
            return None


@strawberry.type(description="The result of resetSecrets for one client.")
class ResetSecretResult(_TargetResult):
    new_secret: str | None = strawberry.field(
        default=None,
        description="The new secret, valid immediately. Returned only here, and again for the same idempotencyKey. "
        "Null in a dry run.",
    )
    old_secret: ClientSecret | None = strawberry.field(
        default=None,
        description="The retained secret; in a dry run, the one that would be retained. Its uses are the sources that "
        "need the new secret before it expires. Null after a hard reset.",
    )
    old_secret_expires_at: datetime | None = strawberry.field(
        default=None,
        description="When the old secret expires; in a dry run, when it would. Null after a hard reset.",
    )
    # Nullable, so that a failure to read what is selected of a secret never erases a sibling's new secret.
    ended_secrets: list[ClientSecret] | None = strawberry.field(
        default=None,
        description="The secrets that the reset ended; in a dry run, those that it would end. Their uses are the "
        "sources that are affected immediately.",
        metadata=weighs(size=MAX_ACTIVE),
    )
    replayed: bool = strawberry.field(
        default=False, description="Whether this is the result of an earlier reset with the same idempotencyKey."
    )

    @classmethod
    def of(cls, outcome: bulk.Outcome[Reset] | bulk.Outcome[ResetPreview]) -> Self:
        """Return the view of an outcome, with the plaintext."""
        made = cls(client_id=strawberry.ID(outcome.client_id), user_errors=_user_errors(outcome.refusal))
        if (result := outcome.result) is None:
            return made
        old_secret: models.ClientSecret | None = result.old_secret
        made.old_secret = ClientSecret.of_optional(old_secret)
        made.ended_secrets = [ClientSecret.of(secret) for secret in result.ended_secrets]
        made.replayed = result.replayed
        if isinstance(result, Reset):
            made.new_secret = result.new_secret.reveal()
            made.effective_everywhere, made.not_effective_reason = result.effect
            made.old_secret_expires_at = old_secret.expires_at if old_secret else None
        else:
            made.old_secret_expires_at = result.old_secret_expires_at
        return made


@strawberry.type(description="The result of resetSecrets.")
class ResetSecretsPayload:
    results: list[ResetSecretResult] | None = strawberry.field(
        default=None,
        description="One result for each target, in the same order. Null if the whole request was refused.",
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)


@strawberry.type(description="The result of revokeOldSecrets for one client.")
class RevokeOldSecretResult(_TargetResult):
    revoked_secret: ClientSecret | None = strawberry.field(
        default=None, description="The old secret that was revoked now or had already ended."
    )
    already_ended: bool = strawberry.field(default=False, description="Whether the old secret had already ended.")

    @classmethod
    def of(cls, outcome: bulk.Outcome[Revoke]) -> Self:
        """Return the view of an outcome."""
        made = cls(client_id=strawberry.ID(outcome.client_id), user_errors=_user_errors(outcome.refusal))
        if outcome.result:
            made.revoked_secret = ClientSecret.of_optional(outcome.result.revoked_secret)
            made.already_ended = outcome.result.already_ended
            made.effective_everywhere, made.not_effective_reason = outcome.result.effect
        return made


@strawberry.type(description="The result of revokeOldSecrets.")
class RevokeOldSecretsPayload:
    results: list[RevokeOldSecretResult] | None = strawberry.field(
        default=None,
        description="One result for each target, in the same order. Null if the whole request was refused.",
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)


def _user_errors(refusal: Refusal | None) -> list[UserError]:
    return [UserError.of(refusal)] if refusal else []


async def _reset_secrets(
    info: Info,
    targets: Annotated[
        list[ResetTarget],
        strawberry.argument(description="1 to 100 different clients, not including the caller's own."),
    ],
    hours_to_live: Annotated[
        int,
        strawberry.argument(
            description="The number of hours each old secret remains valid: a whole number from 0 to 168. 0 is a hard "
            "reset and ends every old secret immediately."
        ),
    ],
    idempotency_key: Annotated[
        str,
        strawberry.argument(
            description="A unique key of 16 to 255 printable ASCII characters, such as a UUID. Repeating the request "
            "with the same key within ten minutes returns the same new secrets and resets only the clients that were "
            "not reset before."
        ),
    ],
    dry_run: Annotated[
        bool, strawberry.argument(description="Returns what the reset would do to each client, and changes nothing.")
    ] = False,
) -> ResetSecretsPayload | None:
    service, caller = info.context.services.bulk, info.context.caller
    chosen = [bulk.ResetTarget(target.client_id, target.if_generation) for target in targets]
    retention = Retention(hours_to_live)
    if dry_run:
        previews = await service.preview_resets(chosen, retention, by=caller, idempotency_key=idempotency_key)
        return ResetSecretsPayload(results=[ResetSecretResult.of(preview) for preview in previews])
    resets = await service.reset_secrets(chosen, retention, by=caller, idempotency_key=idempotency_key)
    return ResetSecretsPayload(results=[ResetSecretResult.of(reset) for reset in resets])


async def _revoke_old_secrets(
    info: Info,
    targets: Annotated[
        list[RevokeTarget], strawberry.argument(description="The old secrets of 1 to 100 different clients.")
    ],
    only_if_safe: Annotated[
        bool,
        strawberry.argument(
            description="Refuses a secret with NOT_SAFE_TO_REVOKE unless the advice of its rollover, evaluated again "
            "at the time of the revoke, is REVOKE."
        ),
    ] = True,
) -> RevokeOldSecretsPayload | None:
    chosen = [bulk.RevokeTarget(target.client_id, secret_number(target.secret_id)) for target in targets]
    revokes = await info.context.services.bulk.revoke_old_secrets(
        chosen, only_if_safe=only_if_safe, by=info.context.caller
    )
    return RevokeOldSecretsPayload(results=[RevokeOldSecretResult.of(revoke) for revoke in revokes])


_ONE_EACH: Final = (
    "Each client has its own transaction, its own audit event and its own result. The request attempts no more clients "
    "after 20 seconds. An operation can have only one field that changes many clients. Not available to a caller who "
    "signed in with an old secret."
)
RESET_SECRETS: Final = strawberry.mutation(
    resolver=_reset_secrets,
    name="resetSecrets",
    description="Resets the secrets of many clients, each as resetSecret does without endActiveRollover: a secret in "
    f"use is never ended by a smooth reset. {_ONE_EACH}",
    extensions=[Guard(Role.ADMIN), CurrentSecretGuard(), RefusalsAreData(ResetSecretsPayload)],
    metadata=BULK,
)
REVOKE_OLD_SECRETS: Final = strawberry.mutation(
    resolver=_revoke_old_secrets,
    name="revokeOldSecrets",
    description="Revokes the old secrets of many clients immediately, by default only those that are safe to revoke. "
    f"Never affects a current secret. {_ONE_EACH}",
    extensions=[Guard(Role.ADMIN), CurrentSecretGuard(), RefusalsAreData(RevokeOldSecretsPayload)],
    metadata=BULK,
)
