"""Webhooks over HTTP, from the change to the endpoint."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook
from support.callers import Made
from support.clocks import Clock

from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

CREATE: Final = """
mutation ($url: String!, $events: [WebhookEventType!]!, $description: String) {
  createWebhook(url: $url, events: $events, description: $description) {
    webhook { id number url events description enabled pausedAt failingSince previousSecretUntil }
    signingSecret userErrors { code field message }
  }
}"""
UPDATE: Final = """
mutation ($id: ID!, $url: String, $events: [WebhookEventType!], $enabled: Boolean) {
  updateWebhook(webhookId: $id, url: $url, events: $events, enabled: $enabled) {
    webhook { url events enabled } userErrors { code field }
  }
}"""
DELIVERIES: Final = "{ webhooks { deliveries { id eventId eventType state attempts lastStatus lastError clientId } } }"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, webhook_networks="127.0.0.0/8")


@pytest.fixture
def clock() -> Clock:
    """The machine's time, which the receiver's library compares with."""

    class Now(Clock):
        def __call__(self, machine: Any) -> Any:
            return machine

    return Now()


class Receiver:
    """A server that keeps what it receives."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[tuple[str, dict[str, str]]] = asyncio.Queue()
        self.url = ""

    async def receive(self, request: web.Request) -> web.Response:
        await self.got.put((await request.text(), dict(request.headers)))
        return web.Response(status=204)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.receive)
    server = TestServer(app)
    await server.start_server()
    receiver.url = str(server.make_url("/hook"))
    yield receiver
    await server.close()


async def test_a_reset_arrives_at_the_endpoint_with_a_valid_signature(
    gql: Any, owner: Made, client: Made, receiver: Receiver, services: Services
):
    made = (await gql(CREATE, as_=owner, url=receiver.url, events=["SECRET_RESET"]))["createWebhook"]
    assert made["userErrors"] == []
    assert made["webhook"]["enabled"]
    verifier = Webhook(made["signingSecret"])
    reset = f'mutation {{ resetSecret(clientId: "{client.id}", hoursToLive: 24) {{ newSecret }} }}'
    new_secret = (await gql(reset, as_=owner))["resetSecret"]["newSecret"]

    body, headers = await asyncio.wait_for(receiver.got.get(), 60)

    event = verifier.verify(body, headers)
    assert event["type"] == "secret.reset"
    assert event["data"]["clientId"] == client.id
    assert new_secret not in body

    rotate = 'mutation { rotateWebhookSecret(webhookId: "ID") { signingSecret webhook { previousSecretUntil } } }'
    rotated = (await gql(rotate.replace("ID", made["webhook"]["id"]), as_=owner))["rotateWebhookSecret"]
    assert rotated["webhook"]["previousSecretUntil"] is not None
    test = 'mutation { testWebhook(webhookId: "ID") { delivery { eventType state attempts } userErrors { code } } }'
    sent = (await gql(test.replace("ID", made["webhook"]["id"]), as_=owner))["testWebhook"]
    assert sent["delivery"] == {"eventType": "webhook.test", "state": "PENDING", "attempts": 0}
    body, headers = await asyncio.wait_for(receiver.got.get(), 60)
    for secret in (made["signingSecret"], rotated["signingSecret"]):
        assert Webhook(secret).verify(body, headers)["type"] == "webhook.test"

    # The answer is recorded after it was received; a query is executed twice here, so nothing may change between.
    while True:
        rows = await services.webhooks.newest_deliveries(made["webhook"]["number"])
        if all(row.state == "DELIVERED" for row in rows):
            break
        await asyncio.sleep(0.05)
    [webhook] = (await gql(DELIVERIES, as_=owner))["webhooks"]
    assert [each["eventType"] for each in webhook["deliveries"]] == ["webhook.test", "secret.reset"]
    again = 'mutation { redeliverWebhook(deliveryId: "ID") { delivery { state } userErrors { code } } }'
    answer = await gql(again.replace("ID", webhook["deliveries"][1]["id"]), as_=owner)
    assert answer["redeliverWebhook"]["delivery"] == {"state": "PENDING"}
    _, headers = await asyncio.wait_for(receiver.got.get(), 60)
    assert headers["webhook-id"] == webhook["deliveries"][1]["eventId"]


async def test_webhooks_are_edited_and_deleted(gql: Any, owner: Made):
    made = (await gql(CREATE, as_=owner, url="https://example.com/", events=["SECRET_RESET"]))["createWebhook"]
    webhook_id = made["webhook"]["id"]
    answer = await gql(
        UPDATE, as_=owner, id=webhook_id, url="https://example.com/2", events=["CLIENT_CREATED"], enabled=False
    )
    assert answer["updateWebhook"]["webhook"] == {
        "url": "https://example.com/2",
        "events": ["CLIENT_CREATED"],
        "enabled": False,
    }
    delete = f'mutation {{ deleteWebhook(webhookId: "{webhook_id}") {{ deletedId userErrors {{ code field }} }} }}'
    assert (await gql(delete, as_=owner))["deleteWebhook"] == {"deletedId": webhook_id, "userErrors": []}
    assert (await gql(delete, as_=owner))["deleteWebhook"] == {
        "deletedId": None,
        "userErrors": [{"code": "WEBHOOK_NOT_FOUND", "field": ["webhookId"]}],
    }
    assert (await gql("{ webhooks { id } }", as_=owner))["webhooks"] == []


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "https://user:pw@example.com/"}, "url"),
        ({"events": []}, "events"),
        ({"description": "x" * 201}, "description"),
    ],
)
async def test_an_invalid_webhook_is_a_user_error(given: dict[str, Any], field: str, gql: Any, owner: Made):
    answer = await gql(CREATE, as_=owner, **{"url": "https://example.com/", "events": ["SECRET_RESET"]} | given)
    payload = answer["createWebhook"]
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [("INVALID_WEBHOOK", [field])]
    assert payload["signingSecret"] is None
    assert "pw" not in payload["userErrors"][0]["message"]


async def test_a_url_is_in_no_log(gql: Any, owner: Made, caplog: pytest.LogCaptureFixture):
    """It can hold a token."""
    await gql(CREATE, as_=owner, url="https://example.com/?token=very-secret", events=["SECRET_RESET"])
    answer = await gql("{ auditEvents(first: 1) { nodes { action webhookNumber } } }", as_=owner)
    [event] = answer["auditEvents"]["nodes"]
    assert (event["action"], event["webhookNumber"] is not None) == ("WEBHOOK_CREATED", True)
    assert "very-secret" not in caplog.text
