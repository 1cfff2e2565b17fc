"""Webhooks of real servers: what happens to the events when the server that delivers them is killed."""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from standardwebhooks import Webhook
from support.databases import temporary_directory
from support.serving import Serving, serving
from support.webhook_endpoint import SECONDS, Endpoint

LOOPBACK = "127.0.0.0/8"
CREATE_WEBHOOK = """mutation($url: String!) { createWebhook(url: $url, events: [CLIENT_CREATED, SECRET_RESET]) {
    signingSecret userErrors { message } } }"""
CREATE_CLIENT = 'mutation { createClient(name: "x") { client { clientId } userErrors { message } } }'
RESET = "mutation($id: ID!) { resetSecret(clientId: $id, hoursToLive: 0) { newSecret userErrors { message } } }"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    listening = Endpoint()
    yield listening
    listening.stop()


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_directory() as path:
        yield Path(path)


def ask(server: Serving, owner: str, query: str, **variables: str) -> dict[str, object]:
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {b64encode(owner.encode()).decode()}"}
    body = json.dumps({"query": query, "variables": variables}).encode()
    with urlopen(Request(f"{server.url}/graphql", body, headers), timeout=SECONDS) as answer:  # noqa: S310  loopback
        [payload] = json.load(answer)["data"].values()
    assert payload["userErrors"] == []
    return dict(payload)


def wait_until(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # what is waited for happens in another process


def test_every_event_arrives_in_order_under_one_id_though_its_sender_is_killed(
    folder: Path, endpoint: Endpoint
) -> None:
    """The server dies with events on their way; another one takes over when its lease of 30 seconds is over."""
    other = folder / "other"
    other.mkdir()
    with serving(folder, webhook_networks=LOOPBACK) as sender:
        owner = sender.owner
        key = str(ask(sender, owner, CREATE_WEBHOOK, url=endpoint.url)["signingSecret"])
        made = [ask(sender, owner, CREATE_CLIENT)["client"] for _ in range(2)]
        clients = [str(client["clientId"]) for client in made if isinstance(client, dict)]
        wait_until(lambda: len(set(endpoint.ids)) == 2)
        with serving(other, data_dir=str(folder / ".gql-secrets"), webhook_networks=LOOPBACK) as heir:
            endpoint.is_open.clear()
            for client_id in (*clients, *clients):
                ask(heir, owner, RESET, id=client_id)
            wait_until(lambda: len(endpoint.ids) > 2)
            sender.process.kill()
            sender.process.wait()
            interrupted = set(endpoint.ids[2:])
            endpoint.is_open.set()
            wait_until(lambda: len(set(endpoint.ids)) == 6)
            for event_id in interrupted:  # nobody knew whether they had arrived
                wait_until(lambda event_id=event_id: endpoint.ids.count(event_id) > 1)  # type: ignore[misc]

    events: dict[str, tuple[str, int]] = {}
    for body, headers in endpoint.received:
        data = Webhook(key).verify(body, headers)["data"]
        events.setdefault(headers["webhook-id"], (data["clientId"], data["revision"]))
    assert len(set(events.values())) == 6
    for client_id in clients:
        revisions = [revision for of, revision in events.values() if of == client_id]
        assert revisions == sorted(revisions)
