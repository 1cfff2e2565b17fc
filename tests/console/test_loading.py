"""While its data is on the way, a page has the shape that it will have, and nothing flashes or jumps."""

import re
from collections.abc import Callable

from playwright.sync_api import Route, expect
from support.console_window import Client, Server, Window

OpenWindow = Callable[..., Window]

# What moves on a page, by the measure of the browser: below 0.1 is called good.
MAX_SHIFT = 0.02
WATCH_SHIFTS = """
window.shifts = [];
new PerformanceObserver((seen) => window.shifts.push(...seen.getEntries().map((each) => each.value)))
    .observe({ type: "layout-shift", buffered: true });
"""
FIRST_OPERATION = {
    "#/": "query Overview",
    "#/apps": "query AuthorizedApps",
    "#/people": "query Sessions",
    "#/activity": "query Activity",
    "client": "query AuthorizedApp(",
}


def test_a_slow_answer_moves_nothing_and_a_quick_one_flashes_nothing(
    open_window: OpenWindow, server: Server, client: Client
) -> None:
    page = open_window("ADMIN", viewport={"width": 1440, "height": 900}).page
    page.add_init_script(WATCH_SHIFTS)
    held: list[Route] = []
    held_operation = ""

    def hold(route: Route) -> None:
        if held_operation and held_operation in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    page.route("**/graphql", hold)
    loading = page.get_by_role("status").filter(has_text=re.compile("^Loading the"))
    moved: dict[str, float] = {}
    for place, operation in FIRST_OPERATION.items():
        page.goto("about:blank")
        held_operation = operation
        page.goto(f"{server.url}/" + (f"#/apps/{client.id}" if place == "client" else place))
        expect(loading.first).to_be_visible()
        # Asked again where the shape of the console was there first, and is gone.
        expect(loading.first).to_have_css("animation-delay", "0.15s")
        held_operation = ""
        while held:
            held.pop().continue_()
        expect(loading).to_have_count(0)
        page.wait_for_load_state("networkidle")
        moved[place] = sum(page.evaluate("window.shifts"))

    assert {place: shift for place, shift in moved.items() if shift >= MAX_SHIFT} == {}
