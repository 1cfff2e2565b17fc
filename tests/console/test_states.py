"""Each state of the console, in every size and in the dark, on an installation with 40 days of life.

axe finds nothing, and nothing is wider than its screen; the pictures are for people.
"""

import json
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Route, expect
from support import walk_data
from support.console_window import Server, Window, open_context, sign_in
from support.databases import apart
from support.walk_data import Walk

Show = Callable[[Window, Walk], None]
Act = Callable[[Window], object]
WindowOf = Callable[[str | None], Window]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Walk]]:
    directory = tmp_path_factory.mktemp("walk")
    filled = apart(walk_data.fill(directory / "data"))
    running = Server(directory)
    yield running, filled
    running.stop()


@pytest.fixture(scope="module")
def window_of(browser: Browser, walk: tuple[Server, Walk]) -> Iterator[WindowOf]:
    """Return one window for each role, because a sign-in takes longer than a look; None is signed out."""
    opened: dict[str | None, Window] = {}

    def open_once(role: str | None) -> Window:
        if role not in opened:
            opened[role] = Window(open_context(browser).new_page(), walk[0])
            if role is not None:
                sign_in(opened[role], role, "Ada Ashdown")
        return opened[role]

    yield open_once
    for window in opened.values():
        window.page.context.close()


def page(address: str, heading: str, *acts: Act) -> Show:
    """Load a page from the start, so that nothing of the state before is left; then act on it."""

    def show(window: Window, _: Walk) -> None:
        window.page.goto("about:blank")
        window.page.goto(f"{window.server.url}/{address}")
        expect(window.page.get_by_role("heading", level=1, name=heading)).to_be_visible()
        window.page.wait_for_load_state("networkidle")
        for act in acts:
            act(window)

    return show


def client(name: str, *acts: Act) -> Show:
    def show(window: Window, walk: Walk) -> None:
        page(f"#/apps/{walk.clients[name].id}", name)(window, walk)
        expect(window.page.get_by_role("region", name="History of secrets").get_by_role("table")).to_be_visible()
        for act in acts:
            act(window)

    return show


def press(beginning: str) -> Act:
    def act(window: Window) -> None:
        inside = window.dialog if window.dialog.count() else window.page
        inside.get_by_role("button", name=re.compile(f"^{beginning}")).first.click()

    return act


def fill_smooth_reset(window: Window) -> None:
    window.press("Reset Secret")
    window.dialog.get_by_role("switch", name="Smooth Rollover").check()
    window.days.fill("3")


def reset_smoothly(window: Window) -> None:
    fill_smooth_reset(window)
    window.confirm_smooth_reset()
    expect(window.new_secret.or_(window.dialog.get_by_text("becomes the old one"))).to_be_visible()


def select_first(count: int) -> Act:
    def act(window: Window) -> None:
        boxes = window.page.get_by_role("checkbox", name=re.compile("^Select "))
        for number in range(1, count + 1):
            boxes.nth(number).check()

    return act


select_two = select_first(2)


def select(*names: str) -> Act:
    def act(window: Window) -> None:
        for name in names:
            window.page.get_by_role("checkbox", name=f"Select {name}", exact=True).check()

    return act


def create_link(window: Window) -> None:
    window.dialog.get_by_role("textbox", name="Name").fill("Emmy Northwood")
    window.confirm("Create link")
    expect(window.dialog.get_by_test_id("sign-in-link")).to_be_visible()


def rotate(window: Window) -> None:
    window.confirm("Rotate secret")
    expect(window.dialog.get_by_test_id("signing-secret")).to_be_visible()


def show_deliveries(window: Window) -> None:
    press("Show deliveries")(window)
    expect(window.page.get_by_role("columnheader", name="Event", exact=True)).to_be_visible()


def revoke_two(window: Window) -> None:
    press("Revoke 2")(window)
    expect(window.dialog.get_by_role("button", name="Done", exact=True)).to_be_visible()


def reset_three(window: Window) -> None:
    """Another window deletes one of the three first, so that one reset is refused."""
    gone = window.page.locator("tbody code").nth(2).inner_text()
    ask(window, f'mutation {{ deleteClient(clientId: "{gone}") {{ userErrors {{ code }} }} }}')
    window.days.fill("3")
    press("Reset 3, keep")(window)
    expect(window.dialog.get_by_role("button", name="Download all as JSON", exact=True)).to_be_visible()


def type_key(key: str) -> Act:
    return lambda window: window.page.keyboard.press(key)


def ask(window: Window, query: str) -> None:
    """Send a query with the sign-in of the window, as another window of the same browser does."""
    options = {"method": "POST", "headers": {"Content-Type": "application/json"}, "body": json.dumps({"query": query})}
    answer = window.page.evaluate("async options => (await fetch('/graphql', options)).json()", options)
    assert "errors" not in answer, answer


def reset_elsewhere(hours: int) -> Act:
    def act(window: Window) -> None:
        client_id = window.page.url.rpartition("/")[2]
        ask(window, f'mutation {{ resetSecret(clientId: "{client_id}", hoursToLive: {hours}) {{ newSecret }} }}')

    return act


def conflict_of_a_reset(window: Window) -> None:
    fill_smooth_reset(window)
    reset_elsewhere(24)(window)
    window.confirm_smooth_reset()
    expect(window.dialog.get_by_text("Ada Ashdown reset this secret just now.", exact=True)).to_be_visible()


def conflict_of_a_retention(window: Window) -> None:
    """Another window ends the rollover that this one extends."""
    reset_smoothly(window)
    window.confirm("Copy secret")
    window.confirm("Done")
    window.press("Change retention")
    window.days.fill("5")
    reset_elsewhere(0)(window)
    window.confirm("Change retention")
    expect(window.dialog.get_by_text("Ada Ashdown reset this secret just now.", exact=True)).to_be_visible()
    expect(window.dialog.get_by_role("button", name="Change retention", exact=True)).to_have_count(0)


def end_session(window: Window) -> None:
    """End the sign-in as another window does that signs out."""
    window.page.evaluate("fetch('/sign-out', { method: 'POST', redirect: 'manual' })")
    expect(window.page.get_by_text("Your sign-in has ended", exact=True)).to_have_count(1)


def show_ended_session(name: str, *acts: Act) -> Show:
    def show(window: Window, walk: Walk) -> None:
        window.page.goto("about:blank")
        sign_in(window, "ADMIN", "Grace Holloway")
        client(name, *acts, end_session)(window, walk)

    return show


def show_loading(window: Window, _: Walk) -> None:
    unanswered: list[Route] = []
    window.page.route(
        "**/graphql",
        lambda route: (
            unanswered.append(route) if "AuthorizedApps" in (route.request.post_data or "") else route.continue_()
        ),
    )
    window.page.goto("about:blank")
    window.page.goto(f"{window.server.url}/#/apps")
    expect(window.page.get_by_role("status").filter(has_text="Loading")).to_be_visible()


def show_no_connection(window: Window, _: Walk) -> None:
    window.page.route("**/graphql", lambda route: route.abort())
    window.page.goto("about:blank")
    window.page.goto(f"{window.server.url}/")
    expect(window.page.get_by_role("heading", level=1, name="No connection")).to_be_visible()


def show_link(window: Window, _: Walk) -> None:
    window.page.goto("about:blank")
    window.page.goto(window.server.sign_in_link("VIEWER", "Vera Rivers"))
    expect(window.page.get_by_role("button", name="Sign in")).to_be_visible()


def show_used_link(window: Window, _: Walk) -> None:
    link = window.server.sign_in_link("VIEWER", "Vera Rivers")
    window.page.goto(link)
    window.press("Sign in")
    expect(window.page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    end_session(window)
    window.page.goto("about:blank")
    window.page.goto(link)
    window.press("Sign in")
    expect(window.page.get_by_role("button")).to_have_count(0)
    expect(window.page.get_by_text("gql-secrets sign-in-link", exact=True)).to_be_visible()


def show_first_run(address: str, heading: str, step: str) -> Show:
    """Show the answers of an installation that has no client but its owner."""

    def show(window: Window, walk: Walk) -> None:
        def answer(route: Route) -> None:
            found = route.fetch()
            answered = found.json()
            data = answered.get("data") or {}
            if data.get("overview"):
                data["overview"] = {name: int(name == "total") for name in data["overview"]}
            if (data.get("clients") or {}).get("nodes"):
                page_info = data["clients"].get("pageInfo", {}) | {"hasNextPage": False}
                data["clients"] |= {"nodes": data["clients"]["nodes"][:1], "totalCount": 1, "pageInfo": page_info}
            route.fulfill(response=found, json=answered)

        window.page.route("**/graphql", answer)
        page(address, heading)(window, walk)
        expect(window.page.get_by_text(step, exact=True)).to_be_visible()

    return show


APPS = "Authorized Apps"
PEOPLE = "People & sessions"
WEBHOOKS = "Webhooks"
ONE_CLIENT = "One client so far. Create one for each application that calls your APIs."
IN_ROLLOVER = "#/apps?show=in-rollover"
STATES: dict[str, tuple[str | None, Show]] = {
    "overview": ("ADMIN", page("#/", "Overview")),
    "list": ("ADMIN", page("#/apps", APPS)),
    "list-in-rollover": ("ADMIN", page(IN_ROLLOVER, APPS)),
    "list-no-result": ("ADMIN", page("#/apps?search=nothing+like+this", APPS)),
    "list-selected": ("ADMIN", page(IN_ROLLOVER, APPS, select_two)),
    "list-loading": ("ADMIN", show_loading),
    "client-no-rollover": ("ADMIN", client(walk_data.NO_ROLLOVER)),
    "client-wait-for-new": ("ADMIN", client(walk_data.WAIT_FOR_NEW)),
    "client-wait-for-quiet": ("ADMIN", client(walk_data.WAIT_FOR_QUIET)),
    "client-revoke": ("ADMIN", client(walk_data.SAFE)),
    "client-silent": ("ADMIN", client(walk_data.SILENT)),
    "client-ending": ("ADMIN", client(walk_data.ENDING)),
    "client-many-sources": ("ADMIN", client(walk_data.MANY_SOURCES, press("Show all"))),
    "client-locked-out": ("ADMIN", client(walk_data.LOCKED_OUT)),
    "client-outside": ("ADMIN", client(walk_data.OUTSIDE)),
    "client-disabled": ("ADMIN", client(walk_data.DISABLED_IN_ROLLOVER)),
    "client-long-name": ("ADMIN", client(walk_data.LONG)),
    "client-history": ("ADMIN", client(walk_data.TALKATIVE)),
    "client-table": ("ADMIN", client(walk_data.WAIT_FOR_QUIET, press("Table"))),
    "client-operator": ("OPERATOR", client(walk_data.WAIT_FOR_QUIET)),
    "client-viewer": ("VIEWER", client(walk_data.LOCKED_OUT)),
    "reset": ("ADMIN", client(walk_data.NO_ROLLOVER, press("Reset Secret"))),
    "reset-operator": ("OPERATOR", client(walk_data.NO_ROLLOVER, press("Reset Secret"))),
    "reset-smooth": ("ADMIN", client(walk_data.NO_ROLLOVER, fill_smooth_reset)),
    "reset-question": ("ADMIN", client(walk_data.NO_ROLLOVER, press("Reset Secret"), press("Reset and end"))),
    "reset-in-rollover": ("ADMIN", client(walk_data.WAIT_FOR_QUIET, reset_smoothly)),
    "new-secret": ("ADMIN", client(walk_data.EXPIRED, reset_smoothly)),
    "revoke": ("ADMIN", client(walk_data.ENDING, press("Revoke Old Secret"))),
    "revoke-safe": ("ADMIN", client(walk_data.SAFE, press("Revoke Old Secret"))),
    "retention": ("ADMIN", client(walk_data.WAIT_FOR_QUIET, press("Change retention"))),
    "cancel-rollover": ("ADMIN", client(walk_data.WAIT_FOR_NEW, press("Cancel rollover"))),
    "create": ("ADMIN", page("#/apps", APPS, press("Create client"))),
    "edit": ("ADMIN", client(walk_data.OUTSIDE, press("Edit"))),
    "disable": ("ADMIN", client(walk_data.NO_ROLLOVER, press("Disable"))),
    "delete": ("ADMIN", client(walk_data.NO_ROLLOVER, press("Delete"))),
    "bulk-revoke": ("ADMIN", page(IN_ROLLOVER, APPS, select_two, press("Revoke 2"))),
    "bulk-reset": ("ADMIN", page("#/apps?show=never-used", APPS, select_two, press("Reset 2"))),
    "activity": ("ADMIN", page("#/activity", "Activity")),
    "people": ("ADMIN", page("#/people", PEOPLE)),
    "people-link": ("ADMIN", page("#/people", PEOPLE, press("Create sign-in link"))),
    "people-end": ("ADMIN", page("#/people", PEOPLE, press("End session"))),
    "webhooks": ("ADMIN", page("#/webhooks", WEBHOOKS)),
    "webhooks-create": ("ADMIN", page("#/webhooks", WEBHOOKS, press("Create webhook"))),
    "palette": ("ADMIN", page("#/", "Overview", type_key("Control+k"))),
    "shortcuts": ("ADMIN", page("#/", "Overview", type_key("?"))),
    "api": ("ADMIN", client(walk_data.NO_ROLLOVER, press("API"))),
    "unknown-page": ("ADMIN", page("#/nonsense", "Page not found")),
    "signed-out": (None, page("#/", "Sign in")),
    "no-connection": (None, show_no_connection),
    "link": (None, show_link),
    "link-missing": (None, page("sign-in", "Sign in to gql-secrets")),
    "link-used": (None, show_used_link),
    "session-ended": (None, show_ended_session(walk_data.NO_ROLLOVER, press("Reset Secret"))),
    "session-ended-new-secret": (None, show_ended_session("Gift cards", reset_smoothly)),
    "first-run": ("ADMIN", show_first_run("#/", "Overview", "Change a secret without an outage")),
    "first-run-list": ("ADMIN", show_first_run("#/apps?sort=oldest", APPS, ONE_CLIENT)),
    "conflict-reset": ("ADMIN", client("Machine telemetry", conflict_of_a_reset)),
    "conflict-retention": ("ADMIN", client("Kiosk Brussels", conflict_of_a_retention)),
    "webhooks-deliveries": ("ADMIN", page("#/webhooks", WEBHOOKS, show_deliveries)),
    "webhooks-edit": ("ADMIN", page("#/webhooks", WEBHOOKS, press("Edit"))),
    "webhooks-rotate": ("ADMIN", page("#/webhooks", WEBHOOKS, press("Rotate secret"))),
    "webhooks-disable": ("ADMIN", page("#/webhooks", WEBHOOKS, press("Disable"))),
    "webhooks-delete": ("ADMIN", page("#/webhooks", WEBHOOKS, press("Delete"))),
    "webhooks-secret": ("ADMIN", page("#/webhooks", WEBHOOKS, press("Rotate secret"), rotate)),
    "people-link-made": ("ADMIN", page("#/people", PEOPLE, press("Create sign-in link"), create_link)),
    "bulk-revoke-done": (
        "ADMIN",
        page(IN_ROLLOVER, APPS, select(walk_data.CLAMPED, walk_data.WAIT_FOR_NEW), press("Revoke 2"), revoke_two),
    ),
    "bulk-reset-done": (
        "ADMIN",
        page("#/apps?search=of+the+walk&sort=oldest", APPS, select_first(3), press("Reset 3"), reset_three),
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_each_state_is_fit_to_be_seen_in_every_size(window_of: WindowOf, walk: tuple[Server, Walk], state: str) -> None:
    role, show = STATES[state]
    window = window_of(role)
    window.expects_failures = role is None
    show(window, walk[1])
    window.look_in_all_sizes(f"state-{state}")
    window.page.unroute_all(behavior="ignoreErrors")
    assert window.problems == []


def test_a_long_name_leaves_the_actions_at_its_side(window_of: WindowOf, walk: tuple[Server, Walk]) -> None:
    window = window_of("ADMIN")
    window.page.set_viewport_size({"width": 1440, "height": 900})
    client(walk_data.LONG)(window, walk[1])
    heading = window.page.get_by_role("heading", level=1).bounding_box()
    reset = window.page.get_by_role("button", name="Reset Secret", exact=True).bounding_box()
    assert heading is not None
    assert reset is not None
    assert reset["x"] > heading["x"] + heading["width"]
    assert reset["y"] < heading["y"] + heading["height"]


def test_a_phone_shows_who_is_signed_in_too(window_of: WindowOf, walk: tuple[Server, Walk]) -> None:
    window = window_of("ADMIN")
    window.page.set_viewport_size({"width": 360, "height": 740})
    page("#/people", PEOPLE)(window, walk[1])
    expect(window.page.get_by_role("banner").get_by_text("Ada Ashdown admin", exact=True)).to_be_visible()
    brand = window.page.get_by_role("link", name="gql-secrets", exact=True).bounding_box()
    sign_out = window.page.get_by_role("button", name="Sign out", exact=True).bounding_box()
    assert brand is not None
    assert sign_out is not None
    assert abs(sign_out["y"] + sign_out["height"] / 2 - brand["y"] - brand["height"] / 2) < sign_out["height"] / 2
    window.picture("phone-head")


def test_a_very_wide_screen_shows_what_happened_next_to_what_happens(
    window_of: WindowOf, walk: tuple[Server, Walk]
) -> None:
    """Half of the screen was empty, and the page twice as long."""
    window = window_of("ADMIN")
    window.page.set_viewport_size({"width": 2560, "height": 1300})
    client(walk_data.WAIT_FOR_QUIET)(window, walk[1])
    sources = window.page.get_by_role("region", name="Sources", exact=True).bounding_box()
    history = window.page.get_by_role("region", name="History of secrets", exact=True).bounding_box()
    assert sources is not None
    assert history is not None
    assert history["x"] > sources["x"] + sources["width"]
    assert history["y"] < sources["y"]


def test_on_paper_a_client_shows_its_content_without_navigation_and_buttons(
    window_of: WindowOf, walk: tuple[Server, Walk]
) -> None:
    window = window_of("ADMIN")
    client(walk_data.WAIT_FOR_QUIET)(window, walk[1])
    window.page.set_viewport_size({"width": 760, "height": 1080})  # what is left of A4 between its margins
    window.page.emulate_media(media="print", color_scheme="light")
    try:
        for region in ("Sources", "Uses per hour", "History of secrets", "Audit trail", "Settings"):
            expect(window.page.get_by_role("region", name=region)).to_be_visible()
        expect(window.page.get_by_role("heading", level=1)).to_be_visible()
        expect(window.page.get_by_role("timer")).to_be_visible()
        expect(window.page.get_by_role("columnheader", name="Request")).to_be_visible()
        assert window.page.get_by_role("navigation").count() == 0
        assert window.page.get_by_role("button").all_text_contents() == []
        widths = window.page.locator(".panel, .verdict, .scrolled, svg").evaluate_all(
            "all => all.map(each => Math.ceil(each.getBoundingClientRect().right))"
        )
        assert max(widths) <= 760
        assert (
            window.page.locator(".scrolled").evaluate_all("all => all.filter(it => it.scrollWidth > it.clientWidth)")
            == []
        )
        window.picture("print-client")
    finally:
        window.page.emulate_media(media="screen")
