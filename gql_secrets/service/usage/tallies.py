"""What was counted of the uses of secrets, and the sources that they came from."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar

from gql_secrets.storage.usage import BUCKET, MAX_SOURCES

_MAX_USER_AGENT: Final = 256
# What is read of a user agent; the credentials that it may have are replaced by less.
MAX_READ_OF_USER_AGENT: Final = 2 * _MAX_USER_AGENT
_MAX_ADDRESS: Final = 64
# A credential in a user agent must not be stored.
_CREDENTIAL: Final = re.compile(r"gqls_\w+|\b(?:basic|bearer)\s+\S+", re.IGNORECASE)
BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC)

K = TypeVar("K", int, str)


class _Source(NamedTuple):
    address: str | None
    user_agent: str | None


class Source(_Source):
    """Where a credential came from, as the gateway reports it: texts of bounded length, printable, no credentials."""

    __slots__ = ()

    def __new__(cls, address: str | None = None, user_agent: str | None = None) -> "Source":  # noqa: PYI034  a shared one
        """Return the source. The same sources come again and again, so equal ones share an object."""
        return _source(address, user_agent and user_agent[:MAX_READ_OF_USER_AGENT])


@lru_cache(maxsize=4096)
def _source(address: str | None, agent: str | None) -> Source:
    agent = _CREDENTIAL.sub("…", agent or "")[:_MAX_USER_AGENT]
    if not agent.isprintable():  # control characters, and lone surrogates that no database stores
        agent = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in agent)
    return tuple.__new__(Source, ((address or "")[:_MAX_ADDRESS] or None, agent or None))


class SourceCount:
    """How often, and when, one source was seen."""

    __slots__ = ("count", "first_at", "last_at")

    def __init__(self, now: datetime) -> None:
        self.count = 1
        self.first_at = self.last_at = now


# The sources of one secret within one hour. Under None are those whose source found no room.
Tally = dict[Source | None, SourceCount]
# The only use of a secret so far: its source, or None, and its instant. It takes a third of the time of a tally.
OneUse = tuple[Source | None, datetime]
Counted = OneUse | Tally


def tally_of(counted: Counted) -> Tally:
    """Return what was counted as a tally."""
    if isinstance(counted, dict):
        return counted
    source, at = counted
    return {source: SourceCount(at)}


def absorb(tallies: dict[K, Counted], key: K, other: Counted) -> None:
    """Add what was counted for a secret, or a client, to what there is."""
    if key not in tallies:
        tallies[key] = other
        return
    tally = tallies[key] = tally_of(tallies[key])
    _add_to(tally, tally_of(other))


def _add_to(tally: Tally, other: Tally) -> None:
    for source, seen in other.items():
        mine = tally.get(source) or (tally.get(None) if len(tally) >= MAX_SOURCES else None)
        if mine is not None:
            mine.count += seen.count
            mine.first_at, mine.last_at = min(mine.first_at, seen.first_at), max(mine.last_at, seen.last_at)
        else:
            tally[source if len(tally) < MAX_SOURCES else None] = seen


class Hour:
    """What was counted within one hour: by secret, uses apart from refused attempts."""

    __slots__ = ("ends_at", "refused", "starts_at", "used")

    def __init__(self, starts_at: datetime) -> None:
        self.starts_at = starts_at
        self.ends_at = starts_at + BUCKET if starts_at != BEFORE_ALL else BEFORE_ALL
        self.used: dict[int, Counted] = {}
        self.refused: dict[int, Counted] = {}

    def absorb(self, other: "Hour") -> None:
        """Add the counts of another hour."""
        for mine, others in ((self.used, other.used), (self.refused, other.refused)):
            for secret_id, counted in others.items():
                absorb(mine, secret_id, counted)


def total_of(tally: Tally) -> tuple[int, datetime]:
    """Return how many uses a tally has, and when the last one was."""
    uses = tally.values()
    return sum([seen.count for seen in uses]), max([seen.last_at for seen in uses])
