"""The figures of the installation that operators watch."""

from datetime import timedelta

import pytest
from support.callers import ADMIN, DAY, HARD, WEEK, Made, is_good
from support.clocks import DAYS, HOUR, MINUTE, Clock
from support.installation import MakeClient, OpenNode

from gql_secrets.domain.rotation import Retention
from gql_secrets.domain.webhooks import WebhookEventType
from gql_secrets.service.figures import FigureQueries, Figures
from gql_secrets.service.webhooks.courier import Answer, Courier
from gql_secrets.wiring import Services


async def figures(services: Services) -> Figures:
    """Read them without what was kept."""
    await services.usage.flush()
    return await FigureQueries(services.database, services.changes.pepper, HOUR + MINUTE).read()


async def reset(services: Services, client: Made, retention: Retention = DAY) -> Made:
    done = await services.rotation.reset_secret(client.id, retention, by=ADMIN)
    return Made(client.id, done.new_secret.reveal())


async def test_a_rollover_is_counted_until_it_ends(services: Services, make_client: MakeClient, clock: Clock) -> None:
    client = await make_client()
    assert (await figures(services)).rollovers == 0
    await reset(services, client)
    assert (await figures(services)).rollovers == 1
    clock.move(DAYS)
    assert (await figures(services)).rollovers == 0


async def test_an_old_secret_that_is_used_shortly_before_its_end_is_counted(
    services: Services, make_client: MakeClient, clock: Clock
) -> None:
    used, unused = await make_client(), await make_client()
    for client in (used, unused):
        assert await is_good(services, client.id, client.secret)
        clock.move(MINUTE)
        assert await is_good(services, client.id, (await reset(services, client, WEEK)).secret)
    clock.move(5 * DAYS)
    assert await is_good(services, used.id, used.secret)
    assert (await figures(services)).ending_in_use == 0  # it ends in two days
    clock.move(DAYS + HOUR)
    assert await is_good(services, used.id, used.secret)
    seen = await figures(services)
    assert (seen.rollovers, seen.ending_in_use, seen.safe_to_revoke) == (2, 1, 1)


async def test_safe_to_revoke_is_what_the_advice_says(
    services: Services, make_client: MakeClient, clock: Clock
) -> None:
    client = await make_client()
    new = await reset(services, client)
    assert await is_good(services, new.id, new.secret)
    for wait, safe in ((timedelta(0), 0), (HOUR, 0), (MINUTE, 1)):
        clock.move(wait)
        assert (await figures(services)).safe_to_revoke == safe
        rollover = await services.usage_queries.rollover_of(client.id, quiet_time=HOUR)
        assert rollover is not None
        assert rollover.safe_to_revoke is bool(safe)


async def test_a_straggler_is_counted_for_an_hour(services: Services, make_client: MakeClient, clock: Clock) -> None:
    client, disabled = await make_client(), await make_client()
    await reset(services, client, HARD)
    await services.clients.set_client_enabled(disabled.id, enabled=False, by=ADMIN)
    for each in (client, client, disabled):
        assert not await is_good(services, each.id, each.secret)
    assert (await figures(services)).stragglers == 1
    clock.move(HOUR)
    assert (await figures(services)).stragglers == 0


async def test_the_oldest_current_secret_sets_the_age(
    services: Services, owner: Made, make_client: MakeClient, clock: Clock
) -> None:
    clock.move(10 * DAYS)
    await make_client()
    assert (await figures(services)).oldest_secret_age == 10 * DAYS
    clock.move(DAYS)
    await reset(services, owner)
    assert (await figures(services)).oldest_secret_age == DAYS


async def test_changes_are_counted_by_action_from_the_first_reading_on_by_any_node(
    services: Services, make_client: MakeClient, open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gql_secrets.service.figures.MAX_AGE_SECONDS", 0)
    client = await make_client()
    assert set((await services.figures.read()).changes.values()) == {0}
    other = await open_node()
    await reset(other, client)
    await make_client()
    changes = (await services.figures.read()).changes
    assert {action: count for action, count in changes.items() if count} == {"SECRET_RESET": 1, "CLIENT_CREATED": 1}
    assert (await services.figures.read()).changes == changes


async def test_the_database_is_asked_once_in_fifteen_seconds(services: Services, make_client: MakeClient) -> None:
    client = await make_client()
    first = await services.figures.read()
    await reset(services, client)
    assert await services.figures.read() is first


async def test_a_webhook_lags_until_its_oldest_event_has_arrived(
    services: Services, make_client: MakeClient, clock: Clock
) -> None:
    """It does not matter whether no node delivers, or the endpoint fails: nobody hears of what happened."""
    answer = Answer(503)

    async def send(_url: str, _headers: dict[str, str], _body: bytes) -> Answer:
        return answer

    client = await make_client()
    courier = Courier(services.database, services.changes.pepper, services.queries, services.occasions, send)
    made = await services.webhooks.create("https://hooks.example.com", [WebhookEventType.SECRET_RESET], by=ADMIN)
    assert (await figures(services)).webhook_lag == timedelta(0)
    await reset(services, client)
    clock.move(MINUTE)
    assert (await figures(services)).webhook_lag == MINUTE  # no node has seen it yet
    await courier.run()
    clock.move(HOUR)
    assert (await figures(services)).webhook_lag == HOUR  # it is tried again and again
    answer = Answer(204)
    while await courier.run() == 0:
        pass
    assert (await figures(services)).webhook_lag == timedelta(0)

    await reset(services, client, HARD)
    clock.move(HOUR)
    assert (await figures(services)).webhook_lag == HOUR
    await services.webhooks.update(made.webhook.id, enabled=False, by=ADMIN)
    assert (await figures(services)).webhook_lag == timedelta(0)


async def test_an_audit_head_that_was_edited_is_seen(services: Services, make_client: MakeClient) -> None:
    await make_client()
    assert not (await figures(services)).is_head_invalid
    await services.database.run_tx(lambda tx: tx.execute("UPDATE installation SET audit_head = ?", bytes(32)))
    assert (await figures(services)).is_head_invalid
