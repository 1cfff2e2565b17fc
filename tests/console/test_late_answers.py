"""An answer that comes late, or without everything, never costs a person what the server cannot give again."""

from collections.abc import Callable

from playwright.sync_api import Route, expect
from support.console_window import Client, Server, Window

MakeClient = Callable[..., Client]

# Every answer to this operation takes longer than the time between two changes of `CHANGES`.
SLOW_LIST = """
const ask = window.fetch;
window.fetch = async (...given) => {
  if (String(given[1]?.body).includes("query AuthorizedApps")) await new Promise((done) => setTimeout(done, 900));
  return ask(...given);
};
"""
CHANGES = """
(clientId) => {
  let count = 0;
  window.changing = setInterval(() => {
    count += 1;
    const query = `mutation { updateClient(clientId: "${clientId}", description: "${count}") { userErrors { code } } }`;
    const headers = { "Content-Type": "application/json" };
    fetch("/graphql", { method: "POST", headers, body: JSON.stringify({ query }) });
  }, 300);
}
"""


def hold(window: Window, operation: str) -> list[Route]:
    """Answer every operation but this one, and return the requests that wait."""
    held: list[Route] = []

    def answer(route: Route) -> None:
        if operation in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    window.page.route("**/graphql", answer)
    return held


def safe_to_revoke(client: Client) -> dict[str, object]:
    secret = {"id": "x", "hint": "abcd"}
    rollover = {"advice": "REVOKE", "sourcesMoved": 1, "sourcesTotal": 1, "oldSecret": secret}
    return {"data": {"clients": {"nodes": [{"clientId": client.id, "name": client.name, "rollover": rollover}]}}}


def ask_for_what_is_safe_to_revoke(window: Window) -> list[Route]:
    """Press the overview's button, and return the request that waits for its answer."""
    held = hold(window, "query SafeToRevoke")

    def count_one(route: Route) -> None:
        if "query Overview" not in (route.request.post_data or ""):
            return route.fallback()
        found = route.fetch()
        body = found.json()
        body["data"]["overview"] |= {"safeToRevoke": 1, "total": 9}
        return route.fulfill(response=found, json=body)

    window.page.route("**/graphql", count_one)
    window.page.goto(f"{window.server.url}/#/")
    window.press("Revoke it")
    window.wait_until(lambda: len(held) == 1)
    return held


def test_a_dialog_that_opens_late_does_not_replace_a_new_secret(window: Window, client: Client) -> None:
    """The secret existed in that dialog alone, and was lost."""
    [late] = ask_for_what_is_safe_to_revoke(window)
    window.page.get_by_role("main").get_by_role("button", name="Create client", exact=True).click()
    window.dialog.get_by_role("textbox", name="Name").fill("Made before the answer")
    window.confirm("Create client")
    expect(window.new_secret).to_be_visible()
    with window.page.expect_response(lambda response: "SafeToRevoke" in (response.request.post_data or "")):
        late.fulfill(json=safe_to_revoke(client))

    assert window.take_secret().startswith("gqls_")


def test_a_dialog_does_not_open_late_on_another_page(window: Window, client: Client) -> None:
    [late] = ask_for_what_is_safe_to_revoke(window)
    window.show_list()
    expect(window.page.get_by_role("heading", level=1, name="Authorized Apps")).to_be_visible()
    with window.page.expect_response(lambda response: "SafeToRevoke" in (response.request.post_data or "")):
        late.fulfill(json=safe_to_revoke(client))
    window.press("Create client")

    expect(window.dialog.get_by_role("heading", name="Create client")).to_be_visible()
    window.confirm("Cancel")
    expect(window.dialog).to_have_count(0)


def test_the_secret_of_a_client_that_could_not_be_read_again_is_shown(window: Window, server: Server) -> None:
    """The dialog stayed as it was, as if nothing had been created, and the first secret was lost."""

    def leave_out_the_client(route: Route) -> None:
        found = route.fetch()
        body = found.json()
        if "createClient" in body.get("data", {}):
            body["data"]["createClient"]["client"] = None
        route.fulfill(response=found, json=body)

    window.page.route(
        "**/graphql",
        lambda route: (
            leave_out_the_client(route) if "mutation CreateClient" in route.request.post_data else route.continue_()
        ),
    )
    window.press("Create client")
    window.dialog.get_by_role("textbox", name="Name").fill("Created and not read")
    window.confirm("Create client")
    expect(window.dialog.get_by_text("It could not be read.")).to_be_visible()
    window.look("new-secret-without-id")
    secret = window.take_secret()

    window.page.get_by_role("searchbox").fill("Created and not read")
    window.page.get_by_role("link", name="Created and not read").click()
    client_id = window.page.url.rpartition("/")[2]
    assert server.is_good(client_id, secret)


def test_a_page_is_up_to_date_while_changes_come_faster_than_answers(window: Window, make_client: MakeClient) -> None:
    """Each change ended the request before it: the page showed the changes only once they were over."""
    changing = make_client()
    window.page.add_init_script(SLOW_LIST)
    window.page.reload()
    expect(window.page.get_by_role("link", name=changing.name)).to_be_visible()
    expect(window.page.get_by_text("Live", exact=True)).to_be_visible()
    window.page.evaluate(CHANGES, changing.id)
    new = make_client()

    expect(window.page.get_by_role("link", name=new.name)).to_be_visible()
    window.page.evaluate("clearInterval(window.changing)")


def test_enter_in_the_palette_opens_no_client_of_an_earlier_search(window: Window, make_client: MakeClient) -> None:
    first, second = make_client(), make_client()
    expect(window.page.get_by_role("button", name="Find")).to_be_visible()
    window.page.keyboard.press("Control+k")
    box = window.dialog.get_by_role("combobox")
    box.fill(first.id)
    expect(window.dialog.get_by_role("option", selected=True)).to_contain_text(first.name)
    held = hold(window, "query FindClients")
    box.fill(second.id)
    window.page.keyboard.press("Enter")
    window.wait_until(lambda: len(held) == 1)
    held[0].continue_()
    expect(window.dialog.get_by_role("option", selected=True)).to_contain_text(second.name)
    window.page.keyboard.press("Enter")

    expect(window.page.get_by_role("heading", level=1, name=second.name)).to_be_visible()
