"""The whole sign-in, walked in a real browser against a real OpenID provider on another site."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port
from playwright.sync_api import Page, expect
from support.console_window import Server, Window
from support.provider_processes import provider_process


@pytest.fixture(scope="module")
def server(modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server on 127.0.0.1, and its provider on `localhost`, which for a browser is another site."""
    port = unused_port()
    running = Server(
        tmp_path_factory.mktemp("server"),
        GQL_SECRETS_OIDC_ISSUER=f"http://localhost:{port}",
        GQL_SECRETS_OIDC_AUDIENCE="gql-secrets-api",
        GQL_SECRETS_OIDC_CLIENT_ID="the-console",
        GQL_SECRETS_OIDC_CLIENT_SECRET="a secret of the tests: with a colon",
        GQL_SECRETS_OIDC_VIEWER_ROLES="look",
    )
    try:
        with provider_process(["node", "provider.mjs", str(port), running.url], modules):
            yield running
    finally:
        running.stop()


def sign_in(page: Page, server: Server, person: str, place: str = "") -> None:
    page.goto(f"{server.url}/{place}")
    page.get_by_role("link", name="Sign in with localhost").click()
    page.locator("input[name=login]").fill(person)
    page.locator("input[name=password]").fill("any")
    page.locator("button[type=submit]").click()
    page.get_by_role("button", name="Continue").click()  # the provider asks for consent


def expect_signed_out(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/#/")
    page.reload()
    expect(page.get_by_role("link", name="Sign in with localhost")).to_be_visible()


def test_a_person_signs_in_and_is_back_where_they_were(page: Page, server: Server) -> None:
    sign_in(page, server, "ada", "#/people")

    expect(page.get_by_role("heading", level=1, name="People & sessions")).to_be_visible()
    row = page.get_by_role("row", name=re.compile(r"ada \(this is you\)"))
    expect(row).to_contain_text("Identity provider")
    expect(row).to_contain_text(re.compile(r"user:localhost:\d+/ada"))
    assert page.url == f"{server.url}/#/people"
    assert "code=" not in page.evaluate("JSON.stringify(performance.getEntriesByType('navigation'))")


def test_signing_out_signs_out_at_the_provider_too(page: Page, server: Server) -> None:
    sign_in(page, server, "vera")
    expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Yes, sign me out").click()

    expect(page.get_by_role("link", name="Sign in with localhost")).to_be_visible()
    page.get_by_role("link", name="Sign in with localhost").click()
    expect(page.locator("input[name=login]")).to_be_visible()  # the provider asks again who it is


def test_signing_out_at_the_provider_ends_the_session_here(page: Page, server: Server) -> None:
    sign_in(page, server, "vera")
    expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    issuer = page.evaluate("fetch('/console/settings').then(r => r.json()).then(s => s.identityProviders[0].issuer)")
    elsewhere = page.context.new_page()
    elsewhere.goto(f"{issuer}/session/end")
    elsewhere.get_by_role("button", name="Yes, sign me out").click()
    expect(elsewhere.get_by_text("Sign-out Success")).to_be_visible()

    expect_signed_out(page, server)
    assert "logged_out_by_provider" in server.log


def test_a_session_whose_role_must_be_confirmed_goes_on_without_a_question(page: Page, server: Server) -> None:
    """As with a provider that gives no refresh token, ten minutes later: the test moves the row, not the clock."""
    sign_in(page, server, "ada", "#/people")
    row = page.get_by_role("row", name=re.compile(r"ada \(this is you\)"))
    expect(row).to_be_visible()
    with contextlib.closing(sqlite3.connect(server.database, timeout=30)) as database, database:
        database.execute("UPDATE session SET tokens = NULL, looked_at = looked_at - 601000000 WHERE name = 'ada'")
    with page.expect_request(re.compile("prompt=none")):
        page.evaluate("dispatchEvent(new Event('online'))")  # the page reads the sessions again

    expect(row).to_be_visible()
    assert page.url == f"{server.url}/#/people"


def test_a_person_without_a_role_learns_why(page: Page, server: Server) -> None:
    sign_in(page, server, "nobody")

    expect(page.get_by_role("alert")).to_contain_text("it gives you no role here")
    Window(page, server).look("sign-in-without-a-role")
    expect(page.get_by_role("link", name="Sign in with localhost")).to_be_visible()
    expect_signed_out(page, server)
    Window(page, server).look("sign-in-with-a-provider")


def test_a_one_time_link_is_still_the_way_back_in(page: Page, server: Server) -> None:
    page.goto(server.sign_in_link("VIEWER", "Grace Holloway"))
    expect(page.get_by_role("link", name="Sign in with localhost")).to_be_visible()
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("Grace Holloway")).to_be_visible()
