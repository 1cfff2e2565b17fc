"""Traces: which spans there are, whose they are, and that they hold nothing of anybody."""

import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import encode_basic_auth
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from support.callers import ADMIN, HARD, Made
from support.event_streams import open_event_stream
from support.installation import MakeClient
from support.leaks import Issued
from support.sockets import open_socket

from gql_secrets.api.app import build_app
from gql_secrets.api.keys import SERVICES
from gql_secrets.api.tracing.spans import Tracing
from gql_secrets.api.web.aiohttp_internals.server import BoundedRunner
from gql_secrets.graphql_server.documents import digest_of
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

Api = TestClient[Any, Any]
KNOWN = "query Mine($id: ID!) { client(clientId: $id) { name } }"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
SERVER_KEYS = {
    "http.request.method",
    "http.route",
    "http.response.status_code",
    "graphql.operation.type",
    "graphql.operation.name",
    "error.type",
}


@pytest.fixture(autouse=True)
def _every_operation_without_plans_too() -> None:
    """Here each operation runs once: the second execution of the other tests would have spans too."""


class Collector:
    """Keeps the spans that a server made."""

    def __init__(self, **options: Any) -> None:
        self._kept = InMemorySpanExporter()
        self._provider = TracerProvider(shutdown_on_exit=False, **options)
        self._provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracing = Tracing(self._provider, self._close)
        self.is_closed = False

    async def _close(self) -> None:
        self.is_closed = True

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._kept.get_finished_spans()

    @property
    def requests(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.kind is SpanKind.SERVER]

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def below(self, parent: ReadableSpan) -> list[str]:
        found = [span for span in self.spans if span.parent and span.parent.span_id == parent.context.span_id]
        assert all(span.context.trace_id == parent.context.trace_id for span in found)
        return [span.name for span in found]

    def clear(self) -> None:
        self._kept.clear()


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, trusted_proxies="127.0.0.1")


@pytest.fixture
async def api(aiohttp_client: Any, settings: Settings, collector: Collector) -> AsyncIterator[Api]:
    client: Api = await aiohttp_client(build_app(settings, tracing=collector.tracing))
    collector.clear()
    yield client
    await client.close()
    assert collector.is_closed


def basic(made: Made) -> dict[str, str]:
    return {"Authorization": encode_basic_auth(made.id, made.secret)}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_request_has_one_span_with_its_route_and_its_status(api: Api, collector: Collector) -> None:
    await api.get("/livez?token=abc")
    [span] = collector.spans
    assert (span.name, span.kind, span.parent) == ("GET /livez", SpanKind.SERVER, None)
    assert attributes(span) == {
        "http.request.method": "GET",
        "http.route": "/livez",
        "http.response.status_code": 200,
    }
    assert span.status.status_code is StatusCode.UNSET


async def test_a_path_without_a_route_and_an_unknown_method_are_not_in_the_span(api: Api, collector: Collector) -> None:
    await api.request("PROPFIND", "/privatepath")
    [span] = collector.spans
    assert span.name == "HTTP"
    assert attributes(span) == {"http.request.method": "_OTHER", "http.response.status_code": 404}


async def test_the_reads_and_transactions_of_a_request_are_below_its_span(
    api: Api, collector: Collector, owner: Made
) -> None:
    await api.get("/livez")
    mutation = 'mutation { createClient(name: "x") { client { name } userErrors { code } } }'
    answer = await (await api.post("/graphql", json={"query": mutation}, headers=basic(owner))).json()
    assert answer["data"]["createClient"]["userErrors"] == []
    _, request = collector.requests
    assert request.name == "POST /graphql"
    assert attributes(request)["graphql.operation.type"] == "mutation"
    below = collector.below(request)
    assert "transaction" in below
    assert set(below) <= {"read", "transaction"}
    # Nothing but these: what runs in the background has no spans.
    assert len(collector.spans) == len(below) + 2
    system = "postgresql" if api.app[SERVICES].database.dialect.name == "postgres" else "sqlite"
    assert {attributes(span)["db.system.name"] for span in collector.spans if span.kind is SpanKind.CLIENT} == {system}


async def test_an_operation_has_its_name_only_if_its_document_is_a_known_one(
    aiohttp_client: Any, settings: Settings, collector: Collector, tmp_path: Path
) -> None:
    """A caller chooses the names in its own documents: they may hold anything."""
    manifest = tmp_path / "documents.json"
    manifest.write_bytes(orjson.dumps({digest_of(KNOWN): KNOWN}))
    settings = replace(settings, trusted_documents=str(manifest))
    api: Api = await aiohttp_client(build_app(settings, tracing=collector.tracing))
    await api.post("/graphql", json={"query": KNOWN, "variables": {"id": "x"}})
    await api.post("/graphql", json={"query": KNOWN.replace("Mine", "Theirs"), "variables": {"id": "x"}})
    known, unknown = [attributes(span) for span in collector.requests]
    assert (known["graphql.operation.type"], known["graphql.operation.name"]) == ("query", "Mine")
    assert known["error.type"] == "UNAUTHENTICATED"
    assert "graphql.operation.name" not in unknown
    assert unknown["error.type"] == "BAD_REQUEST"


async def test_the_span_of_an_operation_that_failed_is_an_error(
    api: Api, collector: Collector, services: Services, owner: Made
) -> None:
    await services.database.close()
    answer = await api.post("/graphql", json={"query": "{ viewer { name } }"}, headers=basic(owner))
    assert answer.status == 503
    [request] = collector.requests
    assert request.status.status_code is StatusCode.ERROR
    assert request.status.description is None
    assert not request.events  # an exception's message may hold anything


class TestTheTraceOfAProxy:
    async def test_the_span_of_a_trusted_proxy_is_the_parent(
        self, api: Api, collector: Collector, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            await api.get("/livez", headers={"traceparent": TRACEPARENT})
        [span] = collector.spans
        assert span.parent is not None
        assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
        assert f"{span.context.trace_id:032x}" == TRACE
        [line] = [record.__dict__ for record in caplog.records if record.msg == "request"]
        assert line["trace_id"] == TRACE

    async def test_what_the_proxy_does_not_sample_is_not_sampled(self, api: Api, collector: Collector) -> None:
        await api.get("/livez", headers={"traceparent": TRACEPARENT.removesuffix("01") + "00"})
        assert collector.spans == ()

    async def test_a_trace_of_anybody_else_is_ignored(
        self, aiohttp_client: Any, settings: Settings, collector: Collector, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = build_app(replace(settings, trusted_proxies=""), tracing=collector.tracing)
        api: Api = await aiohttp_client(app)
        with caplog.at_level(logging.INFO):
            await api.get("/livez", headers={"traceparent": TRACEPARENT})
        [span] = collector.spans
        assert span.parent is None
        [line] = [record.__dict__ for record in caplog.records if record.msg == "request"]
        assert line["trace_id"] == f"{span.context.trace_id:032x}" != TRACE


class TestStreams:
    """They may last for days, and a span reaches the collector only at its end."""

    async def test_the_span_of_an_event_stream_ends_as_the_stream_begins(
        self, api: Api, collector: Collector, owner: Made
    ) -> None:
        async with open_event_stream(api, basic(owner)):
            [span] = collector.requests
            assert attributes(span)["graphql.operation.type"] == "subscription"
            assert attributes(span)["http.response.status_code"] == 200
            collector.clear()
            await api.app[SERVICES].clients.create_client(by=ADMIN, name="x")
        assert collector.spans == ()

    async def test_the_operations_of_a_socket_have_spans_of_their_own(
        self, api: Api, collector: Collector, owner: Made
    ) -> None:
        async with open_socket(api) as socket:
            await socket.initialise(owner)
            [handshake] = collector.requests
            assert attributes(handshake)["http.response.status_code"] == 101
            collector.clear()
            await socket.answer("query Mine { clients(first: 1) { totalCount } }")
            [operation] = collector.requests
        assert operation.name == "query"
        assert attributes(operation) == {"graphql.operation.type": "query"}
        assert operation.parent is None
        assert [link.context.span_id for link in operation.links] == [handshake.context.span_id]
        assert collector.below(operation)


@contextlib.asynccontextmanager
async def as_served(settings: Settings, tracing: Tracing | None) -> AsyncIterator[tuple[Api, Services]]:
    """The application as `gql-secrets serve` runs it, with the fast path of `/verify`."""
    app = build_app(settings, tracing=tracing)

    class Server(TestServer):
        async def _make_runner(self, **_options: Any) -> BoundedRunner:
            return BoundedRunner(app)

    async with TestClient(Server(app)) as api:
        yield api, app[SERVICES]


class TestVerifications:
    async def test_each_has_a_span(self, settings: Settings, collector: Collector, client: Made) -> None:
        async with as_served(settings, collector.tracing) as (api, _):
            collector.clear()
            for made in (client, Made(client.id, "wrong")):
                await api.get("/verify/some/path", headers=basic(made) | {"traceparent": TRACEPARENT})
        spans = collector.requests
        assert [(span.name, attributes(span)["http.response.status_code"]) for span in spans] == [
            ("GET /verify", 200),
            ("GET /verify", 401),
        ]
        assert {f"{span.context.trace_id:032x}" for span in spans} == {TRACE}

    async def test_what_is_not_sampled_has_no_span(self, settings: Settings, client: Made) -> None:
        collector = Collector(sampler=ALWAYS_OFF)
        async with as_served(settings, collector.tracing) as (api, _):
            assert (await api.get("/verify", headers=basic(client))).status == 200
            assert (await api.get("/livez")).status == 200
        assert collector.spans == ()


async def test_no_span_holds_a_secret_an_id_a_variable_or_a_document(
    settings: Settings, collector: Collector, owner: Made, make_client: MakeClient
) -> None:
    other = await make_client(name="Nameofaclient")
    issued = Issued([owner.secret, other.secret])
    query = "query Mydocument($id: ID!) { client(clientId: $id) { name secrets(first: 2) { nodes { hint } } } }"
    reset = "mutation Myreset($id: ID!) { resetSecret(clientId: $id, hoursToLive: 24) { newSecret } }"
    async with as_served(settings, collector.tracing) as (api, services):
        headers = basic(owner) | {"X-Forwarded-For": "198.51.100.77", "User-Agent": "agentofacaller"}
        for document in (query, reset, query, "{ broken(", "{ client(clientId: 7) { name } }"):
            body = {"query": document, "variables": {"id": other.id}, "operationName": None}
            answer = await (await api.post("/graphql", json=body, headers=headers)).json()
            if document == reset:
                issued.add(answer["data"]["resetSecret"]["newSecret"])
        await api.get("/verify/privatepath?token=privatequery", headers=basic(other))
        await api.get("/verify", headers=basic(other) | {"X-Forwarded-For": "not an address"})
        await api.post("/clients/reset_secret", data={"for_client_id": other.id, "hours": "privatebody"})
        await api.get("/privatepath", headers=headers)
        await services.rotation.reset_secret(other.id, HARD, by=ADMIN)
        async with open_event_stream(api, basic(owner)):
            pass
        async with open_socket(api) as socket:
            await socket.initialise(owner)
            await socket.answer(query, variables={"id": other.id})
    assert len(collector.requests) >= 10
    assert all(set(attributes(span)) <= SERVER_KEYS for span in collector.requests)
    assert all(
        set(attributes(span)) <= {"db.system.name", "error.type"}
        for span in collector.spans
        if span not in collector.requests
    )
    everything = "\n".join(span.to_json() for span in collector.spans)
    assert issued.found_in(everything.encode()) == set()
    private = (
        owner.id,
        other.id,
        "Nameofaclient",
        "Mydocument",
        "Myreset",
        "198.51.100.77",
        "127.0.0.1",
        "agentofacaller",
        "private",
        "SELECT",
        "clientId",
        "gqls_",
    )
    assert [text for text in private if text in everything] == []
