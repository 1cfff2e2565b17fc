"""The domain's enums as GraphQL enums, each value described."""

from enum import Enum
from typing import Final, TypeVar

import strawberry

from gql_secrets.domain.access import ActorKind, Feature, Role, Surface
from gql_secrets.domain.advice import RolloverAdvice
from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.error_codes import ErrorCode
from gql_secrets.domain.events import ClientEventKind
from gql_secrets.domain.journal import UncertainClients
from gql_secrets.domain.leases import LeaseState
from gql_secrets.domain.rotation import SecretEndReason, SecretState
from gql_secrets.domain.sessions import SessionEndReason, SessionWay
from gql_secrets.domain.sources import RolloverSourceState
from gql_secrets.domain.webhooks import DeliveryState, WebhookEventType
from gql_secrets.storage.client_lists import OrderField as ClientOrderField

E = TypeVar("E", bound=type[Enum])


def _describe(
    enum: E, description: str, /, *, name: str | None = None, without: frozenset[str] = frozenset(), **values: str
) -> E:
    """Turn an enum of the domain into a GraphQL enum; a value without a description fails at import.

    Args:
        enum: the enum.
        description: its description.
        name: its name in the schema, if that differs from the name of the class.
        without: values that cannot occur in GraphQL.
        values: the description of each other value.
    """
    strawberry.enum(enum, name=name, description=description)
    definition = enum.__strawberry_definition__  # type: ignore[attr-defined]  # set by the line above
    definition.values = [value for value in definition.values if value.name not in without]
    for value in definition.values:
        value.description = values.pop(value.name)
    if values:
        raise LookupError(f"{enum.__name__} has no {', '.join(values)}")
    return enum


class ViewerKind(Enum):
    """The kinds of actor that can sign in."""

    API_CLIENT = "API_CLIENT"
    USER = "USER"


class OrderDirection(Enum):
    """The directions of an order."""

    ASC = "ASC"
    DESC = "DESC"


_describe(
    OrderDirection,
    "The directions of an order.",
    ASC="From the smallest value to the largest: A to Z, the earliest time first.",
    DESC="From the largest value to the smallest: Z to A, the latest time first.",
)
_describe(
    ClientOrderField,
    "What lists of clients are sorted by.",
    name="ClientOrderField",
    NAME="By name, ignoring case.",
    CREATED_AT="By when the client was created.",
    SECRET_AGE="By the age of the current secret; with ASC, the newest secret comes first.",  # noqa: S106
    LAST_USED_AT="By when a secret of the client was last used; clients that were never used count as the earliest. "
    "The time used for sorting is updated at most once an hour for each client, so pages in this order may repeat or "
    "miss clients that are used while the pages are read.",
    ROLLOVER_END="By when the old secret expires. In both directions, clients without a rollover come last.",
)
_describe(
    ViewerKind,
    "The kinds of signed-in callers.",
    API_CLIENT="An application that signed in with its client id and secret.",
    USER="A person who signed in.",
)
_describe(
    Role,
    "The roles of callers. Each role includes the permissions of the next one.",
    ADMIN="Full access: smooth and hard resets, revoking secrets, managing clients, and the audit log.",
    OPERATOR="Read access, and hard resets of clients whose own role is not above OPERATOR.",
    VIEWER="Read access to clients and the state of their secrets.",
)
_describe(
    Feature,
    "The features of clients.",
    name="ClientFeature",
    OWNER="Gives the client the role ADMIN.",
    OPERATOR="Gives the client the role OPERATOR.",
    VIEWER="Gives the client the role VIEWER.",
    ACTS_FOR_USERS="Lets the client, a sign-in proxy, name the person for whom it acts, in the header X-Acting-User.",
    ACCESS_ISSUER="Issues access for others. Passed through to your APIs.",
    DIRECT_ACCESS="Reads and writes records. Passed through to your APIs.",
    DIRECT_READ_ACCESS="Reads records. Passed through to your APIs.",
    LOGIN_CLIENT="Signs users in. Passed through to your APIs.",
)
_describe(
    SecretState,
    "The states of a secret.",
    CURRENT="The client's current secret. Valid.",
    RETAINED="The old secret during a rollover. Valid until expiresAt.",
    EXPIRED="A retained secret that expired. Permanent.",
    REVOKED="A secret that was ended before it expired. Permanent.",
)
_describe(
    SecretEndReason,
    "The reasons why a secret ended.",
    EXPIRED="Its retention period ended.",
    REVOKED="It was revoked.",
    WITHDRAWN="It was not used before the next reset replaced it.",
    DISPLACED="A smooth reset during its rollover ended it while it was still valid.",
    HARD_RESET="A hard reset (hoursToLive: 0) ended it.",
    CANCELLED="Its rollover was cancelled before it was used.",
    CLIENT_DELETED="Its client was deleted.",
)
_describe(
    RolloverAdvice,
    "The recommended next steps of a rollover.",
    WAIT_FOR_NEW="The new secret has not been used. Deploy it to every copy of the application first.",
    WAIT_FOR_QUIET="The old secret was used recently, or the new secret has only just been used for the first time. "
    "Wait before revoking the old secret.",
    REVOKE="The old secret is safe to revoke.",
)
_describe(
    RolloverSourceState,
    "How far a source has come in a rollover.",
    NOT_ALLOWED="Uses a secret of the client from an address outside the allow list, and is refused. The secret may "
    "have been leaked.",
    LOCKED_OUT="Tried an ended secret in the last 24 hours, and has used no active secret since.",
    STILL_OLD="Used the old secret in the last hour, or went back to it after using the new one.",
    NOT_SEEN_WITH_NEW="Used the old secret, though not in the last hour, and was never seen with the new one.",
    MOVED="Uses the new secret.",
)
_describe(
    ActorKind,
    "The kinds of actors in the audit log.",
    API_CLIENT="An application that signed in with its client id and secret.",
    USER="A person who signed in.",
    CLI="The command line, which is authorized by its access to the database.",
    SYSTEM="gql-secrets itself, such as at first start or when a secret expires.",
)
_describe(
    Surface,
    "The interfaces through which changes are made.",
    GRAPHQL="This API, which the console also uses.",
    CLIENTS_API="The /clients endpoints.",
    SIGN_IN="The pages on which people sign in and out.",
    CLI="The command line.",
    SYSTEM="gql-secrets itself.",
)
_describe(
    AuditAction,
    "The actions recorded in the audit log.",
    CLIENT_CREATED="A client was created together with its first secret.",
    CLIENT_IMPORTED="A client was imported with its existing secret.",
    CLIENT_UPDATED="A field of a client was changed: see editedFields.",
    CLIENT_ENABLED="A client was enabled.",
    CLIENT_DISABLED="A client was disabled.",
    CLIENT_DELETED="A client was deleted and its secrets ended.",
    SECRET_RESET="A new secret was created for a client. endedSecrets lists the secrets that it ended.",  # noqa: S106
    OLD_SECRET_REVOKED="An old secret was revoked.",  # noqa: S106
    OLD_SECRET_EXPIRED="An old secret expired.",  # noqa: S106
    RETENTION_CHANGED="The expiry of an old secret was changed.",
    ROLLOVER_CANCELLED="A rollover was cancelled: its unused new secret ended and the old secret is current again.",
    AUDIT_ACCEPTED="An administrator accepted the audit log after it had been edited outside gql-secrets.",
    AUDIT_PRUNED="Old events were exported to a file and deleted.",
    DATABASE_REWOUND="A node found that the database had lost changes: it was restored, or a failover lost them.",
    RESTORE_ACCEPTED="An administrator accepted the database after it had lost changes.",
    CHANGES_PAUSED="Changes were paused in order to move the database to another one.",
    CHANGES_RESUMED="Changes are accepted again: the database was moved, or its copy was discarded.",
    PEPPER_MIGRATION_STARTED="A pepper migration started: each secret that is verified from then on is moved to the "
    "key pepperKeyId.",
    SIGN_IN_LINK_CREATED="A sign-in link was created for a person.",
    SIGN_IN_LINK_VOIDED="An unused sign-in link was voided.",
    SIGNED_IN="A person signed in with a link, which began a session.",
    SESSION_ENDED="A session ended before its time: see sessionEndReason.",
    WEBHOOK_CREATED="A webhook was created.",
    WEBHOOK_UPDATED="A webhook was edited: see editedFields.",
    WEBHOOK_DELETED="A webhook was deleted.",
    WEBHOOK_SECRET_ROTATED="The signing secret of a webhook was rotated.",  # noqa: S106
)
_describe(
    SessionEndReason,
    "The reasons why a session ended before its time.",
    SIGNED_OUT="The person signed out.",
    REPLACED="The person signed in again with the same browser.",
    ENDED_BY_ADMIN="An administrator ended it.",
    ROLE_LOST="The client whose secret created the sign-in link lost the role ADMIN, or the person lost the role at "
    "the identity provider.",
    MAKER_ENDED="The secret or session that created the sign-in link ended before its time.",
    PROVIDER_ENDED="The person signed out at the identity provider, or the provider no longer renews the sign-in.",
)
_describe(
    ClientEventKind,
    "The kinds of events that happen to a client.",
    CREATED="The client was created or imported. secretId is its first secret.",
    EDITED="A field of the client changed, such as its name or its features.",
    ENABLED="The client was enabled. Its active secrets are accepted again.",
    DISABLED="The client was disabled. Its secrets are refused.",
    DELETED="The client was deleted and its secrets ended.",
    RESET="The client's secret was reset. secretId is the new secret.",
    REVOKED="The client's old secret was revoked.",
    WITHDRAWN="An unused new secret ended because of another reset or a cancelled rollover.",
    DISPLACED="A reset ended the client's old secret while it was still valid.",
    RETENTION_CHANGED="The expiry of the client's old secret was changed.",
    CANCELLED="The client's rollover was cancelled. secretId is the old secret, which is current again.",
    FIRST_USED="A secret was used for the first time.",
    EXPIRED="The client's old secret expired.",
    REFUSED_ATTEMPT="An ended secret or a secret of a disabled client was tried. Attempts within a short time, at "
    "most a minute, are reported as one event.",
)
_describe(
    WebhookEventType,
    "The types of events that webhooks deliver.",
    CLIENT_CREATED="A client was created or imported (client.created).",
    CLIENT_UPDATED="A field of a client was changed (client.updated).",
    CLIENT_ENABLED="A client was enabled (client.enabled).",
    CLIENT_DISABLED="A client was disabled (client.disabled).",
    CLIENT_DELETED="A client was deleted and its secrets ended (client.deleted).",
    SECRET_RESET="A client's secret was reset (secret.reset).",  # noqa: S106
    SECRET_REVOKED="A client's old secret was revoked (secret.revoked).",  # noqa: S106
    SECRET_EXPIRED="A client's old secret expired (secret.expired).",  # noqa: S106
    SECRET_DUE="A client's current secret has reached its maximum age (secret.due).",  # noqa: S106
    ROLLOVER_ENDING="A client's old secret is still in use and expires within 24 hours. Sent again when it expires "
    "within an hour (rollover.ending).",
    STRAGGLER_REFUSED="An ended secret of a client was tried: a source may be locked out. Sent at most once an hour "
    "for each client (straggler.refused).",
    ROLLOVER_SAFE_TO_REVOKE="A client's old secret is safe to revoke (rollover.safe_to_revoke).",
)
_describe(
    DeliveryState,
    "The states of a webhook delivery.",
    name="WebhookDeliveryState",
    PENDING="Waiting for its first attempt or for the next one.",
    DELIVERED="The endpoint answered with a status from 200 to 299.",
    FAILED="Attempted for three days without success. Deliver it again with redeliverWebhook.",
)
_describe(
    ErrorCode,
    "The reasons why a change was refused. A refused change has no effect.",
    without=frozenset({"INVALID_FEATURE"}),  # an unknown value of an enum is not a valid document
    INVALID_HOURS_TO_LIVE="hoursToLive is not a whole number between minimum and maximum.",
    INVALID_NAME="The name is empty, too long, or contains control characters.",
    INVALID_DESCRIPTION="The description is too long or contains control characters.",
    INVALID_CONTACT="The contact is over 200 characters long, or contains control characters.",
    INVALID_LABELS="There are more than 16 labels, one is not key=value, or two have the same key.",
    INVALID_MAXIMUM_AGE="The maximum age is not a whole number of days from 1 to 3650, or is both set and inherited.",
    INVALID_ALLOW_LIST="The allow list is empty, contains an invalid network, or excludes the caller's own address.",
    INVALID_IDEMPOTENCY_KEY="The idempotency key is too short, too long, or contains characters other than printable "
    "ASCII.",
    INVALID_REASON="The reason is over 200 characters long, or contains control characters.",
    SESSION_NOT_FOUND="No session has this id, or the session ended some time ago.",
    CLIENT_NOT_FOUND="No client has this client id, or the client was deleted.",
    ROLLOVER_IN_PROGRESS="The client's old secret is still valid, and a reset could end a secret that is in use.",
    NO_ROLLOVER="The client has no old secret.",
    NEW_SECRET_IN_USE="The new secret was used, so the rollover cannot be cancelled.",  # noqa: S106
    SECRET_NOT_OLD="The secret is not an old secret of this client.",  # noqa: S106
    CONFLICT="The client changed since it was read, or another change of it is in progress.",
    IDEMPOTENCY_KEY_REUSED="The idempotency key was used with other arguments in the last ten minutes.",
    IDEMPOTENCY_RESULT_ENDED="The secret that was created with this idempotency key has ended, or the client that "
    "reset itself has used it.",
    LAST_OWNER="The last enabled client with the owner feature cannot be deleted or disabled, and cannot lose the "
    "feature.",
    RATE_LIMITED="Too many resets of this client. Try again after retryAfterSeconds.",
    INVALID_TARGETS="There are no targets, more than 100, several for one client, or one for the caller's own client.",
    NOT_SAFE_TO_REVOKE="The advice of the rollover is not REVOKE: the new secret is not yet in use, or the old one was "
    "used recently.",
    INVALID_WEBHOOK="The URL, the events, or the description of the webhook is invalid, or there are already 20 "
    "webhooks.",
    WEBHOOK_NOT_FOUND="No webhook or delivery has this id.",
    NOT_ATTEMPTED="The request stopped before it reached this client: 20 seconds had passed, the caller's credentials "
    "had ended, or the database had become unavailable. Send the same request again.",
)

_describe(
    LeaseState,
    "Whether a node may verify from memory.",
    HELD="It may, because it follows every change.",
    EXPIRED="It may not until it has caught up with the changes. Until then it reads the database.",
    NOT_NEEDED="It reads the database for each verification, or runs on SQLite.",
)

_describe(
    UncertainClients,
    "The clients that are not verified, because the database lost changes. Until an administrator accepts the "
    "database with `gql-secrets restore accept`, only changes that end something are made.",
    NONE="Every client is verified: the database lost no changes, or an administrator accepted it.",
    NAMED="The clients that the lost changes were about are not verified.",
    ALL="No client is verified, because more was lost than the nodes know of.",
)

_describe(
    SessionWay,
    "The ways in which people sign in.",
    LINK="By a sign-in link.",
    IDENTITY_PROVIDER="At an identity provider.",
)

__all__: Final = [
    "ActorKind",
    "AuditAction",
    "ClientEventKind",
    "ClientOrderField",
    "DeliveryState",
    "ErrorCode",
    "Feature",
    "LeaseState",
    "OrderDirection",
    "Role",
    "RolloverAdvice",
    "RolloverSourceState",
    "SecretEndReason",
    "SecretState",
    "SessionEndReason",
    "SessionWay",
    "Surface",
    "UncertainClients",
    "ViewerKind",
    "WebhookEventType",
]
