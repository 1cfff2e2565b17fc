"""Traces for OpenTelemetry, an extra: without it everything else works."""
