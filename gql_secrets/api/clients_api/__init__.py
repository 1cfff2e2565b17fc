"""The /clients API: calls that are compatible with the vendor's /clients documentation, for scripts written for it.

Its wire format (`for_client_id`, `whitelist`, `stat`) stays within this package. Every call uses the same services as
GraphQL does.
"""

from gql_secrets.api.clients_api.routes import add_clients_api_routes

__all__ = ["add_clients_api_routes"]
