"""The first pages of the audit events of many clients are read together, and are those of each client alone."""

from typing import Any

import pytest
from support.callers import ADMIN, DAY, HARD
from support.installation import MakeClient

from gql_secrets.service.audit_events import entry_of
from gql_secrets.service.pages import Page, PageRequest
from gql_secrets.storage.models import AuditEvent
from gql_secrets.wiring import Services


async def make_clients(services: Services, make_client: MakeClient) -> list[str]:
    """Make clients with one to four events, one of which was deleted; return their ids."""
    client_ids: list[str] = []
    for number in range(4):
        client_ids.append((await make_client()).id)
        for client_id in client_ids:
            if number:
                retention = HARD if number % 2 else DAY
                await services.rotation.reset_secret(client_id, retention, by=ADMIN)
    await services.clients.delete_client(client_ids[1], by=ADMIN)
    return client_ids


async def facts_of(page: Page[AuditEvent]) -> tuple[object, ...]:
    rows = [(entry_of(row), row.hash) for row in page.rows]
    return rows, page.cursors, page.has_next, page.has_previous, await page.count()


async def test_they_are_the_same_as_those_that_are_read_for_one_client(
    services: Services, make_client: MakeClient
) -> None:
    client_ids = [*await make_clients(services, make_client), "nobody", "\x00"]
    wanted = [(client_id, PageRequest(size)) for client_id in client_ids for size in (0, 1, 2, 3, 5, None)]

    together = await services.queries.first_pages_of_audit_events(wanted)

    assert list(together) == wanted
    for client_id, page in wanted:
        alone = await services.queries.page_of_audit_events(page, client_id=client_id)
        assert await facts_of(together[client_id, page]) == await facts_of(alone)


async def test_an_event_of_a_page_is_whole(services: Services, make_client: MakeClient) -> None:
    """Its hash covers every column and what ended with it: read in part, it would not follow the event before."""
    await make_clients(services, make_client)
    page = await services.queries.page_of_audit_events(PageRequest(first=100))
    by_tortoise = await services.database.read(
        lambda connection: (
            AuditEvent.all().using_db(connection).prefetch_related("ended_secrets").order_by("-revision").all()
        )
    )
    assert list(map(content_of, page.rows)) == list(map(content_of, by_tortoise))
    assert [ended_by(row) for row in page.rows] == [ended_by(row) for row in by_tortoise]
    assert any(map(ended_by, page.rows))
    assert all(
        entry_of(row).hash_after(before.hash) == row.hash for row, before in zip(page.rows, page.rows[1:], strict=False)
    )


def content_of(event: AuditEvent) -> dict[str, object]:
    return {name: getattr(event, name) for name in event._meta.fields_db_projection}


def ended_by(event: AuditEvent) -> list[tuple[object, ...]]:
    return sorted((row.secret_id, row.reason, row.state_before) for row in event.ended_secrets)


async def test_the_number_of_events_needs_none_of_them(
    services: Services, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_clients(services, make_client)
    whole = await services.queries.page_of_audit_events(PageRequest(), action="SECRET_RESET")
    assert whole.rows
    statements = note_statements(services, monkeypatch)
    page = await services.queries.page_of_audit_events(PageRequest(), action="SECRET_RESET", only_count=True)
    assert statements == []
    assert await page.count() == len(whole.rows)


async def test_many_clients_take_two_reads_and_their_numbers_one(
    services: Services, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client_ids = await make_clients(services, make_client)
    statements = note_statements(services, monkeypatch)
    pages = await services.queries.first_pages_of_audit_events([(each, PageRequest(2)) for each in client_ids])
    assert len(statements) == 2
    assert [await page.count() for page in pages.values()] == [4, 5, 3, 2]
    assert len(statements) == 3


def note_statements(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows with each statement that is read."""
    statements: list[str] = []
    fetch = services.database.fetch_rows

    async def noted(statement: str, *values: Any) -> Any:
        statements.append(statement)
        return await fetch(statement, *values)

    monkeypatch.setattr(services.database, "fetch_rows", noted)
    return statements
