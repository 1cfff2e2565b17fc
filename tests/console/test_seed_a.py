"""The console walk-through (docs/rules.md), step by step, and every line of its troubleshooting list."""

from collections.abc import Callable

from playwright.sync_api import expect
from support.console_window import Client, Server, Window

OpenWindow = Callable[..., Window]


def test_an_admin_resets_smoothly_and_revokes_when_nobody_uses_the_old_secret(
    window: Window, server: Server, client: Client
) -> None:
    assert server.is_good(client.id, client.secret)

    window.page.get_by_role("searchbox").fill(client.name)
    expect(window.page.get_by_text("1 client", exact=True)).to_be_visible()
    window.page.get_by_role("link", name=client.name).click()
    window.press("Reset Secret")
    switch = window.dialog.get_by_role("switch", name="Smooth Rollover")
    expect(switch).not_to_be_checked()
    expect(window.days).to_have_count(0)
    window.look("reset-hard")
    switch.check()
    window.days.fill("3")
    expect(window.dialog.get_by_text("The old secret ends")).to_be_visible()
    window.look("reset-smooth")
    window.confirm_smooth_reset()
    expect(window.new_secret).to_be_visible()
    window.look("new-secret")
    new = window.take_secret()

    assert server.is_good(client.id, new)
    assert server.is_good(client.id, client.secret)
    expect(window.page.get_by_text("The old secret ends in")).to_be_visible()

    window.press("Revoke Old Secret")
    expect(window.dialog.get_by_text("The old secret was last used")).to_be_visible()
    window.look("revoke")
    window.confirm("Revoke Old Secret")
    expect(window.page.get_by_text("The old secret is revoked.")).to_be_visible()
    expect(window.page.get_by_text("The old secret ends in")).to_have_count(0)

    assert server.is_good(client.id, new)
    assert not server.is_good(client.id, client.secret)


def test_the_toggle_is_absent_for_an_operator_who_resets_at_once(
    open_window: OpenWindow, server: Server, client: Client
) -> None:
    window = open_window("OPERATOR")
    window.open(client)
    window.press("Reset Secret")

    expect(window.dialog.get_by_role("switch")).to_have_count(0)
    expect(window.dialog.get_by_text("The old secret stops working immediately.")).to_be_visible()
    window.look("reset-operator")
    window.ask_for_hard_reset()
    new = window.take_secret()

    assert server.is_good(client.id, new)
    assert not server.is_good(client.id, client.secret)


def test_a_viewer_sees_the_state_and_no_button(open_window: OpenWindow, client: Client) -> None:
    window = open_window("VIEWER")
    window.open(client)
    expect(window.page.get_by_role("heading", name="History of secrets")).to_be_visible()
    window.page.wait_for_load_state("networkidle")

    for button in ("Reset Secret", "Revoke Old Secret", "Edit", "Disable", "Delete"):
        expect(window.page.get_by_role("button", name=button, exact=True)).to_have_count(0)
    expect(window.page.get_by_role("heading", name="Audit trail")).to_have_count(0)
    window.look("client-viewer")


TOLD_AT_THE_FIELD = {
    "": "Enter the retention period: a whole number of days between 1 and 7.",
    "  ": "Enter the retention period: a whole number of days between 1 and 7.",
    "0": "The retention period must be between 1 and 7 days.",
    "8": "The retention period must be between 1 and 7 days.",
    "168": "The retention period must be between 1 and 7 days.",
    "-1": "The retention period must be between 1 and 7 days.",
    "1.5": "Enter whole days only: a number between 1 and 7.",
    "2,5": "Enter whole days only: a number between 1 and 7.",
    "seven": "Enter a number: whole days between 1 and 7.",
    "1e0": "Enter a number: whole days between 1 and 7.",
    "7 days": "Enter a number: whole days between 1 and 7.",
}


def test_an_invalid_period_is_told_at_the_field_and_nothing_is_sent(window: Window, client: Client) -> None:
    window.open(client)
    window.press("Reset Secret")
    window.dialog.get_by_role("switch", name="Smooth Rollover").check()
    for typed, told in TOLD_AT_THE_FIELD.items():
        window.days.fill(typed)
        window.dialog.get_by_role("button", name="Cancel").focus()
        window.confirm_smooth_reset()

        expect(window.days).to_be_focused()
        expect(window.days).to_have_attribute("aria-invalid", "true")
        expect(window.days).to_have_accessible_description(f"{told} A whole number of days, 1 to 7.")
        expect(window.dialog.get_by_role("alert")).to_have_text(told)
    window.look("reset-invalid")
    assert window.mutations == []

    window.days.fill("7")
    expect(window.dialog.get_by_role("alert")).to_have_count(0)
    expect(window.days).to_have_attribute("aria-invalid", "false")


def test_the_whole_reset_works_by_keyboard_alone(window: Window, server: Server, client: Client) -> None:
    window.open(client)
    keyboard = window.page.keyboard
    window.page.get_by_role("button", name="Reset Secret").focus()
    keyboard.press("Enter")
    expect(window.dialog.get_by_role("switch")).to_be_focused()
    keyboard.press("Space")
    expect(window.days).to_be_focused()
    keyboard.type("2")
    keyboard.press("Enter")
    expect(window.new_secret).to_be_visible()
    new = window.new_secret.input_value()
    keyboard.press("Escape")
    expect(window.dialog.get_by_text("You have not copied the secret.")).to_be_visible()
    window.look("not-copied")
    keyboard.press("Enter")
    expect(window.dialog.get_by_text("You have not copied the secret.")).to_have_count(0)
    window.dialog.get_by_role("button", name="Copy secret").focus()
    keyboard.press("Enter")
    expect(window.dialog.get_by_text("Copied")).to_be_visible()
    assert window.page.evaluate("navigator.clipboard.readText()") == new
    keyboard.press("Escape")
    expect(window.dialog).to_have_count(0)
    expect(window.page.get_by_role("button", name="Reset Secret")).to_be_focused()

    assert server.is_good(client.id, new)


def test_a_new_secret_leaves_no_trace_in_the_browser(window: Window, client: Client) -> None:
    window.open(client)
    new = window.reset_smoothly(1)

    kept = window.page.evaluate(
        "JSON.stringify([location.href, {...localStorage}, {...sessionStorage}, history.state])"
    )
    assert new not in kept
    assert new not in window.page.content()
    assert new not in window.server.log


def test_a_new_secret_can_be_taken_away_in_three_forms(window: Window, client: Client) -> None:
    window.open(client)
    window.press("Reset Secret")
    window.ask_for_hard_reset()
    expect(window.new_secret).to_be_visible()
    new = window.new_secret.input_value()
    files = {}
    for form in (".env", "JSON", ".ionapi"):
        with window.page.expect_download() as waiting:
            window.confirm(form)
        files[form] = waiting.value.path().read_text()
    window.confirm("Done")  # a download counts as a copy: nothing is asked
    expect(window.dialog).to_have_count(0)

    assert files[".env"] == f"CLIENT_ID='{client.id}'\nCLIENT_SECRET='{new}'\n"
    assert f'"clientSecret": "{new}"' in files["JSON"]
    for part in (f'"ci": "{client.id}"', f'"cs": "{new}"', '"ti": "ACME_TST"', f'"cn": "{client.name}"', '"v": "1.0"'):
        assert part in files[".ionapi"]
