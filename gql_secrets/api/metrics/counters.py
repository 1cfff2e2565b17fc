"""What one process counts. Plain integers: counting is on the path of every verification."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from gql_secrets.service.verification import RefusalReason

# Upper bounds in seconds. A verification from memory takes some ten microseconds, one that writes some milliseconds.
BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0)
OTHER_OPERATION: Final = "other"
# More pairs of name and outcome are counted as `other`. The console has some 40 documents, a frontend about as many.
MAX_OPERATIONS: Final = 2_000


class Tally:
    """How many verifications had one verdict for one reason."""

    __slots__ = ("count", "reason", "verdict")

    def __init__(self, verdict: str, reason: str = "") -> None:
        self.verdict = verdict
        self.reason = reason
        self.count = 0


class VerificationCounts:
    """The requests of gateways, by their answer, and how long the answers took."""

    def __init__(self) -> None:
        self.accepted = Tally("accepted")
        self.unavailable = Tally("unavailable")
        self.missing = Tally("refused", "MISSING")
        self.malformed = Tally("refused", "MALFORMED")
        self.encoded_body = Tally("refused", "ENCODED_BODY")
        self.refused = {reason: Tally("refused", reason.value) for reason in RefusalReason}
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Tally]:
        yield from (self.accepted, self.unavailable, self.missing, self.malformed, self.encoded_body)
        yield from self.refused.values()

    def record(self, tally: Tally, seconds: float) -> None:
        """Count one answer."""
        tally.count += 1
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def cumulated(self) -> Iterable[tuple[str, float]]:
        """Return how many answers took at most each bound, and how many there were."""
        count = 0
        for bound, more in zip((*map(str, BOUNDS), "+Inf"), self.buckets, strict=True):
            count += more
            yield bound, count


class OperationCounts:
    """GraphQL operations by name and outcome. A name is counted only where its document is a known one."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def observe(self, name: str | None, outcome: str) -> None:
        """Count one operation."""
        key = (name or OTHER_OPERATION, outcome)
        if key not in self.counts and len(self.counts) >= MAX_OPERATIONS:
            key = (OTHER_OPERATION, outcome)
        self.counts[key] += 1


class Counters:
    """Everything that one process counts."""

    def __init__(self) -> None:
        self.verifications = VerificationCounts()
        self.operations = OperationCounts()
