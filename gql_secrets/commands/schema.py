"""`gql-secrets schema`: the contract, printed."""

import typer


def schema() -> None:
    """Print the GraphQL schema, as schema.graphql holds it."""
    from gql_secrets.api.graphql.schema import print_schema  # noqa: PLC0415  the other commands start without it

    typer.echo(print_schema(), nl=False)
