"""What needs attention today: the overview, the lists behind its tiles, and changes of many clients together."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Locator, expect
from support.console_window import PATIENCE, Client, Server, Window, open_context, sign_in

MakeClient = Callable[..., Client]


def tile(window: Window, title: str) -> Locator:
    return window.page.get_by_role("link", name=re.compile(f"^{title}"))


def test_the_overview_counts_what_needs_attention_and_each_tile_is_a_list(
    window: Window, server: Server, client: Client
) -> None:
    assert server.is_good(client.id, client.secret)
    server.run("client", "reset", client.id, "--hours", "0")
    assert not server.is_good(client.id, client.secret, "WarehouseSync/1.2")
    window.page.goto(f"{server.url}/")

    expect(window.page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    locked_out = tile(window, "Locked out")
    expect(locked_out.get_by_text("0", exact=True)).to_have_count(0)
    expect(window.page.get_by_text(re.compile(r"needs? you now\."))).to_be_visible()
    named = window.page.get_by_role("list", name="Clients that need attention", exact=True).get_by_role("listitem")
    expect(named.filter(has_text=client.name)).to_contain_text("Ended secret tried 1 time, last")
    window.look("overview")
    locked_out.click()
    expect(window.page).to_have_url(re.compile(r"#/apps\?show=locked-out$"))
    expect(window.page.get_by_role("link", name=client.name)).to_be_visible()
    window.page.reload()
    expect(window.page.get_by_role("button", name="Locked out")).to_have_attribute("aria-pressed", "true")
    window.page.go_back()
    expect(window.page.get_by_role("heading", level=1, name="Overview")).to_be_visible()


def test_the_counts_change_while_one_looks(window: Window, server: Server, make_client: MakeClient) -> None:
    window.page.goto(f"{server.url}/")
    never_used = tile(window, "Never used").locator(".tile-count")
    expect(never_used).to_be_visible()
    before = int(never_used.inner_text())
    make_client()
    expect(never_used).to_have_text(str(before + 1))


def test_filters_order_and_search_are_in_the_address(window: Window, server: Server, make_client: MakeClient) -> None:
    first, second = make_client("viewer"), make_client()
    shared = first.name.removesuffix(" 1")
    window.page.get_by_role("searchbox").fill(shared)
    expect(window.page.get_by_text("2 clients", exact=True)).to_be_visible()
    rows = window.page.get_by_role("row").filter(has_text=shared)
    expect(rows.first).to_contain_text(second.name)
    window.page.get_by_role("button", name="Client", exact=True).click()
    expect(rows.first).to_contain_text(first.name)
    expect(window.page.get_by_role("columnheader", name="Client")).to_have_attribute("aria-sort", "ascending")
    window.press("Never used")
    window.page.get_by_label("Feature").select_option("VIEWER")
    expect(window.page.get_by_text("1 client", exact=True)).to_be_visible()

    address = window.page.url
    assert "show=never-used" in address
    assert "sort=name" in address
    assert "feature=viewer" in address
    window.page.goto("about:blank")
    window.page.goto(address)
    expect(window.page.get_by_role("searchbox")).to_have_value(shared)
    expect(window.page.get_by_text("1 client", exact=True)).to_be_visible()
    window.look("list-filtered")
    assert server.url in address


def test_old_secrets_that_are_safe_to_revoke_are_revoked_together(
    window: Window, server: Server, make_client: MakeClient
) -> None:
    """Each is checked again: one that is in use by then keeps its secret, and the others end."""
    clients = [make_client() for _ in range(2)]
    for client in clients:
        server.run("client", "reset", client.id, "--hours", "24")
    in_use, _ = clients
    window.page.goto(f"{server.url}/#/apps?search={in_use.name.removesuffix(' 1')}&show=in-rollover")
    window.page.reload()
    expect(window.page.get_by_text("2 clients", exact=True)).to_be_visible()
    window.page.get_by_role("checkbox", name="Select all on this page").check()
    selection = window.page.get_by_role("region", name="Selected clients")
    expect(selection.get_by_text("2 clients selected")).to_be_visible()
    window.look("list-selected")
    selection.get_by_role("button", name="Revoke 2 old secrets").click()
    window.look("revoke-many")
    window.confirm("Revoke 2 old secrets")

    # Neither new secret was used, so neither is safe: nothing ends, and each has its reason.
    expect(window.dialog.get_by_text("No old secret was revoked.")).to_be_visible()
    window.look("revoke-many-refused")
    window.confirm("Done")
    assert server.is_good(in_use.id, in_use.secret)


def test_several_secrets_are_reset_together_and_shown_once(
    window: Window, server: Server, make_client: MakeClient
) -> None:
    clients = [make_client() for _ in range(2)]
    window.page.get_by_role("searchbox").fill(clients[0].name.removesuffix(" 1"))
    expect(window.page.get_by_text("2 clients", exact=True)).to_be_visible()  # a selection is of the list that is shown
    for client in clients:
        window.page.get_by_role("checkbox", name=f"Select {client.name}").check()
    window.press("Reset 2 secrets")
    window.dialog.get_by_role("textbox", name="retention period").fill("3")
    window.look("reset-many")
    window.confirm("Reset 2, keep the old secrets 3 days")
    expect(window.dialog.get_by_role("heading", name="2 new secrets")).to_be_visible()
    window.look("reset-many-result")
    window.page.keyboard.press("Escape")
    expect(window.dialog.get_by_text("You have not downloaded the secrets.")).to_be_visible()
    with window.page.expect_download() as downloading:
        window.confirm("Download all as JSON")
    made = json.loads(downloading.value.path().read_text())
    window.confirm("Done")

    assert {each["clientId"] for each in made} == {client.id for client in clients}
    for each in made:
        assert server.is_good(each["clientId"], each["clientSecret"])
    for client in clients:
        assert server.is_good(client.id, client.secret)


def test_a_new_secret_is_copied_as_a_test_and_the_dialog_says_what_comes_next(
    window: Window, server: Server, client: Client
) -> None:
    window.open(client)
    window.press("Reset Secret")
    window.dialog.get_by_role("switch", name="Smooth Rollover").check()
    window.days.fill("3")
    window.confirm_smooth_reset()
    expect(window.dialog.get_by_text("Revoke the old secret when the page says that it is safe")).to_be_visible()
    secret = window.new_secret.input_value()
    window.look("new-secret-next")
    window.confirm("Copy as curl test")
    expect(window.dialog.get_by_text("Copied", exact=True)).to_be_visible()
    command = window.page.evaluate("navigator.clipboard.readText()")
    window.confirm("Done")

    assert f"-u '{client.id}:{secret}'" in command
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert ran.stdout == "200\n"
    assert server.url in command


def test_the_overview_names_the_clients_and_acts_on_them(browser: Browser, tmp_path: Path) -> None:
    """A server that calls a secret quiet after a second, so that a rollover can be safe within a test."""
    server = Server(tmp_path, GQL_SECRETS_QUIET_TIME="1s", GQL_SECRETS_USAGE_FLUSH="5s")
    context = open_context(browser)
    try:
        window = Window(context.new_page(), server)
        moved, waiting, late = (server.create_client(name) for name in ("Moved", "Waiting", "Late"))
        secrets = [
            json.loads(server.run("client", "reset", each.id, "--hours", hours, "--json"))["newSecret"]
            for each, hours in ((moved, "24"), (waiting, "48"), (late, "1"))
        ]
        assert server.is_good(moved.id, secrets[0])
        assert server.is_good(late.id, late.secret)
        sign_in(window, "ADMIN", "Grace Holloway")
        revoke_all = window.page.get_by_role("button", name="Revoke it", exact=True)
        expect(revoke_all).to_be_visible(timeout=3 * PATIENCE)
        extend = window.page.get_by_role("button", name="Extend Late", exact=True)
        expect(extend).to_be_visible(timeout=3 * PATIENCE)
        rollovers = window.page.get_by_role("list", name="Rollovers in progress", exact=True)
        expect(rollovers.get_by_role("link", name="Waiting", exact=True)).to_be_visible()
        activity = window.page.get_by_role("list", name="Latest events, newest first", exact=True)
        expect(activity.get_by_text("reset the secret of Moved")).to_be_visible()
        window.look("overview-safe")
        extend.click()
        window.days.fill("3")
        window.confirm("Change retention")
        expect(rollovers.get_by_role("link", name="Late", exact=True)).to_be_visible()
        window.press("Revoke Moved")
        expect(window.dialog.get_by_role("heading", name="Revoke Old Secret", exact=True)).to_be_visible()
        window.confirm("Cancel")
        revoke_all.click()
        expect(window.dialog.get_by_role("link", name="Moved")).to_be_visible()
        window.look("revoke-safe")
        window.confirm("Revoke 1 old secret")
        expect(window.dialog.get_by_text("The old secret has ended.", exact=True)).to_be_visible()
        window.look("revoke-safe-done")
        window.confirm("Done")
        expect(revoke_all).to_have_count(0)

        assert not server.is_good(moved.id, moved.secret)
        assert server.is_good(moved.id, secrets[0])
        assert server.is_good(waiting.id, waiting.secret)
        assert window.problems == []
    finally:
        context.close()
        server.stop()
