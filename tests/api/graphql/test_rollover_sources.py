"""The sources of a rollover, over GraphQL."""

from typing import Any

from support.callers import ADMIN, DAY, Made, is_good
from support.installation import MakeClient

from gql_secrets.wiring import Services

SOURCES = """query ($id: ID!) { client(clientId: $id) { rollover {
  sourcesMoved sourcesTotal
  sources { address userAgent state newSecretLastUsedAt oldSecretLastUsedAt }
} } }"""


async def test_an_operator_sees_who_has_moved_and_a_viewer_how_many(
    gql: Any, services: Services, client: Made, make_client: MakeClient
) -> None:
    assert await is_good(services, client.id, client.secret)
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    operator, viewer = await make_client("operator"), await make_client("viewer")

    rollover = (await gql(SOURCES, as_=operator, id=client.id))["client"]["rollover"]
    (source,) = rollover["sources"]
    assert source.pop("oldSecretLastUsedAt") is not None
    assert source == {
        "address": "198.51.100.7",
        "userAgent": "curl/8",
        "state": "STILL_OLD",
        "newSecretLastUsedAt": None,
    }
    assert (rollover["sourcesMoved"], rollover["sourcesTotal"]) == (0, 1)

    answer = await gql(SOURCES, as_=viewer, id=client.id)
    assert answer.codes == ["FORBIDDEN"]
    assert answer.data["client"]["rollover"] == {"sourcesMoved": 0, "sourcesTotal": 1, "sources": None}
