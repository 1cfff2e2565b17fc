"""Activity: the audit of the whole installation, its filters and its export."""

import csv
import json
import re
from collections.abc import Callable

from playwright.sync_api import expect
from support.console_window import Client, Server, Window

OpenWindow = Callable[..., Window]


def test_changes_are_sentences_with_names_and_filters_are_in_the_address(
    window: Window, server: Server, client: Client
) -> None:
    window.open(client)
    window.reset_smoothly(3)
    window.page.get_by_role("navigation", name="Main").get_by_role("link", name="Activity").click()

    event = window.page.get_by_role("listitem").filter(has_text=client.name).first
    expect(event.get_by_text(f"Ada Ashdown reset the secret of {client.name}")).to_be_visible()
    expect(event.get_by_text("Old secret kept until")).to_be_visible()
    window.look("activity")
    # The second filter is chosen before the pause after typing is over: neither is lost.
    window.page.get_by_label("Client id").fill(client.id)
    window.page.get_by_label("Made through").select_option("GRAPHQL")
    expect(window.page).to_have_url(re.compile(f"client={client.id}.*surface=graphql"))
    expect(window.page.get_by_text("2 events", exact=True)).to_be_visible()
    window.page.get_by_label("Action").select_option("SECRET_RESET")
    expect(window.page.get_by_text("1 event", exact=True)).to_be_visible()
    address = window.page.url
    assert f"client={client.id}" in address
    assert "action=secret-reset" in address
    window.page.reload()
    expect(window.page.get_by_text("1 event", exact=True)).to_be_visible()
    window.page.get_by_label("To", exact=True).fill("2020-01-01")
    expect(window.page.get_by_text("No event matches these filters")).to_be_visible()
    window.page.get_by_role("link", name="Show all events").click()
    expect(window.page.get_by_label("Client id")).to_have_value("")
    assert server.url in address


def test_the_events_of_a_deleted_client_are_found_and_exported(window: Window, server: Server, client: Client) -> None:
    server.run("client", "delete", client.id, "--yes")
    window.page.goto(f"{server.url}/#/activity?client={client.id}")
    expect(window.page.get_by_text("2 events", exact=True)).to_be_visible()
    expect(window.page.get_by_role("link", name=f"deleted client {client.id}").first).to_be_visible()

    with window.page.expect_download() as downloading:
        window.press("CSV")
    rows = list(csv.DictReader(downloading.value.path().read_text().splitlines()))
    assert [(row["action"], row["clientId"]) for row in rows] == [
        ("CLIENT_DELETED", client.id),
        ("CLIENT_CREATED", client.id),
    ]
    with window.page.expect_download() as downloading:
        window.press("JSON Lines")
    events = [json.loads(line) for line in downloading.value.path().read_text().splitlines()]
    assert [event["action"] for event in events] == ["CLIENT_DELETED", "CLIENT_CREATED"]
    window.page.get_by_role("link", name=f"deleted client {client.id}").first.click()
    expect(window.page.get_by_role("heading", name="Audit trail")).to_be_visible()


def test_a_viewer_is_not_offered_the_activity(open_window: OpenWindow, server: Server) -> None:
    window = open_window("VIEWER")
    expect(window.page.get_by_role("link", name="Activity")).to_have_count(0)
    window.page.goto(f"{server.url}/#/activity")
    expect(window.page.get_by_text("Only administrators see the audit log.")).to_be_visible()
