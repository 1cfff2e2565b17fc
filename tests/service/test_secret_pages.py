"""The first pages of the secrets of many clients are read together, and are those of each client alone."""

from typing import Any

import pytest
from support.callers import ADMIN, HARD
from support.installation import MakeClient

from gql_secrets.service.pages import PageRequest
from gql_secrets.wiring import Services


async def make_clients(services: Services, make_client: MakeClient) -> list[str]:
    """Make clients with one to four secrets, one of which was deleted; return their ids."""
    client_ids = []
    for number in range(4):
        client_ids.append((await make_client()).id)
        for client_id in client_ids:
            if number:
                await services.rotation.reset_secret(client_id, HARD, by=ADMIN)
    await services.clients.delete_client(client_ids[1], by=ADMIN)
    return client_ids


async def facts_of(page: Any) -> tuple[object, ...]:
    rows = [(row.id, row.client_id, row.state, row.digest, row.created_at, row.ended_at) for row in page.rows]
    return rows, page.cursors, page.has_next, page.has_previous, await page.count()


async def test_they_are_the_same_as_those_that_are_read_for_one_client(
    services: Services, make_client: MakeClient
) -> None:
    client_ids = [*await make_clients(services, make_client), "nobody"]
    wanted = [(client_id, PageRequest(size)) for client_id in client_ids for size in (0, 1, 2, 3, 5, None)]

    together = await services.queries.first_pages_of_secrets(wanted)

    assert list(together) == wanted
    for client_id, page in wanted:
        alone = await services.queries.page_of_secrets(client_id, page)
        assert await facts_of(together[client_id, page]) == await facts_of(alone)


async def test_many_clients_take_one_read(
    services: Services, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client_ids = await make_clients(services, make_client)
    reads = 0
    read = services.database.read

    async def counted(*given: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(*given)

    monkeypatch.setattr(services.database, "read", counted)
    await services.queries.first_pages_of_secrets([(client_id, PageRequest(2)) for client_id in client_ids])
    assert reads == 1
