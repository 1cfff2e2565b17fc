"""The mutations of clients: success, refused value, last owner, audit (not allowed: test_roles.py)."""

from typing import Any, Final

import pytest
from support.callers import Made, is_good, verify
from support.clocks import HOUR, Clock
from support.mutations import CREATE, DELETE, ENABLE, RESET, UPDATE

from gql_secrets.service.verification import Accepted
from gql_secrets.wiring import Services


async def test_a_client_is_created_with_its_first_secret(gql: Any, owner: Made, services: Services):
    payload = (
        await gql(CREATE, as_=owner, name=" Billing ", description="d", features=["VIEWER"], allowList=["10.0.0.0/8"])
    )["createClient"]
    made = payload["client"]
    assert (made["name"], made["description"], made["features"], made["allowList"]) == (
        "Billing",
        "d",
        ["VIEWER"],
        ["10.0.0.0/8"],
    )
    assert (made["enabled"], made["generation"], made["currentSecret"]["state"]) == (True, 1, "CURRENT")
    assert isinstance(await verify(services, made["clientId"], payload["secret"], "10.1.2.3"), Accepted)


BAD: Final = [
    ({"name": " "}, "INVALID_NAME", ["name"]),
    ({"name": "x" * 201}, "INVALID_NAME", ["name"]),
    ({"name": "a\nb"}, "INVALID_NAME", ["name"]),
    ({"description": "x" * 2001}, "INVALID_DESCRIPTION", ["description"]),
    ({"allowList": []}, "INVALID_ALLOW_LIST", ["allowList"]),
    ({"allowList": ["10.0.0.1/8"]}, "INVALID_ALLOW_LIST", ["allowList"]),
]


@pytest.mark.parametrize(("given", "code", "field"), BAD)
@pytest.mark.parametrize("mutation", [CREATE, UPDATE])
async def test_invalid_values_of_a_client_are_refused(
    mutation: str, given: dict[str, Any], code: str, field: list[str], gql: Any, owner: Made, client: Made
):
    variables = {"name": "Fine", **given, **({"id": client.id} if mutation is UPDATE else {})}
    answer = await gql(mutation, as_=owner, **variables)
    [payload] = answer.data.values()
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [(code, field)]
    for value in given.values():
        assert str(value).strip("[]'") in ("", " ") or str(value) not in str(answer.data)


@pytest.mark.parametrize("feature", ["root", "viewer", "", "VIEWER "])
@pytest.mark.parametrize("mutation", [CREATE, UPDATE])
async def test_an_unknown_feature_is_not_a_valid_request(
    mutation: str, feature: str, gql: Any, owner: Made, client: Made
):
    """Features are an enum, so that explorers complete them; the lower-case words belong to the CLI and /clients."""
    variables = {"name": "Fine", "features": [feature], **({"id": client.id} if mutation is UPDATE else {})}
    answer = await gql(mutation, as_=owner, **variables)
    assert answer.codes == ["BAD_REQUEST"]
    assert answer.data is None


async def test_an_update_changes_only_the_given_values(gql: Any, owner: Made, client: Made):
    first = (await gql(UPDATE, as_=owner, id=client.id, description="d", features=["LOGIN_CLIENT"]))["updateClient"]
    assert first["client"]["generation"] == 2
    second = (await gql(UPDATE, as_=owner, id=client.id, name="New", description=""))["updateClient"]["client"]
    assert second == {
        "name": "New",
        "description": None,
        "features": ["LOGIN_CLIENT"],
        "allowList": ["0.0.0.0/0", "::/0"],
        "generation": 3,
    }
    unchanged = (await gql(UPDATE, as_=owner, id=client.id, name="New"))["updateClient"]["client"]
    assert unchanged["generation"] == 3


async def test_a_disabled_client_is_refused_and_its_old_secret_expires(
    gql: Any, owner: Made, client: Made, services: Services, clock: Clock
):
    await gql(RESET, as_=owner, id=client.id, hours=1)
    await gql(ENABLE, as_=owner, id=client.id, enabled=False)
    assert not await is_good(services, client.id, client.secret)
    clock.move(HOUR)
    await gql(ENABLE, as_=owner, id=client.id, enabled=True)
    assert not await is_good(services, client.id, client.secret)


@pytest.mark.parametrize(
    ("mutation", "variables"), [(ENABLE, {"enabled": False}), (DELETE, {}), (UPDATE, {"features": ["VIEWER"]})]
)
async def test_the_last_owner_cannot_be_removed(mutation: str, variables: dict[str, Any], gql: Any, owner: Made):
    answer = await gql(mutation, as_=owner, id=owner.id, **variables)
    [payload] = answer.data.values()
    assert [error["code"] for error in payload["userErrors"]] == ["LAST_OWNER"]


async def test_an_owner_cannot_exclude_its_own_address(gql: Any, owner: Made):
    payload = (await gql(UPDATE, as_=owner, id=owner.id, allowList=["203.0.113.0/24"]))["updateClient"]
    assert [error["code"] for error in payload["userErrors"]] == ["INVALID_ALLOW_LIST"]
    payload = (await gql(UPDATE, as_=owner, id=owner.id, allowList=["127.0.0.0/8"]))["updateClient"]
    assert payload["userErrors"] == []


async def test_the_audit_of_a_deleted_client_is_kept(gql: Any, owner: Made, client: Made, services: Services):
    answer = await gql(DELETE, as_=owner, id=client.id)
    assert answer["deleteClient"]["deletedClientId"] == client.id
    assert not await is_good(services, client.id, client.secret)
    events = f'auditEvents(clientId: "{client.id}") {{ nodes {{ action }} }}'
    answer = await gql(f'{{ client(clientId: "{client.id}") {{ name }} {events} }}', as_=owner)
    assert answer["client"] is None
    assert [event["action"] for event in answer["auditEvents"]["nodes"]] == ["CLIENT_DELETED", "CLIENT_CREATED"]
