"""The metrics of several processes as one: the supervisor of workers serves them.

Counters are added up by what they increased, so that a worker that ends takes nothing away: for Prometheus, a counter
that falls has begun again at zero. Only what the worker counted after the last scrape is lost.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from gql_secrets.api.metrics.exposition import GREATEST, LEAST, PREFIX
from gql_secrets.api.metrics.listener import METRICS_PATH, metrics_response

# Name, type, description, and the samples with their name, labels and value.
Family = Sequence[Any]
_Key = tuple[str, tuple[tuple[str, str], ...]]
_CUMULATIVE: Final = ("counter", "histogram")


def families_of(collector: Collector) -> list[Family]:
    """Return the metrics in a form that JSON has."""
    return [
        (
            family.name,
            family.type,
            family.documentation,
            [(sample.name, dict(sample.labels), sample.value) for sample in family.samples],
        )
        for family in collector.collect()
    ]


class Sums(Collector):
    """The metrics of all workers, as of the last answers that were added."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}
        self._counts: dict[_Key, float] = {}
        self._previous: dict[str, dict[_Key, float]] = {}

    def collect(self) -> Iterable[Metric]:
        """Return each metric with its values."""
        return [family for family in self._families.values() if family.samples]

    def forget_all_but(self, workers: Iterable[str]) -> None:
        """Forget the other workers, which ended; what they counted stays."""
        for worker in self._previous.keys() - set(workers):
            del self._previous[worker]

    def add(self, answers: Mapping[str, Sequence[Family]]) -> None:
        """Take what the workers answered: each worker by an id that no other one has."""
        values: dict[str, dict[_Key, dict[str, float]]] = {}
        for worker, families in answers.items():
            for name, kind, description, samples in families:
                self._families.setdefault(name, Metric(name, description, kind))
                for sample, labels, value in samples:
                    key = (sample, tuple(labels.items()))
                    values.setdefault(name, {}).setdefault(key, {})[worker] = value
        for name, family in self._families.items():
            combine = max if name in GREATEST else min if name in LEAST else sum
            if family.type in _CUMULATIVE:
                self._count(family, values.get(name, {}), combine)
            else:
                family.samples.clear()
                for (sample, labels), by_worker in values.get(name, {}).items():
                    family.add_sample(sample, dict(labels), combine(by_worker.values()))

    def _count(
        self,
        family: Metric,
        values: Mapping[_Key, Mapping[str, float]],
        combine: Callable[[Iterable[float]], float],
    ) -> None:
        for key, by_worker in values.items():
            increases = []
            for worker, value in by_worker.items():
                previous = self._previous.setdefault(worker, {})
                increases.append(max(0.0, value - previous.get(key, 0.0)))
                previous[key] = value
            self._counts[key] = self._counts.get(key, 0.0) + combine(increases)
        shown = {(each.name, tuple(each.labels.items())): None for each in family.samples} | dict.fromkeys(values)
        family.samples.clear()
        for sample, labels in shown:
            family.add_sample(sample, dict(labels), self._counts[sample, labels])


class Restarts(Collector):
    """How many times a worker was started again."""

    def __init__(self) -> None:
        self.count = 0

    def collect(self) -> Iterable[Metric]:
        """Return the metric of the supervisor."""
        description = "Workers that ended outside a stop and were started again, since the supervisor started."
        yield CounterMetricFamily(f"{PREFIX}worker_restarts", description, self.count)


def build_workers_metrics_app(
    sums: Sums, restarts: Restarts, ask: Callable[[], Awaitable[Mapping[str, Sequence[Family]]]]
) -> web.Application:
    """Return the application that serves the metrics of the workers and of their supervisor.

    Args:
        sums: what the workers counted.
        restarts: what the supervisor counted.
        ask: asks each worker that answers for its metrics.
    """
    one_at_a_time = asyncio.Lock()
    registry = CollectorRegistry()
    registry.register(sums)
    registry.register(restarts)

    async def answer(request: web.Request) -> web.Response:
        async with one_at_a_time:
            answers = await ask()
            if not answers:
                raise web.HTTPServiceUnavailable(text="No worker answers.\n")
            sums.add(answers)
            return metrics_response(registry, request.headers.get(hdrs.ACCEPT, ""))

    app = web.Application()
    app.router.add_get(METRICS_PATH, answer)
    return app
