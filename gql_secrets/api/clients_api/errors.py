"""The errors of the /clients API, and the table from a failure of the domain to one of them."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from gql_secrets.domain.error_codes import ErrorCode
from gql_secrets.domain.errors import (
    BadRequest,
    Failure,
    Forbidden,
    Refusal,
    TooManyFailures,
    Unauthenticated,
    Unavailable,
)
from gql_secrets.domain.networks import InvalidNetwork


class Code(IntEnum):
    """The numeric codes; the name in lower case is the value of `error`."""

    MISSING_ARGUMENT = 100
    INVALID_ARGUMENT = 200
    DUPLICATE_ARGUMENT = 201
    INVALID_AUTH_METHOD = 205
    INVALID_CLIENT_CREDENTIALS = 402
    CLIENT_PERMISSION_ERROR = 403
    API_FEATURE_DISABLED = 480
    UNEXPECTED_ERROR = 500
    API_LIMIT_ERROR = 510


NOT_ALLOWED: Final = "the provided client does not have authorization for this action"

# The HTTP status of each code where GQL_SECRETS_CLIENTS_API_STATUS is `mapped`.
_STATUSES: Final[Mapping[Code, int]] = {
    Code.MISSING_ARGUMENT: 400,
    Code.INVALID_ARGUMENT: 400,
    Code.DUPLICATE_ARGUMENT: 400,
    Code.INVALID_AUTH_METHOD: 401,
    Code.INVALID_CLIENT_CREDENTIALS: 401,
    Code.CLIENT_PERMISSION_ERROR: 403,
    Code.API_FEATURE_DISABLED: 404,
    Code.UNEXPECTED_ERROR: 500,
    Code.API_LIMIT_ERROR: 429,
}

# In place of the argument that names the client, which differs from call to call.
TARGET: Final = "*"
_KEY_HEADER: Final = "Idempotency-Key"

# For every code of the domain, the code here and the argument at fault.
TABLE: Final[Mapping[ErrorCode, tuple[Code, str | None]]] = {
    ErrorCode.INVALID_HOURS_TO_LIVE: (Code.INVALID_ARGUMENT, "hours_to_live"),
    ErrorCode.INVALID_NAME: (Code.INVALID_ARGUMENT, "description"),  # a name comes from a description here
    ErrorCode.INVALID_DESCRIPTION: (Code.INVALID_ARGUMENT, "description"),
    ErrorCode.INVALID_FEATURE: (Code.INVALID_ARGUMENT, "features"),
    ErrorCode.INVALID_ALLOW_LIST: (Code.INVALID_ARGUMENT, "whitelist"),
    ErrorCode.INVALID_IDEMPOTENCY_KEY: (Code.INVALID_ARGUMENT, _KEY_HEADER),
    ErrorCode.IDEMPOTENCY_KEY_REUSED: (Code.INVALID_ARGUMENT, _KEY_HEADER),
    ErrorCode.IDEMPOTENCY_RESULT_ENDED: (Code.INVALID_ARGUMENT, _KEY_HEADER),
    ErrorCode.CLIENT_NOT_FOUND: (Code.INVALID_ARGUMENT, TARGET),
    ErrorCode.LAST_OWNER: (Code.INVALID_ARGUMENT, TARGET),
    ErrorCode.ROLLOVER_IN_PROGRESS: (Code.INVALID_ARGUMENT, TARGET),
    ErrorCode.NO_ROLLOVER: (Code.INVALID_ARGUMENT, TARGET),
    ErrorCode.NEW_SECRET_IN_USE: (Code.INVALID_ARGUMENT, TARGET),
    ErrorCode.SECRET_NOT_OLD: (Code.INVALID_ARGUMENT, TARGET),
    ErrorCode.INVALID_REASON: (Code.INVALID_ARGUMENT, None),
    # No call of these endpoints raises the following ones: what they are about is only in GraphQL and the command line.
    **dict.fromkeys(
        (
            ErrorCode.INVALID_CONTACT,
            ErrorCode.INVALID_LABELS,
            ErrorCode.INVALID_MAXIMUM_AGE,
            ErrorCode.INVALID_TARGETS,
            ErrorCode.INVALID_WEBHOOK,
            ErrorCode.NOT_ATTEMPTED,
            ErrorCode.NOT_SAFE_TO_REVOKE,
            ErrorCode.SESSION_NOT_FOUND,
            ErrorCode.WEBHOOK_NOT_FOUND,
        ),
        (Code.INVALID_ARGUMENT, None),
    ),
    ErrorCode.CONFLICT: (Code.UNEXPECTED_ERROR, None),
    ErrorCode.RATE_LIMITED: (Code.API_LIMIT_ERROR, None),
}


class ClientsApiError(Exception):
    """An error of the /clients API.

    Attributes:
        code: the numeric code.
        description: a sentence for people.
        argument: the argument at fault, for the codes 100 and 200.
        status: the HTTP status where statuses are mapped.
        retry_after: after how many seconds to retry, for the code 510.
        always: whether `status` is sent even where errors have status 200: not a call at all, or a failure of ours.
    """

    def __init__(
        self,
        code: Code,
        description: str,
        *,
        argument: str | None = None,
        status: int | None = None,
        retry_after: int | None = None,
        always: bool = False,
    ) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.argument = argument
        self.status = status or _STATUSES[code]
        self.retry_after = retry_after
        self.always = always

    @property
    def word(self) -> str:
        """The value of `error`."""
        return self.code.name.lower()


def missing(argument: str) -> ClientsApiError:
    """Return the error of a missing argument."""
    return ClientsApiError(Code.MISSING_ARGUMENT, f"missing required argument: {argument}", argument=argument)


def invalid(argument: str, reason: str) -> ClientsApiError:
    """Return the error of an invalid argument."""
    return ClientsApiError(
        Code.INVALID_ARGUMENT,
        f"{argument} was not valid for the following reason: {reason}",
        argument=argument,
    )


def present(failure: Failure, target: str) -> ClientsApiError | None:
    """Return the error for this failure; None for a defect, which is not reported to callers.

    Args:
        failure: the failure of the domain.
        target: the argument that names the client in this call.
    """
    match failure:
        case Refusal():
            return _refused(failure, target)
        case TooManyFailures():
            return ClientsApiError(
                Code.API_LIMIT_ERROR,
                f"invalid client credentials; too many failed attempts. Retry in {failure.retry_after} s",
                retry_after=failure.retry_after,
            )
        case Unauthenticated():
            return ClientsApiError(Code.INVALID_CLIENT_CREDENTIALS, "the client id or the client secret is not valid")
        case Forbidden(reason="RETAINED_SECRET" | "ACTING_USER"):
            return ClientsApiError(Code.CLIENT_PERMISSION_ERROR, f"{NOT_ALLOWED}: {failure}")
        case Forbidden():
            return ClientsApiError(Code.CLIENT_PERMISSION_ERROR, NOT_ALLOWED)
        case BadRequest():
            return ClientsApiError(Code.INVALID_ARGUMENT, str(failure))
        case Unavailable():
            return ClientsApiError(Code.UNEXPECTED_ERROR, str(failure), status=503, always=True)
    return None


def _refused(refusal: Refusal, target: str) -> ClientsApiError:
    code, argument = TABLE[refusal.code]
    if argument is None:
        status = 409 if refusal.code is ErrorCode.CONFLICT else None
        return ClientsApiError(code, str(refusal), status=status, retry_after=refusal.retry_after)
    argument = target if argument is TARGET else argument
    return invalid(argument, _reason(refusal, argument))


def _reason(refusal: Refusal, argument: str) -> str:
    if refusal.code is ErrorCode.INVALID_HOURS_TO_LIVE:
        return f"{argument} must be between {refusal.minimum} and {refusal.maximum}"
    if refusal.code is ErrorCode.CLIENT_NOT_FOUND:
        return f"{argument} is not a valid id"
    if isinstance(refusal, InvalidNetwork) and refusal.value:
        return f"invalid cidr address: {refusal.value}. {refusal.reason}"
    return str(refusal)
