"""Clients are registered, edited, enabled, disabled and deleted, and an owner always remains."""

from dataclasses import replace

import pytest
from support.callers import ADMIN, DAY, HARD, Made, is_good, sign_in
from support.clocks import NOW
from support.installation import MakeClient
from support.secrets import is_well_formed

from gql_secrets.domain.access import Feature
from gql_secrets.domain.credentials import is_client_id, mint_client_id
from gql_secrets.domain.effects import EFFECTIVE, NOT_CHANGED
from gql_secrets.domain.errors import (
    ClientNotFound,
    Conflict,
    InvalidAllowList,
    InvalidDescription,
    InvalidFeature,
    InvalidName,
    LastOwner,
)
from gql_secrets.service.audit_events import entry_of
from gql_secrets.service.changes import Change
from gql_secrets.service.new_clients import NewClient, register
from gql_secrets.service.pages import PageRequest
from gql_secrets.storage.models import AuditEvent
from gql_secrets.wiring import Services


async def last_event(services: Services) -> AuditEvent:
    [event] = (await services.queries.page_of_audit_events(PageRequest(first=1))).rows
    return event


async def test_a_registered_client_has_one_good_secret_of_ours(services: Services) -> None:
    made = await services.clients.create_client("  Web shop ", by=ADMIN, description=" sells ", features=["viewer"])
    client, secret = made.client, made.secret.reveal()
    assert is_client_id(client.client_id)
    assert is_well_formed(secret)
    assert (client.name, client.description, client.enabled, client.generation) == ("Web shop", "sells", True, 1)
    assert client.created_at == NOW
    assert await is_good(services, client.client_id, secret)
    assert (await services.queries.features([client.client_id]))[client.client_id] == ["viewer"]
    [row] = (await services.queries.page_of_secrets(client.client_id, PageRequest())).rows
    assert (row.hint, row.created_by, row.is_weak) == (secret[-4:], "user:ada", False)


async def test_without_a_list_every_address_is_allowed(services: Services, client: Made) -> None:
    assert (await services.queries.allow_lists([client.id]))[client.id] == ["0.0.0.0/0", "::/0"]


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({"name": ""}, InvalidName),
        ({"name": "  "}, InvalidName),
        ({"name": "\u200b\u2060"}, InvalidName),
        ({"name": "\u3164"}, InvalidName),
        ({"name": "\u2800 \u0301"}, InvalidName),
        ({"name": "x" * 201}, InvalidName),
        ({"name": "a\x00b"}, InvalidName),
        ({"name": "a\nb"}, InvalidName),
        ({"name": "\ud800"}, InvalidName),
        ({"description": "x" * 2001}, InvalidDescription),
        ({"description": "a\x00b"}, InvalidDescription),
        ({"description": "\udfff"}, InvalidDescription),
        ({"features": ["root"]}, InvalidFeature),
        ({"features": ["owner", ""]}, InvalidFeature),
        ({"features": ["OWNER"]}, InvalidFeature),
        ({"allow_list": []}, InvalidAllowList),
        ({"allow_list": ["everywhere"]}, InvalidAllowList),
        ({"allow_list": ["192.0.2.1/24"]}, InvalidAllowList),
        ({"allow_list": ["fe80::1%eth0"]}, InvalidAllowList),
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_is_written(
    services: Services, client: Made, given: dict[str, object], refused: type[Exception]
) -> None:
    before = (await last_event(services)).revision
    with pytest.raises(refused):
        await services.clients.create_client(**{"name": "ok", **given}, by=ADMIN)  # type: ignore[arg-type]
    with pytest.raises(refused):
        await services.clients.update_client(client.id, **given, by=ADMIN)  # type: ignore[arg-type]
    assert (await last_event(services)).revision == before


async def test_an_edit_changes_what_was_given_and_says_so_in_one_event(services: Services, client: Made) -> None:
    edited = await services.clients.update_client(
        client.id, by=ADMIN, name="New", description="for tests", features=["operator"], allow_list=["192.0.2.0/24"]
    )
    row = edited.client
    assert (row.name, row.description, row.generation, row.is_restricted) == ("New", "for tests", 2, True)
    assert edited.effect == EFFECTIVE
    event = await last_event(services)
    assert event.action == "CLIENT_UPDATED"
    assert entry_of(event).edited_fields == ("name", "description", "features", "allowList")
    assert (event.generation_before, event.generation_after) == (1, 2)
    again = await services.clients.update_client(client.id, by=ADMIN, description=None)
    assert (again.client.description, again.client.name) == (None, "New")
    assert (await services.queries.allow_lists([client.id]))[client.id] == ["192.0.2.0/24"]


async def test_an_edit_that_changes_nothing_is_no_change(services: Services, client: Made) -> None:
    before = (await last_event(services)).revision
    edited = await services.clients.update_client(
        client.id, by=ADMIN, name="Shop", description=None, features=[], allow_list=["0.0.0.0/0", "::/0"]
    )
    await services.clients.set_client_enabled(client.id, enabled=True, by=ADMIN)
    assert edited.client.generation == 1
    assert edited.effect == NOT_CHANGED
    assert (await last_event(services)).revision == before


async def test_an_edit_of_an_unknown_client_finds_none(services: Services) -> None:
    for client_id in ("nobody", "", "\x00", "\ud800", "a:b", "x" * 5000, "'; DROP TABLE client; --"):
        with pytest.raises(ClientNotFound):
            await services.clients.update_client(client_id, by=ADMIN, name="x")
        with pytest.raises(ClientNotFound):
            await services.rotation.reset_secret(client_id, HARD, by=ADMIN)
        assert await services.queries.find_client(client_id) is None


async def test_an_owner_cannot_lock_its_own_address_out(services: Services, make_client: MakeClient) -> None:
    boss = await make_client("owner")
    caller = await sign_in(services, boss.id, boss.secret)
    caller = replace(caller, address="192.0.2.9")
    with pytest.raises(InvalidAllowList):
        await services.clients.update_client(boss.id, by=caller, allow_list=["198.51.100.0/24"])
    await services.clients.update_client(boss.id, by=caller, allow_list=["192.0.2.0/24"])


async def test_a_person_named_like_a_client_is_not_that_client(services: Services, client: Made) -> None:
    """The lock-out check compared names alone, and refused this person a list that does not concern them."""
    namesake = replace(ADMIN, name=client.id, address="192.0.2.9")
    await services.clients.update_client(client.id, by=namesake, allow_list=["198.51.100.0/24"])
    assert (await services.queries.allow_lists([client.id]))[client.id] == ["198.51.100.0/24"]


# An id is never used again


async def test_a_deleted_clients_id_is_never_used_again(services: Services, client: Made) -> None:
    await services.clients.delete_client(client.id, by=ADMIN)

    async def again(change: Change) -> object:
        return await register(change, NewClient(client.id, "Again"))

    with pytest.raises(Conflict) as refused:
        await services.changes.change_installation(ADMIN, again)
    assert refused.value.argument == "client_id"


async def test_the_audit_of_a_deleted_client_stays_readable(services: Services, client: Made) -> None:
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    await services.clients.delete_client(client.id, by=ADMIN)
    events = (await services.queries.page_of_audit_events(PageRequest(), client_id=client.id)).rows
    assert [event.action for event in events] == ["CLIENT_DELETED", "SECRET_RESET", "CLIENT_CREATED"]
    assert await services.queries.find_secrets([events[1].secret_id or 0]) == []


# The last owner


async def test_the_last_owner_is_neither_deleted_nor_disabled_nor_loses_its_role(
    services: Services, owner: Made
) -> None:
    for change in (
        lambda: services.clients.delete_client(owner.id, by=ADMIN),
        lambda: services.clients.set_client_enabled(owner.id, enabled=False, by=ADMIN),
        lambda: services.clients.update_client(owner.id, by=ADMIN, features=["operator"]),
        lambda: services.clients.update_client(owner.id, by=ADMIN, features=[]),
    ):
        with pytest.raises(LastOwner):
            await change()
    assert await is_good(services, owner.id, owner.secret)
    await services.clients.update_client(owner.id, by=ADMIN, features=["owner", "viewer"], name="still mine")


async def test_a_disabled_or_deleted_owner_is_no_owner_that_remains(
    services: Services, owner: Made, make_client: MakeClient
) -> None:
    second, third = await make_client("owner"), await make_client("owner")
    await services.clients.set_client_enabled(second.id, enabled=False, by=ADMIN)
    await services.clients.delete_client(third.id, by=ADMIN)
    with pytest.raises(LastOwner):
        await services.clients.delete_client(owner.id, by=ADMIN)
    await services.clients.set_client_enabled(second.id, enabled=True, by=ADMIN)
    await services.clients.delete_client(owner.id, by=ADMIN)
    with pytest.raises(LastOwner):
        await services.clients.delete_client(second.id, by=ADMIN)


async def test_a_disabled_owner_may_go_while_another_remains(
    services: Services, owner: Made, make_client: MakeClient
) -> None:
    second = await make_client("owner")
    await services.clients.set_client_enabled(second.id, enabled=False, by=ADMIN)
    await services.clients.update_client(second.id, by=ADMIN, features=[])
    await services.clients.delete_client(second.id, by=ADMIN)
    assert await is_good(services, owner.id, owner.secret)


async def test_no_two_clients_have_one_id(services: Services) -> None:
    taken = mint_client_id()

    async def make(change: Change) -> object:
        return await register(change, NewClient(taken, "One", features=frozenset({Feature.VIEWER})))

    await services.changes.change_installation(ADMIN, make)
    with pytest.raises(Conflict):
        await services.changes.change_installation(ADMIN, make)
    assert len((await services.queries.page_of_clients(PageRequest(), search=taken)).rows) == 1
