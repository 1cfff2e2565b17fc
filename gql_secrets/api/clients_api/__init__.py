"""The /clients dialect: the endpoint of seed B (004_dfe5e4bedb074827.txt) and its family, for scripts that have them.

The wire's own words (`for_client_id`, `whitelist`, `stat`) are spelled here and nowhere else. Every call acts through
the same services as GraphQL does.
"""

from gql_secrets.api.clients_api.routes import add_clients_api_routes

__all__ = ["add_clients_api_routes"]
