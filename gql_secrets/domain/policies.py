"""The rotation policy: how old a current secret may become. It reports and never rotates a secret itself."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gql_secrets.domain.error_codes import ErrorCode
from gql_secrets.domain.errors import Refusal

MIN_AGE_DAYS: Final = 1
MAX_AGE_DAYS: Final = 3650
# Where no policy is set, lists and counts call a secret old from this age on.
DEFAULT_OLD_DAYS: Final = 90
DAY: Final = timedelta(days=1)


class InvalidMaximumAge(Refusal):
    """A maximum age is not a whole number of days within its bounds, or is both set and inherited."""

    code = ErrorCode.INVALID_MAXIMUM_AGE
    argument = "maximum_age_days"
    minimum = MIN_AGE_DAYS
    maximum = MAX_AGE_DAYS

    def __init__(
        self, text: str = f"A maximum age must be a whole number of days from {MIN_AGE_DAYS} to {MAX_AGE_DAYS}."
    ) -> None:
        super().__init__(text)


def parse_maximum_age(days: int | None) -> int | None:
    """Return the maximum age in days, None for none.

    Raises:
        InvalidMaximumAge: it is not from 1 to 3,650.
    """
    if days is not None and not MIN_AGE_DAYS <= days <= MAX_AGE_DAYS:
        raise InvalidMaximumAge
    return days


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """The maximum age of current secrets in the installation, in days; None for no maximum."""

    maximum_age_days: int | None = None

    def effective_days(self, own_days: int | None) -> int | None:
        """Return the maximum age of a client: its own, or the installation's where it has none of its own."""
        return self.maximum_age_days if own_days is None else own_days

    def due_at(self, created_at: datetime, own_days: int | None) -> datetime | None:
        """Return when a current secret reaches its maximum age, or None where there is no maximum."""
        days = self.effective_days(own_days)
        return None if days is None else created_at + days * DAY
