"""Of clients only what an operation needs is read: the value of a field does not depend on the others selected."""

from typing import Any

import pytest
from graphql import (
    FragmentDefinitionNode,
    GraphQLObjectType,
    OperationDefinitionNode,
    get_named_type,
    is_leaf_type,
    parse,
)
from support.callers import ADMIN, DAY, Made, use

from gql_secrets.api.graphql.client_parts import needed_parts
from gql_secrets.api.graphql.schema import build_schema
from gql_secrets.domain.access import Feature
from gql_secrets.domain.details import ClientDetails
from gql_secrets.graphql_server.selections import selected_fields
from gql_secrets.storage.client_rows import ClientPart
from gql_secrets.wiring import Services

SCHEMA = build_schema()._schema
SECRETS = ("currentSecret", "oldSecret")
ROOT_FIELDS = 15  # two aliases each, of at most 30


def leaves(type_name: str) -> list[str]:
    found = SCHEMA.type_map[type_name]
    assert isinstance(found, GraphQLObjectType)
    return [name for name, field in found.fields.items() if is_leaf_type(get_named_type(field.type))]


async def test_each_field_has_the_same_value_alone_and_with_all_others(
    gql: Any, services: Services, owner: Made
) -> None:
    """A field that needs more than what is read for it alone would be wrong here."""
    made = await services.clients.create_client(
        "Shop",
        by=ADMIN,
        description="Sells shoes",
        features=[Feature.VIEWER.value],
        allow_list=["198.51.100.0/24"],
        details=ClientDetails(contact="shop@example.com", labels=("team=shop",), maximum_age_days=30),
    )
    client_id = made.client.client_id
    await use(services, client_id, made.secret.reveal())
    await services.rotation.reset_secret(client_id, DAY, by=ADMIN)
    selections = leaves("Client")
    selections += [f"{secret} {{ {field} }}" for secret in SECRETS for field in leaves("ClientSecret")]

    query = "query ($id: ID!) {{ client(clientId: $id) {{ {} }} }}"
    together = await gql(query.format(" ".join(selections)), as_=owner, id=client_id)
    assert together.errors == []
    alone: dict[str, Any] = {secret: {} for secret in SECRETS}
    for begin in range(0, len(selections), ROOT_FIELDS):
        some = selections[begin : begin + ROOT_FIELDS]
        pages = (f"a{number}: clients {{ nodes {{ key: clientId {each} }} }}" for number, each in enumerate(some))
        answer = await gql(f"{{ {' '.join(pages)} }}", as_=owner)
        assert answer.errors == []
        for page in answer.data.values():
            [found] = [node for node in page["nodes"] if node["key"] == client_id]
            [(name, value)] = [item for item in found.items() if item[0] != "key"]
            if name in SECRETS:
                alone[name] |= value
            else:
                alone[name] = value

    assert alone == together.data["client"]
    assert alone["labels"] == ["team=shop"]
    assert alone["features"] == ["VIEWER"]
    assert alone["oldSecret"]["expiresAt"]


async def test_one_client_alone_has_each_of_its_parts(gql: Any, owner: Made) -> None:
    query = "query ($id: ID!) { client(clientId: $id) { %s } }"
    for selection in ("features", "viewerCanEdit", "inRollover", "currentSecret { createdBy }", "clientId"):
        whole = await gql(query % f"{selection} labels rollover {{ endsAt }}", as_=owner, id=owner.id)
        alone = await gql(query % selection, as_=owner, id=owner.id)
        assert alone.data["client"].items() <= whole.data["client"].items()


NOTHING = ClientPart(0)
CURRENT, OLD = ClientPart.CURRENT_SECRET, ClientPart.OLD_SECRET


@pytest.mark.parametrize(
    ("selection", "needed"),
    [
        ("nodes { id createdAt }", NOTHING),
        ("nodes { createdAt currentSecret { hint } }", CURRENT | ClientPart.HINTS),
        ("nodes { oldSecret { expiresAt createdAt } }", OLD | ClientPart.CREATION),
        ("nodes { ...Id oldSecret { ...Id } }", OLD | ClientPart.IDS),
        ("nodes { oldSecret { ...Id } ...Id }", OLD | ClientPart.IDS),
        ("edges { node { currentSecret { ... on Node { ...Id } } } }", CURRENT | ClientPart.IDS),
    ],
)
def test_of_secrets_only_what_is_selected_below_one_is_read(selection: str, needed: ClientPart) -> None:
    document = parse(f"{{ clients {{ {selection} }} }} fragment Id on Node {{ id }}")
    operation, fragment = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    assert isinstance(fragment, FragmentDefinitionNode)

    selected = selected_fields(operation.selection_set.selections, {"Id": fragment})  # type: ignore[arg-type]

    assert needed_parts(selected) == needed
