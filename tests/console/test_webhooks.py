"""Webhooks in the console: from creating one to its deliveries, and everything an administrator does in between."""

import json
import sqlite3
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, expect
from standardwebhooks import Webhook
from support.console_window import Client, Server, Window
from support.webhook_endpoint import Endpoint

OpenWindow = Callable[..., Window]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    listening = Endpoint()
    yield listening
    listening.stop()


@pytest.fixture
def admin(window: Window, server: Server) -> Iterator[Window]:
    """A window at the page of webhooks; the webhooks that a test makes are deleted after it."""
    window.page.goto(f"{server.url}/#/webhooks")
    expect(window.page.get_by_role("heading", level=1, name="Webhooks")).to_be_visible()
    yield window
    for line in server.run("webhook", "list").splitlines():
        server.run("webhook", "delete", line.split()[0])


def create(window: Window, endpoint: Endpoint, name: str, *events: str) -> str:
    """Create a webhook in the dialog, and return its signing secret."""
    window.press("Create webhook")
    window.dialog.get_by_role("textbox", name="URL").fill(endpoint.url)
    window.dialog.get_by_role("textbox", name="Description").fill(name)
    for event in events:
        window.dialog.get_by_role("checkbox", name=event, exact=True).check()
    window.confirm("Create webhook")
    return take(window)


def take(window: Window) -> str:
    shown = window.dialog.get_by_test_id("signing-secret")
    expect(shown).to_be_visible()
    secret = shown.inner_text()
    window.confirm("Copy secret")
    expect(window.dialog.get_by_text("Copied", exact=True)).to_be_visible()
    window.confirm("Done")
    expect(window.dialog).to_have_count(0)
    return secret


def panel(window: Window, name: str) -> Locator:
    return window.page.get_by_role("region", name=name)


def test_a_webhook_is_created_and_its_secret_is_shown_once_and_verifies_what_arrives(
    admin: Window, server: Server, endpoint: Endpoint, client: Client
) -> None:
    expect(admin.page.get_by_text("No webhooks yet")).to_be_visible()
    admin.look("webhooks-none")
    secret = create(admin, endpoint, "Chat bot", "secret.reset", "client.disabled")
    hook = panel(admin, "Chat bot")
    expect(hook.get_by_text("Active", exact=True)).to_be_visible()
    expect(hook.get_by_text("client.disabled")).to_be_visible()
    hook.get_by_role("button", name="Show deliveries").click()
    expect(hook.get_by_text("Nothing was delivered in the last 30 days.")).to_be_visible()
    server.run("client", "disable", client.id)
    row = hook.get_by_role("row").filter(has_text="client.disabled")
    expect(row.get_by_text("Delivered", exact=True)).to_be_visible()
    expect(row.get_by_role("link", name=client.id)).to_be_visible()
    expect(row.get_by_text("Status 204")).to_be_visible()
    admin.look("webhooks")

    body, headers = endpoint.received[0]
    assert Webhook(secret).verify(body, headers)["type"] == "client.disabled"
    assert secret not in admin.page.content()


def test_a_test_event_that_fails_shows_why_and_is_delivered_again(admin: Window, endpoint: Endpoint) -> None:
    endpoint.status = 503
    create(admin, endpoint, "Chat bot", "secret.reset")
    hook = panel(admin, "Chat bot")
    hook.get_by_role("button", name="Send test").click()
    row = hook.get_by_role("row").filter(has_text="webhook.test")
    expect(row.get_by_text("Will be retried")).to_be_visible()
    expect(row.get_by_text("503")).to_be_visible()
    admin.look("webhooks-failing")
    endpoint.status = 204
    row.get_by_role("button", name="Deliver again").click()

    expect(row.get_by_text("Delivered", exact=True)).to_be_visible()
    ids = set(endpoint.ids)
    assert len(ids) == 1
    assert json.loads(endpoint.received[-1][0])["type"] == "webhook.test"


def test_the_form_says_what_is_missing_and_what_the_server_refuses(admin: Window, endpoint: Endpoint) -> None:
    admin.press("Create webhook")
    admin.confirm("Create webhook")
    url = admin.dialog.get_by_role("textbox", name="URL")
    expect(admin.dialog.get_by_text("Enter the URL of the endpoint.")).to_be_visible()
    expect(url).to_be_focused()
    url.fill("ftp://example.com/")
    admin.confirm("Create webhook")
    expect(admin.dialog.get_by_text("Choose at least one event.")).to_be_visible()
    admin.confirm("Choose all")
    admin.confirm("Create webhook")
    expect(url).to_have_attribute("aria-invalid", "true")
    expect(url).to_be_focused()
    admin.look("webhook-refused")
    url.fill(endpoint.url)
    admin.confirm("Create webhook")
    take(admin)

    expect(panel(admin, "127.0.0.1").get_by_text("All 12")).to_be_visible()


def test_a_signing_secret_that_was_not_copied_is_not_lost_by_escape(admin: Window, endpoint: Endpoint) -> None:
    admin.press("Create webhook")
    admin.dialog.get_by_role("textbox", name="URL").fill(endpoint.url)
    admin.confirm("Choose all")
    admin.confirm("Create webhook")
    expect(admin.dialog.get_by_test_id("signing-secret")).to_be_visible()
    admin.page.keyboard.press("Escape")
    expect(admin.dialog.get_by_text("You have not copied the signing secret.")).to_be_visible()
    admin.look("signing-secret")
    admin.page.keyboard.press("Escape")
    expect(admin.dialog.get_by_text("You have not copied the signing secret.")).to_have_count(0)

    take(admin)


def test_a_webhook_is_edited_disabled_and_enabled(admin: Window, endpoint: Endpoint) -> None:
    create(admin, endpoint, "Chat bot", "secret.reset")
    hook = panel(admin, "Chat bot")
    hook.get_by_role("button", name="Edit").click()
    admin.dialog.get_by_role("checkbox", name="secret.revoked", exact=True).check()
    admin.confirm("Save")
    expect(hook.get_by_text("secret.revoked")).to_be_visible()
    assert admin.mutations[-1].keys() == {"webhookId", "events"}
    hook.get_by_role("button", name="Disable").click()
    admin.confirm("Disable")
    expect(hook.get_by_text("Disabled", exact=True)).to_be_visible()
    expect(hook.get_by_role("button", name="Send test")).to_be_disabled()
    hook.get_by_role("button", name="Enable").click()
    admin.confirm("Enable")

    expect(hook.get_by_text("Active", exact=True)).to_be_visible()


def test_a_paused_webhook_says_so_and_is_resumed(admin: Window, server: Server, endpoint: Endpoint) -> None:
    create(admin, endpoint, "Chat bot", "secret.reset")
    with sqlite3.connect(server.database, timeout=30) as database:
        database.execute("UPDATE webhook SET paused_at = created_at, failing_since = created_at")
    database.close()
    admin.page.reload()
    hook = panel(admin, "Chat bot")
    expect(hook.get_by_text("Deliveries are paused")).to_be_visible()
    admin.look("webhook-paused")
    hook.get_by_role("button", name="Resume").click()
    admin.confirm("Resume")

    expect(hook.get_by_text("Active", exact=True)).to_be_visible()


def test_a_signing_secret_is_rotated_and_both_sign_for_a_day(admin: Window, endpoint: Endpoint) -> None:
    first = create(admin, endpoint, "Chat bot", "secret.reset")
    hook = panel(admin, "Chat bot")
    hook.get_by_role("button", name="Rotate secret").click()
    admin.look("webhook-rotate")
    admin.confirm("Rotate secret")
    second = take(admin)
    expect(hook.get_by_text("The previous one signs too, until")).to_be_visible()
    hook.get_by_role("button", name="Send test").click()
    expect(hook.get_by_role("row").filter(has_text="webhook.test").get_by_text("Delivered")).to_be_visible()

    body, headers = endpoint.received[0]
    for secret in (first, second):
        assert Webhook(secret).verify(body, headers)["type"] == "webhook.test"


def test_a_webhook_is_deleted_after_a_question(admin: Window, endpoint: Endpoint) -> None:
    create(admin, endpoint, "Chat bot", "secret.reset")
    panel(admin, "Chat bot").get_by_role("button", name="Delete").click()
    expect(admin.dialog.get_by_text("This cannot be undone.")).to_be_visible()
    admin.look("webhook-delete")
    admin.confirm("Delete webhook")

    expect(admin.page.get_by_text("No webhooks yet")).to_be_visible()


def test_others_than_administrators_neither_see_webhooks_nor_their_page(
    open_window: OpenWindow, server: Server
) -> None:
    window = open_window("OPERATOR", color_scheme="dark")
    expect(window.page.get_by_role("navigation", name="Main").get_by_role("link", name="Overview")).to_be_visible()
    expect(window.page.get_by_role("link", name="Webhooks")).to_have_count(0)
    window.page.goto(f"{server.url}/#/webhooks")

    expect(window.page.get_by_text("Only administrators see webhooks.")).to_be_visible()
    expect(window.page.get_by_role("button", name="Create webhook")).to_have_count(0)
    window.look("webhooks-forbidden-dark")


def test_the_page_fits_a_small_screen_in_the_dark(
    open_window: OpenWindow, admin: Window, server: Server, endpoint: Endpoint
) -> None:
    create(admin, endpoint, "Chat bot", "secret.reset", "rollover.safe_to_revoke")
    window = open_window("ADMIN", viewport={"width": 360, "height": 740}, color_scheme="dark")
    window.page.goto(f"{server.url}/#/webhooks")
    hook = panel(window, "Chat bot")
    hook.get_by_role("button", name="Send test").click()
    expect(hook.get_by_role("row").filter(has_text="webhook.test").get_by_text("Delivered")).to_be_visible()
    window.look("webhooks-small-dark")

    assert window.page.evaluate("document.documentElement.scrollWidth") == 360
