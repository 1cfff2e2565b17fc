"""The rows that say what was counted."""

from collections.abc import Iterable, Mapping

from gql_secrets.service.usage.tallies import Counted, Tally
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.listing import LISTED_FOR, LastUse
from gql_secrets.storage.usage import CountedSecret


class CountedRows:
    """The rows that a batch writes, and the uses that lists do not have yet.

    Hours and sources are the values of one row after the other.
    """

    __slots__ = ("_listed", "_refused", "hours", "secrets", "sources", "unlisted")

    def __init__(self, listed: Mapping[int, int], *, refused: bool) -> None:
        self._listed = listed
        self._refused = refused
        self.secrets: list[CountedSecret] = []
        self.hours: list[int] = []
        self.sources: list[int | str] = []
        self.unlisted: list[LastUse] = []

    def add_all(self, secret_ids: Iterable[int], tallies: Mapping[int, Counted]) -> None:
        """Add the rows of what was counted for these secrets."""
        listed, refused, add_hour, add_source = self._listed, self._refused, self.hours.extend, self.sources.extend
        for secret_id in secret_ids:
            counted = tallies[secret_id]
            if isinstance(counted, dict):
                at = self._add(secret_id, counted)
            else:
                source, used_at = counted
                at = to_microseconds(used_at)
                if source is not None:
                    add_source((secret_id, source.address or "", source.user_agent or "", at, at, 1))
                add_hour((secret_id, 1))
                if source is None or refused:
                    self.secrets.append((secret_id, 1 if source is None else 0, at))
            if not refused and at >= listed.get(secret_id, 0) + LISTED_FOR:
                self.unlisted.append((secret_id, at))

    def _add(self, secret_id: int, tally: Tally) -> int:
        """Add the rows of a secret with several uses, and return when the last one was."""
        total = latest = elsewhere = 0
        for source, seen in tally.items():
            last_at = to_microseconds(seen.last_at)
            latest = max(latest, last_at)
            total += seen.count
            if source is None:
                elsewhere = seen.count
                continue
            first_at = last_at if seen.first_at is seen.last_at else to_microseconds(seen.first_at)
            self.sources.extend(
                (secret_id, source.address or "", source.user_agent or "", first_at, last_at, seen.count)
            )
        self.hours.extend((secret_id, total))
        if elsewhere or self._refused:
            self.secrets.append((secret_id, elsewhere, latest))
        return latest
