"""How often a page asks the server for its data."""

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Request, expect
from support.console_window import Client, Server, Window

OpenWindow = Callable[..., Window]
MAX_REQUESTS = 3


class Asked:
    """The names of the operations that a window sends from now on."""

    def __init__(self, window: Window) -> None:
        self.names: list[str] = []
        window.page.on("request", self._requested)

    def _requested(self, request: Request) -> None:
        if request.method == "POST" and request.url.endswith("/graphql"):
            query = json.loads(request.post_data or "{}").get("query", "")
            self.names += re.findall(r"^(?:query|mutation) (\w+)", query)

    def distinct(self) -> set[str]:
        return set(self.names) - {"Viewer", "Cluster"}  # of the frame around every page


def test_a_page_asks_for_each_of_its_data_once(open_window: OpenWindow, server: Server, client: Client) -> None:
    """Everything was asked again two seconds later, for what might have changed before the stream of events began."""
    for address, wanted in (
        ("/#/", ["Overview"]),
        ("/#/apps", ["AuthorizedApps", "RefusedAttempts"]),
        (f"/#/apps/{client.id}", ["AuditTrail", "AuthorizedApp", "SecretHistory"]),
    ):
        window = open_window()
        window.page.goto("about:blank")
        window.page.add_init_script("setInterval = () => 0")  # nothing is asked regularly
        asked = Asked(window)
        window.page.goto(server.url + address)
        expect(window.page.get_by_role("heading", level=1)).to_be_visible()
        expect(window.page.get_by_text("Live", exact=True)).to_be_visible()
        window.page.wait_for_timeout(2500)

        assert sorted(name for name in asked.names if name != "Cluster") == [*wanted, "Viewer"]


@pytest.mark.parametrize("role", ["ADMIN", "OPERATOR", "VIEWER"])
def test_the_page_of_a_client_asks_for_its_data_in_three_requests(
    open_window: OpenWindow, server: Server, client: Client, role: str
) -> None:
    """What a viewer may not see is not asked for either."""
    assert server.is_good(client.id, client.secret)
    server.run("client", "reset", client.id, "--hours", "24")
    window = open_window(role)
    # From a page with other data.
    window.page.goto(f"{server.url}/#/people")
    expect(window.page.get_by_role("heading", level=1, name="People & sessions")).to_be_visible()
    denied: list[str] = []
    window.page.on("response", lambda answer: denied.append(answer.url) if answer.status >= 400 else None)
    asked = Asked(window)
    window.open(client)
    expect(window.page.get_by_role("region", name="History of secrets").get_by_role("row")).to_have_count(3)
    expect(window.page.get_by_role("region", name="Uses per hour").get_by_role("img")).to_be_visible()

    wanted = {"AuthorizedApp", "SecretHistory"} | ({"AuditTrail"} if role == "ADMIN" else set())
    assert asked.distinct() - {"Sessions"} == wanted
    assert len(wanted) <= MAX_REQUESTS
    assert denied == []


def test_the_list_asks_for_its_data_in_two_requests(window: Window, server: Server, client: Client) -> None:
    window.page.goto(f"{server.url}/#/people")
    expect(window.page.get_by_role("heading", level=1, name="People & sessions")).to_be_visible()
    asked = Asked(window)
    window.show_list()
    expect(window.page.get_by_role("link", name=client.name)).to_be_visible()

    assert asked.distinct() - {"Sessions"} == {"AuthorizedApps", "RefusedAttempts"}


def test_a_change_of_the_retention_is_marked_in_the_chart_and_in_the_timeline(
    window: Window, server: Server, client: Client
) -> None:
    server.run("client", "reset", client.id, "--hours", "48")
    assert server.is_good(client.id, client.secret)
    window.open(client)
    chart = window.page.get_by_role("region", name="Uses per hour").get_by_role("img")
    expect(chart).to_be_visible()
    expect(chart.get_by_text("Retention changed")).to_have_count(0)
    window.press("Change retention")
    window.days.fill("3")
    window.confirm("Change retention")

    expect(chart.get_by_text("Retention changed")).to_be_visible()
    expect(
        window.page.get_by_role("list", name="Rollover").get_by_text(re.compile("changed just now$"))
    ).to_be_visible()
    window.look("retention-changed")
