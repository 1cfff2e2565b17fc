"""The failures that callers see: one class for each, with a stable code, and its facts as attributes.

Every dialect (GraphQL, /clients, HTTP, CLI) renders this one family. Any other exception is a defect, and is reported
as an unexpected error.
"""

from datetime import datetime
from typing import ClassVar, Final

from gql_secrets.domain.error_codes import ErrorCode
from gql_secrets.domain.instants import rfc3339_seconds


class Failure(Exception):  # noqa: N818  a failure is not an error of the program
    """A failure that a caller sees. The message is for people; programs read the attributes.

    Attributes:
        retry_after: the number of seconds after which the same request can succeed, if only a rate limit refused it.
    """

    retry_after: int | None = None


class Refusal(Failure):
    """An expected failure of a change, which had no effect; it is returned as data.

    Attributes:
        code: the stable code.
        argument: the Python name of the invalid argument, or None if no single argument is the cause.
        minimum: the smallest allowed value or length of the argument, if a bound is the cause.
        maximum: the largest one.
    """

    code: ClassVar[ErrorCode]
    argument: str | None = None
    minimum: int | None = None
    maximum: int | None = None


class InvalidHoursToLive(Refusal):
    """`hoursToLive` is not a whole number within its bounds (hours, inclusive)."""

    code = ErrorCode.INVALID_HOURS_TO_LIVE
    argument = "hours_to_live"

    def __init__(self, minimum: int, maximum: int) -> None:
        super().__init__(
            f"hoursToLive must be a whole number of hours from {minimum} to {maximum}; 168 hours are seven days."
        )
        self.minimum = minimum
        self.maximum = maximum


class InvalidName(Refusal):
    """The name of a client is empty, too long, or has control characters."""

    code = ErrorCode.INVALID_NAME
    argument = "name"


class InvalidDescription(Refusal):
    """The description of a client is too long or has control characters."""

    code = ErrorCode.INVALID_DESCRIPTION
    argument = "description"


class InvalidFeature(Refusal):
    """A feature is unknown."""

    code = ErrorCode.INVALID_FEATURE
    argument = "features"


class InvalidAllowList(Refusal):
    """The allow list is empty, has an invalid network, or excludes the address of the caller who sets it."""

    code = ErrorCode.INVALID_ALLOW_LIST
    argument = "allow_list"


class InvalidIdempotencyKey(Refusal):
    """The idempotency key is too short to be unique, too long, or not printable ASCII."""

    code = ErrorCode.INVALID_IDEMPOTENCY_KEY
    argument = "idempotency_key"

    def __init__(self, minimum: int, maximum: int) -> None:
        super().__init__(
            f"An idempotency key must have {minimum} to {maximum} printable ASCII characters, such as a UUID."
        )
        self.minimum = minimum
        self.maximum = maximum


class ClientNotFound(Refusal):
    """No client has this client id; perhaps it was deleted."""

    code = ErrorCode.CLIENT_NOT_FOUND
    argument = "client_id"

    def __init__(self) -> None:
        super().__init__("There is no client with this client id.")


class RolloverInProgress(Refusal):
    """A smooth reset was requested while an old secret is still valid (docs/rules.md, rule 6).

    Attributes:
        current_secret_created_by: the actor who created the current secret.
        current_secret_created_by_name: the display name of that actor, if it is a person.
        current_secret_created_at: when it was created.
        current_secret_used: whether it was ever used.
        old_secret_expires_at: when the old secret expires.
        old_secret_last_used_at: when the old secret was last used, or None if it never was.
    """

    code = ErrorCode.ROLLOVER_IN_PROGRESS
    argument = "client_id"

    def __init__(
        self,
        *,
        current_secret_created_by: str,
        current_secret_created_by_name: str | None,
        current_secret_created_at: datetime,
        current_secret_used: bool,
        old_secret_expires_at: datetime,
        old_secret_last_used_at: datetime | None,
    ) -> None:
        used = "has been used" if current_secret_used else "was never used"
        last = f"last used at {rfc3339_seconds(old_secret_last_used_at)}" if old_secret_last_used_at else "never used"
        effect = "ends the old secret now" if current_secret_used else "ends the unused current secret"
        by, name = current_secret_created_by, current_secret_created_by_name
        super().__init__(
            f"A rollover is in progress. The current secret was created by {f'{name} ({by})' if name else by} at "
            f"{rfc3339_seconds(current_secret_created_at)} and {used}. The old secret is valid until "
            f"{rfc3339_seconds(old_secret_expires_at)} and was {last}. Wait for it to expire, revoke it, or pass "
            f"endActiveRollover: true, which {effect}."
        )
        self.current_secret_created_by = current_secret_created_by
        self.current_secret_created_by_name = current_secret_created_by_name
        self.current_secret_created_at = current_secret_created_at
        self.current_secret_used = current_secret_used
        self.old_secret_expires_at = old_secret_expires_at
        self.old_secret_last_used_at = old_secret_last_used_at


class NoRollover(Refusal):
    """The client has no valid old secret."""

    code = ErrorCode.NO_ROLLOVER
    argument = "client_id"

    def __init__(self) -> None:
        super().__init__("This client has no old secret: no rollover is in progress.")


class NewSecretInUse(Refusal):
    """A rollover whose new secret was used cannot be cancelled."""

    code = ErrorCode.NEW_SECRET_IN_USE
    argument = "client_id"

    def __init__(self, first_used_at: datetime) -> None:
        super().__init__(
            f"The new secret was first used at {rfc3339_seconds(first_used_at)}, and cancelling the rollover would "
            "lock out the copies of the application that use it. Revoke the old secret, or reset again."
        )


class SecretNotOld(Refusal):
    """The secret is not an old secret of this client."""

    code = ErrorCode.SECRET_NOT_OLD
    argument = "secret_id"

    def __init__(self) -> None:
        super().__init__("This is not an old secret of this client. To end the current secret, reset it.")


class Conflict(Refusal):
    """The client changed since it was read, or another change of it is in progress."""

    code = ErrorCode.CONFLICT

    def __init__(self, text: str, *, argument: str | None = None) -> None:
        super().__init__(text)
        self.argument = argument


class IdempotencyKeyReused(Refusal):
    """The idempotency key was used for another request within the last ten minutes."""

    code = ErrorCode.IDEMPOTENCY_KEY_REUSED
    argument = "idempotency_key"

    def __init__(self) -> None:
        super().__init__("This idempotency key was used with other arguments in the last ten minutes. Use a new key.")


class IdempotencyResultEnded(Refusal):
    """The secret that was created with this idempotency key has ended, or the client that reset itself has used it."""

    code = ErrorCode.IDEMPOTENCY_RESULT_ENDED
    argument = "idempotency_key"

    def __init__(self, *, is_in_use: bool = False) -> None:
        super().__init__(
            "The new secret of this reset was used, so it is not returned again. Sign in with it. If it is lost, an "
            "ADMIN must reset the client."
            if is_in_use
            else "The secret that was created with this idempotency key is no longer valid. Reset again with a new key."
        )


class LastOwner(Refusal):
    """The last enabled owner client cannot be deleted, disabled, or lose its role."""

    code = ErrorCode.LAST_OWNER
    argument = "client_id"

    def __init__(self) -> None:
        super().__init__(
            "This is the last enabled client with the owner feature. Give the feature to another client first."
        )


class TooManyResets(Refusal):
    """The reset limit of the client is reached."""

    code = ErrorCode.RATE_LIMITED
    argument = "client_id"

    def __init__(self, limit: str, retry_after: int) -> None:
        super().__init__(
            f"The limit for resets is reached ({limit}). Try again in {retry_after} s. The existing secrets are not "
            "affected."
        )
        self.retry_after = retry_after


class Unauthenticated(Failure):
    """The request needs a caller who signed in, or the credential of the caller is no longer valid."""

    def __init__(self, text: str = "Sign in with a client id and one of its valid secrets.") -> None:
        super().__init__(text)


class BadCredentials(Unauthenticated):
    """The credentials are invalid: unknown, wrong, expired, revoked and disabled get the same answer."""

    def __init__(self, text: str = "Invalid credentials.") -> None:
        super().__init__(text)


class InvalidToken(BadCredentials):
    """The access token is invalid, or no longer valid. The message has nothing of its content.

    Attributes:
        reason: a stable word for programs, such as `EXPIRED`.
    """

    def __init__(self, text: str, *, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


class TooManyFailures(BadCredentials):
    """The credentials are invalid, and so were too many before from this address or for this client id.

    Valid credentials are accepted all the same.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            f"Invalid credentials, and too many failed attempts before. Try again in {retry_after} s. "
            "Valid credentials are always accepted."
        )
        self.retry_after = retry_after


class SignInLinkEnded(Unauthenticated):
    """The sign-in link is unknown, was used, or has expired; all three get the same answer."""

    def __init__(self) -> None:
        super().__init__(
            "This sign-in link has expired or was already used: a link works once, for 15 minutes. Create another one "
            "with: gql-secrets sign-in-link"
        )


class TooManySignIns(SignInLinkEnded):
    """The sign-in link is invalid, and so were too many from this address. A valid link works all the same."""

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


class Forbidden(Failure):
    """The caller is not allowed to do this.

    Attributes:
        required_roles: the roles that are allowed to, most powerful first; empty if the role is not the cause.
        argument: the Python name of the argument that is not allowed, or None for the whole call.
        reason: a stable word if the role is not the cause: `RETAINED_SECRET`, `ADDRESS`, `ORIGIN`,
            `ACTING_USER`, `SIGN_IN_LINKS`.
    """

    def __init__(
        self,
        text: str,
        *,
        required_roles: tuple[str, ...] = (),
        argument: str | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(text)
        self.required_roles = required_roles
        self.argument = argument
        self.reason = reason


class BadRequest(Failure):
    """The request is malformed: an invalid page size, cursor or id."""

    def __init__(self, text: str, *, argument: str | None = None) -> None:
        super().__init__(text)
        self.argument = argument


# With it, the command line tells a change that was not made from one that may have been.
NOT_EVALUATED: Final = "Your request was not evaluated."


class Unavailable(Failure):
    """The server cannot answer now (the database is unreachable, the disk is full). Never answered as a 401.

    Attributes:
        reason: a stable word for a cause that operators must handle: `AUDIT_HEAD`, `PAUSED`, `RESTORE`.
    """

    reason: ClassVar[str | None] = None

    def __init__(self, text: str = f"The database is unavailable. {NOT_EVALUATED}") -> None:
        super().__init__(text)


class PepperKeyMissing(Unavailable):
    """Active secrets are under a key of the pepper that this process lacks: one that it does not find may be valid.

    Attributes:
        key_id: the key.
    """

    def __init__(self, key_id: str) -> None:
        super().__init__("This server lacks a key of the pepper, so the credential was not evaluated.")
        self.key_id = key_id


class AuditHeadInvalid(Unavailable):
    """The head of the audit log has no valid signature, so the change is refused: it would sign what was edited."""

    reason = "AUDIT_HEAD"

    def __init__(self) -> None:
        super().__init__(
            "The audit log was edited outside gql-secrets: its head has no valid signature. Only changes that end "
            "something are made. An administrator can inspect it with `gql-secrets audit verify`, and accept it with "
            "`gql-secrets audit accept`."
        )


class StreamEnded(Unavailable):
    """A stream of events cannot continue. Subscribe again, and read the current state first."""


class ResyncRequired(StreamEnded):
    """A stream cannot resume after the revision that the subscriber knows."""

    def __init__(self) -> None:
        super().__init__(
            "The events after this revision cannot be replayed: there are too many, they were deleted, or the database "
            "was restored. Read the current state, and subscribe without a revision."
        )


class SetupError(Failure):
    """The installation cannot start with these settings; the message says what to write instead."""
