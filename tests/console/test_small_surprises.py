"""The dialogs, the addresses and the sign-in do what a person expects."""

from collections.abc import Callable
from typing import Literal

import pytest
from playwright.sync_api import expect
from support.console_window import Client, Server, Window, sign_in

OpenWindow = Callable[..., Window]


def reset_and_stay(window: Window, client: Client) -> None:
    window.open(client)
    window.press("Reset Secret")
    window.ask_for_hard_reset()
    expect(window.new_secret).to_be_visible()


def test_the_focus_of_a_new_secret_is_on_copying_it(window: Window, client: Client) -> None:
    reset_and_stay(window, client)

    expect(window.dialog.get_by_role("button", name="Copy secret")).to_be_focused()
    expect(window.dialog.get_by_role("heading", name=f"New secret for {client.name}")).to_be_visible()


def test_escape_twice_does_not_lose_a_new_secret(window: Window, client: Client) -> None:
    reset_and_stay(window, client)
    window.page.keyboard.press("Escape")
    expect(window.dialog.get_by_text("You have not copied the secret.")).to_be_visible()
    window.page.keyboard.press("Escape")
    expect(window.dialog.get_by_text("You have not copied the secret.")).to_have_count(0)

    window.take_secret()


def test_copying_answers_the_question_whether_the_secret_was_copied(window: Window, client: Client) -> None:
    reset_and_stay(window, client)
    window.page.keyboard.press("Escape")
    window.confirm("Copy secret")

    expect(window.dialog.get_by_text("You have not copied the secret.")).to_have_count(0)
    window.confirm("Done")
    expect(window.dialog).to_have_count(0)


def test_a_long_dialog_opens_at_its_head(open_window: OpenWindow, make_client: Callable[..., Client]) -> None:
    window = open_window("ADMIN", viewport={"width": 360, "height": 560})
    window.open(make_client("owner"))
    window.press("Reset Secret")

    expect(window.dialog.get_by_role("heading", name="Reset Secret")).to_be_in_viewport()
    window.look("reset-owner-small")


def test_the_way_back_closes_a_dialog_about_the_page_left(window: Window, client: Client) -> None:
    window.page.get_by_role("searchbox").fill(client.name)
    expect(window.page.get_by_text("1 client", exact=True)).to_be_visible()
    window.page.get_by_role("link", name=client.name).click()
    window.press("Reset Secret")
    window.page.go_back()

    expect(window.page.get_by_role("heading", level=1, name="Authorized Apps")).to_be_visible()
    expect(window.dialog).to_have_count(0)


@pytest.mark.parametrize("page", ["apps", "activity"])
def test_a_link_followed_while_typing_leads_where_it_says(window: Window, client: Client, page: str) -> None:
    """When typing pauses, the address gets what was typed: it replaced that of a link followed just before."""
    window.page.goto(f"{window.server.url}/#/{page}")
    window.page.get_by_role("main").get_by_role("link", name=client.name).first.wait_for()
    window.page.evaluate(
        """(name) => {
          const box = document.querySelector("input[type=search]");
          box.value = name;
          box.dispatchEvent(new Event("input", { bubbles: true }));
          setTimeout(() => {
            [...document.querySelectorAll("main a")].find((link) => link.textContent.trim() === name).click();
            for (const end = performance.now() + 600; performance.now() < end; );
          }, 60);
        }""",
        client.name,
    )

    expect(window.page.get_by_role("heading", level=1, name=client.name)).to_be_visible()


def test_the_end_of_a_sign_in_closes_a_dialog(open_window: OpenWindow, client: Client) -> None:
    own = open_window(None)
    sign_in(own, "ADMIN", "Grace Holloway")
    own.open(client)
    own.press("Reset Secret")
    open_window(next_to=own).press("Sign out")

    expect(own.page.get_by_role("heading", level=1, name="Your sign-in has ended")).to_be_visible()
    expect(own.dialog).to_have_count(0)


def test_continuing_without_a_sign_in_says_what_is_missing(open_window: OpenWindow) -> None:
    window = open_window(None)
    window.press("Continue")

    expect(window.page.get_by_text("You are not signed in yet.")).to_be_visible()


def test_the_filter_is_in_the_address_and_nonsense_is_not_the_list(
    window: Window, server: Server, client: Client
) -> None:
    server.run("client", "reset", client.id, "--hours", "24")
    window.page.goto(f"{server.url}/#/apps?show=in-rollover")
    expect(window.page.get_by_role("button", name="In rollover")).to_have_attribute("aria-pressed", "true")
    window.page.reload()
    expect(window.page.get_by_role("button", name="In rollover")).to_have_attribute("aria-pressed", "true")
    window.page.goto(f"{server.url}/#/nonsense")

    expect(window.page.get_by_role("heading", level=1, name="Page not found")).to_be_visible()


def test_the_audit_trail_of_a_deleted_client_stays_readable(window: Window, server: Server, client: Client) -> None:
    server.run("client", "delete", client.id, "--yes")
    window.page.goto(f"{server.url}/#/apps/{client.id}")

    expect(window.page.get_by_role("heading", level=1, name="There is no such client")).to_be_visible()
    expect(window.page.get_by_role("row").filter(has_text="Client deleted")).to_be_visible()


def test_the_audit_is_in_words_and_its_clients_can_be_opened(window: Window, client: Client) -> None:
    window.open(client)
    window.reset_smoothly(3)
    window.press("Edit")
    window.dialog.get_by_role("textbox", name="Description").fill("Runs at night")
    window.confirm("Save")
    audit = window.page.get_by_role("region", name="Audit trail")

    expect(audit.get_by_text("Old secret kept until")).to_be_visible()
    expect(audit.get_by_text("Changed: description")).to_be_visible()
    expect(audit.get_by_role("row").filter(has_text="Client created").get_by_role("link")).to_be_visible()


def test_escape_does_not_throw_typed_text_away_unasked(window: Window, client: Client) -> None:
    window.open(client)
    window.press("Edit")
    window.dialog.get_by_role("textbox", name="Description").fill("A long text")
    window.page.keyboard.press("Escape")
    expect(window.dialog.get_by_text("Discard what you typed?")).to_be_visible()
    window.confirm("Keep editing")
    expect(window.dialog.get_by_role("textbox", name="Description")).to_have_value("A long text")
    window.page.keyboard.press("Escape")
    window.confirm("Discard")

    expect(window.dialog).to_have_count(0)


def test_a_refused_field_gets_the_focus(window: Window, client: Client) -> None:
    window.open(client)
    window.press("Edit")
    window.dialog.get_by_text("Allow list").click()
    window.dialog.get_by_role("textbox", name="Networks").fill("10.0.0.0/8\nnonsense")
    window.confirm("Save")

    expect(window.dialog.get_by_role("textbox", name="Networks")).to_be_focused()
    sentence = "Write an IPv4 or IPv6 network such as 192.0.2.0/24 or 2001:db8::/32, or a single address."
    expect(window.dialog.get_by_text(f"Network 2: {sentence}", exact=True)).to_be_visible()
    window.dialog.get_by_role("textbox", name="Networks").fill("10.0.0.0/8\n192.0.2.0/24\n10.0.0.0/33")
    window.confirm("Save")
    sentence = "After the slash, write only the prefix length, a number from 0 to 32."
    expect(window.dialog.get_by_text(f"Network 3: {sentence}", exact=True)).to_be_visible()


def test_a_retention_can_be_shortened_to_hours_and_shows_the_present_end(window: Window, client: Client) -> None:
    window.open(client)
    window.reset_smoothly(1)
    window.press("Change retention")
    expect(window.dialog.get_by_text("Keep it for how much longer")).to_be_visible()
    window.confirm("Enter hours instead")
    window.days.fill("4")
    window.confirm("Change retention")

    expect(window.page.get_by_role("timer")).to_contain_text("03:59:")
    assert window.mutations[-1]["hoursToLive"] == 4


def test_many_sources_are_ten_rows_until_all_are_asked_for(window: Window, server: Server, client: Client) -> None:
    for number in range(12):
        assert server.is_good(client.id, client.secret, f"worker/{number}")
    window.open(client)
    sources = window.page.get_by_role("region", name="Sources")
    expect(sources.get_by_role("row")).to_have_count(11)
    window.press("Show all 12")

    expect(sources.get_by_role("row")).to_have_count(13)


def test_a_fresh_link_works_in_the_tab_of_a_dead_one(open_window: OpenWindow, server: Server) -> None:
    """Only the fragment of the address changes then, so the page is not loaded again."""
    window = open_window(None)
    window.expects_failures = True
    window.page.goto(f"{server.url}/sign-in#dead")
    window.page.get_by_role("button", name="Sign in").click()
    expect(window.page.get_by_role("button")).to_have_count(0)
    window.page.evaluate("link => { location.href = link }", server.sign_in_link("VIEWER", "Ada Ashdown"))
    window.page.get_by_role("button", name="Sign in").click()

    expect(window.page.get_by_role("heading", level=1, name="Overview")).to_be_visible()


STYLE = """
() => {
  const styleOf = (element, ...names) => names.map(name => getComputedStyle(element)[name]).join(" ");
  return {
    ground: styleOf(document.documentElement, "backgroundColor", "fontFamily", "fontSize"),
    card: styleOf(document.querySelector(".alone, main:not(#content)"), "backgroundColor", "color", "borderColor",
      "borderRadius", "maxWidth", "padding"),
    heading: styleOf(document.querySelector("h1"), "fontSize", "fontWeight", "letterSpacing", "color"),
    sign: styleOf(document.querySelector("main svg :last-child"), "stroke"),
  };
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_a_sign_in_link_looks_like_the_console(
    open_window: OpenWindow, server: Server, scheme: Literal["light", "dark"]
) -> None:
    """It was black on white, without the sign of the console; and with another blue in the dark."""
    window = open_window(None, color_scheme=scheme)
    expect(window.page.get_by_role("heading", level=1, name="Sign in")).to_be_visible()
    console = window.page.evaluate(STYLE)
    window.page.goto(f"{server.url}/sign-in#abc")
    expect(window.page.get_by_role("button", name="Sign in")).to_be_visible()
    assert window.page.evaluate(STYLE) == console
    names = ["background-color", "color", "border-radius"]
    look = "(it, names) => names.map(name => getComputedStyle(it).getPropertyValue(name))"
    offer = window.page.get_by_role("button", name="Sign in").evaluate(look, names)
    sign_in(window, "ADMIN", "Ada Ashdown")
    window.show_list()

    for name, value in zip(names, offer, strict=True):
        expect(window.page.get_by_role("button", name="Create client")).to_have_css(name, value)


def test_a_client_whose_name_nobody_can_type_exactly_can_be_deleted(window: Window, server: Server) -> None:
    """Its two blanks look like one, and the character after them like nothing."""
    made = server.create_client("Night  \u200bbatch")
    window.page.goto(f"{server.url}/#/apps/{made.id}")
    window.press("Delete")
    window.dialog.get_by_role("textbox", name="name to confirm").fill("Night batc")
    expect(window.dialog.get_by_role("button", name="Delete client")).to_be_disabled()
    window.dialog.get_by_role("textbox", name="name to confirm").fill("Night batch")
    window.confirm("Delete client")

    expect(window.page.get_by_role("heading", level=1, name="Authorized Apps")).to_be_visible()


def test_unticking_the_last_feature_leaves_the_features_open(window: Window) -> None:
    """They closed below the keyboard's focus."""
    window.press("Create client")
    window.dialog.get_by_text("Features", exact=True).first.click()
    viewer = window.dialog.get_by_role("checkbox", name="viewer")
    viewer.check()
    viewer.press("Space")

    expect(viewer).not_to_be_checked()
    expect(viewer).to_be_focused()
    expect(viewer).to_be_visible()


def test_a_secret_typed_as_a_filter_of_the_activity_goes_nowhere(window: Window, client: Client) -> None:
    """It became a part of the address, which browsers keep, and was sent as an argument."""
    sent: list[str] = []
    window.page.on("request", lambda request: sent.append(request.post_data or ""))
    window.page.goto(f"{window.server.url}/#/activity")
    box = window.page.get_by_role("searchbox", name="Actor")
    box.fill(client.secret)
    window.page.wait_for_timeout(600)  # twice as long as typing may pause
    expect(window.page.get_by_text("That looks like a secret. It was not sent.")).to_be_visible()
    assert client.secret not in window.page.url
    box.fill("nobody")
    expect(window.page.get_by_text("No event matches these filters")).to_be_visible()

    assert not any(client.secret in each for each in sent)


def test_a_name_that_turns_the_direction_of_text_turns_only_itself(window: Window, server: Server) -> None:
    """What a dialog said after the name was written backwards."""
    made = server.create_client("Pay\u202eroll")
    window.page.goto(f"{server.url}/#/apps/{made.id}")
    window.press("Delete")
    expect(window.dialog.get_by_text("is deleted and all of its secrets")).to_be_visible()
    places = window.page.evaluate(
        """() => [1, 4, 8].map((at) => {
          const range = document.createRange();
          const after = document.querySelector("dialog .dialog-lead strong").nextSibling;
          range.setStart(after, at);
          range.setEnd(after, at + 1);
          return range.getBoundingClientRect().x;
        })"""
    )

    assert places == sorted(places)
