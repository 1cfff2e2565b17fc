"""The metrics by name: what `docs/metrics.md`, the dashboard and the alerts refer to.

No label holds a client id or anything else that callers choose, so the number of series is bounded. A figure of the
installation is the same on every node: never add it up over nodes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gql_secrets import __version__
from gql_secrets.api.metrics.counters import Counters
from gql_secrets.domain.leases import LeaseState
from gql_secrets.service.figures import Figures
from gql_secrets.storage.dialect import ConnectionCounts

PREFIX: Final = "gql_secrets_"
# How the values of several processes on one port become one value: by the greatest or the least of them, others by
# their sum. The figures of the installation are the same in every process.
GREATEST: Final = frozenset(
    (
        *(
            f"{PREFIX}{name}"
            for name in (
                "build_info",
                "revision_lag",
                "rollovers",
                "rollovers_ending_in_use",
                "rollovers_safe_to_revoke",
                "stragglers",
                "oldest_secret_age_seconds",
                "audit_archive_failing",
                "audit_head_invalid",
                "replication_asynchronous",
                "webhook_lag_seconds",
                "changes",
            )
        ),
        "process_max_fds",
        "process_start_time_seconds",
        "python_info",
    )
)
LEAST: Final = frozenset((f"{PREFIX}ready", f"{PREFIX}changes_possible", f"{PREFIX}lease_held"))


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot(Collector):
    """The metrics at one moment.

    Attributes:
        counters: what this process counted.
        figures: the figures of the installation, None where the database does not answer.
        is_ready: whether this node verifies secrets.
        can_change: whether it can write changes.
        streams: how many event streams are open.
        sockets: how many WebSockets are open.
        failed_reads: how many reads failed because the database was unavailable.
        failed_writes: how many writes failed for this reason.
        connections: how many connections to the database it has, None where it has no pool of them.
        lease: the state of the lease with which it verifies from memory.
        revision_lag: how many changes this node had not followed at its last poll, None where it needs to follow none.
    """

    counters: Counters
    figures: Figures | None
    is_ready: bool
    can_change: bool
    streams: int
    sockets: int
    failed_reads: int
    failed_writes: int
    connections: ConnectionCounts | None
    lease: LeaseState
    revision_lag: int | None

    def collect(self) -> Iterator[Metric]:
        """Return each metric with its values."""
        yield from self._of_process()
        if self.figures is not None:
            yield from _of_installation(self.figures)

    def _of_process(self) -> Iterator[Metric]:
        yield _gauge("build_info", "The version of this node.", 1, version=__version__)
        yield _gauge("ready", "1 while this node can verify secrets, else 0.", self.is_ready)
        yield _gauge("changes_possible", "1 while this node can write changes, else 0.", self.can_change)

        verifications = self.counters.verifications
        answers = _counter("verifications", "Answers of /verify by verdict and reason.", "verdict", "reason")
        for tally in verifications:
            answers.add_metric([tally.verdict, tally.reason], tally.count)
        yield answers
        times = HistogramMetricFamily(f"{PREFIX}verification_seconds", "How long the answers of /verify took.")
        times.add_metric([], list(verifications.cumulated()), verifications.seconds)
        yield times

        operations = _counter(
            "graphql_operations",
            "GraphQL operations by name (of trusted documents and the console's, else other) and outcome.",
            "name",
            "outcome",
        )
        for (name, outcome), count in self.counters.operations.counts.items():
            operations.add_metric([name, outcome], count)
        yield operations

        errors = _counter("database_errors", "Reads and writes that failed: the database was unavailable.", "kind")
        errors.add_metric(["read"], self.failed_reads)
        errors.add_metric(["write"], self.failed_writes)
        yield errors
        if self.connections is not None:
            yield from _of_pool(self.connections)
        yield _gauge("event_streams", "Event streams that are open on this node, over any transport.", self.streams)
        if self.lease is not LeaseState.NOT_NEEDED:
            description = "1 while this node may verify from memory, else 0: it reads the database then."
            yield _gauge("lease_held", description, self.lease is LeaseState.HELD)
        if self.revision_lag is not None:
            description = "Changes that this node had not followed at its last poll."
            yield _gauge("revision_lag", description, self.revision_lag)
        yield _gauge("websockets", "WebSockets that are open on this node.", self.sockets)


def _of_pool(counts: ConnectionCounts) -> Iterator[Metric]:
    connections = GaugeMetricFamily(
        f"{PREFIX}database_connections", "Connections of this node to PostgreSQL by state.", labels=["state"]
    )
    connections.add_metric(["in_use"], counts.in_use)
    connections.add_metric(["idle"], counts.idle)
    yield connections
    yield _gauge("database_connections_limit", "How many connections this node may have.", counts.limit)


def _of_installation(figures: Figures) -> Iterator[Metric]:
    yield _gauge("rollovers", "Rollovers in progress in the installation.", figures.rollovers)
    yield _gauge(
        "rollovers_ending_in_use",
        "Rollovers that end within 24 hours while the old secret is still in use.",
        figures.ending_in_use,
    )
    yield _gauge("rollovers_safe_to_revoke", "Rollovers whose old secret is safe to revoke.", figures.safe_to_revoke)
    yield _gauge("stragglers", "Clients of which an ended secret was tried within the last hour.", figures.stragglers)
    if figures.oldest_secret_age is not None:
        yield _gauge(
            "oldest_secret_age_seconds",
            "The age of the oldest current secret.",
            figures.oldest_secret_age.total_seconds(),
        )
    description = "1 while old audit events cannot be moved to the archive, else 0."
    yield _gauge("audit_archive_failing", description, figures.archive_fails)
    description = "1 while the signature of the audit's head is not valid, else 0."
    yield _gauge("audit_head_invalid", description, figures.is_head_invalid)
    description = "1 while a failover of the database may lose changes that were already answered, else 0."
    yield _gauge("replication_asynchronous", description, figures.may_lose_changes)
    description = "How long the oldest event that an enabled webhook has not received is waiting."
    yield _gauge("webhook_lag_seconds", description, figures.webhook_lag.total_seconds())
    changes = _counter("changes", "Changes of the installation by action, since this node began to count.", "action")
    for action, count in sorted(figures.changes.items()):
        changes.add_metric([action], count)
    yield changes


def _gauge(name: str, description: str, value: float, **labels: str) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(PREFIX + name, description, labels=list(labels))
    gauge.add_metric(list(labels.values()), value)
    return gauge


def _counter(name: str, description: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(PREFIX + name, description, labels=labels)
