"""The contact, the labels and the maximum age of a client, and the lists by them."""

import dataclasses

import pytest
from support.callers import ADMIN, DAY, OPERATOR, Made
from support.clocks import DAYS, MICROSECOND, NOW, Clock
from support.installation import MakeClient, OpenNode

from gql_secrets.domain.details import ClientDetails, InvalidContact, InvalidLabels
from gql_secrets.domain.errors import BadRequest, Forbidden
from gql_secrets.domain.policies import InvalidMaximumAge
from gql_secrets.service.client_details import DetailsEdit
from gql_secrets.service.client_filter import ClientFilter
from gql_secrets.service.pages import PageRequest
from gql_secrets.settings import Settings
from gql_secrets.storage.client_rows import ClientRow
from gql_secrets.wiring import Services


async def row_of(services: Services, client: Made) -> ClientRow:
    return (await services.queries.find_clients([client.id]))[client.id]


async def names(services: Services, **wanted: object) -> list[str]:
    page = await services.queries.page_of_clients(PageRequest(), filter=ClientFilter(**wanted))  # type: ignore[arg-type]
    assert await page.count() == len(page.rows)
    return sorted(row.name for row in page.rows)


async def test_a_new_client_has_the_given_details(services: Services, make_client: MakeClient) -> None:
    plain = await row_of(services, await make_client())
    assert (plain.contact, plain.labels, plain.maximum_age_days) == (None, (), None)
    details = ClientDetails.parse(contact="Ada", labels=["team=payments", "env=prod"], maximum_age_days=30)
    row = await row_of(services, await make_client(details=details))
    assert (row.contact, row.labels, row.maximum_age_days) == ("Ada", ("env=prod", "team=payments"), 30)


async def test_an_edit_changes_only_what_it_names_and_records_it(services: Services, client: Made) -> None:
    edits = [
        (DetailsEdit.parse(contact="Ada", labels=["team=a", "env=x"], maximum_age_days=30), 3),
        (DetailsEdit.parse(labels=["team=b"]), 1),
        (DetailsEdit.parse(contact=""), 1),
        (DetailsEdit.parse(inherit_maximum_age=True), 1),
        (DetailsEdit.parse(labels=[]), 1),
        (DetailsEdit.parse(contact="", labels=[], inherit_maximum_age=True), 0),  # nothing differs: no event
    ]
    seen = []
    for edit, _ in edits:
        await services.clients.update_client(client.id, details=edit, by=ADMIN)
        row = await row_of(services, client)
        seen.append((row.contact, row.labels, row.maximum_age_days, row.generation))
    assert seen == [
        ("Ada", ("env=x", "team=a"), 30, 2),
        ("Ada", ("team=b",), 30, 3),
        (None, ("team=b",), 30, 4),
        (None, ("team=b",), None, 5),
        (None, (), None, 6),
        (None, (), None, 6),
    ]
    page = await services.queries.page_of_audit_events(PageRequest(first=5), client_id=client.id)
    assert [event.edited_fields for event in reversed(page.rows)] == [
        "contact,labels,maximumAgeDays",
        "labels",
        "contact",
        "maximumAgeDays",
        "labels",
    ]


def test_an_edit_that_is_invalid_is_refused() -> None:
    for refusal, given in (
        (InvalidContact, {"contact": "x" * 201}),
        (InvalidLabels, {"labels": ["no label"]}),
        (InvalidMaximumAge, {"maximum_age_days": 0}),
        (InvalidMaximumAge, {"maximum_age_days": 30, "inherit_maximum_age": True}),
    ):
        with pytest.raises(refusal):
            DetailsEdit.parse(**given)


async def test_only_an_admin_edits_details(services: Services, client: Made) -> None:
    with pytest.raises(Forbidden):
        await services.clients.update_client(client.id, details=DetailsEdit.parse(contact="x"), by=OPERATOR)


async def test_lists_are_filtered_by_contact_and_by_all_labels(services: Services, make_client: MakeClient) -> None:
    for name, contact, labels in (
        ("A", "Ada", ["team=a", "env=prod"]),
        ("B", "Ada", ["team=b", "env=prod"]),
        ("C", "Bob", ["team=a"]),
    ):
        await make_client(name=name, details=ClientDetails.parse(contact=contact, labels=labels))
    assert await names(services, contact="Ada") == ["A", "B"]
    assert await names(services, contact="ada") == []
    assert await names(services, labels=("team=a",)) == ["A", "C"]
    assert await names(services, labels=("env=prod", "team=a")) == ["A"]
    assert await names(services, labels=("team=a",), contact="Bob") == ["C"]
    assert await names(services, labels=("team=prod",)) == []
    [deleted] = [row for row in (await services.queries.page_of_clients(PageRequest())).rows if row.name == "C"]
    await services.clients.delete_client(deleted.client_id, by=ADMIN)
    assert await names(services, labels=("team=a",)) == ["A"]


@pytest.fixture
async def aged(services: Services, make_client: MakeClient, clock: Clock) -> Clock:
    """Three clients of one age: one inherits the maximum age, two have their own."""
    del services
    await make_client(name="inherits")
    await make_client(name="strict", details=ClientDetails(maximum_age_days=10))
    await make_client(name="lax", details=ClientDetails(maximum_age_days=365))
    return clock


async def test_without_a_policy_only_clients_with_their_own_maximum_age_are_due(
    services: Services, aged: Clock
) -> None:
    aged.set(NOW + 10 * DAYS - MICROSECOND)
    assert await names(services, due_within_days=0) == []
    aged.move(MICROSECOND)
    assert await names(services, due_within_days=0) == ["strict"]
    assert await names(services, due_within_days=354) == ["strict"]
    assert await names(services, due_within_days=355) == ["lax", "strict"]
    # Where there is no maximum age, 90 days count as old.
    assert await names(services, due_for_rotation=True) == ["strict"]
    aged.set(NOW + 90 * DAYS)
    old = await names(services, due_for_rotation=True)
    assert {"inherits", "strict"} < set(old)  # and the first owner
    assert "lax" not in old
    assert len(old) == 3
    assert (await services.overviews.read()).due_for_rotation == 3
    assert await names(services, due_within_days=3650) == ["lax", "strict"]


async def test_the_installations_policy_applies_to_clients_that_inherit(
    services: Services, aged: Clock, settings: Settings, open_node: OpenNode
) -> None:
    del services
    node = await open_node(settings=dataclasses.replace(settings, maximum_age_days=30))
    aged.set(NOW + 30 * DAYS)
    due = await names(node, due_within_days=0)
    assert {"inherits", "strict"} < set(due)  # and the first owner
    assert "lax" not in due
    assert await names(node, due_for_rotation=True) == due
    assert (await node.overviews.read()).due_for_rotation == len(due)
    assert await names(node, due_for_rotation=True, labels=("no=label",)) == []
    assert "lax" in await names(node, due_for_rotation=False)
    assert await names(node, due_for_rotation=False, disabled=False) == ["lax"]


async def test_a_reset_makes_a_secret_young_again(services: Services, make_client: MakeClient, clock: Clock) -> None:
    client = await make_client(name="strict", details=ClientDetails(maximum_age_days=10))
    clock.move(11 * DAYS)
    assert await names(services, due_within_days=0) == ["strict"]
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    assert await names(services, due_within_days=0) == []


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize("days", [-1, 3651, 2**31 - 1])
def test_a_number_of_days_out_of_bounds_is_a_bad_request(days: int) -> None:
    with pytest.raises(BadRequest):
        ClientFilter(due_within_days=days)
