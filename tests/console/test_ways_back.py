"""The list is found as it was left, and a tab notices a sign-in elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect
from support.console_window import Client, Server, Window, sign_in

OpenWindow = Callable[..., Window]


def test_a_part_of_a_name_or_of_a_description_is_found(window: Window, server: Server, client: Client) -> None:
    """The search knew only how a name begins."""
    server.run("client", "update", client.id, "--description", f"Sends invoices to Kraków {client.id[:8]}")
    for part in (client.name[5:], f"voices to Kraków {client.id[:8]}"):
        window.page.get_by_role("searchbox").fill(part)
        expect(window.page.get_by_text("1 client", exact=True)).to_be_visible()
        expect(window.page.get_by_role("link", name=client.name)).to_be_visible()


def test_the_list_is_where_it_was_on_the_way_back(window: Window, server: Server, tmp_path: Path) -> None:
    rows = [
        {
            "client_id": f"back-{n:02}",
            "client_secret": f"{n:04}" + "aZ8kQ2mX7vB4nL9pR3tY6wC",
            "description": f"Back {n}",
        }
        for n in range(25)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    server.run("client", "import", str(file))
    window.page.goto(f"{server.url}/#/apps?search=back-")
    window.page.reload()
    expect(window.page.get_by_role("row")).to_have_count(26)
    window.page.get_by_role("link", name="Back 4", exact=True).scroll_into_view_if_needed()
    window.page.wait_for_function("scrollY > 0")
    window.page.wait_for_timeout(300)  # the browser announces the end of a scroll a moment later
    before = window.page.evaluate("scrollY")
    window.page.get_by_role("link", name="Back 4", exact=True).click()
    expect(window.page.get_by_role("heading", level=1, name="Back 4")).to_be_visible()
    window.page.go_back()

    expect(window.page.get_by_role("row")).to_have_count(26)
    window.page.wait_for_function("before => Math.abs(scrollY - before) < 3", arg=before)


def test_a_tab_without_a_sign_in_notices_one_in_another_tab(open_window: OpenWindow) -> None:
    waiting = open_window(None)
    expect(waiting.page.get_by_role("heading", level=1, name="Sign in")).to_be_visible()
    sign_in(open_window(next_to=waiting), "VIEWER", "Ada Ashdown")
    waiting.page.bring_to_front()
    waiting.page.evaluate("dispatchEvent(new Event('focus'))")

    expect(waiting.page.get_by_role("heading", level=1, name="Authorized Apps")).to_be_visible()


def test_with_forced_colors_the_dot_and_the_progress_are_seen(window: Window, server: Server, client: Client) -> None:
    server.run("client", "reset", client.id, "--hours", "48")
    window.page.emulate_media(forced_colors="active")
    window.open(client)
    expect(window.page.get_by_role("timer")).to_be_visible()
    width = "it => parseFloat(getComputedStyle(it).borderTopWidth)"

    assert window.page.locator(".liveness .dot").evaluate(width) >= 1
    assert window.page.get_by_role("progressbar").evaluate(width) >= 1
    window.picture("forced-colors")
