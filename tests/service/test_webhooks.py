"""Webhooks: nothing lost, nothing under two ids, in order per client, by one node at a time."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from support.callers import ADMIN, DAY, HARD, OPERATOR, Made, sign_in, verify
from support.clocks import DAYS, HOUR, MINUTE, NOW, SECOND, Clock
from support.installation import MakeClient, OpenNode

from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.details import ClientDetails
from gql_secrets.domain.errors import Forbidden
from gql_secrets.domain.rotation import Retention
from gql_secrets.domain.webhooks import MAX_WEBHOOKS, InvalidWebhook, WebhookEventType, WebhookNotFound
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.webhooks import courier as courier_module
from gql_secrets.service.webhooks import occasions
from gql_secrets.service.webhooks.courier import LEASE, Answer, Courier
from gql_secrets.storage.webhook_models import Webhook, WebhookDelivery
from gql_secrets.wiring import Services

URL = "https://hooks.example.com/x?token=" + "very-secret"
EVERY = list(WebhookEventType)
DOWN = Answer(503)


@dataclass
class Receiver:
    """An endpoint that remembers what it got, and answers what a test says."""

    got: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    answer: Callable[[str], Answer] = lambda _url: Answer(204)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        self.headers.append(headers)
        self.got.append((headers["webhook-id"], json.loads(body)))
        return self.answer(url)

    @property
    def types(self) -> list[object]:
        return [event["type"] for _, event in self.got]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def courier_of(services: Services, receiver: Receiver) -> Courier:
    return Courier(services.database, services.changes.pepper, services.queries, services.occasions, receiver.send)


@pytest.fixture
def courier(services: Services, receiver: Receiver) -> Courier:
    return courier_of(services, receiver)


async def run_until_idle(courier: Courier) -> None:
    for _ in range(100):
        if await courier.run() > 0:
            return
    raise AssertionError("still busy")


async def deliveries(services: Services, number: int) -> list[WebhookDelivery]:
    return list(reversed(await services.webhooks.newest_deliveries(number)))


async def only_webhook(services: Services) -> Webhook:
    [webhook] = await services.webhooks.all()
    return webhook


async def test_changes_arrive_with_their_facts_and_without_a_secret(
    services: Services, courier: Courier, receiver: Receiver, make_client: MakeClient
) -> None:
    await services.webhooks.create(URL, EVERY, by=ADMIN)
    client = await make_client(details=ClientDetails(contact="Ada", labels=("team=a",)))
    reset = await services.rotation.reset_secret(client.id, DAY, by=ADMIN, reason="leak")
    await services.rotation.revoke_old_secret(client.id, by=ADMIN)
    await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)
    await services.clients.set_client_enabled(client.id, enabled=True, by=ADMIN)
    await services.clients.update_client(client.id, name="Store", by=ADMIN)
    await services.clients.delete_client(client.id, by=ADMIN)
    await run_until_idle(courier)

    assert receiver.types == [
        "client.created",
        "secret.reset",
        "secret.revoked",
        "client.disabled",
        "client.enabled",
        "client.updated",
        "client.deleted",
    ]
    assert len({event_id for event_id, _ in receiver.got}) == 7
    _, event = receiver.got[1]
    data = event["data"]
    assert isinstance(data, dict)
    assert (data["clientId"], data["hoursToLive"], data["reason"]) == (client.id, 24, "leak")
    assert data["actor"] == ADMIN.actor
    text = json.dumps(receiver.got)
    assert "gqls_" not in text
    assert reset.new_secret.reveal() not in text
    assert client.secret not in text
    rows = await deliveries(services, (await only_webhook(services)).id)
    assert {(row.state, row.attempts, row.last_status) for row in rows} == {("DELIVERED", 1, 204)}


async def test_contact_and_labels_say_whom_to_call(
    services: Services, courier: Courier, receiver: Receiver, make_client: MakeClient
) -> None:
    await services.webhooks.create(URL, EVERY, by=ADMIN)
    await make_client(details=ClientDetails(contact="Ada", labels=("team=a",)))
    await run_until_idle(courier)
    data = receiver.got[0][1]["data"]
    assert isinstance(data, dict)
    assert data["client"] == {"name": "Shop", "contact": "Ada", "labels": ["team=a"]}


async def test_only_the_chosen_events_after_its_creation_are_delivered(
    services: Services, courier: Courier, receiver: Receiver, client: Made
) -> None:
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    await services.webhooks.create(URL, [WebhookEventType.SECRET_RESET], by=ADMIN)
    await services.clients.update_client(client.id, name="Store", by=ADMIN)
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    await run_until_idle(courier)
    await run_until_idle(courier)
    assert receiver.types == ["secret.reset"]


async def test_an_expiry_is_delivered(
    services: Services, courier: Courier, receiver: Receiver, client: Made, clock: Clock
) -> None:
    await services.webhooks.create(URL, [WebhookEventType.SECRET_EXPIRED], by=ADMIN)
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    clock.move(DAYS + SECOND)
    await services.maintenance.expire_due_secrets()
    await run_until_idle(courier)
    assert receiver.types == ["secret.expired"]


async def test_an_event_waits_for_the_one_before_it_of_the_same_client(
    services: Services, courier: Courier, receiver: Receiver, make_client: MakeClient, clock: Clock
) -> None:
    first, second = await make_client(name="A"), await make_client(name="B")
    await services.webhooks.create(URL, [WebhookEventType.SECRET_RESET], by=ADMIN)
    for client in (first, first, second):
        await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    down = {first.id}

    async def send(url: str, headers: dict[str, str], body: bytes) -> Answer:
        await receiver.send(url, headers, body)
        return DOWN if json.loads(body)["data"]["clientId"] in down else Answer(200)

    courier = Courier(services.database, services.changes.pepper, services.queries, services.occasions, send)
    await run_until_idle(courier)
    ids = [event["data"]["clientId"] for _, event in receiver.got]  # type: ignore[index]
    assert sorted(ids) == sorted([first.id, second.id])  # the second reset of A waits
    down.clear()
    clock.move(5 * SECOND)
    await run_until_idle(courier)
    revisions = [
        event["data"]["revision"]  # type: ignore[index]
        for _, event in receiver.got
        if event["data"]["clientId"] == first.id  # type: ignore[index]
    ]
    assert revisions == sorted(revisions)
    assert len(revisions) == 3
    assert len({event_id for event_id, _ in receiver.got}) == 3  # the repeated attempt has the same id


async def test_a_delivery_is_repeated_for_three_days_and_then_the_endpoint_is_paused(
    services: Services, courier: Courier, receiver: Receiver, client: Made, clock: Clock
) -> None:
    receiver.answer = lambda _url: DOWN
    made = await services.webhooks.create(URL, [WebhookEventType.SECRET_RESET], by=ADMIN)
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    await run_until_idle(courier)
    assert (await only_webhook(services)).failing_since == NOW
    for _ in range(20):
        clock.move(24 * HOUR)
        await run_until_idle(courier)
    webhook = await only_webhook(services)
    [row] = await deliveries(services, made.webhook.id)
    assert webhook.paused_at is not None
    assert (row.state, row.last_status, row.last_error) == ("FAILED", 503, "The endpoint answered 503.")
    attempts = len(receiver.got)

    # New events wait while it is paused, and nothing is lost when it is resumed.
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    await run_until_idle(courier)
    assert len(receiver.got) == attempts
    receiver.answer = lambda _url: Answer(200)
    await services.webhooks.update(made.webhook.id, enabled=True, by=ADMIN)
    await services.webhooks.redeliver(row.id, by=ADMIN)
    await run_until_idle(courier)
    rows = await deliveries(services, made.webhook.id)
    assert [row.state for row in rows] == ["DELIVERED", "DELIVERED"]
    webhook = await only_webhook(services)
    assert (webhook.paused_at, webhook.failing_since) == (None, None)


async def test_an_endpoint_that_is_gone_is_paused_immediately(
    services: Services, courier: Courier, receiver: Receiver, client: Made
) -> None:
    receiver.answer = lambda _url: Answer(410)
    await services.webhooks.create(URL, [WebhookEventType.SECRET_RESET], by=ADMIN)
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    await run_until_idle(courier)
    assert (await only_webhook(services)).paused_at == NOW


async def test_one_node_delivers_and_another_takes_over(
    services: Services, courier: Courier, receiver: Receiver, client: Made, clock: Clock, open_node: OpenNode
) -> None:
    """The first node is killed after it sent an event, and before it recorded that."""
    await services.webhooks.create(URL, [WebhookEventType.SECRET_RESET], by=ADMIN)
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)

    async def die(*_: object) -> None:
        raise asyncio.CancelledError

    courier._record = die  # type: ignore[method-assign, assignment]
    with pytest.raises(asyncio.CancelledError):
        await courier.run()
    assert len(receiver.got) == 1

    other = courier_of(await open_node(), receiver)
    await run_until_idle(other)
    assert len(receiver.got) == 1  # the lease of the first is not over
    clock.move(LEASE)
    await run_until_idle(other)
    assert len(receiver.got) == 2
    assert receiver.got[0] == receiver.got[1]  # the same event under the same id
    await run_until_idle(other)
    assert len(receiver.got) == 2


async def test_a_released_lease_is_taken_at_the_next_run(
    services: Services, courier: Courier, receiver: Receiver, client: Made
) -> None:
    await services.webhooks.create(URL, [WebhookEventType.SECRET_RESET], by=ADMIN)
    await run_until_idle(courier)
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    other = courier_of(services, receiver)
    await run_until_idle(other)
    assert receiver.got == []
    await courier.release()
    await run_until_idle(other)
    assert receiver.types == ["secret.reset"]


async def test_events_of_two_nodes_that_both_believe_to_deliver_are_written_once(
    services: Services, courier: Courier, receiver: Receiver, client: Made
) -> None:
    await services.webhooks.create(URL, [WebhookEventType.SECRET_RESET], by=ADMIN)
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    webhook = await only_webhook(services)
    now = await services.database.now()
    await courier._write_deliveries(webhook, now)
    await courier_of(services, receiver)._write_deliveries(webhook, now)
    assert len(await deliveries(services, webhook.id)) == 1


async def test_the_previous_signing_secret_signs_for_a_day_after_a_rotation(
    services: Services, courier: Courier, receiver: Receiver, clock: Clock
) -> None:
    made = await services.webhooks.create(URL, EVERY, by=ADMIN)
    rotated = await services.webhooks.rotate_secret(made.webhook.id, by=ADMIN)
    assert made.secret.startswith("whsec_")
    assert made.secret != rotated.secret
    assert made.secret not in repr(made)
    for wait, signatures in ((timedelta(0), 2), (24 * HOUR - SECOND, 2), (SECOND, 1)):
        clock.move(wait)
        await services.webhooks.send_test(made.webhook.id, by=ADMIN)
        await run_until_idle(courier)
        assert len(receiver.headers[-1]["webhook-signature"].split()) == signatures
        assert receiver.types[-1] == "webhook.test"


async def test_what_happens_while_a_webhook_is_disabled_is_not_delivered(
    services: Services, courier: Courier, receiver: Receiver, client: Made
) -> None:
    made = await services.webhooks.create(URL, [WebhookEventType.SECRET_RESET], by=ADMIN)
    await services.webhooks.update(made.webhook.id, enabled=False, by=ADMIN)
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    await run_until_idle(courier)
    await services.webhooks.update(made.webhook.id, enabled=True, by=ADMIN)
    await run_until_idle(courier)
    assert receiver.got == []
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    await run_until_idle(courier)
    assert receiver.types == ["secret.reset"]


async def test_changes_of_webhooks_are_audited_without_the_url(services: Services) -> None:
    made = await services.webhooks.create(URL, EVERY, description="Chat", by=ADMIN)
    number = made.webhook.id
    await services.webhooks.update(number, url=f"{URL}2", events=EVERY[:2], by=ADMIN)
    await services.webhooks.update(number, url=f"{URL}2", by=ADMIN)  # nothing differs
    await services.webhooks.rotate_secret(number, by=ADMIN)
    await services.webhooks.delete(number, by=ADMIN)
    page = await services.queries.page_of_audit_events(PageRequest(first=4))
    assert [(event.action, event.webhook_number, event.edited_fields) for event in reversed(page.rows)] == [
        (AuditAction.WEBHOOK_CREATED, number, None),
        (AuditAction.WEBHOOK_UPDATED, number, "url,events"),
        (AuditAction.WEBHOOK_SECRET_ROTATED, number, None),
        (AuditAction.WEBHOOK_DELETED, number, None),
    ]
    assert "very-secret" not in repr([vars(event) for event in page.rows])
    assert await services.webhooks.all() == []
    with pytest.raises(WebhookNotFound):
        await services.webhooks.rotate_secret(number, by=ADMIN)


async def test_there_are_at_most_20_webhooks(services: Services) -> None:
    for _ in range(MAX_WEBHOOKS):
        await services.webhooks.create(URL, EVERY, by=ADMIN)
    with pytest.raises(InvalidWebhook):
        await services.webhooks.create(URL, EVERY, by=ADMIN)


async def test_only_an_admin_with_a_current_secret_manages_webhooks(services: Services, owner: Made) -> None:
    made = await services.webhooks.create(URL, EVERY, by=ADMIN)
    number = made.webhook.id
    delivery = await services.webhooks.send_test(number, by=ADMIN)
    await services.rotation.reset_secret(owner.id, DAY, by=ADMIN)
    old_owner = await sign_in(services, owner.id, owner.secret)
    for caller in (OPERATOR, old_owner):
        for attempt in (
            services.webhooks.create(URL, EVERY, by=caller),
            services.webhooks.update(number, enabled=False, by=caller),
            services.webhooks.rotate_secret(number, by=caller),
            services.webhooks.send_test(number, by=caller),
            services.webhooks.redeliver(delivery.id, by=caller),
            services.webhooks.delete(number, by=caller),
        ):
            with pytest.raises(Forbidden):
                await attempt


async def test_old_deliveries_are_deleted_and_pending_ones_are_kept(
    services: Services, courier: Courier, receiver: Receiver, clock: Clock
) -> None:
    done = await services.webhooks.create(URL, EVERY, by=ADMIN)
    waiting = await services.webhooks.create(f"{URL}2", EVERY, by=ADMIN)
    receiver.answer = lambda url: DOWN if url.endswith("2") else Answer(200)
    for each in (done, waiting):
        await services.webhooks.send_test(each.webhook.id, by=ADMIN)
    await run_until_idle(courier)
    await services.webhooks.update(waiting.webhook.id, enabled=False, by=ADMIN)
    clock.move(30 * DAYS + MINUTE)
    await run_until_idle(courier)
    assert await deliveries(services, done.webhook.id) == []
    assert len(await deliveries(services, waiting.webhook.id)) == 1


async def test_a_rollover_that_ends_while_the_old_secret_is_used_is_announced_a_day_and_an_hour_before(
    services: Services, courier: Courier, receiver: Receiver, client: Made, clock: Clock
) -> None:
    await services.webhooks.create(URL, [WebhookEventType.ROLLOVER_ENDING], by=ADMIN)
    await services.rotation.reset_secret(client.id, Retention(48), by=ADMIN)
    clock.move(HOUR)
    await verify(services, client.id, client.secret, "198.51.100.7")
    await services.usage.flush()
    for wait, announced in ((22 * HOUR, 0), (HOUR, 1), (MINUTE, 1), (22 * HOUR + 59 * MINUTE, 2), (MINUTE, 2)):
        clock.move(wait)
        await run_until_idle(courier)
        assert len(receiver.got) == announced, wait
    (first_id, first), (second_id, second) = receiver.got
    assert first_id != second_id
    assert [event["data"]["withinHours"] for event in (first, second)] == [24, 1]  # type: ignore[index]
    data = first["data"]
    assert isinstance(data, dict)
    assert [source["address"] for source in data["sources"]] == ["198.51.100.7"]
    assert data["clientId"] == client.id


async def test_a_short_rollover_is_announced_immediately_and_an_unused_one_never(
    services: Services, courier: Courier, receiver: Receiver, make_client: MakeClient, clock: Clock
) -> None:
    await services.webhooks.create(URL, [WebhookEventType.ROLLOVER_ENDING], by=ADMIN)
    used, unused, last_hour = [await make_client(name=name) for name in ("used", "unused", "last hour")]
    for client, hours in ((used, 12), (unused, 12), (last_hour, 1)):
        await services.rotation.reset_secret(client.id, Retention(hours), by=ADMIN)
    clock.move(SECOND)
    for client in (used, last_hour):
        await verify(services, client.id, client.secret)
    await services.usage.flush()
    await run_until_idle(courier)
    announced = {event["data"]["clientId"]: event["data"]["withinHours"] for _, event in receiver.got}  # type: ignore[index]
    assert announced == {used.id: 24, last_hour.id: 1}


async def test_what_is_safe_to_revoke_and_what_is_due_is_reported_once(
    services: Services, courier: Courier, receiver: Receiver, make_client: MakeClient, clock: Clock, open_node: OpenNode
) -> None:
    events = [WebhookEventType.ROLLOVER_SAFE_TO_REVOKE, WebhookEventType.SECRET_DUE]
    await services.webhooks.create(URL, events, by=ADMIN)
    rolling = await make_client(name="rolling")
    await make_client(name="strict", details=ClientDetails(maximum_age_days=1))
    reset = await services.rotation.reset_secret(rolling.id, Retention(168), by=ADMIN)
    await verify(services, rolling.id, reset.new_secret.reveal())
    await run_until_idle(courier)
    assert receiver.got == []
    clock.move(2 * DAYS)
    await run_until_idle(courier)
    assert sorted(map(str, receiver.types)) == ["rollover.safe_to_revoke", "secret.due"]
    assert "gqls_" not in json.dumps(receiver.got)

    clock.move(HOUR)  # and after a change of node
    await courier.release()
    await run_until_idle(courier_of(await open_node(), receiver))
    assert len(receiver.got) == 2


async def test_a_secret_that_has_ended_and_is_tried_is_reported_once_an_hour(
    services: Services, courier: Courier, receiver: Receiver, client: Made, clock: Clock
) -> None:
    await services.webhooks.create(URL, [WebhookEventType.STRAGGLER_REFUSED], by=ADMIN)
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    await run_until_idle(courier)
    for wait, reported in ((MINUTE, 1), (30 * MINUTE, 1), (30 * MINUTE, 2)):
        clock.move(wait)
        for address in ("198.51.100.7", "198.51.100.8"):
            await verify(services, client.id, client.secret, address)
        await services.usage.flush()
        await run_until_idle(courier)
        await run_until_idle(courier)
        assert len(receiver.got) == reported, wait
    assert receiver.got[0][0] != receiver.got[1][0]
    data = receiver.got[0][1]["data"]
    assert isinstance(data, dict)
    assert (data["clientId"], data["count"]) == (client.id, 2)
    assert client.secret not in json.dumps(receiver.got)


async def test_an_attempt_that_is_written_after_the_hour_is_over_is_reported(
    services: Services, courier: Courier, receiver: Receiver, client: Made, clock: Clock
) -> None:
    """Attempts are counted for up to a minute before they are written: a job that runs at :59 was never reported."""
    await services.webhooks.create(URL, [WebhookEventType.STRAGGLER_REFUSED], by=ADMIN)
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    clock.move(HOUR - MINUTE)
    await verify(services, client.id, client.secret, "198.51.100.7")
    clock.move(2 * MINUTE)
    await services.usage.flush()
    await run_until_idle(courier)
    assert len(receiver.got) == 1

    clock.move(MINUTE)
    await run_until_idle(courier)
    assert len(receiver.got) == 1
    await verify(services, client.id, client.secret, "198.51.100.7")
    await services.usage.flush()
    clock.move(MINUTE)
    await run_until_idle(courier)
    assert len(receiver.got) == 2, "the attempts of the next hour"


async def test_every_straggler_is_reported_however_many_there_are_in_an_hour(
    services: Services,
    courier: Courier,
    receiver: Receiver,
    make_client: MakeClient,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With more than a page of them, the first of the hour were read again and again, and the others never."""
    monkeypatch.setattr(occasions, "_STRAGGLERS_AT_A_TIME", 2)
    monkeypatch.setattr(courier_module, "_BATCH", 3)
    await services.webhooks.create(URL, [WebhookEventType.STRAGGLER_REFUSED], by=ADMIN)
    clients = [await make_client() for _ in range(7)]
    for client in clients:
        await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    for client in clients:
        await verify(services, client.id, client.secret, "198.51.100.7")
    await services.usage.flush()
    for _ in range(4):
        clock.move(MINUTE)
        await run_until_idle(courier)
    reported = [row.client_id for row in await deliveries(services, (await only_webhook(services)).id)]
    assert len(receiver.got) == 7
    assert sorted(reported) == sorted(client.id for client in clients)


async def test_a_webhook_that_is_deleted_between_two_reads_does_not_disturb_the_others(
    services: Services, courier: Courier, receiver: Receiver, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted = await services.webhooks.create(URL, [WebhookEventType.CLIENT_CREATED], by=ADMIN)
    await services.webhooks.create(URL, [WebhookEventType.CLIENT_CREATED], by=ADMIN)
    await make_client()
    read = services.database.read

    async def read_and_delete(work: Any) -> Any:
        rows = await read(work)
        if isinstance(rows, list) and rows and isinstance(rows[0], WebhookDelivery):
            monkeypatch.undo()
            await services.webhooks.delete(deleted.webhook.id, by=ADMIN)
        return rows

    monkeypatch.setattr(services.database, "read", read_and_delete)
    await courier.run()
    assert len(receiver.got) == 1
