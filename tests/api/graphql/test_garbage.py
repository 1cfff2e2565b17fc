"""An operation leaves nothing of ours for the garbage collector, which makes others wait while it collects."""

from typing import Any

import pytest
from support.callers import Made
from support.frontend_pages import PAGES
from support.garbage import garbage
from support.installation import MakeClient

from gql_secrets.api.keys import GRAPHQL
from gql_secrets.domain.access import Feature

# The failure of a field refers to the frames that it passed, and they to all that the operation used.
REFUSED = """query ($id: ID!) {
  client(clientId: $id) { currentSecret { lastUsedAt } auditEvents { totalCount } unknownSecretAttempts }
  viewer { name }
}"""
ONE_CLIENT = "query ($id: ID!) { client(clientId: $id) { name currentSecret { hint } } }"
QUERIES = {
    **{name: page.query for name, page in PAGES.items()},
    "refused fields": REFUSED,
    "one client": ONE_CLIENT,
}


@pytest.mark.parametrize("name", QUERIES)
async def test_an_operation_leaves_no_garbage(
    name: str, api: Any, gql: Any, make_client: MakeClient, client: Made
) -> None:
    viewer = await make_client(Feature.VIEWER)
    documents = api.app[GRAPHQL].engine.documents
    variables = {"id": client.id} if "$id" in QUERIES[name] else {}
    for _ in range(3):  # the third time, it is known on its arrival
        assert (await gql(QUERIES[name], as_=viewer, **variables)).data
    with garbage() as found:
        await gql(QUERIES[name], as_=viewer, **variables)
        documents.clear()
    assert found == {}
