"""People & sessions: an administrator sees who is signed in, ends sessions, and makes links to hand on."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect
from support.console_window import Server, Window, open_context, sign_in

OpenWindow = Callable[..., Window]


@pytest.fixture
def admin(browser: Browser, server: Server) -> Iterator[Window]:
    """A sign-in of its own, because these tests end sessions."""
    context = open_context(browser)
    window = Window(context.new_page(), server)
    sign_in(window, "ADMIN", "Grace Holloway")
    yield window
    context.close()
    assert window.problems == []


def open_people(window: Window) -> None:
    window.page.get_by_role("link", name="People & sessions").click()
    expect(window.page.get_by_role("heading", level=1, name="People & sessions")).to_be_visible()


def make_link(window: Window, name: str, role: str) -> str:
    window.press("Create sign-in link")
    window.dialog.get_by_label("Name").fill(name)
    window.dialog.get_by_label("Role").select_option(role)
    window.confirm("Create link")
    link = window.dialog.get_by_test_id("sign-in-link")
    expect(link).to_be_visible()
    window.look("sign-in-link")
    url = link.text_content() or ""
    window.confirm("Done")
    return url


def test_a_person_signs_in_with_a_link_that_an_admin_handed_on_and_is_signed_out_again(
    admin: Window, browser: Browser, server: Server
) -> None:
    open_people(admin)
    url = make_link(admin, "Vera Rivers", "Viewer")
    context = open_context(browser)
    page = context.new_page()
    page.goto(url)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Vera Rivers")).to_be_visible()
    expect(page.get_by_role("link", name="People & sessions")).to_have_count(0)

    admin.page.reload()
    row = admin.page.get_by_role("row", name=re.compile("Vera Rivers"))
    expect(row).to_contain_text("Viewer")
    expect(row).to_contain_text("user:link/")
    admin.look("people")
    row.get_by_role("button", name="End session").click()
    admin.confirm("End session")

    expect(row).to_have_count(0)
    page.reload()
    expect(page.get_by_role("heading", level=1, name="Sign in")).to_be_visible()
    context.close()
    assert server.url in url


def test_all_sessions_of_a_person_end_and_the_own_session_is_named(
    admin: Window, browser: Browser, server: Server
) -> None:
    context = open_context(browser)
    sign_in(Window(context.new_page(), server), "OPERATOR", "Olga Lastochkina")
    open_people(admin)
    own = admin.page.get_by_role("row", name=re.compile(r"Grace Holloway \(this is you\)"))
    expect(own).to_have_count(1)

    row = admin.page.get_by_role("row", name=re.compile("Olga Lastochkina"))
    row.get_by_role("button", name="End session").click()
    admin.dialog.get_by_role("checkbox", name="End all sessions of Olga Lastochkina", exact=True).check()
    admin.confirm("End all sessions")

    expect(row).to_have_count(0)
    expect(own).to_have_count(1)
    context.close()
