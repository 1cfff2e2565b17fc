"""What each call does."""

import json
from typing import Any

import pytest
from aiohttp import encode_basic_auth
from aiohttp.test_utils import TestClient
from support.callers import Made, is_good, verify
from support.clients_api import CallClients, on_sqlite
from support.installation import MakeClient

from gql_secrets.domain.errors import Unavailable
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.verification import Accepted
from gql_secrets.wiring import Services


async def test_add_registers_a_client_and_shows_its_secret_once(call_clients: CallClients, services: Services) -> None:
    answer = await call_clients("add", {"description": "Till\nin the  hall", "features": '["direct_access"]'})
    made = Made(answer.fields["client_id"], answer.fields["client_secret"])
    assert answer.fields.keys() == {"client_id", "client_secret", "stat"}
    assert await is_good(services, made.id, made.secret)
    client = await services.queries.find_client(made.id)
    assert client is not None
    assert (client.name, client.description) == ("Till in the hall", "Till\nin the  hall")
    assert (await services.queries.features([made.id]))[made.id] == ["direct_access"]


@on_sqlite
async def test_add_requires_a_description_that_is_not_blank(call_clients: CallClients) -> None:
    assert (await call_clients("add", {"description": " "})).error == (200, "invalid_argument", "description")
    assert (await call_clients("add", {"description": "\x07"})).error == (200, "invalid_argument", "description")
    assert (await call_clients("add", {"description": "x" * 2001})).error == (200, "invalid_argument", "description")
    assert (await call_clients("add", {"description": "x" * 2000})).fields["stat"] == "ok"


@on_sqlite
async def test_a_feature_that_does_not_exist_is_refused(call_clients: CallClients, client: Made) -> None:
    for call, arguments in (("add", {"description": "x"}), ("set_features", {"for_client_id": client.id})):
        answer = await call_clients(call, {**arguments, "features": '["root"]'})
        assert answer.error == (200, "invalid_argument", "features")
    assert (await call_clients("list", {"has_features": '["root"]'})).error == (200, "invalid_argument", "has_features")


async def test_delete_ends_the_client(call_clients: CallClients, services: Services, client: Made) -> None:
    assert (await call_clients("delete", {"client_id_for_deletion": client.id})).fields == {"stat": "ok"}
    assert not await is_good(services, client.id, client.secret)


async def test_the_last_owner_cannot_be_deleted(call_clients: CallClients, services: Services, owner: Made) -> None:
    answer = await call_clients("delete", {"client_id_for_deletion": owner.id})
    assert answer.error == (200, "invalid_argument", "client_id_for_deletion")
    assert await is_good(services, owner.id, owner.secret)


async def test_list_shows_clients_and_never_a_secret(
    call_clients: CallClients, owner: Made, make_client: MakeClient
) -> None:
    shop = await make_client("direct_access", "login_client", allow_list=["192.0.2.0/24", "2001:db8::/32"])
    till = await make_client(name="Till", description="In the hall")
    answer = await call_clients("list")
    by_id = {row["client_id"]: row for row in answer.fields["results"]}
    assert answer.fields.keys() == {"results", "stat"}
    assert by_id.keys() == {owner.id, shop.id, till.id}
    assert by_id[shop.id] == {
        "client_id": shop.id,
        "client_secret": None,
        "description": "Shop",
        "features": ["direct_access", "login_client"],
        "whitelist": ["192.0.2.0/24", "2001:db8::/32"],
    }
    assert by_id[till.id]["description"] == "In the hall"
    assert by_id[till.id]["whitelist"] == ["0.0.0.0/0"]
    for made in (owner, shop, till):
        assert made.secret not in json.dumps(answer.fields)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", ["has_features", "features"])
async def test_list_finds_clients_with_any_of_the_features(
    call_clients: CallClients, owner: Made, make_client: MakeClient, method: str, name: str
) -> None:
    first = await make_client("direct_access")
    second = await make_client("login_client", "direct_access")
    await make_client("viewer")

    async def found(features: list[str]) -> set[str]:
        answer = await call_clients("list", {name: json.dumps(features)}, method=method)
        return {row["client_id"] for row in answer.fields["results"]}

    assert await found(["owner"]) == {owner.id}
    assert await found(["login_client", "direct_access"]) == {first.id, second.id}
    assert await found(["access_issuer"]) == set()


async def test_list_returns_all_clients_beyond_one_page(call_clients: CallClients, make_client: MakeClient) -> None:
    made = {(await make_client(name=f"Client {number}")).id for number in range(205)}
    results = (await call_clients("list")).fields["results"]
    assert len(results) == 206
    assert made < {row["client_id"] for row in results}


@on_sqlite
@pytest.mark.parametrize("failure", [Unavailable, ConnectionResetError])
async def test_an_aborted_list_is_not_a_complete_response(
    api: TestClient[Any, Any],
    services: Services,
    owner: Made,
    make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
    failure: type[Exception],
) -> None:
    """After a ConnectionError that was not the caller's, an error response followed within the list."""
    for number in range(150):
        await make_client(name=f"Client {number}")
    original = type(services.queries).page_of_clients

    async def page_of_clients(self: Any, page: PageRequest, **given: Any) -> Any:
        if page.after:
            raise failure
        return await original(self, page, **given)

    monkeypatch.setattr(type(services.queries), "page_of_clients", page_of_clients)
    headers = {"Authorization": encode_basic_auth(owner.id, owner.secret)}
    with pytest.raises(Exception, match=r"(?i)payload|disconnect|reset|closed"):
        async with api.post("/clients/list", headers=headers) as response:
            await response.json()


async def test_set_description_is_what_list_shows(call_clients: CallClients, client: Made) -> None:
    answer = await call_clients("set_description", {"for_client_id": client.id, "description": "In the hall"})
    assert answer.fields == {"stat": "ok"}
    results = (await call_clients("list")).fields["results"]
    assert [row["description"] for row in results if row["client_id"] == client.id] == ["In the hall"]


async def test_set_features_replaces_them(
    call_clients: CallClients, services: Services, make_client: MakeClient
) -> None:
    client = await make_client("viewer")
    answer = await call_clients("set_features", {"for_client_id": client.id, "features": '["direct_access"]'})
    assert answer.fields == {"stat": "ok"}
    assert (await services.queries.features([client.id]))[client.id] == ["direct_access"]


async def test_an_owner_may_not_remove_owner_from_itself_though_another_may(
    call_clients: CallClients, services: Services, owner: Made, make_client: MakeClient
) -> None:
    other = await make_client("owner")
    answer = await call_clients("set_features", {"for_client_id": owner.id, "features": "[]"})
    assert answer.error == (200, "invalid_argument", "features")
    assert "owner" in (await services.queries.features([owner.id]))[owner.id]
    assert (await call_clients("set_features", {"for_client_id": owner.id, "features": '["owner", "viewer"]'})).fields[
        "stat"
    ] == "ok"
    assert (await call_clients("set_features", {"for_client_id": owner.id, "features": "[]"}, as_=other)).fields == {
        "stat": "ok"
    }


async def test_a_whitelist_decides_which_addresses_are_accepted(
    call_clients: CallClients, services: Services, client: Made
) -> None:
    answer = await call_clients("set_whitelist", {"for_client_id": client.id, "whitelist": '["192.0.2.0/24"]'})
    assert answer.fields == {"stat": "ok"}
    assert isinstance(await verify(services, client.id, client.secret, "192.0.2.9"), Accepted)
    assert not isinstance(await verify(services, client.id, client.secret, "198.51.100.1"), Accepted)
    assert (await call_clients("clear_whitelist", {"for_client_id": client.id})).fields == {"stat": "ok"}
    assert isinstance(await verify(services, client.id, client.secret, "198.51.100.1"), Accepted)
    assert isinstance(await verify(services, client.id, client.secret, "2001:db8::1"), Accepted)


async def test_a_whitelist_of_everywhere_includes_ipv6(
    call_clients: CallClients, services: Services, client: Made
) -> None:
    await call_clients("set_whitelist", {"for_client_id": client.id, "whitelist": '["0.0.0.0/0"]'})
    assert (await services.queries.allow_lists([client.id]))[client.id] == ["0.0.0.0/0", "::/0"]


async def test_without_an_id_a_whitelist_is_the_callers_own_and_must_include_its_address(
    call_clients: CallClients, services: Services, owner: Made
) -> None:
    answer = await call_clients("set_whitelist", {"whitelist": '["192.0.2.0/24"]'})
    assert answer.error == (200, "invalid_argument", "whitelist")
    assert (await call_clients("set_whitelist", {"whitelist": '["127.0.0.0/8"]'})).fields == {"stat": "ok"}
    assert (await services.queries.allow_lists([owner.id]))[owner.id] == ["127.0.0.0/8"]
    assert (await call_clients("clear_whitelist")).fields == {"stat": "ok"}
    assert (await services.queries.allow_lists([owner.id]))[owner.id] == ["0.0.0.0/0", "::/0"]


@on_sqlite
@pytest.mark.parametrize("whitelist", [["10.0.0.0/33"], ["10.0.0.1/8"], ["x"], ["192.0.2.0/24", "nowhere"]])
async def test_an_invalid_network_is_named(call_clients: CallClients, client: Made, whitelist: list[str]) -> None:
    answer = await call_clients("set_whitelist", {"for_client_id": client.id, "whitelist": json.dumps(whitelist)})
    assert answer.error == (200, "invalid_argument", "whitelist")
    reason = "whitelist was not valid for the following reason: invalid cidr address: "
    assert answer.fields["error_description"].startswith(reason + whitelist[-1])


@on_sqlite
async def test_an_empty_whitelist_is_refused(call_clients: CallClients, client: Made) -> None:
    answer = await call_clients("set_whitelist", {"for_client_id": client.id, "whitelist": "[]"})
    assert answer.error == (200, "invalid_argument", "whitelist")
