"""The overview counts exactly what the lists with its filters find, however it counts."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.callers import ADMIN, DAY, WEEK, Made
from support.clocks import HOUR, MINUTE, NOW, Clock
from support.installation import MakeClient, OpenNode
from support.statements import record_reads

from gql_secrets.domain.details import ClientDetails
from gql_secrets.service.client_filter import ClientFilter
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.usage.tallies import Source
from gql_secrets.settings import Settings
from gql_secrets.storage import rollover_counts
from gql_secrets.storage.change_log import Position
from gql_secrets.wiring import Services

FILTERS = ("locked_out", "ending_soon", "safe_to_revoke", "waiting", "due_for_rotation", "never_used")
DAYS = timedelta(days=1)
INSIDE, OUTSIDE = "10.1.0.1", "198.18.0.77"


async def found(services: Services, name: str) -> int:
    page = await services.queries.page_of_clients(PageRequest(first=100), filter=ClientFilter(**{name: True}))  # type: ignore[arg-type]
    assert await page.count() == len(page.rows), name
    return len(page.rows)


async def counted(services: Services) -> dict[str, int]:
    """The counts of the overview, each compared with the list behind it."""
    counts = await services.overviews.count()
    listed = {name: await found(services, name) for name in FILTERS}
    assert {name: getattr(counts, name) for name in FILTERS} == listed
    assert counts.total == await (await services.queries.page_of_clients(PageRequest())).count()
    return listed


async def call(services: Services, client: Made, secret: str, address: str) -> None:
    await services.verifier.verify(client.id, secret, Source(address, "app"))
    await services.usage.flush()


@pytest.mark.parametrize("maximum_age", [0, 30, 365])
async def test_maximum_ages_of_their_own_are_counted_for_and_against(
    services: Services,
    make_client: MakeClient,
    clock: Clock,
    settings: Settings,
    open_node: OpenNode,
    maximum_age: int,
) -> None:
    """A client may become due before the others, after them, or at the same age."""
    for days in (None, 10, 30, 90, 365):
        await make_client(name=f"max {days}", details=ClientDetails(maximum_age_days=days))
    gone = await make_client(name="gone", details=ClientDetails(maximum_age_days=10))
    await services.clients.delete_client(gone.id, by=ADMIN)
    node = await open_node(settings=replace(settings, maximum_age_days=maximum_age))

    due = []
    for days in (0, 9, 10, 29, 30, 89, 90, 364, 365):
        clock.set(NOW + days * DAYS)
        due.append((await counted(node))["due_for_rotation"])

    inherited = maximum_age or 90
    own = (inherited, inherited, 10, 30, 90, 365)  # the first owner inherits as well
    assert due == [sum(each <= days for each in own) for days in (0, 9, 10, 29, 30, 89, 90, 364, 365)]


async def test_a_rollover_whose_new_secret_the_allow_list_refused_waits_and_ends_soon(
    services: Services, make_client: MakeClient, clock: Clock
) -> None:
    """It looks as safe to revoke as the others until the addresses are compared."""
    open_to_all, restricted, refused = [
        await make_client(name=name, **given)
        for name, given in (
            ("open", {}),
            ("restricted", {"allow_list": ["10.1.0.0/16"]}),
            ("refused", {"allow_list": ["10.1.0.0/16"]}),
        )
    ]
    new = {}
    for client in (open_to_all, restricted, refused):
        await call(services, client, client.secret, INSIDE)
        new[client.id] = (await services.rotation.reset_secret(client.id, DAY, by=ADMIN)).new_secret.reveal()
    clock.move(MINUTE)
    for client in (open_to_all, restricted, refused):
        await call(services, client, client.secret, INSIDE)
        await call(services, client, new[client.id], OUTSIDE if client is refused else INSIDE)
    assert (await counted(services))["safe_to_revoke"] == 0
    clock.move(3 * HOUR)

    counts = await counted(services)
    assert {name: counts[name] for name in ("safe_to_revoke", "waiting", "ending_soon")} == {
        "safe_to_revoke": 2,
        "waiting": 1,
        "ending_soon": 1,
    }
    # A later end is not soon.
    await services.rotation.reset_secret(refused.id, WEEK, by=ADMIN, end_active_rollover=True)
    assert (await counted(services))["ending_soon"] == 0


async def test_deleted_clients_count_nowhere(services: Services, make_client: MakeClient, clock: Clock) -> None:
    before = await counted(services)
    client = await make_client()
    await call(services, client, client.secret, INSIDE)
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    await services.clients.delete_client(client.id, by=ADMIN)
    await call(services, client, client.secret, INSIDE)
    clock.move(100 * DAYS)

    after = await counted(services)
    assert after == before | {"due_for_rotation": 1}  # the first owner, by now


async def settled(services: Services, make_client: MakeClient, clock: Clock) -> Made:
    """A client whose old secret is safe to revoke, which was counted."""
    client = await make_client()
    new = (await services.rotation.reset_secret(client.id, WEEK, by=ADMIN)).new_secret.reveal()
    await call(services, client, new, INSIDE)
    clock.move(3 * HOUR)
    assert (await counted(services))["safe_to_revoke"] == 1
    return client


async def test_a_rollover_that_was_counted_as_safe_is_counted_again_after_a_change(
    services: Services, make_client: MakeClient, clock: Clock
) -> None:
    client = await settled(services, make_client, clock)
    await services.clients.update_client(client.id, by=ADMIN, allow_list=["192.0.2.7/32"])
    assert (await counted(services))["waiting"] == 1
    await services.clients.update_client(client.id, by=ADMIN, allow_list=["0.0.0.0/0", "::/0"])
    assert (await counted(services))["safe_to_revoke"] == 1
    await services.rotation.reset_secret(client.id, WEEK, by=ADMIN, end_active_rollover=True)
    assert (await counted(services))["waiting"] == 1
    await services.rotation.cancel_rollover(client.id, by=ADMIN)
    counts = await counted(services)
    assert counts["safe_to_revoke"] == counts["waiting"] == 0


async def test_a_use_of_the_old_secret_and_a_clock_that_goes_back_make_a_counted_rollover_wait(
    services: Services, make_client: MakeClient, clock: Clock
) -> None:
    client = await settled(services, make_client, clock)
    clock.move(-3 * HOUR)
    assert (await counted(services))["waiting"] == 1
    clock.move(3 * HOUR)
    assert (await counted(services))["safe_to_revoke"] == 1
    await call(services, client, client.secret, INSIDE)
    assert (await counted(services))["waiting"] == 1
    clock.move(3 * HOUR)
    assert (await counted(services))["safe_to_revoke"] == 1


@pytest.mark.parametrize("limit", ["_MAX_CHANGES", "_MAX_UNSETTLED"])
async def test_everything_is_counted_again_after_many_changes_and_with_many_unsettled_rollovers(
    services: Services, make_client: MakeClient, clock: Clock, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(rollover_counts, limit, 1)
    client = await settled(services, make_client, clock)
    others = [await make_client(name=f"App {number}") for number in range(3)]
    await services.clients.update_client(client.id, by=ADMIN, allow_list=["192.0.2.7/32"])
    for other in others:
        await services.rotation.reset_secret(other.id, DAY, by=ADMIN)

    assert (await counted(services))["waiting"] == 4
    assert (await counted(services))["waiting"] == 4


async def test_a_count_remembers_nothing_of_a_database_that_was_replaced(
    services: Services, make_client: MakeClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restored backup has other hashes, or lower revisions, and the rollovers of its own history."""
    await settled(services, make_client, clock)
    client = await make_client(name="waiting")
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    counter = services.overviews._counter._rollovers
    await counted(services)
    known = counter._known
    assert known is not None
    assert client.id in known.client_ids
    for position in (Position(known.position.revision, bytes(32)), Position(known.position.revision + 1, bytes(32))):
        monkeypatch.setattr(counter, "_known", known._replace(position=position, client_ids=[]))
        assert (await counted(services))["waiting"] == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_no_count_reads_every_secret(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite has no statistics here: it read a whole index to count the clients that are locked out."""
    statements = record_reads(services, monkeypatch)
    await services.overviews.count()
    assert statements
    for statement, values in statements.items():
        plan = [row["detail"] for row in await services.database.fetch(f"EXPLAIN QUERY PLAN {statement}", values)]
        scans = {step.split()[1] for step in plan if step.startswith("SCAN")}
        # The one row of the installation, lists that the statement has made, clients with a maximum age of their own,
        # and all clients for the total, of which SQLite counts no more than the pages of an index.
        assert scans <= {"CONSTANT", "d", "i", "json_each", "k", "r", "t", "y", "client_listing"}, plan
        assert "SCAN k USING INDEX client_own_maximum" in plan or "k" not in scans, plan
        assert not [step for step in plan if step.startswith("BLOOM FILTER")], plan
