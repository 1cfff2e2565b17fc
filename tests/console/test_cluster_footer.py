"""The footer says how many nodes the installation has, and names those that are behind."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from support.console_window import PATIENCE, Client, Server, Window, open_context, sign_in
from support.installation import PEPPER

OpenWindow = Callable[..., Window]


@pytest.fixture
def nodes(tmp_path: Path, postgres_url: str) -> Iterator[list[Server]]:
    """Two servers on one PostgreSQL that verify from memory."""
    running: list[Server] = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        running.append(
            Server(
                tmp_path / name,
                GQL_SECRETS_DATABASE_URL=postgres_url,
                GQL_SECRETS_PEPPER=PEPPER,
                GQL_SECRETS_VERIFY_FROM="memory",
            )
        )
    yield running
    for server in running:
        server.stop()


def wait_until_a_lease_expired(server: Server) -> None:
    deadline = time.monotonic() + 3 * PATIENCE / 1000
    while '"EXPIRED"' not in server.run("cluster", "status", "--json"):
        assert time.monotonic() < deadline, "the stopped node still holds its lease"


def test_two_nodes_are_current_and_one_that_stops_following_is_named(browser: Browser, nodes: list[Server]) -> None:
    first, second = nodes
    context = open_context(browser)
    with closing(context):
        window = Window(context.new_page(), first)
        sign_in(window, "ADMIN", "Ada Ashdown")
        footer = window.page.get_by_role("contentinfo")
        expect(footer.get_by_text("2 nodes, all current", exact=True)).to_be_visible(timeout=3 * PATIENCE)
        window.look("footer-current")
        second.send_signal(signal.SIGSTOP)
        try:
            wait_until_a_lease_expired(first)
            window.page.reload()
            expect(footer).to_contain_text("holds no lease", timeout=3 * PATIENCE)
            expect(footer).to_contain_text("2 nodes: ")
            window.look("footer-trouble")
        finally:
            second.send_signal(signal.SIGCONT)
        expect(footer.get_by_text("2 nodes, all current", exact=True)).to_be_visible(timeout=3 * PATIENCE)
        assert window.problems == []


def test_a_single_node_is_not_mentioned(window: Window, client: Client) -> None:
    expect(window.page.get_by_role("contentinfo")).to_be_attached()
    window.page.wait_for_load_state("networkidle")
    with window.page.expect_response(lambda answer: "query Cluster" in (answer.request.post_data or "")) as answered:
        window.page.reload()
    assert len(answered.value.json()["data"]["cluster"]["members"]) == 1
    window.open(client)

    expect(window.page.get_by_role("contentinfo")).to_have_text("")


def test_only_an_administrator_asks_for_the_nodes(open_window: OpenWindow, client: Client) -> None:
    window = open_window("OPERATOR")
    window.open(client)
    expect(window.page.get_by_role("heading", name="History of secrets")).to_be_visible()

    expect(window.page.get_by_role("contentinfo")).to_have_count(0)
