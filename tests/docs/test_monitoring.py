"""The page, the dashboard and the alerts name metrics that the server has, with labels that they have."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import yaml
from prometheus_client.metrics_core import Metric
from support.pages import page
from support.paths import ROOT

from gql_secrets.api.metrics.counters import Counters
from gql_secrets.api.metrics.exposition import Snapshot
from gql_secrets.api.metrics.workers import Restarts
from gql_secrets.domain.leases import LeaseState
from gql_secrets.service.figures import Figures
from gql_secrets.storage.dialect import ConnectionCounts

MONITORING = ROOT / "docs" / "monitoring"
NAMED = re.compile(r"(gql_secrets_\w+)(?:\{([^}]*)\})?")
# What Prometheus adds to every series, and what belongs to a bucket.
ADDED = {"job", "instance", "le"}


def metrics() -> list[Metric]:
    counters = Counters()
    counters.operations.observe("Clients", "ok")
    figures = Figures(1, 1, 1, 1, timedelta(1), {"SECRET_RESET": 1})
    snapshot = Snapshot(
        counters,
        figures,
        is_ready=True,
        can_change=True,
        streams=0,
        sockets=0,
        failed_reads=0,
        failed_writes=0,
        connections=ConnectionCounts(1, 1, 10),
        lease=LeaseState.HELD,
        revision_lag=0,
    )
    return [*snapshot.collect(), *Restarts().collect()]


def labels_by_sample() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for metric in metrics():
        for sample in metric.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def alerts() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return list(json.loads((MONITORING / "dashboard.json").read_text())["panels"])


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in alerts())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


def test_the_page_lists_every_metric_with_its_type_and_labels() -> None:
    rows = [cells for cells in page("docs/metrics.md").rows() if cells[0].startswith("`gql_secrets_")]
    listed = {cells[0].strip("`"): (cells[1], set(re.findall(r"`(\w+)`", cells[2]))) for cells in rows}
    served = {
        metric.name + ("_total" if metric.type == "counter" else ""): (
            metric.type,
            {label for sample in metric.samples for label in sample.labels if label != "le"},
        )
        for metric in metrics()
    }
    assert listed == served


def test_the_dashboard_and_the_alerts_name_metrics_and_labels_that_exist() -> None:
    served = labels_by_sample()
    for expression in expressions():
        named = NAMED.findall(expression)
        assert named, expression
        for name, matchers in named:
            assert name in served, expression
            for label in re.findall(r"(\w+)\s*=", matchers):
                assert label in served[name] | ADDED, expression
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            known = ADDED.union(*(served[name] for name, _ in named))
            assert set(grouped.replace(" ", "").split(",")) <= known, expression


def test_a_figure_of_the_installation_is_never_added_up_over_nodes() -> None:
    starred = [cells[0].strip("`") for cells in page("docs/metrics.md").rows() if cells[-1].endswith("*")]
    assert len(starred) == 10
    for expression in expressions():
        for name in starred:
            if name in expression:
                assert expression.startswith("max"), expression


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {name for panel in panels() for target in panel["targets"] for name, _ in NAMED.findall(target["expr"])}
    for metric in metrics():
        assert metric.name.endswith("build_info") or any(metric.name in name for name in shown), metric.name


def test_an_alert_says_what_it_is_and_how_urgent() -> None:
    for rule in alerts():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"].endswith(".")
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert label == "instance" or f"by ({label})" in rule["expr"]
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())


def test_no_two_panels_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())
