"""What speaks: GraphQL, the /clients endpoints, gateway verification, the console."""
