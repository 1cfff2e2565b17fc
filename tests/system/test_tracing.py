"""A real server sends its traces to a collector, and needs neither the collector nor the extra."""

import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiohttp import encode_basic_auth
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.leaks import Issued
from support.serving import environment, serving

# As where the extra is not installed.
WITHOUT_THE_EXTRA = "import sys; sys.modules['opentelemetry'] = None; "
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Collector(ThreadingHTTPServer):
    """Takes traces by OTLP over HTTP."""

    def __init__(self) -> None:
        received = self.received = list[bytes]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                received.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(url: str, headers: dict[str, str] | None = None) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {})) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def test_what_was_not_sent_yet_is_sent_when_the_server_stops(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")  # nothing is sent before the end
    with serving(tmp_path, tracing="on") as server:
        client_id, _, secret = server.owner.partition(":")
        basic = {"Authorization": encode_basic_auth(client_id, secret)}
        statuses = [ask(f"{server.url}{path}", basic) for path in ("/verify", "/livez", "/private?x=private")]
        assert server.stop() == 0
        assert "opentelemetry" not in server.stderr
    assert statuses == [200, 200, 404]
    sent = [ExportTraceServiceRequest.FromString(body) for body in collector.received]
    resources = [spans.resource for each in sent for spans in each.resource_spans]
    services = {each.value.string_value for each in resources[0].attributes if each.key == "service.name"}
    assert services == {"gql-secrets"}
    names = {
        span.name
        for each in sent
        for resource in each.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    assert names >= {"GET /verify", "GET /livez", "GET"}
    everything = b"".join(collector.received)
    assert Issued([secret]).found_in(everything) == set()
    assert client_id.encode() not in everything
    assert b"private" not in everything


def test_a_collector_that_does_not_answer_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with serving(tmp_path, tracing="on") as server:
            assert ask(f"{server.url}/livez") == 200
            assert server.stop() == 0


@pytest.mark.parametrize(
    ("code", "variables", "sentence"),
    [
        (WITHOUT_THE_EXTRA, {}, "pip install 'gql-secrets[otel]'"),
        ("", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf"),
    ],
    ids=["without the extra", "by another protocol"],
)
def test_a_server_that_cannot_trace_as_asked_says_so_and_does_not_start(
    tmp_path: Path, code: str, variables: dict[str, str], sentence: str
) -> None:
    code += "from gql_secrets.cli import main; sys.argv[1:] = ['serve', '--port', '0']; main()"
    started = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}"],
        cwd=tmp_path,
        env=environment({"tracing": "on"}) | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode != 0
    assert sentence in started.stderr
    assert "Traceback" not in started.stderr
    assert started.stdout == ""


def test_without_the_extra_a_server_starts(tmp_path: Path) -> None:
    code = (
        WITHOUT_THE_EXTRA + "from gql_secrets.api.app import build_app; from gql_secrets.settings import Settings; "
        "from gql_secrets.api.tracing.opening import open_tracing; settings = Settings(); "
        "build_app(settings, tracing=open_tracing(settings)); print('built')"
    )
    built = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment({}), capture_output=True, text=True, check=False
    )
    assert (built.stdout, built.stderr) == ("built\n", "")
