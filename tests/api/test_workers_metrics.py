"""The metrics of several workers as one: what is added up, what is not, and what a worker that ends leaves."""

from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from support.pages import page

from gql_secrets.api.metrics.exposition import GREATEST, LEAST, PREFIX
from gql_secrets.api.metrics.workers import Family, Sums


def counter(**values: float) -> Family:
    return "answers", "counter", "Answers.", [("answers_total", {"of": of}, value) for of, value in values.items()]


def gauge(name: str, value: float) -> Family:
    return name, "gauge", "Something.", [(name, {}, value)]


def values(sums: Sums) -> dict[tuple[str, ...], float]:
    families: Sequence[Metric] = list(sums.collect())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def test_counters_are_added_up_and_never_fall() -> None:
    sums = Sums()
    sums.add({"1": [counter(a=3)], "2": [counter(a=4, b=1)]})
    assert values(sums) == {("answers_total", "a"): 7, ("answers_total", "b"): 1}
    sums.forget_all_but(["1"])
    sums.add({"1": [counter(a=3)]})
    assert values(sums) == {("answers_total", "a"): 7, ("answers_total", "b"): 1}
    # The worker that takes its place counts from zero.
    sums.add({"1": [counter(a=5)], "3": [counter(a=1)]})
    assert values(sums) == {("answers_total", "a"): 10, ("answers_total", "b"): 1}


def test_a_worker_that_was_silent_once_is_not_counted_twice() -> None:
    sums = Sums()
    sums.add({"1": [counter(a=3)], "2": [counter(a=4)]})
    sums.add({"1": [counter(a=3)]})
    sums.add({"1": [counter(a=3)], "2": [counter(a=6)]})
    assert values(sums) == {("answers_total", "a"): 9}


@pytest.mark.parametrize(
    ("name", "combined"),
    [
        ("websockets", 5),
        ("event_streams", 5),
        ("ready", 2),
        ("changes_possible", 2),
        ("rollovers", 3),
        ("stragglers", 3),
    ],
)
def test_a_gauge_is_of_the_workers_that_answer(name: str, combined: int) -> None:
    sums = Sums()
    sums.add({"1": [gauge(PREFIX + name, 2)], "2": [gauge(PREFIX + name, 3)]})
    assert values(sums) == {(PREFIX + name,): combined}
    sums.add({"2": [gauge(PREFIX + name, 3)]})
    assert values(sums) == {(PREFIX + name,): 3}


def test_changes_of_the_installation_are_those_that_one_worker_counts() -> None:
    def changes(count: int) -> Any:
        return f"{PREFIX}changes", "counter", "Changes.", [(f"{PREFIX}changes_total", {}, count)]

    sums = Sums()
    sums.add({"1": [changes(3)], "2": []})
    sums.add({"1": [changes(5)], "2": []})
    sums.forget_all_but(["2"])
    sums.add({"2": [changes(0)]})
    sums.add({"2": [changes(1)]})
    assert values(sums) == {(f"{PREFIX}changes_total",): 6}


def test_no_figure_of_the_installation_is_added_up() -> None:
    starred = {
        cells[0].strip("`").removesuffix("_total")
        for cells in page("docs/metrics.md").rows()
        if cells[-1].endswith("*")
    }
    assert starred <= GREATEST
    assert not GREATEST & LEAST
