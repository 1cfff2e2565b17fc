"""What commands ask of an installation: the same questions and changes on its database and over GraphQL.

`LocalInstallation` and `RemoteInstallation` answer them. Data has the field names of GraphQL, ready to be written.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from gql_secrets.domain.access import Role
from gql_secrets.domain.credentials import PlaintextSecret
from gql_secrets.domain.effects import NOT_CHANGED, Effect
from gql_secrets.domain.errors import Failure, Refusal
from gql_secrets.domain.rotation import Retention
from gql_secrets.domain.webhooks import WebhookEventType

if TYPE_CHECKING:
    from gql_secrets.service.client_filter import ClientFilter

# The highest number that a database gives to a row.
MAX_NUMBER: Final = 2**63 - 1

# What a command writes.
Fields = dict[str, Any]


class RefusedByServer(Failure):
    """A change that a remote server refused.

    Attributes:
        code: the stable code, as of a `Refusal`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# What refuses one client of many: the others are gone on with.
REFUSALS = (Refusal, RefusedByServer)


@dataclass(frozen=True, slots=True)
class ClientEdit:
    """The details of a client that a command passes; None leaves one as it is.

    Attributes:
        features: the words of `Feature`.
        inherit_maximum_age: remove the client's own maximum age.
    """

    name: str | None = None
    description: str | None = None
    features: Sequence[str] | None = None
    allow_list: Sequence[str] | None = None
    self_reset: bool | None = None
    contact: str | None = None
    labels: Sequence[str] | None = None
    maximum_age_days: int | None = None
    inherit_maximum_age: bool = False


@dataclass(frozen=True, slots=True)
class CreatedClient:
    """A client that was registered, with the only copy of its secret."""

    client_id: str
    name: str
    secret: PlaintextSecret


@dataclass(frozen=True, slots=True)
class ResetDone:
    """A reset, with the only copy of the new secret."""

    generation: int
    new_secret: PlaintextSecret
    old_secret: Fields | None
    old_secret_expires_at: str | None
    withdrawn_secret: Fields | None
    displaced_secret: Fields | None
    replayed: bool
    effect: Effect


@dataclass(frozen=True, slots=True)
class RevokeDone:
    """A revoke; without a secret there never was an old one."""

    revoked_secret: Fields | None
    already_ended: bool
    effect: Effect


@dataclass(frozen=True, slots=True)
class BulkReset:
    """What became of one client of a bulk reset: a new secret, or a code and a message."""

    client_id: str
    new_secret: PlaintextSecret | None = None
    old_secret_expires_at: str | None = None
    code: str | None = None
    message: str = ""
    effect: Effect = NOT_CHANGED


@dataclass(frozen=True, slots=True)
class OldSecret:
    """The old secret of a client, as a target of a bulk revoke."""

    client_id: str
    secret_id: str


@dataclass(frozen=True, slots=True)
class BulkRevoke:
    """What became of one client of a bulk revoke."""

    client_id: str
    done: RevokeDone | None
    message: str = ""


@dataclass(frozen=True, slots=True)
class RunningRollover:
    """The rollover of a client, and what to do about it.

    Attributes:
        secret_id: identifies the old secret.
        old_secret: the old secret.
        safe_to_revoke: whether it is safe to revoke it now.
        advice: a stable word for the advice.
        reason: a sentence about it.
    """

    secret_id: str
    old_secret: Fields
    safe_to_revoke: bool
    advice: str
    reason: str


@dataclass(frozen=True, slots=True)
class EndedOldSecret:
    """An old secret that has ended."""

    old_secret: Fields


@dataclass(frozen=True, slots=True)
class CreatedLink:
    """A sign-in link, with its only copy in `url`."""

    url: str
    number: int
    name: str
    role: Role
    expires_at: str


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """The signing secret of a webhook, shown once."""

    number: int
    signing_secret: str
    previous_secret_until: str | None


class Installation(Protocol):
    """One installation of gql-secrets, as commands see it. Refused changes raise one of `REFUSALS`."""

    async def now(self) -> datetime:
        """Return the time of the installation's clock."""

    async def find_client(self, client_id: str) -> Fields | None:
        """Return a client, or None."""

    def each_client(self, search: str | None, wanted: "ClientFilter") -> AsyncIterator[Fields]:
        """Yield every client that matches, newest first."""

    async def has_owner_among(self, client_ids: Sequence[str]) -> bool:
        """Return whether one of these clients has the feature `owner`."""

    async def create_client(self, given: ClientEdit) -> CreatedClient:
        """Register a client."""

    async def update_client(self, client_id: str, given: ClientEdit) -> tuple[Fields, Effect]:
        """Edit a client; return it."""

    async def set_client_enabled(self, client_id: str, *, enabled: bool, reason: str | None) -> tuple[bool, Effect]:
        """Enable or disable a client; return whether it is enabled."""

    async def delete_client(self, client_id: str, *, reason: str | None) -> tuple[str, Effect]:
        """Delete a client; return its id."""

    async def reset_secret(
        self,
        client_id: str,
        retention: Retention,
        *,
        end_active_rollover: bool,
        idempotency_key: str | None,
        if_generation: int | None,
        reason: str | None,
    ) -> ResetDone:
        """Reset the secret of a client."""

    async def revoke_old_secret(
        self,
        client_id: str,
        *,
        secret_id: str | None = None,
        if_generation: int | None = None,
        reason: str | None = None,
    ) -> RevokeDone:
        """Revoke the old secret of a client, or this one only."""

    async def revoke_old_secrets(self, client_ids: Sequence[str], *, reason: str | None) -> list[BulkRevoke]:
        """Revoke the old secret of each client, one after the other; one that is refused does not stop the others."""

    async def change_retention(
        self, client_id: str, retention: Retention, *, if_generation: int | None, reason: str | None
    ) -> tuple[str, bool, Effect]:
        """Change when the old secret expires; return that, and whether the maximum moved it back."""

    async def cancel_rollover(
        self, client_id: str, *, if_generation: int | None, reason: str | None
    ) -> tuple[Fields, Fields, Effect]:
        """Cancel a rollover; return the current secret and the one that was withdrawn."""

    async def reset_secrets(
        self, client_ids: Sequence[str], retention: Retention, *, idempotency_key: str
    ) -> list[BulkReset]:
        """Reset the secrets of many clients."""

    async def safe_to_revoke(self) -> list[OldSecret]:
        """Return the old secrets that are safe to revoke."""

    async def revoke_if_safe(self, targets: Sequence[OldSecret]) -> list[BulkRevoke]:
        """Revoke those that are still safe to revoke."""

    async def rollover_of(self, client_id: str, *, quiet: timedelta | None) -> RunningRollover | None:
        """Return the rollover of a client; None without one, or without the client."""

    async def ended_old_secret(self, client_id: str, secret_id: str | None) -> EndedOldSecret:
        """Return this old secret, which has ended, or the newest one.

        Raises:
            Failure: the client does not exist, or never had an old secret.
        """

    async def sessions(self) -> list[Fields]:
        """Return the sessions of people."""

    async def unused_links(self) -> list[Fields] | None:
        """Return the sign-in links that nobody has used; None where only the database can tell."""

    async def end_session(self, number: int) -> bool:
        """End a session; return whether it was valid."""

    async def end_sessions_of(self, actor: str) -> int:
        """End every session of a person; return how many."""

    async def end_all_sessions(self) -> tuple[int, int]:
        """End every session and void every unused link; return how many."""

    async def void_link(self, number: int) -> bool:
        """Void an unused sign-in link; return whether it was valid."""

    async def create_sign_in_link(self, name: str, role: Role) -> CreatedLink:
        """Create a sign-in link."""

    async def webhooks(self) -> list[Fields]:
        """Return the webhooks."""

    async def create_webhook(
        self, url: str, events: Sequence[WebhookEventType], *, description: str | None
    ) -> SigningSecret:
        """Create a webhook."""

    async def update_webhook(
        self,
        number: int,
        *,
        url: str | None,
        events: Sequence[WebhookEventType] | None,
        description: str | None,
        enabled: bool | None,
    ) -> Fields:
        """Edit a webhook; None leaves a detail as it is. Return the webhook."""

    async def delete_webhook(self, number: int) -> None:
        """Delete a webhook."""

    async def rotate_webhook_secret(self, number: int) -> SigningSecret:
        """Create a new signing secret."""

    async def test_webhook(self, number: int) -> Fields:
        """Send a test event; return its delivery."""

    async def deliveries(self, number: int) -> list[Fields]:
        """Return the newest deliveries of a webhook."""

    async def redeliver(self, delivery: int) -> Fields:
        """Deliver an event once more; return the delivery."""

    async def cluster(self) -> Fields:
        """Return the nodes that run on the database, and which clients are not verified because it lost changes."""

    def audit_lines(self, *, after: int) -> AsyncIterator[str]:
        """Yield the audit events after this revision, oldest first, as lines of an export."""


class NeedsDatabase(Failure):
    """A command that a remote server cannot run."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} needs the database: run the command where the database and the pepper are, without --url and "
            "--profile."
        )


def given_only(values: Mapping[str, object | None]) -> dict[str, object]:
    """Return the values that are not None: what is left out of a request stays as it is."""
    return {name: value for name, value in values.items() if value is not None}
