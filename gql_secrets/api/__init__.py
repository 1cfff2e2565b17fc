"""The HTTP interfaces: GraphQL, the /clients endpoints, gateway verification, the console."""
