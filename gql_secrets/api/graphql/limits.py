"""The limits of this product's GraphQL endpoint."""

from typing import Final

from gql_secrets.graphql_server.limits import Limits

# The cost allows what frontends select for one page: every plain field of 100 clients, both secrets and the rollover of
# 50, both secrets of a Relay page of 100, or everything about one client.
LIMITS: Final = Limits(cost=15_000)
