"""`/metrics`: what is counted under which labels."""

import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import encode_basic_auth
from aiohttp.test_utils import TestClient
from prometheus_client.parser import text_string_to_metric_families
from support.callers import ADMIN, DAY, HARD, Made
from support.installation import MakeClient

from gql_secrets.api.app import build_app
from gql_secrets.api.keys import SERVICES
from gql_secrets.api.metrics.counters import MAX_OPERATIONS, OTHER_OPERATION, OperationCounts, VerificationCounts
from gql_secrets.api.metrics.listener import build_metrics_app
from gql_secrets.graphql_server.documents import digest_of
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

Api = TestClient[Any, Any]
Labels = tuple[str, ...]


@pytest.fixture(autouse=True)
def _every_operation_without_plans_too() -> None:
    """Here each operation runs once: the second execution of the other tests would be counted too."""


@pytest.fixture
async def metrics(aiohttp_client: Any, api: Api) -> AsyncIterator[Api]:
    client: Api = await aiohttp_client(build_metrics_app(api.app))
    yield client
    await client.close()


async def read(metrics: Api) -> dict[str, dict[Labels, float]]:
    """Return each sample's name, and its values by labels in the order of their names."""
    answer = await metrics.get("/metrics")
    assert answer.status == 200
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(await answer.text()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": encode_basic_auth(client_id, secret)}


async def test_each_answer_of_verify_is_counted_by_verdict_and_reason(
    api: Api, metrics: Api, services: Services, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    good, ended, disabled = await make_client(), await make_client(), await make_client()
    narrow = await make_client(allow_list=["192.0.2.0/24"])
    await services.rotation.reset_secret(ended.id, HARD, by=ADMIN)
    await services.clients.set_client_enabled(disabled.id, enabled=False, by=ADMIN)
    with caplog.at_level(logging.DEBUG, "gql_secrets.api.gateway"):
        for client in (good, good, ended, disabled, narrow, Made(good.id, "wrong")):
            await api.get("/verify", headers=basic(client.id, client.secret))
    await api.get("/verify")
    await api.get("/verify", headers={"Authorization": "Bearer x"})

    found = await read(metrics)
    assert {labels: count for labels, count in found["gql_secrets_verifications_total"].items() if count} == {
        ("", "accepted"): 2,
        ("ENDED", "refused"): 1,
        ("DISABLED", "refused"): 1,
        ("ADDRESS", "refused"): 1,
        ("UNKNOWN", "refused"): 1,
        ("MISSING", "refused"): 1,
        ("MALFORMED", "refused"): 1,
    }
    assert found["gql_secrets_verification_seconds_count"][()] == 8
    assert found["gql_secrets_verification_seconds_bucket"][("+Inf",)] == 8
    assert 0 < found["gql_secrets_verification_seconds_sum"][()] < 8
    assert [record.__dict__["reason"] for record in caplog.records if record.msg == "verification_refused"] == [
        "ENDED",
        "DISABLED",
        "ADDRESS",
        "UNKNOWN",
    ]


async def test_an_unavailable_database_is_counted_and_leaves_the_figures_out(
    api: Api, metrics: Api, services: Services, owner: Made
) -> None:
    before = await read(metrics)
    assert before["gql_secrets_ready"][()] == before["gql_secrets_changes_possible"][()] == 1
    assert before["gql_secrets_database_errors_total"] == {("read",): 0, ("write",): 0}
    await services.lookup.close()
    await services.database.close()
    assert (await api.get("/verify", headers=basic(owner.id, owner.secret))).status == 503
    found = await read(metrics)
    assert found["gql_secrets_verifications_total"]["", "unavailable"] == 1
    assert found["gql_secrets_database_errors_total"]["read",] >= 1
    assert found["gql_secrets_ready"][()] == found["gql_secrets_changes_possible"][()] == 0
    assert "gql_secrets_rollovers" in before
    assert "gql_secrets_rollovers" not in found


async def test_connections_and_the_lease_are_those_of_a_node_on_postgresql(
    api: Api, metrics: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has neither."""
    monkeypatch.setattr("gql_secrets.storage.node_lease._HELD_NANOSECONDS", 10**12)
    membership = api.app[SERVICES].membership
    if membership is not None:
        membership.lease.extend(membership.lease.read_clocks(), time.time_ns() // 1000)
    found = await read(metrics)
    if membership is None:
        assert not {"gql_secrets_database_connections", "gql_secrets_lease_held"} & found.keys()
        return
    connections = found["gql_secrets_database_connections"]
    assert connections["in_use",] + connections["idle",] > 0
    assert found["gql_secrets_database_connections_limit"][()] == 10
    assert found["gql_secrets_lease_held"][()] == 1
    membership.stop()
    assert (await read(metrics))["gql_secrets_lease_held"][()] == 0


async def test_an_operation_has_its_name_only_if_its_document_is_a_known_one(
    aiohttp_client: Any, settings: Settings, tmp_path: Path
) -> None:
    """A caller chooses the names in its own documents: as labels they would be unbounded, or hold a secret."""
    query = "query Mine { viewer { name } }"
    manifest = tmp_path / "documents.json"
    manifest.write_bytes(orjson.dumps({digest_of(query): query}))
    app = build_app(replace(settings, trusted_documents=str(manifest)))
    api: Api = await aiohttp_client(app)
    metrics: Api = await aiohttp_client(build_metrics_app(app))
    await api.post("/graphql", json={"query": query})
    await api.post("/graphql", json={"query": "query Theirs { viewer { name } }"})
    found = (await read(metrics))["gql_secrets_graphql_operations_total"]
    assert found == {("Mine", "ok"): 1, (OTHER_OPERATION, "BAD_REQUEST"): 1}


async def test_an_operation_of_an_unknown_document_is_other(api: Api, metrics: Api, owner: Made) -> None:
    for query in (
        "query Secret { viewer { name } }",
        "query Q($id: ID!) { client(clientId: $id) { name } }",
        "{ nothing }",
        "{ client(clientId: 7) { name } }",
    ):
        await api.post("/graphql", json={"query": query}, headers=basic(owner.id, owner.secret))
    await api.post("/graphql", json={"query": '{ client(clientId: "x") { name } }'})
    found = (await read(metrics))["gql_secrets_graphql_operations_total"]
    assert found == {
        (OTHER_OPERATION, "ok"): 2,
        (OTHER_OPERATION, "BAD_REQUEST"): 2,
        (OTHER_OPERATION, "UNAUTHENTICATED"): 1,
    }


def test_names_and_outcomes_are_bounded() -> None:
    counts = OperationCounts()
    for number in range(2 * MAX_OPERATIONS):
        counts.observe(f"Query{number}", "ok")
    assert len(counts.counts) == MAX_OPERATIONS + 1
    assert counts.counts.total() == 2 * MAX_OPERATIONS


async def test_no_label_holds_a_client_or_a_secret(
    api: Api, metrics: Api, services: Services, make_client: MakeClient
) -> None:
    client = await make_client()
    done = await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    secrets = (client.secret, done.new_secret.reveal())
    for secret in secrets:
        await api.get("/verify", headers=basic(client.id, secret))
    text = await (await metrics.get("/metrics")).text()
    assert "gql_secrets_rollovers 1.0" in text
    assert not any(each in text for each in (client.id, *secrets))


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("*/*", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text")],
)
async def test_both_formats_are_served(metrics: Api, accept: str, content_type: str) -> None:
    answer = await metrics.get("/metrics", headers={"Accept": accept})
    text = await answer.text()
    assert answer.content_type == content_type
    assert "process_resident_memory_bytes" in text
    assert text.endswith("# EOF\n") is (content_type != "text/plain")


async def test_the_server_itself_has_no_metrics(api: Api) -> None:
    assert (await api.get("/metrics")).status == 404
    assert api.app[SERVICES] is not None


@pytest.mark.parametrize(("seconds", "bound"), [(0, "0.0001"), (0.0001, "0.0001"), (0.00011, "0.00025"), (9, "+Inf")])
def test_a_time_is_in_the_bucket_of_the_first_bound_that_it_does_not_exceed(seconds: float, bound: str) -> None:
    counts = VerificationCounts()
    counts.record(counts.accepted, seconds)
    assert next(name for name, count in counts.cumulated() if count) == bound
