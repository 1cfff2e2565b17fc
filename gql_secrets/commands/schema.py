"""`gql-secrets schema`: print the GraphQL schema."""

from gql_secrets.commands.output import write_text


def schema() -> None:
    """Print the GraphQL schema in the schema definition language."""
    from gql_secrets.api.graphql.schema import print_schema

    write_text(print_schema())
