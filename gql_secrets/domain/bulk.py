"""Changes of many clients in one request: how many, and what refuses one of them."""

from collections.abc import Sequence
from typing import Final

from gql_secrets.domain.error_codes import ErrorCode
from gql_secrets.domain.errors import Refusal

MAX_TARGETS: Final = 100


class InvalidTargets(Refusal):
    """The targets of a change of many clients are too many, none, not different, or include the caller's own client."""

    code = ErrorCode.INVALID_TARGETS
    argument = "targets"

    def __init__(self, text: str, *, minimum: int | None = None, maximum: int | None = None) -> None:
        super().__init__(text)
        self.minimum = minimum
        self.maximum = maximum


class NotSafeToRevoke(Refusal):
    """Revoking the old secret could interrupt a use that was seen, and the caller asked not to."""

    code = ErrorCode.NOT_SAFE_TO_REVOKE
    argument = "secret_id"

    def __init__(self, why: str) -> None:
        super().__init__(f"It is not safe to revoke the old secret. {why}")


class NotAttempted(Refusal):
    """A change of many clients stopped before this client, or at it."""

    code = ErrorCode.NOT_ATTEMPTED

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why} Send the same request again: it continues where this one stopped, and a change that was made is "
            "not made twice."
        )


def require_targets(client_ids: Sequence[str]) -> None:
    """Pass if these are 1 to 100 different clients.

    Raises:
        InvalidTargets: they are not.
    """
    if not 1 <= len(client_ids) <= MAX_TARGETS:
        raise InvalidTargets(f"Pass 1 to {MAX_TARGETS} targets.", minimum=1, maximum=MAX_TARGETS)
    if len(set(client_ids)) < len(client_ids):
        raise InvalidTargets("Each target must be a different client.")
