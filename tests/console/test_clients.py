"""The list, and what one may do to a client besides its secret."""

import json

import pytest
from playwright.sync_api import expect
from support.console_window import Client, Server, Window


@pytest.fixture(scope="module")
def many(server: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Sixty clients in one list."""
    rows = [
        {
            "client_id": f"many-{n:04}",
            "client_secret": f"{n:04}" + "aZ8kQ2mX7vB4nL9pR3tY6wC",
            "description": f"Many {n:04}",
        }
        for n in range(60)
    ]
    file = tmp_path_factory.mktemp("import") / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    server.run("client", "import", str(file))


@pytest.mark.usefixtures("many")
def test_the_list_is_searched_as_one_types_and_turned_page_by_page(window: Window) -> None:
    page = window.page
    page.reload()
    page.get_by_role("searchbox").press_sequentially("mANy 00", delay=20)
    expect(page.get_by_text("60 clients", exact=True)).to_be_visible()
    rows = page.get_by_role("row")
    expect(rows).to_have_count(26)
    window.look("list")

    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("26\N{EN DASH}50 of 60")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(rows).to_have_count(11)
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.get_by_role("row").last.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1, name="Many 0000")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("51\N{EN DASH}60 of 60")).to_be_visible()
    page.get_by_role("button", name="Previous").click()
    expect(page.get_by_text("26\N{EN DASH}50 of 60")).to_be_visible()

    page.get_by_role("searchbox").fill("nothing begins so")
    expect(page.get_by_text("No results for")).to_be_visible()
    window.look("list-empty")


def test_an_address_that_changes_while_the_page_is_made_is_followed(window: Window, client: Client) -> None:
    """The page listened only after its first picture: what came before was lost, and the list stayed."""
    at_once = f"addEventListener('DOMContentLoaded', () => {{ location.hash = '#/apps/{client.id}' }})"
    window.page.add_init_script(at_once)
    window.page.reload()
    expect(window.page.get_by_role("heading", level=1, name=client.name)).to_be_visible()


def test_the_filter_shows_only_clients_in_rollover(window: Window, client: Client) -> None:
    window.open(client)
    window.reset_smoothly(2)
    window.page.get_by_role("navigation", name="Main").get_by_role("link", name="Authorized Apps").click()
    window.press("In rollover")

    row = window.page.get_by_role("row").filter(has_text=client.name)
    expect(row.get_by_text("Rollover, ends in 1 d 23 h")).to_be_visible()
    rows = window.page.get_by_role("row")
    expect(rows.filter(has_not_text="Rollover, ends in")).to_have_count(1)  # the head
    window.look("list-in-rollover")


def test_a_secret_typed_into_the_search_is_not_sent(window: Window) -> None:
    asked = []
    window.page.on("request", lambda request: asked.append(request.post_data or ""))
    window.page.get_by_role("searchbox").fill("gqls_" + "abcdefgh")
    expect(window.page.get_by_text("That looks like a secret.")).to_be_visible()
    window.page.wait_for_timeout(400)

    assert not [body for body in asked if "abcdefgh" in body]


def test_a_client_is_created_and_its_secret_shown_once(window: Window, server: Server) -> None:
    window.press("Create client")
    window.confirm("Create client")
    expect(window.dialog.get_by_text("Enter a name.")).to_be_visible()
    window.dialog.get_by_role("textbox", name="Name").fill("Invoice export")
    window.dialog.get_by_text("Allow list").click()
    window.dialog.get_by_role("textbox", name="Networks").fill("not a network")
    window.confirm("Create client")
    expect(window.dialog.get_by_role("textbox", name="Networks")).to_have_attribute("aria-invalid", "true")
    window.look("create-client")
    window.dialog.get_by_role("textbox", name="Networks").fill("127.0.0.0/8\n::1/128")
    window.confirm("Create client")
    secret = window.take_secret()
    expect(window.page.get_by_role("heading", level=1, name="Invoice export")).to_be_visible()

    client_id = window.page.url.rsplit("/", 1)[-1]
    assert server.is_good(client_id, secret)


def test_a_client_is_edited_disabled_enabled_and_deleted(window: Window, server: Server, client: Client) -> None:
    window.open(client)
    window.press("Edit")
    window.dialog.get_by_role("textbox", name="Name").fill("Renamed")
    window.confirm("Save")
    expect(window.page.get_by_role("heading", level=1, name="Renamed")).to_be_visible()
    assert window.mutations[-1] == {"clientId": client.id, "name": "Renamed"}

    window.press("Disable")
    window.look("disable")
    window.confirm("Disable")
    expect(window.page.get_by_text("Disabled", exact=True).first).to_be_visible()
    assert not server.is_good(client.id, client.secret)
    window.press("Enable")
    window.confirm("Enable")
    expect(window.page.get_by_text("Disabled", exact=True)).to_have_count(0)
    assert server.is_good(client.id, client.secret)

    window.press("Delete")
    expect(window.dialog.get_by_role("button", name="Delete client")).to_be_disabled()
    window.look("delete")
    window.dialog.get_by_role("textbox", name="Type the client").fill("Renamed")
    window.confirm("Delete client")
    expect(window.page.get_by_role("heading", level=1, name="Authorized Apps")).to_be_visible()
    assert not server.is_good(client.id, client.secret)

    window.page.goto(f"{server.url}/#/apps/{client.id}")
    expect(window.page.get_by_role("heading", level=1, name="There is no such client")).to_be_visible()
    window.look("client-gone")
