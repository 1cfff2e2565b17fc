"""How GraphQL reports the failures of the domain: one table."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Self

import strawberry
from strawberry.utils.str_converters import to_camel_case

from gql_secrets.api.graphql.context import Context
from gql_secrets.api.graphql.enums import ErrorCode
from gql_secrets.domain import errors
from gql_secrets.domain.errors import (
    BadRequest,
    Forbidden,
    InvalidToken,
    Refusal,
    ResyncRequired,
    TooManyFailures,
    Unauthenticated,
    Unavailable,
)
from gql_secrets.graphql_server.errors import (
    BAD_REQUEST,
    FORBIDDEN,
    RATE_LIMITED,
    RESYNC_REQUIRED,
    UNAUTHENTICATED,
    UNAVAILABLE,
    RequestRefused,
)
from gql_secrets.graphql_server.field_checks import FailuresAreData


@strawberry.type(description="The facts about the rollover that caused a reset to be refused.")
class RolloverInProgress:
    current_secret_created_by: str = strawberry.field(
        description="The actor who created the current secret, in the format of AuditEvent.actor."
    )
    current_secret_created_by_name: str | None = strawberry.field(
        description="The display name of that actor. Null if it is not a person."
    )
    current_secret_created_at: datetime = strawberry.field(description="When the current secret was created.")
    current_secret_used: bool = strawberry.field(
        description="Whether the current secret was used. If it was, endActiveRollover ends the old secret; otherwise "
        "it ends the current secret."
    )
    old_secret_expires_at: datetime = strawberry.field(description="When the old secret expires.")
    old_secret_last_used_at: datetime | None = strawberry.field(
        description="When the old secret was last used. Null if it was never used."
    )

    @classmethod
    def of(cls, refusal: errors.RolloverInProgress) -> Self:
        """Return the facts that a refusal carries."""
        return cls(
            current_secret_created_by=refusal.current_secret_created_by,
            current_secret_created_by_name=refusal.current_secret_created_by_name,
            current_secret_created_at=refusal.current_secret_created_at,
            current_secret_used=refusal.current_secret_used,
            old_secret_expires_at=refusal.old_secret_expires_at,
            old_secret_last_used_at=refusal.old_secret_last_used_at,
        )


# One plain type instead of a union, so that clients need no inline fragments.
@strawberry.type(description="The reason why a change was refused. A refused change has no effect.")
class UserError:
    code: ErrorCode = strawberry.field(
        description="The stable code of the error. Programs should use it rather than the message."
    )
    field: list[str] | None = strawberry.field(
        description="The path of the argument that caused the error. Null if no single argument did."
    )
    message: str = strawberry.field(description="A sentence for people that explains the error and what to do.")
    minimum: int | None = strawberry.field(
        default=None, description="The smallest allowed value, length, or number of items of the argument."
    )
    maximum: int | None = strawberry.field(
        default=None, description="The largest allowed value, length, or number of items of the argument."
    )
    rollover_in_progress: RolloverInProgress | None = strawberry.field(
        default=None, description="With ROLLOVER_IN_PROGRESS: the rollover that the reset would have changed."
    )
    retry_after_seconds: int | None = strawberry.field(
        default=None, description="With RATE_LIMITED: the number of seconds after which to try again."
    )

    @classmethod
    def of(cls, refusal: Refusal) -> Self:
        """Return the entry for a refusal."""
        return cls(
            code=refusal.code,
            field=[to_camel_case(refusal.argument)] if refusal.argument else None,
            message=str(refusal),
            minimum=refusal.minimum,
            maximum=refusal.maximum,
            rollover_in_progress=(
                RolloverInProgress.of(refusal) if isinstance(refusal, errors.RolloverInProgress) else None
            ),
            retry_after_seconds=refusal.retry_after,
        )


class RefusalsAreData(FailuresAreData):
    """Returns a refusal in the payload's `userErrors`, with the client as it is, so that no second query is needed."""

    kinds = (Refusal,)

    def __init__(self, payload: type[Any]) -> None:
        """Return refusals in this payload type, whose fields all have defaults."""
        self._payload = payload

    def begin(self, info: strawberry.Info[Context, Any]) -> None:
        """Reuse nothing after the mutation that was read before it."""
        info.context.forget()

    def value_of(self, failure: Refusal, given: Mapping[str, Any]) -> object:
        """Return the payload of a refused mutation."""
        # The guard has passed, so the caller may see the client.
        client = {"client_id": given["client_id"]} if "client_id" in given else {}
        return self._payload(user_errors=[UserError.of(failure)], **client)


# The HTTP status of a request that is refused before it reaches the endpoint.
HTTP_STATUS: Final = {UNAUTHENTICATED: 401, FORBIDDEN: 403, BAD_REQUEST: 400, UNAVAILABLE: 503, RATE_LIMITED: 429}


def present(error: Exception) -> RequestRefused | None:
    """Return the top-level error for a failure, or None for a defect, which is masked."""
    match error:
        case TooManyFailures():
            return RequestRefused(RATE_LIMITED, str(error), {"retryAfter": error.retry_after})
        case InvalidToken():
            return RequestRefused(UNAUTHENTICATED, str(error), {"reason": error.reason})
        case Unauthenticated():
            return RequestRefused(UNAUTHENTICATED, str(error))
        case Forbidden():
            extensions: dict[str, object] = {"requiredRoles": list(error.required_roles)}
            if error.argument:
                extensions["argument"] = to_camel_case(error.argument)
            if error.reason:
                extensions["reason"] = error.reason
            return RequestRefused(FORBIDDEN, str(error), extensions)
        case BadRequest():
            extra: dict[str, object] = {"argument": to_camel_case(error.argument)} if error.argument else {}
            return RequestRefused(BAD_REQUEST, str(error), extra)
        case Unavailable():
            code = RESYNC_REQUIRED if isinstance(error, ResyncRequired) else UNAVAILABLE
            return RequestRefused(code, str(error), {"reason": error.reason} if error.reason else {})
        case Refusal():  # raised by a query, which has no `userErrors`
            named: dict[str, object] = {"argument": to_camel_case(error.argument)} if error.argument else {}
            return RequestRefused(error.code.value, str(error), named)
    return None
