"""Who uses which secret: counted in memory, written in batches."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Source:
    """Where a credential came from, as the gateway says it."""

    address: str | None = None
    user_agent: str | None = None


class Usage:
    """Counts uses; `flush` writes them."""

    def used(self, secret_id: int, source: Source, now: datetime) -> None:
        """Count a use of a good secret."""

    def refused(self, secret_id: int, source: Source, now: datetime) -> None:
        """Count an attempt with a secret that has ended."""
