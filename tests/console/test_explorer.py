"""The explorer: our own copy, offline, with the operations one needs."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from playwright.sync_api import Response, expect
from support.console_window import OUTPUT, Client, Server, Window

OpenWindow = Callable[..., Window]
MAX_BYTES = 1_100_000
# What axe finds in GraphiQL 5 itself: a tab has its close button inside, and Monaco's colour of comments is faint.
OF_GRAPHIQL = {"nested-interactive": r"graphiql-tab-active|^li:nth-child", "color-contrast": r"\.mtk\d+$"}


def test_it_opens_with_the_four_operations_and_runs_them(window: Window, server: Server) -> None:
    window.page.goto(f"{server.url}/graphql")
    for operation in ("ListClients", "SmoothReset", "RevokeOldSecret", "ClientEvents"):
        expect(window.page.get_by_role("tab", name=operation)).to_be_visible()
    expect(window.page.get_by_text("totalCount").first).to_be_visible()
    window.page.get_by_role("button", name="Execute query").click()
    expect(window.page.get_by_role("region", name="Result Window").get_by_text("totalCount")).to_be_visible()


def test_the_button_that_closes_a_tab_does_not_cover_its_name(window: Window, server: Server) -> None:
    window.page.goto(f"{server.url}/graphql")
    tab = window.page.get_by_role("tab", name="ListClients")
    expect(tab).to_be_visible()
    close = tab.get_by_role("button", name="Close Tab").bounding_box()
    end_of_name = tab.get_by_role("button", name="ListClients").evaluate(
        """button => {
            const name = document.createRange();
            name.selectNodeContents(button);
            return name.getBoundingClientRect().right;
        }"""
    )
    assert close is not None
    assert end_of_name <= close["x"]
    assert close["width"] >= 24


def test_it_formats_completes_and_checks_what_is_written(window: Window, server: Server) -> None:
    """The workers answer, and the parts of the editor that are left out of the bundle are not missed."""
    page = window.page
    page.goto(f"{server.url}/graphql")
    editor = page.get_by_role("region", name="Operation Editor")
    expect(editor.get_by_text("totalCount")).to_be_visible()
    page.get_by_role("button", name="New tab", exact=True).click()
    expect(editor.get_by_text("totalCount")).to_have_count(0)
    editor.get_by_role("textbox").first.focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("query Mine{viewer{name}}")
    expect(editor.get_by_text(re.compile(r"^query\sMine\{viewer\{name\}\}$"))).to_be_visible()
    page.get_by_role("button", name="Prettify query").click()
    expect(editor.get_by_text(re.compile(r"^\s+viewer\s\{$"))).to_be_visible()
    editor.get_by_role("textbox").first.focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("query Mine { nonsense rot")
    wrong = editor.locator(".squiggly-error")
    expect(wrong.first).to_be_visible()
    page.keyboard.press("Control+Space")
    offered = page.locator(".suggest-widget").get_by_role("option", name=re.compile("rotationPolicy"))
    expect(offered).to_be_visible()
    variables = page.get_by_role("region", name="Variables")
    variables.get_by_role("textbox").first.focus()
    page.keyboard.type('{"clientId": nonsense')
    expect(variables.locator(".squiggly-error").first).to_be_visible()


def subscriptions(window: Window) -> list[str | bytes]:
    """Return where the subscriptions appear that the window sends."""
    sent: list[str | bytes] = []

    def note(frame: str | bytes) -> None:
        if '"subscribe"' in str(frame):
            sent.append(frame)

    window.page.on("websocket", lambda socket: socket.on("framesent", note))
    return sent


def test_a_subscription_in_it_hears_a_change(window: Window, server: Server, client: Client) -> None:
    sent = subscriptions(window)
    window.page.goto(f"{server.url}/graphql")
    editor = window.page.get_by_role("region", name="Operation Editor")
    expect(editor.get_by_text("totalCount")).to_be_visible()
    window.page.get_by_role("tab", name="ClientEvents").click()
    expect(editor.get_by_text("subscription")).to_be_visible()
    window.page.get_by_role("button", name="Execute query").click()
    window.wait_until(lambda: len(sent) > 0)
    server.run("client", "disable", client.id)

    expect(window.page.get_by_role("region", name="Result Window").get_by_text("DISABLED")).to_be_visible()


def test_what_is_run_straight_after_a_change_of_tabs_is_what_is_seen(
    window: Window, server: Server, client: Client
) -> None:
    """GraphiQL learns of another tab's operation only after a pause, which here lasts."""
    sent = subscriptions(window)
    window.page.clock.install()
    window.page.goto(f"{server.url}/graphql")
    editor = window.page.get_by_role("region", name="Operation Editor")
    expect(editor.get_by_text("totalCount")).to_be_visible()
    window.page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    window.page.get_by_role("tab", name="ClientEvents").click()
    window.page.get_by_role("button", name="Execute query").click()
    window.page.clock.resume()
    window.wait_until(lambda: len(sent) > 0)
    server.run("client", "disable", client.id)

    expect(window.page.get_by_role("region", name="Result Window").get_by_text("DISABLED")).to_be_visible()


def test_show_query_opens_the_very_operation(window: Window, server: Server, client: Client) -> None:
    window.open(client)
    window.press("Reset Secret")
    window.dialog.get_by_role("switch", name="Smooth Rollover").check()
    window.days.fill("3")
    with window.page.context.expect_page() as opening:
        window.dialog.get_by_role("link", name="Show query").click()
    explorer = Window(opening.value, server)

    expect(explorer.page.get_by_role("tab", name="ResetSecret")).to_be_visible()
    expect(explorer.page.get_by_text(re.compile(r'^\s*"hoursToLive":\s72$'))).to_be_visible()
    assert explorer.page.url == f"{server.url}/graphql"
    assert explorer.problems == []


def test_one_button_shows_a_page_as_graphql_curl_and_a_command(window: Window, server: Server, client: Client) -> None:
    window.open(client)
    window.press("API")
    expect(window.dialog.get_by_text("query AuthorizedApp(")).to_be_visible()
    window.look("api")
    window.dialog.get_by_role("combobox").select_option("Audit trail")
    expect(window.dialog.get_by_text("query AuditTrail(")).to_be_visible()
    window.confirm("curl")
    window.dialog.get_by_role("combobox").select_option("Client")
    window.confirm("Copy curl")
    expect(window.dialog.get_by_text("Copied", exact=True)).to_be_visible()
    command = window.page.evaluate("navigator.clipboard.readText()")
    window.confirm("CLI")
    expect(window.dialog.get_by_text(f"gql-secrets client show {client.id}")).to_be_visible()

    viewer = server.create_client("Reads by curl", "viewer")
    environment = {**os.environ, "CLIENT_ID": viewer.id, "CLIENT_SECRET": viewer.secret}
    ran = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout)["data"]["client"]["name"] == client.name


def test_its_first_load_is_compressed_and_its_assets_are_kept(window: Window, server: Server) -> None:
    """On the wire it was 1.87 MB, of which 0.33 MB were fonts; the editor itself (Monaco) is most of the rest.

    The workers are included; what they and the page both need is loaded once.
    """
    assets: dict[str, Response] = {}
    page = window.page.context.new_page()  # what the context's pages have in common is the cache
    page.on("response", lambda answer: assets.update({answer.url: answer}) if "/assets/" in answer.url else None)
    page.goto(f"{server.url}/graphql")
    expect(page.get_by_text("totalCount").first).to_be_visible()
    for worker in ("/json-worker-", "/editor-worker-", "/graphql-worker-"):  # they start when the editors are there
        if not any(worker in url for url in assets):
            page.wait_for_event("response", lambda answer, worker=worker: worker in answer.url)
    page.wait_for_load_state("networkidle")

    headers = [answer.headers for answer in list(assets.values())]
    assert {each["content-encoding"] for each in headers} == {"br"}
    assert all("immutable" in each["cache-control"] for each in headers)
    size = sum(int(each["content-length"]) for each in headers)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "explorer-bytes.txt").write_text(f"{size} bytes in {len(headers)} assets\n")
    assert MAX_BYTES / 3 < size < MAX_BYTES
    page.close()


def test_signed_out_it_leads_to_the_sign_in_and_the_browser_asks_for_no_password(
    open_window: OpenWindow, server: Server
) -> None:
    window = open_window(None)
    window.expects_failures = True
    challenges: list[str] = []
    window.page.on("response", lambda answer: challenges.extend(answer.headers.get("www-authenticate", "").split()[:1]))
    window.page.goto(f"{server.url}/graphql")
    expect(window.page.get_by_text("You are not signed in, so the schema is hidden.")).to_be_visible()
    window.page.wait_for_load_state("networkidle")
    assert challenges == []
    window.page.get_by_role("link", name="Sign in", exact=True).click()

    expect(window.page.get_by_role("heading", level=1, name="Sign in")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_but_for_what_is_of_graphiql_itself(
    open_window: OpenWindow, server: Server, scheme: Literal["light", "dark"]
) -> None:
    window = open_window("ADMIN", color_scheme=scheme)
    window.page.goto(f"{server.url}/graphql")
    expect(window.page.get_by_text("totalCount").first).to_be_visible()
    window.page.get_by_role("button", name="Execute query").click()
    result = window.page.get_by_role("region", name="Result Window")
    expect(result.get_by_text("totalCount")).to_be_visible()
    for width, height in ((2560, 1300), (1440, 900), (360, 740)):
        window.page.set_viewport_size({"width": width, "height": height})
        window.picture(f"state-explorer-{width}-{scheme}")
        # Monaco takes a moment to follow its container.
        window.page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
    found = [
        (violation["id"], " ".join(map(str, node["target"])))
        for violation in window.check().response["violations"]
        for node in violation["nodes"]
    ]
    assert [(rule, target) for rule, target in found if not re.search(OF_GRAPHIQL.get(rule, "^$"), target)] == []
    # The answer used to be a strip of 40 pixels next to the operation.
    box = result.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 360
    assert box["width"] > 200
    assert box["height"] > 200
