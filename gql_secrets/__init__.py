"""gql-secrets: changes an API client's secret without an outage."""

__version__ = "0.1.0"
