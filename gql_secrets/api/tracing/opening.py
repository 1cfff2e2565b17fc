"""Whether this server makes traces. Only this module may be imported where the extra is not installed."""

import os
from typing import TYPE_CHECKING, Final

from gql_secrets.domain.errors import SetupError
from gql_secrets.settings import Settings

if TYPE_CHECKING:
    from gql_secrets.api.tracing.spans import Tracing

_PROTOCOL: Final = "http/protobuf"
_PROTOCOL_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def open_tracing(settings: Settings) -> "Tracing | None":
    """Return what makes the traces and sends them to a collector, or None where the setting is off.

    Raises:
        SetupError: the extra is not installed, or the collector is to be reached by another protocol.
    """
    if settings.tracing == "off":
        return None
    for variable in _PROTOCOL_VARIABLES:
        if os.environ.get(variable, _PROTOCOL) != _PROTOCOL:
            raise SetupError(f"{variable} must be {_PROTOCOL}: traces are sent by no other protocol.")
    try:
        from gql_secrets.api.tracing.exporting import sending_to_collector  # noqa: PLC0415  only where it is installed
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "opentelemetry":
            raise
        raise SetupError(
            "GQL_SECRETS_TRACING is on, but OpenTelemetry is not installed. Install it with "
            "pip install 'gql-secrets[otel]', or set GQL_SECRETS_TRACING to off."
        ) from missing
    return sending_to_collector()
