"""The GraphQL API of the product: its schema, its callers, and the `/graphql` entry."""
