"""What the pages of clients state is true: attempts, addresses, hours, and times."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from playwright.sync_api import Route, expect
from support.console_window import Client, Server, Window

OpenWindow = Callable[..., Window]


def test_refused_hours_are_drawn_in_red_and_counted_in_the_table(
    window: Window, server: Server, client: Client
) -> None:
    assert server.is_good(client.id, client.secret)
    server.run("client", "reset", client.id, "--hours", "0")
    for _ in range(3):
        assert not server.is_good(client.id, client.secret, "WarehouseSync/1.2")
    window.open(client)
    usage = window.page.get_by_role("region", name="Uses per hour")
    bars = usage.locator(".bars.refused")
    expect(bars).to_have_attribute("d", re.compile("^M"))
    alarm = window.page.get_by_role("alert").get_by_text("is locked out").evaluate("it => getComputedStyle(it).color")
    assert bars.evaluate("it => getComputedStyle(it).fill") == alarm
    expect(usage.get_by_role("img")).to_have_accessible_name(re.compile("Ended secrets were refused 3 times"))
    window.press("Table")

    expect(usage.get_by_role("columnheader", name="Refused")).to_be_visible()
    expect(usage.get_by_role("row").nth(1).get_by_role("cell").last).to_have_text("3")


def test_attempts_on_a_disabled_client_are_shown_with_their_source(
    open_window: OpenWindow, window: Window, server: Server, client: Client
) -> None:
    """Nothing counted who still tried, and they were called locked out by an ended secret."""
    assert server.is_good(client.id, client.secret)
    server.run("client", "disable", client.id)
    for _ in range(2):
        assert not server.is_good(client.id, client.secret, "labels/1")
    window.open(client)

    alert = window.page.get_by_role("alert").filter(has_text="1 source is refused while this client is disabled")
    expect(alert.get_by_text("labels/1")).to_be_visible()
    expect(alert.get_by_text("2 attempts since")).to_be_visible()
    expect(window.page.get_by_text("has ended")).to_have_count(0)
    expect(window.page.get_by_text("Refused attempts", exact=True)).to_be_visible()
    window.look("disabled-and-tried")
    window.show_list()
    row = window.page.get_by_role("row").filter(has_text=client.name)
    expect(row.get_by_text("Refused just now")).to_be_visible()
    viewer = open_window("VIEWER")
    viewer.open(client)
    expect(viewer.page.get_by_text("This client is disabled and still in use")).to_be_visible()

    server.run("client", "enable", client.id)
    window.open(client)
    expect(alert).to_have_count(0)
    expect(window.page.get_by_role("alert")).to_have_count(0)


def test_a_new_secret_that_was_only_refused_elsewhere_is_not_deployed_and_not_unused(
    window: Window, server: Server, client: Client
) -> None:
    assert server.is_good(client.id, client.secret)
    new = json.loads(server.run("client", "reset", client.id, "--hours", "72", "--json"))["newSecret"]
    server.run("client", "update", client.id, "--allow", "10.1.0.0/16")
    assert server.verify(client.id, new) == HTTPStatus.FORBIDDEN
    window.open(client)

    expect(window.page.get_by_role("heading", name="Wait: the new secret is not in use yet")).to_be_visible()
    expect(window.page.get_by_text("used only from addresses outside of the allow list")).to_be_visible()
    step = window.page.get_by_role("list", name="Rollover").get_by_role("listitem").filter(has_text="New secret in use")
    expect(step).to_contain_text("not yet")
    expect(window.page.get_by_text("Refused: address not allowed")).to_be_visible()
    expect(window.page.get_by_text("New secret first used")).to_have_count(0)


def test_hours_without_data_are_not_listed_as_zeros(window: Window, server: Server, client: Client) -> None:
    """The server keeps a day without a reset, and knows nothing of the hours before a client was created."""
    assert server.is_good(client.id, client.secret)
    window.open(client)
    window.press("Table")
    usage = window.page.get_by_role("region", name="Uses per hour")
    expect(usage.get_by_role("cell", name="1", exact=True)).to_be_visible()
    assert usage.get_by_role("row").count() in {2, 3}  # the head and this hour, or also the one before

    def make_old(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        created = (datetime.now(UTC) - timedelta(days=8)).isoformat()
        if found := body.get("data", {}).get("client"):
            found["createdAt"] = found["currentSecret"]["createdAt"] = created
        route.fulfill(response=answer, json=body)

    window.page.route(
        "**/graphql",
        lambda route: (
            make_old(route) if "query AuthorizedApp(" in (route.request.post_data or "") else route.continue_()
        ),
    )
    window.page.reload()
    window.press("Table")
    expect(usage.get_by_role("row")).to_have_count(25)
    window.page.unroute_all(behavior="ignoreErrors")


def test_a_fact_of_the_past_is_never_in_the_future_on_a_slow_clock(
    window: Window, server: Server, client: Client
) -> None:
    """A laptop's clock that is behind made the first use "in a moment"."""
    assert server.is_good(client.id, client.secret)
    window.page.clock.set_fixed_time(datetime.now(UTC) - timedelta(minutes=10))
    window.open(client)
    new = window.reset_smoothly(3)
    assert server.is_good(client.id, new)
    current = window.page.get_by_role("region", name="Current secret")

    expect(current.get_by_text("just now")).to_have_count(2)
    expect(window.page.get_by_text("in a moment")).to_have_count(0)
    expect(window.page.get_by_role("timer")).to_contain_text(re.compile("^(3 d 00|2 d 23):"))
