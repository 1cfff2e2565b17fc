"""What the mutations answer. Every field has a default, so a refused one is a payload with `userErrors` alone."""

from datetime import datetime
from typing import Self

import strawberry

from gql_secrets.api.graphql.errors import UserError
from gql_secrets.api.graphql.types.client import Client
from gql_secrets.api.graphql.types.secret import ClientSecret
from gql_secrets.service.clients import Registration
from gql_secrets.service.rotation import Cancellation, Reset, RetentionChange, Revoke
from gql_secrets.storage import models

_CLIENT = "The client as it is after the change."
_ERRORS = "Why nothing was changed; empty where it was."


@strawberry.type(description="What createClient did.")
class CreateClientPayload:
    """A new client and its first secret."""

    client: Client | None = strawberry.field(default=None, description="The new client.")
    secret: str | None = strawberry.field(default=None, description="Its secret: shown here, once, and never again.")
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)

    @classmethod
    def of(cls, registration: Registration) -> Self:
        """Return the payload; here the plaintext leaves."""
        return cls(client=Client.of(registration.client), secret=registration.secret.reveal())


@strawberry.type(description="What updateClient did.")
class UpdateClientPayload:
    """An edited client."""

    client: Client | None = strawberry.field(default=None, description=_CLIENT)
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)

    @classmethod
    def of(cls, row: models.Client) -> Self:
        """Return the payload."""
        return cls(client=Client.of(row))


@strawberry.type(description="What setClientEnabled did.")
class SetClientEnabledPayload:
    """An enabled or disabled client."""

    client: Client | None = strawberry.field(default=None, description=_CLIENT)
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)

    @classmethod
    def of(cls, row: models.Client) -> Self:
        """Return the payload."""
        return cls(client=Client.of(row))


@strawberry.type(description="What deleteClient did.")
class DeleteClientPayload:
    """A client that is gone."""

    deleted_client_id: strawberry.ID | None = strawberry.field(
        default=None, description="The client id, which no other client will ever have."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type(description="What resetSecret did.")
class ResetSecretPayload:
    """A new secret, and what became of the older ones."""

    client: Client | None = strawberry.field(default=None, description=_CLIENT)
    new_secret: str | None = strawberry.field(
        default=None,
        description="The new secret, good at once: shown here, and again only for the same idempotencyKey.",
    )
    old_secret: ClientSecret | None = strawberry.field(
        default=None, description="The secret that is kept; null after a hard reset."
    )
    old_secret_expires_at: datetime | None = strawberry.field(default=None, description="Until when it is good.")
    withdrawn_secret: ClientSecret | None = strawberry.field(
        default=None, description="An earlier new secret that nobody had used, and that this reset ended."
    )
    displaced_secret: ClientSecret | None = strawberry.field(
        default=None, description="An old secret that was still good, and that this reset ended."
    )
    replayed: bool = strawberry.field(
        default=False, description="Whether this is the answer of an earlier reset with the same idempotencyKey."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)

    @classmethod
    def of(cls, reset: Reset) -> Self:
        """Return the payload; here the plaintext leaves."""
        return cls(
            client=Client.of(reset.client),
            new_secret=reset.new_secret.reveal(),
            old_secret=ClientSecret.of_optional(reset.old_secret),
            old_secret_expires_at=reset.old_secret.expires_at if reset.old_secret else None,
            withdrawn_secret=ClientSecret.of_optional(reset.withdrawn_secret),
            displaced_secret=ClientSecret.of_optional(reset.displaced_secret),
            replayed=reset.replayed,
        )


@strawberry.type(description="What revokeOldSecret did.")
class RevokeOldSecretPayload:
    """An old secret that is not good any more."""

    client: Client | None = strawberry.field(default=None, description=_CLIENT)
    revoked_secret: ClientSecret | None = strawberry.field(
        default=None, description="The old secret that ended, now or before; null where there never was one."
    )
    already_ended: bool = strawberry.field(
        default=False, description="Whether there was nothing left to end: it had ended before, or never was."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)

    @classmethod
    def of(cls, revoke: Revoke) -> Self:
        """Return the payload."""
        return cls(
            client=Client.of(revoke.client),
            revoked_secret=ClientSecret.of_optional(revoke.revoked_secret),
            already_ended=revoke.already_ended,
        )


@strawberry.type(description="What changeRetention did.")
class ChangeRetentionPayload:
    """An old secret with another end."""

    client: Client | None = strawberry.field(default=None, description=_CLIENT)
    old_secret: ClientSecret | None = strawberry.field(default=None, description="The old secret.")
    old_secret_expires_at: datetime | None = strawberry.field(default=None, description="Until when it is good now.")
    clamped: bool = strawberry.field(
        default=False, description="Whether 168 hours after its reset came before the hours that were asked for."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)

    @classmethod
    def of(cls, change: RetentionChange) -> Self:
        """Return the payload."""
        return cls(
            client=Client.of(change.client),
            old_secret=ClientSecret.of(change.old_secret),
            old_secret_expires_at=change.old_secret.expires_at,
            clamped=change.clamped,
        )


@strawberry.type(description="What cancelRollover did.")
class CancelRolloverPayload:
    """A rollover taken back."""

    client: Client | None = strawberry.field(default=None, description=_CLIENT)
    current_secret: ClientSecret | None = strawberry.field(
        default=None, description="The secret that is current again."
    )
    withdrawn_secret: ClientSecret | None = strawberry.field(
        default=None, description="The new secret, which nobody had used, and which ended."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)

    @classmethod
    def of(cls, cancellation: Cancellation) -> Self:
        """Return the payload."""
        return cls(
            client=Client.of(cancellation.client),
            current_secret=ClientSecret.of(cancellation.current_secret),
            withdrawn_secret=ClientSecret.of(cancellation.withdrawn_secret),
        )


@strawberry.type(description="What signOut did.")
class SignOutPayload:
    """A session that is over."""

    signed_out: bool = strawberry.field(
        default=False, description="Whether a session ended; false where the viewer signed in without one."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)
