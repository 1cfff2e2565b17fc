"""The GraphQL dialect."""
