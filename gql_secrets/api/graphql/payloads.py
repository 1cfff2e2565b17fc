"""The payloads of mutations. Every field has a default, so that a refusal can be returned as data."""

from datetime import datetime
from typing import Final, Self, TypedDict

import strawberry

from gql_secrets.api.graphql.context import Info
from gql_secrets.api.graphql.errors import UserError
from gql_secrets.api.graphql.nodes import global_id
from gql_secrets.api.graphql.types.client import Client
from gql_secrets.api.graphql.types.secret import ClientSecret
from gql_secrets.api.graphql.weights import FOUND
from gql_secrets.domain.effects import Effect
from gql_secrets.domain.errors import Unavailable
from gql_secrets.domain.sessions import link_url
from gql_secrets.service.client_results import Deletion, Edit
from gql_secrets.service.new_clients import Registration
from gql_secrets.service.rotation import Cancellation, Reset, RetentionChange, Revoke
from gql_secrets.service.sessions import NewSignInLink

ERRORS: Final = "Why the change was refused. Empty on success."
EFFECTIVE_EVERYWHERE: Final = (
    "Whether the change is effective on every node: no verification that starts after this answer accepts what the "
    "change ended, on any of them. False if that was not confirmed within 5 seconds; the change was still made. Null "
    "if the change was refused, or if there was nothing to change and every earlier change is effective."
)
NOT_EFFECTIVE_REASON: Final = "Why effectiveEverywhere is false. Null otherwise."


class EffectFields(TypedDict):
    """The fields of a payload that say when the change is in effect."""

    effective_everywhere: bool | None
    not_effective_reason: str | None


def effect_fields(effect: Effect) -> EffectFields:
    """Return these fields for a change."""
    return {"effective_everywhere": effect.everywhere, "not_effective_reason": effect.reason}


@strawberry.type
class _ClientPayload:
    client_id: strawberry.Private[str | None] = None

    @strawberry.field(
        description="The client after the change, or unchanged if the change was refused. Null if it does not exist.",
        metadata=FOUND,
    )
    async def client(self, info: Info) -> Client | None:
        try:
            return await Client.find(self.client_id, info) if self.client_id else None
        except Unavailable:  # the change was made: its result must not be lost with the client
            return None


@strawberry.type
class _ChangePayload(_ClientPayload):
    effective_everywhere: bool | None = strawberry.field(default=None, description=EFFECTIVE_EVERYWHERE)
    not_effective_reason: str | None = strawberry.field(default=None, description=NOT_EFFECTIVE_REASON)


@strawberry.type(description="The result of createClient.")
class CreateClientPayload(_ClientPayload):
    secret: str | None = strawberry.field(
        default=None, description="The client's first secret. Returned only here, once."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)

    @classmethod
    def of(cls, registration: Registration) -> Self:
        """Return the payload, with the plaintext."""
        return cls(client_id=registration.client.client_id, secret=registration.secret.reveal())


@strawberry.type(description="The result of updateClient.")
class UpdateClientPayload(_ChangePayload):
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)

    @classmethod
    def of(cls, edit: Edit) -> Self:
        """Return the payload."""
        return cls(client_id=edit.client.client_id, **effect_fields(edit.effect))


@strawberry.type(description="The result of setClientEnabled.")
class SetClientEnabledPayload(_ChangePayload):
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)

    @classmethod
    def of(cls, edit: Edit) -> Self:
        """Return the payload."""
        return cls(client_id=edit.client.client_id, **effect_fields(edit.effect))


@strawberry.type(description="The result of deleteClient.")
class DeleteClientPayload(_ChangePayload):
    deleted_id: strawberry.ID | None = strawberry.field(
        default=None, description="The global id of the deleted client. Use it to remove the client from a cache."
    )
    deleted_client_id: strawberry.ID | None = strawberry.field(
        default=None, description="The client id of the deleted client. It is never reused."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)

    @classmethod
    def of(cls, deletion: Deletion) -> Self:
        """Return the payload of a deletion."""
        return cls(
            deleted_id=global_id("Client", deletion.client_id),
            deleted_client_id=strawberry.ID(deletion.client_id),
            **effect_fields(deletion.effect),
        )


@strawberry.type(description="The result of resetSecret.")
class ResetSecretPayload(_ChangePayload):
    new_secret: str | None = strawberry.field(
        default=None,
        description="The new secret, valid immediately. Returned only here, and again for the same idempotencyKey.",
    )
    old_secret: ClientSecret | None = strawberry.field(
        default=None, description="The retained secret. Null after a hard reset."
    )
    old_secret_expires_at: datetime | None = strawberry.field(
        default=None, description="When the old secret expires. Null after a hard reset."
    )
    withdrawn_secret: ClientSecret | None = strawberry.field(
        default=None, description="A new secret of an earlier reset that was never used and that this reset ended."
    )
    displaced_secret: ClientSecret | None = strawberry.field(
        default=None, description="An old secret that was still valid and that this reset ended."
    )
    replayed: bool = strawberry.field(
        default=False, description="Whether this is the result of an earlier reset with the same idempotencyKey."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)

    @classmethod
    def of(cls, reset: Reset) -> Self:
        """Return the payload, with the plaintext."""
        return cls(
            client_id=reset.client.client_id,
            new_secret=reset.new_secret.reveal(),
            old_secret=ClientSecret.of_optional(reset.old_secret),
            old_secret_expires_at=reset.old_secret.expires_at if reset.old_secret else None,
            withdrawn_secret=ClientSecret.of_optional(reset.withdrawn_secret),
            displaced_secret=ClientSecret.of_optional(reset.displaced_secret),
            replayed=reset.replayed,
            **effect_fields(reset.effect),
        )


@strawberry.type(description="The result of revokeOldSecret.")
class RevokeOldSecretPayload(_ChangePayload):
    revoked_secret: ClientSecret | None = strawberry.field(
        default=None,
        description="The old secret that was revoked now or had already ended. Null if there never was one.",
    )
    already_ended: bool = strawberry.field(
        default=False, description="Whether there was no valid old secret to revoke."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)

    @classmethod
    def of(cls, revoke: Revoke) -> Self:
        """Return the payload."""
        return cls(
            client_id=revoke.client.client_id,
            revoked_secret=ClientSecret.of_optional(revoke.revoked_secret),
            already_ended=revoke.already_ended,
            **effect_fields(revoke.effect),
        )


@strawberry.type(description="The result of changeRetention.")
class ChangeRetentionPayload(_ChangePayload):
    old_secret: ClientSecret | None = strawberry.field(default=None, description="The old secret.")
    old_secret_expires_at: datetime | None = strawberry.field(
        default=None, description="When the old secret now expires."
    )
    clamped: bool = strawberry.field(
        default=False,
        description="Whether the requested time was shortened to 168 hours after the reset that retained the secret.",
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)

    @classmethod
    def of(cls, change: RetentionChange) -> Self:
        """Return the payload."""
        return cls(
            client_id=change.client.client_id,
            old_secret=ClientSecret.of(change.old_secret),
            old_secret_expires_at=change.old_secret.expires_at,
            clamped=change.clamped,
            **effect_fields(change.effect),
        )


@strawberry.type(description="The result of cancelRollover.")
class CancelRolloverPayload(_ChangePayload):
    current_secret: ClientSecret | None = strawberry.field(
        default=None, description="The secret that is current again."
    )
    withdrawn_secret: ClientSecret | None = strawberry.field(
        default=None, description="The unused new secret, which ended."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)

    @classmethod
    def of(cls, cancellation: Cancellation) -> Self:
        """Return the payload."""
        return cls(
            client_id=cancellation.client.client_id,
            current_secret=ClientSecret.of(cancellation.current_secret),
            withdrawn_secret=ClientSecret.of(cancellation.withdrawn_secret),
            **effect_fields(cancellation.effect),
        )


@strawberry.type(description="The result of signOut.")
class SignOutPayload:
    signed_out: bool = strawberry.field(
        default=False, description="Whether a session was ended. False if the viewer signed in without one."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)


@strawberry.type(description="The result of endSession.")
class EndSessionPayload:
    ended_session_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The global id of the session, which is no longer valid. Use it to remove the "
        "session from a cache.",
    )
    already_ended: bool = strawberry.field(default=False, description="Whether the session had already ended.")
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)


@strawberry.type(description="The result of endSessions.")
class EndSessionsPayload:
    ended_count: int = strawberry.field(default=0, description="The number of sessions that were ended now.")
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)


@strawberry.type(description="The result of createSignInLink.")
class CreateSignInLinkPayload:
    url: str | None = strawberry.field(
        default=None, description="The URL of the link, to give to the person. Returned only here, once."
    )
    number: int | None = strawberry.field(
        default=None, description="The number of the link, as in AuditEvent.linkNumber."
    )
    expires_at: datetime | None = strawberry.field(
        default=None, description="When the link expires, if it is not used before."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)

    @classmethod
    def of(cls, link: NewSignInLink, public_url: str) -> Self:
        """Return the payload, with the plaintext."""
        return cls(url=link_url(public_url, link.token), number=link.number, expires_at=link.expires_at)
