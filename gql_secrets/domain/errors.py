"""What a caller can be told: one class per failure, with a stable code and facts as attributes.

Every dialect (GraphQL, /clients, HTTP, CLI) renders this one family. Whatever is not in it is a defect
and is answered as an unexpected error.
"""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar


class ErrorCode(StrEnum):
    """The stable codes of expected failures, as `userErrors.code` shows them."""

    INVALID_HOURS_TO_LIVE = "INVALID_HOURS_TO_LIVE"
    INVALID_NAME = "INVALID_NAME"
    INVALID_DESCRIPTION = "INVALID_DESCRIPTION"
    INVALID_FEATURE = "INVALID_FEATURE"
    INVALID_ALLOW_LIST = "INVALID_ALLOW_LIST"
    INVALID_IDEMPOTENCY_KEY = "INVALID_IDEMPOTENCY_KEY"
    INVALID_REASON = "INVALID_REASON"
    CLIENT_NOT_FOUND = "CLIENT_NOT_FOUND"
    ROLLOVER_IN_PROGRESS = "ROLLOVER_IN_PROGRESS"
    NO_ROLLOVER = "NO_ROLLOVER"
    NEW_SECRET_IN_USE = "NEW_SECRET_IN_USE"  # noqa: S105  a code, not a secret
    SECRET_NOT_OLD = "SECRET_NOT_OLD"  # noqa: S105  a code, not a secret
    CONFLICT = "CONFLICT"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    IDEMPOTENCY_RESULT_ENDED = "IDEMPOTENCY_RESULT_ENDED"
    LAST_OWNER = "LAST_OWNER"
    RATE_LIMITED = "RATE_LIMITED"


class Failure(Exception):  # noqa: N818  a failure is no error of the program
    """Something a caller can be told. The text is for people; programs read the class's attributes.

    Attributes:
        retry_after: after how many seconds the same may be tried again, where a limit of time is all that failed.
    """

    retry_after: int | None = None


class Refusal(Failure):
    """An expected failure of a change: it is data in the answer, and nothing was changed.

    Attributes:
        code: the stable code.
        argument: the Python name of the argument at fault, or None where no single one is.
        minimum: the least value the argument may have, where that is what failed.
        maximum: the greatest one.
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
        super().__init__(f"hoursToLive must be a whole number from {minimum} to {maximum} (hours; 168 is seven days).")
        self.minimum = minimum
        self.maximum = maximum


class InvalidName(Refusal):
    """A client's name is empty, too long, or holds control characters."""

    code = ErrorCode.INVALID_NAME
    argument = "name"


class InvalidDescription(Refusal):
    """A client's description is too long or holds control characters."""

    code = ErrorCode.INVALID_DESCRIPTION
    argument = "description"


class InvalidFeature(Refusal):
    """A feature that does not exist."""

    code = ErrorCode.INVALID_FEATURE
    argument = "features"


class InvalidAllowList(Refusal):
    """An allow list that cannot be: empty, not networks, or one that would lock its own setter out."""

    code = ErrorCode.INVALID_ALLOW_LIST
    argument = "allow_list"


class InvalidIdempotencyKey(Refusal):
    """An idempotency key that is too short to be unique, or too long."""

    code = ErrorCode.INVALID_IDEMPOTENCY_KEY
    argument = "idempotency_key"

    def __init__(self, minimum: int, maximum: int) -> None:
        super().__init__(
            f"An idempotency key has {minimum} to {maximum} printable ASCII characters; a UUID is a good one."
        )
        self.minimum = minimum
        self.maximum = maximum


class InvalidReason(Refusal):
    """The reason for a change is too long or has control characters."""

    code = ErrorCode.INVALID_REASON
    argument = "reason"

    def __init__(self, maximum: int) -> None:
        super().__init__(f"A reason has at most {maximum} characters and no control characters.")
        self.maximum = maximum


class ClientNotFound(Refusal):
    """No client has this client id, or it was deleted."""

    code = ErrorCode.CLIENT_NOT_FOUND
    argument = "client_id"

    def __init__(self) -> None:
        super().__init__("There is no client with this client id.")


class RolloverInProgress(Refusal):
    """A smooth reset came while an old secret is still good (DESIGN.md, rule 6).

    Attributes:
        current_created_by: who made the current secret.
        current_created_at: when.
        current_used: whether the current secret was ever used.
        old_secret_expires_at: when the old secret ends by itself.
        old_secret_last_used_at: when the old secret was last used, or None.
    """

    code = ErrorCode.ROLLOVER_IN_PROGRESS
    argument = "client_id"

    def __init__(
        self,
        *,
        current_created_by: str,
        current_created_at: datetime,
        current_used: bool,
        old_secret_expires_at: datetime,
        old_secret_last_used_at: datetime | None,
    ) -> None:
        used = "has been used: going on would end the old secret now" if current_used else "was never used"
        last = f"last used {_stamp(old_secret_last_used_at)}" if old_secret_last_used_at else "not used so far"
        super().__init__(
            f"A rollover is running. The current secret was made by {current_created_by} "
            f"at {_stamp(current_created_at)} and {used}. The old secret is good until "
            f"{_stamp(old_secret_expires_at)} and was {last}. "
            "Wait for it, revoke it, or send endActiveRollover: true to go on."
        )
        self.current_created_by = current_created_by
        self.current_created_at = current_created_at
        self.current_used = current_used
        self.old_secret_expires_at = old_secret_expires_at
        self.old_secret_last_used_at = old_secret_last_used_at


class NoRollover(Refusal):
    """The client has no old secret now."""

    code = ErrorCode.NO_ROLLOVER
    argument = "client_id"

    def __init__(self) -> None:
        super().__init__("This client has no old secret: no rollover is running.")


class NewSecretInUse(Refusal):
    """A rollover whose new secret was used cannot be cancelled."""

    code = ErrorCode.NEW_SECRET_IN_USE
    argument = "client_id"

    def __init__(self, first_used_at: datetime) -> None:
        super().__init__(
            f"The new secret has been in use since {_stamp(first_used_at)}: cancelling would lock its users out. "
            "Revoke the old secret, or reset once more."
        )


class SecretNotOld(Refusal):
    """The secret named is not an old secret of this client."""

    code = ErrorCode.SECRET_NOT_OLD
    argument = "secret_id"

    def __init__(self) -> None:
        super().__init__(
            "This is not an old secret of this client; the current one is ended by a reset, never by a revoke."
        )


class Conflict(Refusal):
    """The client changed since it was read, or is being changed right now."""

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
    """The secret that this idempotency key made has ended."""

    code = ErrorCode.IDEMPOTENCY_RESULT_ENDED
    argument = "idempotency_key"

    def __init__(self) -> None:
        super().__init__("The secret that this idempotency key made is no longer good. Reset again with a new key.")


class LastOwner(Refusal):
    """The last enabled owner client cannot be deleted, disabled, or lose its role."""

    code = ErrorCode.LAST_OWNER
    argument = "client_id"

    def __init__(self) -> None:
        super().__init__("This is the last enabled client with the feature owner. Make another owner first.")


class TooManyResets(Refusal):
    """The client was reset as often as it may be for now."""

    code = ErrorCode.RATE_LIMITED
    argument = "client_id"

    def __init__(self, limit: str, retry_after: int) -> None:
        super().__init__(
            f"This client's secret was reset too often ({limit}). Try again in {retry_after} s; the secrets that it "
            "has stay as they are."
        )
        self.retry_after = retry_after


class Unauthenticated(Failure):
    """The call needs a caller who signed in."""

    def __init__(self, text: str = "Sign in with a client id and one of its good secrets.") -> None:
        super().__init__(text)


class BadCredentials(Unauthenticated):
    """Credentials were given and are not good: unknown, wrong, expired, revoked and disabled are one answer."""

    def __init__(self, text: str = "The credentials are not good.") -> None:
        super().__init__(text)


class TooManyFailures(BadCredentials):
    """Credentials are not good, and too many were not: of this address, or of this client id. Good ones still are."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "The credentials are not good, and too many before them were not either. Try again in "
            f"{retry_after} s; good ones are taken at any time."
        )
        self.retry_after = retry_after


class SignInLinkEnded(Unauthenticated):
    """A sign-in link is unknown, was used, or is too old: one answer for all three."""

    def __init__(self) -> None:
        super().__init__(
            "This sign-in link is not good any more: it works once, for 15 minutes. Make another one with: "
            "gql-secrets sign-in-link"
        )


class TooManySignIns(SignInLinkEnded):
    """A sign-in link is not good, and too many from this address were not. A good one still is."""

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


class Forbidden(Failure):
    """The caller may not do this.

    Attributes:
        required_roles: the roles that may, most powerful first; empty where no role helps.
        argument: the Python name of the argument that is not allowed, or None for the whole call.
        reason: a stable word where the role is not the cause: `RETAINED_SECRET`, `ADDRESS`.
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
    """The question itself cannot be understood: a page size, a cursor, an id."""

    def __init__(self, text: str, *, argument: str | None = None) -> None:
        super().__init__(text)
        self.argument = argument


class Unavailable(Failure):
    """Trouble of ours (a database out of reach, a full disk): neither yes nor no, and never a 401."""

    def __init__(
        self, text: str = "The database does not answer. Nothing is known to be wrong with the request."
    ) -> None:
        super().__init__(text)


class StreamEnded(Unavailable):
    """A stream of events cannot go on, through no fault of the caller's sign-in; ask again, and read anew."""


class SetupError(Failure):
    """The installation cannot start as it is set up; the text says what to write instead."""


def _stamp(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
