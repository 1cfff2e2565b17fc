"""Objects that lists make without `__init__` are those that it would make."""

import pytest
from support.callers import ADMIN, DAY, Made

from gql_secrets.api.graphql.context import Context
from gql_secrets.api.graphql.types.client import Client
from gql_secrets.api.graphql.types.secret import ClientSecret
from gql_secrets.wiring import Services


@pytest.fixture
async def context(services: Services) -> Context:
    return Context(services, ADMIN, "request-1")


async def test_clients_and_secrets_of_a_list_have_everything_that_their_classes_give_them(
    services: Services, context: Context, client: Made
) -> None:
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    row = (await services.queries.find_clients([client.id]))[client.id]

    made = Client.maker(context)(row)
    assert vars(made) == vars(Client.of(row, context))
    for secret_row, secret in (
        (row.current_secret, made.current_secret()),
        (row.old_secret, made.old_secret()),
    ):
        assert secret_row is not None
        assert secret == ClientSecret(row=secret_row)
