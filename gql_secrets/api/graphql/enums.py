"""The domain's enums as GraphQL enums, each value described."""

from enum import Enum
from typing import Final, TypeVar

import strawberry

from gql_secrets.domain.access import ActorKind, Role, Surface
from gql_secrets.domain.advice import RolloverAdvice
from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.errors import ErrorCode
from gql_secrets.domain.events import ClientEventKind
from gql_secrets.domain.rotation import SecretEndReason, SecretState

E = TypeVar("E", bound=type[Enum])


def _described(enum: E, description: str, **values: str) -> E:
    """Make an enum of the domain a GraphQL enum; a value without a sentence is a defect found at import."""
    strawberry.enum(enum, description=description)
    for value in enum.__strawberry_definition__.values:  # type: ignore[attr-defined]  # set by the line above
        value.description = values.pop(value.name)
    if values:
        raise LookupError(f"{enum.__name__} has no {', '.join(values)}")
    return enum


class ViewerKind(Enum):
    """What kind of caller is asking."""

    API_CLIENT = "API_CLIENT"
    USER = "USER"


_described(
    ViewerKind,
    "What kind of caller is asking.",
    API_CLIENT="An application that signed in with its client id and secret.",
    USER="A person who signed in.",
)
_described(
    Role,
    "What a caller may do; each role may all that the next one may.",
    ADMIN="Everything: smooth and hard reset, revoke, register, edit, audit.",
    OPERATOR="Read, and hard reset of clients whose role is not above its own.",
    VIEWER="Read clients and the state of their secrets.",
)
_described(
    SecretState,
    "What a secret is worth.",
    CURRENT="The new secret: good.",
    RETAINED="The old secret during a rollover: good until expiresAt.",
    EXPIRED="An old secret whose time is over. For ever.",
    REVOKED="A secret that was ended before its time. For ever.",
)
_described(
    SecretEndReason,
    "Why a secret ended.",
    EXPIRED="Its time was over.",
    REVOKED="It was revoked.",
    WITHDRAWN="Nobody had used it when the next reset came.",
    DISPLACED="A reset went on although it was still good.",
    HARD_RESET="A reset with hoursToLive 0 ended it.",
    CANCELLED="Its rollover was cancelled before anybody used it.",
    CLIENT_DELETED="Its client was deleted.",
)
_described(
    RolloverAdvice,
    "What to do about a running rollover.",
    WAIT_FOR_NEW="Nobody has used the new secret so far: put it into every copy of the application first.",
    WAIT_FOR_QUIET="The old secret was used too lately, or the new one's first use is too fresh.",
    REVOKE="It is safe to revoke the old secret.",
)
_described(
    ActorKind,
    "What kind of actor made a change.",
    API_CLIENT="An application that signed in with its client id and secret.",
    USER="A person who signed in.",
    CLI="The command line, with the authority of access to the database.",
    SYSTEM="gql-secrets itself: the first start, and secrets whose time was over.",
)
_described(
    Surface,
    "Through which door a change came.",
    GRAPHQL="This API, and the console on it.",
    CAPTURE="The /clients endpoints.",
    CLI="The command line.",
    SYSTEM="gql-secrets itself.",
)
_described(
    AuditAction,
    "What a change did.",
    CLIENT_CREATED="A client was registered, with its first secret.",
    CLIENT_IMPORTED="A client was imported with the secret that it had elsewhere.",
    CLIENT_UPDATED="A client was edited; reason names what.",
    CLIENT_ENABLED="A client was enabled.",
    CLIENT_DISABLED="A client was disabled.",
    CLIENT_DELETED="A client was deleted, and its secrets ended.",
    SECRET_RESET="A new secret was minted; endedSecretIds are the ones that ended with it, reason says why.",  # noqa: S106
    OLD_SECRET_REVOKED="An old secret was revoked.",  # noqa: S106
    OLD_SECRET_EXPIRED="An old secret's time was over.",  # noqa: S106
    RETENTION_CHANGED="An old secret was given another end.",
    ROLLOVER_CANCELLED="An unused new secret ended, and the old one is current again.",
)
_described(
    ClientEventKind,
    "What happened to a client.",
    CREATED="It was registered or imported; secretId is its first secret.",
    EDITED="Its name, description, features or allow list changed.",
    ENABLED="Its secrets are accepted again.",
    DISABLED="Its secrets are refused from now on.",
    DELETED="It was deleted, and its secrets ended.",
    RESET="It got a new secret, secretId.",
    REVOKED="Its old secret was revoked.",
    WITHDRAWN="A new secret that nobody had used ended with a reset or a cancelled rollover.",
    DISPLACED="Its old secret ended with a reset, although it was still good.",
    RETENTION_CHANGED="Its old secret was given another end.",
    CANCELLED="Its rollover was cancelled: the old secret, secretId, is current again.",
    FIRST_USED="A secret was used for the first time.",
    EXPIRED="Its old secret's time was over.",
    REFUSED_ATTEMPT="Somebody tried a secret that has ended; told once for the attempts of some seconds.",
)
_described(
    ErrorCode,
    "Why a change was refused. Nothing was changed.",
    INVALID_HOURS_TO_LIVE="hoursToLive is not a whole number between minimum and maximum.",
    INVALID_NAME="The name is empty, too long, or holds control characters.",
    INVALID_DESCRIPTION="The description is too long or holds control characters.",
    INVALID_FEATURE="A feature does not exist.",
    INVALID_ALLOW_LIST="The allow list is empty, not of networks, or locks the caller's own address out.",
    INVALID_IDEMPOTENCY_KEY="The idempotency key is too short, too long, or not printable ASCII.",
    INVALID_PAGE="A page that cannot be.",
    CLIENT_NOT_FOUND="There is no such client.",
    ROLLOVER_IN_PROGRESS="An old secret is still good, and going on might cut off a secret in use.",
    NO_ROLLOVER="The client has no old secret now.",
    NEW_SECRET_IN_USE="The new secret was used, so the rollover cannot be cancelled.",  # noqa: S106
    SECRET_NOT_OLD="The secret named is not an old secret of this client.",  # noqa: S106
    CONFLICT="The client changed since it was read, or is being changed right now.",
    IDEMPOTENCY_KEY_REUSED="The idempotency key was used with other arguments in the last ten minutes.",
    IDEMPOTENCY_RESULT_ENDED="The secret that this idempotency key made has ended.",
    LAST_OWNER="The last enabled owner cannot be deleted, disabled, or lose its role.",
    RATE_LIMITED="Too many of these in a short time; try again later.",
)

__all__: Final = [
    "ActorKind",
    "AuditAction",
    "ClientEventKind",
    "ErrorCode",
    "Role",
    "RolloverAdvice",
    "SecretEndReason",
    "SecretState",
    "Surface",
    "ViewerKind",
]
