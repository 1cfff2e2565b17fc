"""What describes a client: contact, labels, maximum age, and whether it resets itself; and the end of a retention."""

import json
import re
from collections.abc import Callable

from playwright.sync_api import expect
from support.console_window import Client, Server, Window

OpenWindow = Callable[..., Window]
MakeClient = Callable[..., Client]


def test_contact_labels_maximum_age_and_self_reset_are_edited_and_shown(
    window: Window, server: Server, client: Client
) -> None:
    window.open(client)
    window.press("Edit")
    window.dialog.get_by_role("textbox", name="Contact").fill("payments@example.com")
    window.dialog.get_by_role("textbox", name="Labels").fill("team=payments tier=1")
    window.dialog.get_by_role("textbox", name="Maximum age").fill("30")
    window.dialog.get_by_role("checkbox", name="May reset its own secret").check()
    window.look("edit-details")
    window.confirm("Save")
    settings = window.page.get_by_role("region", name="Settings")
    for words in ("payments@example.com", "team=payments", "tier=1", "30 days", "Yes, with a smooth reset"):
        expect(settings.get_by_text(words, exact=True)).to_be_visible()
    expect(settings.get_by_text(re.compile("^Due "))).to_be_visible()
    window.look("client-details")
    assert window.mutations[-1] == {
        "clientId": client.id,
        "contact": "payments@example.com",
        "labels": ["team=payments", "tier=1"],
        "maximumAgeDays": 30,
        "selfReset": True,
    }

    window.press("Edit")
    window.dialog.get_by_role("textbox", name="Labels").fill("tier=1")
    window.dialog.get_by_role("textbox", name="Maximum age").fill("")
    window.confirm("Save")
    expect(settings.get_by_text("team=payments")).to_have_count(0)
    expect(settings.get_by_text("30 days")).to_have_count(0)
    assert window.mutations[-1] == {"clientId": client.id, "labels": ["tier=1"], "inheritMaximumAge": True}
    assert json.loads(server.run("client", "show", client.id, "--json"))["labels"] == ["tier=1"]


def test_a_refused_label_and_an_impossible_age_are_shown_at_their_fields(window: Window, client: Client) -> None:
    window.open(client)
    window.press("Edit")
    age = window.dialog.get_by_role("textbox", name="Maximum age")
    age.fill("soon")
    window.confirm("Save")
    expect(window.dialog.get_by_text("Enter a whole number of days from 1 to 3650, or leave it empty.")).to_be_visible()
    expect(age).to_be_focused()
    assert window.mutations == []
    age.fill("")
    labels = window.dialog.get_by_role("textbox", name="Labels")
    labels.fill("Team=payments")
    window.confirm("Save")

    expect(labels).to_have_attribute("aria-invalid", "true")
    expect(labels).to_be_focused()
    window.look("edit-details-refused")


def test_labels_filter_the_list_and_are_in_its_address(
    open_window: OpenWindow, server: Server, make_client: MakeClient
) -> None:
    mine, other = make_client(), make_client()
    label = f"number={mine.id}"
    server.run("client", "update", mine.id, "--label", label, "--label", "team=payments")
    window = open_window("VIEWER")
    window.open(mine)
    window.page.get_by_role("link", name=label).click()
    expect(window.page.get_by_text("1 client", exact=True)).to_be_visible()
    expect(window.page.get_by_role("link", name=mine.name)).to_be_visible()
    expect(window.page.get_by_role("link", name=other.name)).to_have_count(0)
    box = window.page.get_by_role("textbox", name="Label")
    box.fill("no label")
    box.press("Enter")
    expect(window.page.get_by_text("A label is key=value")).to_be_visible()
    window.look("list-label-refused")
    box.fill("team=payments")
    box.press("Enter")
    expect(window.page).to_have_url(re.compile(r"label=number%3D\w+&label=team%3Dpayments$"))
    window.look("list-labels")
    window.page.get_by_role("button", name=re.compile(f"^{label}")).click()

    expect(window.page).to_have_url(re.compile(r"\?label=team%3Dpayments$"))


def test_where_a_retention_cannot_be_extended_the_page_says_so_and_it_can_be_shortened(
    window: Window, client: Client
) -> None:
    window.open(client)
    window.reset_smoothly(7)
    expect(window.page.get_by_text("It cannot be extended: it already has the maximum of 7 days")).to_be_visible()
    window.look("rollover-at-maximum")
    window.press("Change retention")
    expect(window.dialog.get_by_text("so it can only be shortened")).to_be_visible()
    window.confirm("Enter hours instead")
    window.days.fill("4")
    window.confirm("Change retention")

    expect(window.page.get_by_role("timer")).to_contain_text("03:59:")
    expect(window.page.get_by_text("It cannot be extended")).to_have_count(0)
