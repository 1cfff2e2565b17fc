"""Nothing dangerous happens by accident, and what is dangerous is the loudest thing on the page."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect
from support.console_window import PATIENCE, Client, Server, Window, open_context, sign_in

OpenWindow = Callable[..., Window]


def test_enter_twice_on_reset_secret_resets_nothing(window: Window, server: Server, client: Client) -> None:
    """The second Enter used to submit the dialog with the toggle off: an outage."""
    window.open(client)
    window.page.get_by_role("button", name="Reset Secret").focus()
    for _ in range(4):
        window.page.keyboard.press("Enter")

    expect(window.dialog.get_by_role("switch", name="Smooth Rollover")).to_be_focused()
    assert window.mutations == []
    assert server.is_good(client.id, client.secret)


def test_a_held_enter_key_resets_nothing(window: Window, server: Server, client: Client) -> None:
    window.open(client)
    window.page.get_by_role("button", name="Reset Secret").focus()
    for _ in range(20):
        window.page.keyboard.down("Enter")  # the second and later ones are repeats
    window.page.keyboard.up("Enter")

    expect(window.dialog.get_by_role("switch", name="Smooth Rollover")).to_be_visible()
    assert window.mutations == []
    assert server.is_good(client.id, client.secret)


def test_a_hard_reset_asks_again_with_the_name_and_who_is_affected(
    window: Window, server: Server, client: Client
) -> None:
    assert server.is_good(client.id, client.secret)
    window.open(client)
    expect(window.page.get_by_role("region", name="Sources")).to_contain_text("payroll/2.3")
    window.press("Reset Secret")
    window.dialog.get_by_role("button", name="Reset and end the old secret now").dblclick()
    window.confirm("Go back")
    assert window.mutations == []
    window.confirm("Reset and end the old secret now")
    expect(window.dialog.get_by_role("heading", name=f"End the old secret of {client.name} now?")).to_be_visible()
    expect(window.dialog.get_by_text("1 source uses it")).to_be_visible()
    expect(window.dialog.get_by_text("payroll/2.3")).to_be_visible()
    expect(window.dialog.get_by_role("button", name="Go back")).to_be_focused()
    assert window.mutations == []
    window.look("reset-hard-question")
    window.confirm("Go back")
    expect(window.dialog.get_by_role("button", name="Reset and end the old secret now")).to_be_visible()
    window.ask_for_hard_reset()
    window.take_secret()

    assert not server.is_good(client.id, client.secret)


def test_an_operator_reads_why_there_is_no_toggle(open_window: OpenWindow, client: Client) -> None:
    window = open_window("OPERATOR")
    window.open(client)
    window.press("Reset Secret")

    expect(window.dialog.get_by_text("Your role can only reset immediately.")).to_be_visible()


def test_sources_that_are_locked_out_are_named_on_the_page_and_marked_in_the_list(
    window: Window, server: Server, client: Client
) -> None:
    """They showed nowhere but in a column of the history, without an address."""
    assert server.is_good(client.id, client.secret)
    server.run("client", "reset", client.id, "--hours", "0")
    for _ in range(3):
        assert not server.is_good(client.id, client.secret, "WarehouseSync/1.2")
    window.open(client)

    alert = window.page.get_by_role("alert").filter(has_text="is locked out")
    expect(alert.get_by_text("1 source is locked out")).to_be_visible()
    expect(alert.get_by_text("127.0.0.1")).to_be_visible()
    expect(alert.get_by_text("WarehouseSync/1.2")).to_be_visible()
    expect(alert.get_by_text("3 attempts since")).to_be_visible()
    expect(window.page.get_by_text("Refused attempts", exact=True)).to_be_visible()  # the chart's legend
    window.look("locked-out")
    window.page.get_by_role("navigation", name="Main").get_by_role("link", name="Authorized Apps").click()
    row = window.page.get_by_role("row").filter(has_text=client.name)
    expect(row.get_by_text("Ended secret tried just now")).to_be_visible()
    window.look("list-locked-out")


def test_a_viewer_learns_of_locked_out_sources_too(open_window: OpenWindow, server: Server, client: Client) -> None:
    server.run("client", "reset", client.id, "--hours", "0")
    assert not server.is_good(client.id, client.secret)
    window = open_window("VIEWER")
    window.open(client)

    expect(window.page.get_by_text("A secret that has ended is still in use")).to_be_visible()


def test_a_lock_out_that_is_near_is_red_and_extending_comes_first(
    window: Window, server: Server, client: Client
) -> None:
    """It was as calm as one in five days, and called the old secret safe to revoke after its end."""
    server.run("client", "reset", client.id, "--hours", "1")
    assert server.is_good(client.id, client.secret)
    window.open(client)

    banner = window.page.get_by_role("region", name="1 source will be locked out in 59 min")
    expect(banner).to_be_visible()
    expect(banner.get_by_role("button").first).to_have_text("Extend")
    expect(banner.get_by_text("safe to revoke")).to_have_count(0)
    window.look("lock-out-soon")
    window.page.get_by_role("navigation", name="Main").get_by_role("link", name="Authorized Apps").click()
    row = window.page.get_by_role("row").filter(has_text=client.name)
    expect(row.get_by_text("Lock-out soon")).to_be_visible()


def test_an_old_secret_that_nobody_uses_is_not_called_used(window: Window, server: Server, client: Client) -> None:
    window.open(client)
    assert server.is_good(client.id, window.reset_smoothly(3))

    expect(window.page.get_by_role("heading", name="Almost done")).to_be_visible()
    expect(window.page.get_by_text("Still used")).to_have_count(0)
    expect(window.page.get_by_text("in a moment")).to_have_count(0)
    window.press("Revoke Old Secret")
    expect(window.dialog.get_by_text("Nobody has used the old secret.", exact=True)).to_be_visible()
    window.confirm("Cancel")
    window.page.get_by_role("navigation", name="Main").get_by_role("link", name="Authorized Apps").click()
    row = window.page.get_by_role("row").filter(has_text=client.name)
    expect(row.get_by_text("Waiting for quiet")).to_be_visible()


def test_a_source_outside_of_the_allow_list_is_shown_as_refused(window: Window, server: Server, client: Client) -> None:
    """It was listed as a user like any other, although somebody outside has the secret."""
    assert server.is_good(client.id, client.secret)
    window.open(client)
    window.press("Edit")
    window.dialog.get_by_text("Allow list").click()
    window.dialog.get_by_role("textbox", name="Networks").fill("10.1.0.0/16")
    window.confirm("Save")
    expect(window.page.get_by_text("Refused: address not allowed")).to_be_visible()


def test_a_disabled_client_gets_no_deployment_advice(window: Window, server: Server, client: Client) -> None:
    server.run("client", "reset", client.id, "--hours", "24")
    server.run("client", "disable", client.id)
    window.open(client)

    expect(window.page.get_by_role("heading", name="Disabled: both secrets are refused")).to_be_visible()
    expect(window.page.get_by_text("Wait:")).to_have_count(0)
    window.look("disabled-in-rollover")


def test_a_second_reset_says_before_that_it_withdraws_the_unused_secret(window: Window, client: Client) -> None:
    window.open(client)
    unused = window.reset_smoothly(3)
    expect(window.page.get_by_text("The old secret ends in")).to_be_visible()
    window.press("Reset Secret")
    window.dialog.get_by_role("switch", name="Smooth Rollover").check()

    expect(window.dialog.get_by_text("This reset withdraws its new secret.")).to_be_visible()
    expect(window.dialog.get_by_text(unused[-4:])).to_be_visible()


@pytest.fixture(scope="module")
def hasty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that calls a second without use quiet."""
    running = Server(tmp_path_factory.mktemp("hasty"), GQL_SECRETS_QUIET_TIME="1s", GQL_SECRETS_USAGE_FLUSH="5s")
    yield running
    running.stop()


def test_safe_to_revoke_is_said_without_reservation_only_when_every_source_has_moved(
    browser: Browser, hasty_server: Server
) -> None:
    """A source that has never been seen with the new secret may be a nightly job."""
    client = hasty_server.create_client("Inventory")
    assert hasty_server.is_good(client.id, client.secret, "inventory/8")
    assert hasty_server.is_good(client.id, client.secret, "stock/2")
    context = open_context(browser)
    window = Window(context.new_page(), hasty_server)
    sign_in(window, "ADMIN", "Ada Ashdown")
    window.open(client)
    new = window.reset_smoothly(3)
    assert hasty_server.is_good(client.id, new, "stock/2")
    window.page.wait_for_timeout(6500)  # the quiet time, and the time within which other nodes report uses
    window.page.reload()

    sources = window.page.get_by_role("region", name="Sources")
    expect(sources.get_by_role("row").filter(has_text="stock/2")).to_contain_text("Moved")
    expect(window.page.get_by_role("heading", name="1 source not seen with the new secret")).to_be_visible()
    expect(window.page.get_by_text("Safe to revoke")).to_have_count(0)
    window.look("quiet-but-not-moved")
    window.press("Revoke Old Secret")
    affected = window.dialog.get_by_role("list", name="Sources that will be locked out")
    expect(affected).to_contain_text("inventory/8")
    expect(affected).not_to_contain_text("stock/2")
    window.confirm("Cancel")

    assert hasty_server.is_good(client.id, new, "inventory/8")
    window.page.reload()
    # The page may have to ask once more, which it does every 20 seconds.
    expect(window.page.get_by_role("heading", name="Safe to revoke")).to_be_visible(timeout=3 * PATIENCE)
    context.close()


def test_a_rollover_says_how_far_each_source_has_come(window: Window, server: Server, client: Client) -> None:
    for agent in ("web/1", "batch/8"):
        assert server.is_good(client.id, client.secret, agent)
    window.open(client)
    expect(window.page.get_by_role("heading", name="One secret")).to_be_visible()
    window.look("client-no-rollover")
    new = window.reset_smoothly(3)
    assert server.is_good(client.id, new, "web/1")

    rollover = window.page.get_by_role("list", name="Rollover")
    expect(rollover.get_by_text("1 of 2")).to_be_visible()
    expect(rollover.get_by_role("listitem").filter(has_text="Sources moved")).to_have_attribute("aria-current", "step")
    sources = window.page.get_by_role("region", name="Sources").get_by_role("row")
    expect(sources.filter(has_text="batch/8").get_by_text("Still old")).to_be_visible()
    expect(sources.filter(has_text="web/1").get_by_text("Moved")).to_be_visible()
    expect(window.page.get_by_text("New secret first used")).to_be_visible()
    window.look("client-rollover")
    window.show_list()
    row = window.page.get_by_role("row").filter(has_text=client.name)
    expect(row.get_by_text("1 of 2 moved")).to_be_visible()
