"""The queries: pages, filters, and global ids as a frontend uses them."""

from typing import Any

import pytest
from support.callers import ADMIN, DAY, Made
from support.installation import MakeClient

from gql_secrets.wiring import Services

# What the database does is tested in tests/service/test_queries.py, on both kinds.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

NAMES = "{ nodes { name } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }"


def names(connection: Any) -> list[str]:
    return [node["name"] for node in connection["nodes"]]


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ("first: 1, last: 1", "last"),
        ("first: 0, last: 0", "last"),
        ('last: 1, before: "x"', "before"),
        ('first: 1, after: "x"', "after"),
        ('after: "x"', "after"),
        ('before: "x"', "before"),
        ('first: 1, before: "x"', "before"),
        ('last: 1, after: "x"', "after"),
        ("first: 101", "first"),
        ("last: -1", "last"),
    ],
)
async def test_a_page_that_is_refused_names_its_argument(arguments: str, argument: str, gql: Any, owner: Made):
    answer = await gql(f"{{ clients({arguments}) {NAMES} }}", as_=owner)
    assert answer.codes == ["BAD_REQUEST"]
    assert answer.errors[0]["extensions"]["argument"] == argument


@pytest.mark.parametrize("arguments", ["last: 2", "first: null, last: 2", "first: null, after: null, last: 2"])
async def test_null_arguments_of_a_page_are_omitted_ones(
    arguments: str, gql: Any, owner: Made, make_client: MakeClient
):
    """Relay sends the arguments of both directions, the unused ones as null."""
    for name in ("one", "two"):
        await make_client(name=name)
    forward = (await gql(f"{{ clients {NAMES} }}", as_=owner))["clients"]
    assert len(names(forward)) == 3
    assert names((await gql(f"{{ clients({arguments}) {NAMES} }}", as_=owner))["clients"]) == names(forward)[1:]


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        ("null", {"gql-secrets owner", "rolling", "resting"}),
        ("{}", {"gql-secrets owner", "rolling", "resting"}),
        ("{inRollover: null}", {"gql-secrets owner", "rolling", "resting"}),
        ("{inRollover: true}", {"rolling"}),
        ("{inRollover: false}", {"gql-secrets owner", "resting"}),
    ],
)
async def test_clients_are_filtered_by_their_rollover(
    filter_: str, found: set[str], gql: Any, owner: Made, make_client: MakeClient, services: Services
):
    await make_client(name="resting")
    rolling = await make_client(name="rolling")
    await services.rotation.reset_secret(rolling.id, DAY, by=ADMIN)
    await services.clients.update_client(owner.id, name="gql-secrets owner", by=ADMIN)
    assert set(names((await gql(f"{{ clients(filter: {filter_}) {NAMES} }}", as_=owner))["clients"])) == found


async def test_features_are_the_values_of_an_enum(gql: Any, owner: Made, make_client: MakeClient):
    features = ["owner", "operator", "viewer", "access_issuer", "direct_access", "direct_read_access", "login_client"]
    client = await make_client(*features)
    answer = await gql(f'{{ client(clientId: "{client.id}") {{ features }} }}', as_=owner)
    assert sorted(answer["client"]["features"]) == sorted(feature.upper() for feature in features)
