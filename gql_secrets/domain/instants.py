"""Instants as text: RFC 3339, in UTC."""

from datetime import UTC, datetime


def rfc3339(instant: datetime) -> str:
    """Return the instant with its microseconds, if it has any."""
    in_utc = instant if instant.tzinfo is UTC else instant.astimezone(UTC)
    return in_utc.replace(tzinfo=None).isoformat() + "Z"  # an offset would take as long as the rest


def rfc3339_seconds(instant: datetime) -> str:
    """Return the instant, truncated to whole seconds."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
