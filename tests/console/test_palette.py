"""The command palette and the keyboard shortcuts."""

import re
from collections.abc import Callable

from playwright.sync_api import Locator, expect
from support.console_window import Client, Server, Window

OpenWindow = Callable[..., Window]


def field(window: Window) -> Locator:
    return window.dialog.get_by_role("combobox", name="Find a page, a client or an action")


def open_palette(window: Window) -> Locator:
    expect(window.page.get_by_role("button", name="Find")).to_be_visible()
    window.page.keyboard.press("Control+k")
    expect(field(window)).to_be_focused()
    return field(window)


def chosen(window: Window) -> Locator:
    return window.dialog.get_by_role("option", selected=True)


def test_it_finds_a_client_by_a_part_of_its_name_and_opens_it(window: Window, client: Client) -> None:
    open_palette(window).fill(client.name[4:])
    expect(chosen(window)).to_contain_text(client.name)
    window.look("palette-client")
    window.page.keyboard.press("Enter")

    expect(window.page.get_by_role("heading", level=1, name=client.name)).to_be_focused()
    expect(window.dialog).to_have_count(0)


def test_it_finds_a_client_by_its_id(window: Window, client: Client) -> None:
    open_palette(window).fill(client.id)
    expect(chosen(window)).to_contain_text(client.name)


def test_it_goes_to_pages_and_lists_by_keyboard_alone(window: Window) -> None:
    open_palette(window).fill("activ")
    window.page.keyboard.press("Enter")
    expect(window.page.get_by_role("heading", level=1, name="Activity")).to_be_visible()
    open_palette(window).fill("clients: locked")
    window.page.keyboard.press("Enter")
    expect(window.page).to_have_url(re.compile(r"#/apps\?show=locked-out$"))


def test_it_runs_the_actions_of_the_page_and_the_arrows_choose(window: Window, client: Client) -> None:
    window.open(client)
    open_palette(window)
    expect(chosen(window)).to_contain_text("Reset Secret")
    window.look("palette")
    window.page.keyboard.press("ArrowDown")
    expect(chosen(window)).to_contain_text("Edit client")
    window.page.keyboard.press("ArrowUp")
    window.page.keyboard.press("ArrowUp")
    expect(chosen(window)).to_contain_text("Sign out")
    window.page.keyboard.press("ArrowDown")
    window.page.keyboard.press("Enter")

    expect(window.dialog.get_by_role("heading", name="Reset Secret")).to_be_visible()
    assert window.mutations == []


def test_what_a_viewer_may_not_do_is_not_listed(open_window: OpenWindow, client: Client) -> None:
    window = open_window("VIEWER")
    window.open(client)
    open_palette(window)
    expect(window.dialog.get_by_role("option", name="Overview")).to_be_visible()

    for forbidden in ("Reset Secret", "Edit client", "Activity", "People & sessions"):
        expect(window.dialog.get_by_role("option", name=forbidden)).to_have_count(0)


def test_the_focus_returns_where_it_was(window: Window, client: Client) -> None:
    window.open(client)
    opener = window.page.get_by_role("button", name="Copy id")
    opener.focus()
    open_palette(window)
    window.page.keyboard.press("Escape")

    expect(window.dialog).to_have_count(0)
    expect(opener).to_be_focused()


def test_a_secret_is_never_searched_for(window: Window, client: Client) -> None:
    sent: list[str] = []
    window.page.on("request", lambda request: sent.append(request.post_data or ""))
    open_palette(window).fill(client.secret)
    expect(window.dialog.get_by_text("That looks like a secret. It was not sent.")).to_be_visible()
    window.look("palette-secret")
    open_list = field(window)
    open_list.fill("nothing is called like this")
    expect(window.dialog.get_by_text("No results")).to_be_visible()

    assert any("nothing is called like this" in body for body in sent)
    assert not any(client.secret[:8] in body for body in sent)


def test_the_shortcuts_do_nothing_in_front_of_a_dialog_or_while_one_types(window: Window, client: Client) -> None:
    window.open(client)
    window.press("Edit")
    name = window.dialog.get_by_role("textbox", name="Name")
    name.press("End")
    name.press_sequentially("/?")
    window.page.keyboard.press("Control+k")

    expect(name).to_have_value(f"{client.name}/?")
    expect(field(window)).to_have_count(0)


def test_a_slash_goes_to_the_search_field_and_elsewhere_to_the_palette(window: Window, server: Server) -> None:
    expect(window.page.get_by_role("searchbox")).to_be_visible()
    window.page.keyboard.press("/")
    expect(window.page.get_by_role("searchbox")).to_be_focused()
    expect(window.page.get_by_role("searchbox")).to_have_value("")
    window.page.goto(f"{server.url}/#/people")
    expect(window.page.get_by_role("heading", level=1, name="People & sessions")).to_be_visible()
    window.page.keyboard.press("/")

    expect(field(window)).to_be_focused()
    expect(field(window)).to_have_value("")


def test_a_question_mark_shows_the_shortcuts_and_they_can_be_turned_off(window: Window) -> None:
    expect(window.page.get_by_role("searchbox")).to_be_visible()
    window.page.keyboard.press("?")
    expect(window.dialog.get_by_role("heading", name="Keyboard shortcuts")).to_be_visible()
    window.look("keyboard-shortcuts")
    window.dialog.get_by_role("switch", name="Single-character shortcuts").uncheck()
    window.confirm("Close")
    window.page.keyboard.press("?")
    window.page.keyboard.press("/")
    expect(window.page.get_by_role("searchbox")).not_to_be_focused()
    expect(window.dialog).to_have_count(0)

    open_palette(window).fill("shortcuts")
    window.page.keyboard.press("Enter")
    expect(window.dialog.get_by_role("heading", name="Keyboard shortcuts")).to_be_visible()
    expect(window.dialog.get_by_role("switch", name="Single-character shortcuts")).not_to_be_checked()


def test_it_works_by_touch_on_a_small_screen_and_in_the_dark(open_window: OpenWindow, client: Client) -> None:
    window = open_window("ADMIN", viewport={"width": 360, "height": 640}, color_scheme="dark", has_touch=True)
    window.page.get_by_role("button", name="Find").tap()
    field(window).fill(client.name)
    expect(chosen(window)).to_contain_text(client.name)
    window.look("palette-small-dark")
    assert window.page.evaluate("document.documentElement.scrollWidth") == 360
    chosen(window).tap()

    expect(window.page.get_by_role("heading", level=1, name=client.name)).to_be_visible()
