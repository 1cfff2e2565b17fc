"""Traces that are sent to a collector by OTLP over HTTP, as the variables `OTEL_…` of OpenTelemetry say."""

import asyncio
import threading
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from gql_secrets import __version__
from gql_secrets.api.tracing.spans import Tracing

# How long a server that stops tries to send its last spans. A collector that does not answer must not hold it.
_SECONDS_TO_SEND: Final = 3.0
_TICK: Final = 0.02
_UNNAMED: Final = "unknown_service"


def sending_to_collector() -> Tracing:
    """Return what makes spans, and sends them from a thread of its own."""
    resource = Resource.create({"service.version": __version__})
    if str(resource.attributes.get(SERVICE_NAME, _UNNAMED)).startswith(_UNNAMED):
        resource = resource.merge(Resource({SERVICE_NAME: "gql-secrets"}))
    # Not at the exit of the process, where it could take 30 seconds: `close` sends what is left.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))

    async def close() -> None:
        last = threading.Thread(target=provider.shutdown, daemon=True)
        last.start()
        deadline = asyncio.get_running_loop().time() + _SECONDS_TO_SEND
        while last.is_alive() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110  a thread
            await asyncio.sleep(_TICK)

    return Tracing(provider, close)
