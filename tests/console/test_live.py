"""What happens elsewhere appears here, and what ended is said."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import WebSocketRoute, expect
from support.console_window import Client, Server, Window, sign_in

OpenWindow = Callable[..., Window]


def test_another_windows_change_appears_without_a_reload(
    window: Window, open_window: OpenWindow, client: Client
) -> None:
    window.open(client)
    other = open_window()
    other.open(client)
    expect(other.page.get_by_text("Live", exact=True)).to_be_visible()

    window.reset_smoothly(2)
    expect(other.page.get_by_text("The old secret ends in")).to_be_visible()
    other.press("Revoke Old Secret")
    other.confirm("Revoke Old Secret")
    expect(window.page.get_by_text("The old secret ends in")).to_have_count(0)


def test_a_change_by_the_command_line_and_a_first_use_appear(window: Window, server: Server, client: Client) -> None:
    window.open(client)
    expect(window.page.get_by_text("Live", exact=True)).to_be_visible()
    window.reset_smoothly(2)
    current = window.page.get_by_role("region", name="Current secret")
    expect(current.get_by_text("never").first).to_be_visible()

    assert server.is_good(client.id, client.secret)
    server.run("client", "disable", client.id)
    expect(window.page.get_by_text("Disabled", exact=True).first).to_be_visible()
    server.run("client", "enable", client.id)
    expect(window.page.get_by_text("Disabled", exact=True)).to_have_count(0)


def test_a_first_use_appears(window: Window, server: Server, client: Client) -> None:
    window.open(client)
    expect(window.page.get_by_text("Live", exact=True)).to_be_visible()
    new = window.reset_smoothly(2)
    expect(window.page.get_by_role("heading", name="Wait: the new secret is not in use yet")).to_be_visible()

    assert server.is_good(client.id, new)
    expect(window.page.get_by_role("heading", name="Wait: the new secret is not in use yet")).to_have_count(0)
    expect(window.page.get_by_role("button", name="Cancel rollover")).to_have_count(0)


def test_a_new_client_appears_in_the_list(window: Window, make_client: Callable[..., Client]) -> None:
    expect(window.page.get_by_text("Live", exact=True)).to_be_visible()
    client = make_client()

    expect(window.page.get_by_role("link", name=client.name)).to_be_visible()


def test_what_happens_before_the_server_has_begun_to_tell_appears_too(
    window: Window, make_client: Callable[..., Client]
) -> None:
    """It was seen with the next regular question, twenty seconds later."""
    kept: list[Callable[[], None]] = []

    def keep_the_question_back(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def receive(message: str | bytes) -> None:
            if '"subscribe"' in str(message):
                kept.append(lambda: server.send(message))
            else:
                server.send(message)

        socket.on_message(receive)

    window.page.add_init_script("setInterval = () => 0")  # nothing is asked regularly
    window.page.route_web_socket(re.compile("/graphql$"), keep_the_question_back)
    window.page.reload()
    expect(window.page.get_by_role("table")).to_be_visible()
    expect(window.page.get_by_text("Live", exact=True)).to_be_visible()
    window.wait_until(lambda: len(kept) > 0)
    client = make_client()
    [ask_now] = kept
    ask_now()

    expect(window.page.get_by_role("link", name=client.name)).to_be_visible()


@pytest.fixture
def own_window(open_window: OpenWindow) -> Window:
    """A window with a sign-in of its own, which its test may end."""
    window = open_window(None)
    sign_in(window, "ADMIN", "Grace Holloway")
    return window


def test_signing_out_ends_every_window_of_the_session(own_window: Window, open_window: OpenWindow) -> None:
    window = own_window
    other = open_window(next_to=window)
    expect(other.page.get_by_role("heading", level=1, name="Authorized Apps")).to_be_visible()
    window.press("Sign out")

    expect(window.page.get_by_role("heading", level=1, name="You are signed out")).to_be_visible()
    expect(other.page.get_by_role("heading", level=1, name="Your sign-in has ended")).to_be_visible()
    other.look("sign-in-ended")


def test_a_change_without_a_sign_in_is_refused_in_words_and_a_new_sign_in_goes_on(
    window: Window, server: Server, client: Client
) -> None:
    window.page.add_init_script("setInterval = () => 0")  # nothing is asked regularly
    window.page.reload()
    window.open(client)
    window.press("Reset Secret")
    window.confirm("Reset and end the old secret now")
    window.page.context.clear_cookies()  # only now: once the page notices, there is no dialog to confirm
    window.confirm("End the old secret now")

    expect(window.dialog).to_have_count(0)
    assert server.is_good(client.id, client.secret)
    expect(window.page.get_by_role("heading", level=1, name="Your sign-in has ended")).to_be_visible()
    sign_in(window, "ADMIN", "Ada Ashdown")


def test_a_new_secret_outlives_the_sign_in_that_made_it(
    own_window: Window, open_window: OpenWindow, client: Client
) -> None:
    """It cannot be read again, so a person who has not copied it yet must still be able to."""
    window = own_window
    window.open(client)
    window.press("Reset Secret")
    window.ask_for_hard_reset()
    expect(window.new_secret).to_be_visible()
    open_window(next_to=window).press("Sign out")

    expect(window.page.get_by_text("Your sign-in has ended", exact=True)).to_have_count(1)
    window.take_secret()


def test_without_a_sign_in_the_page_says_how_to_get_one(open_window: OpenWindow) -> None:
    window = open_window(None)

    expect(window.page.get_by_role("heading", level=1, name="Sign in")).to_be_visible()
    expect(window.page.get_by_text("gql-secrets sign-in-link")).to_be_visible()
    window.look("sign-in")


def test_offline_is_said_and_mends_itself(window: Window, client: Client) -> None:
    window.expects_failures = True
    window.open(client)
    window.page.context.set_offline(True)
    expect(window.page.get_by_text("You are offline. This page may be outdated")).to_be_visible()
    window.look("offline")
    window.press("Reset Secret")
    window.ask_for_hard_reset()
    expect(window.dialog.get_by_text("No response.")).to_be_visible()
    window.confirm("Cancel")

    window.page.context.set_offline(False)
    expect(window.page.get_by_text("You are offline.")).to_have_count(0)
    # Chromium tells of the broken socket in words of its own; that is the one thing expected here.
    window.problems = [problem for problem in window.problems if "WebSocket connection" not in problem]
