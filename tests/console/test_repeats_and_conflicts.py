"""A lost answer, a double click, a stale page, a rollover that still runs: nobody is locked out by accident."""

from collections.abc import Callable

from playwright.sync_api import Route, expect
from support.console_window import Client, Server, Window

OpenWindow = Callable[..., Window]


def fill_smooth_reset(window: Window, days: str) -> None:
    window.press("Reset Secret")
    window.dialog.get_by_role("switch", name="Smooth Rollover").check()
    window.days.fill(days)


def test_after_a_lost_answer_the_same_dialog_gives_the_same_secret_and_no_second_reset(
    window: Window, server: Server, client: Client
) -> None:
    window.expects_failures = True
    window.open(client)
    lost: list[object] = []

    def lose_first_answer(route: Route) -> None:
        if "mutation" in (route.request.post_data or "") and not lost:
            lost.append(route.fetch().json()["data"]["resetSecret"]["newSecret"])
            route.abort()
        else:
            route.continue_()

    window.page.route("**/graphql", lose_first_answer)
    fill_smooth_reset(window, "2")
    window.confirm_smooth_reset()
    expect(window.dialog.get_by_text("No response. The reset may or may not have gone through.")).to_be_visible()
    expect(window.days).to_be_disabled()
    window.look("no-answer")
    window.confirm("Try again")
    new = window.take_secret()

    assert [new] == lost
    assert window.mutations[0] == window.mutations[1]
    assert server.is_good(client.id, new)
    assert server.is_good(client.id, client.secret)


def test_a_double_click_is_one_reset(window: Window, server: Server, client: Client) -> None:
    window.open(client)
    fill_smooth_reset(window, "2")
    window.dialog.get_by_role("button", name="Reset, keep the old secret 2 days").dblclick()
    new = window.take_secret()

    assert len({sent["idempotencyKey"] for sent in window.mutations}) == 1
    assert server.is_good(client.id, new)
    assert server.is_good(client.id, client.secret)


def test_each_dialog_is_an_intention_of_its_own(window: Window, client: Client) -> None:
    window.open(client)
    for _ in range(2):
        window.reset_now()

    first, second = window.mutations
    assert first["idempotencyKey"] != second["idempotencyKey"]
    assert first["ifGeneration"] < second["ifGeneration"]


def test_what_this_window_changed_is_no_conflict_before_it_has_read_it_again(window: Window, client: Client) -> None:
    window.open(client)
    unanswered: list[Route] = []
    window.page.route(
        "**/graphql",
        lambda route: route.continue_() if "mutation" in (route.request.post_data or "") else unanswered.append(route),
    )
    for _ in range(2):
        window.reset_now()
    assert unanswered
    for route in unanswered:
        route.continue_()


def test_a_stale_dialog_cannot_act_on_a_newer_state(window: Window, server: Server, client: Client) -> None:
    window.open(client)
    fill_smooth_reset(window, "2")
    server.run("client", "reset", client.id, "--hours", "24")
    window.confirm_smooth_reset()

    expect(window.dialog.get_by_text("(command line) reset this secret just now.")).to_be_visible()
    expect(window.new_secret).to_have_count(0)
    window.look("conflict")
    # The dialog goes on from the state that it now shows.
    window.confirm_smooth_reset()
    expect(window.dialog.get_by_text("A rollover is already running.")).to_be_visible()


def test_a_running_rollover_is_explained_before_anybody_is_cut_off(
    window: Window, server: Server, client: Client
) -> None:
    assert server.is_good(client.id, client.secret, "stock/2")
    window.open(client)
    first = window.reset_smoothly(3)
    assert server.is_good(client.id, first)
    expect(window.page.get_by_role("button", name="Cancel rollover")).to_have_count(0)

    fill_smooth_reset(window, "1")
    window.confirm_smooth_reset()
    expect(window.dialog.get_by_text("A rollover is already running.")).to_be_visible()
    expect(window.dialog.get_by_text("This ends the old secret")).to_be_visible()
    expect(window.dialog.get_by_text(client.secret[-4:]).first).to_be_visible()
    expect(window.dialog.get_by_text("stock/2")).to_be_visible()
    expect(window.dialog.get_by_text("payroll/2.3")).to_have_count(0)  # it uses the new one
    window.look("rollover-in-progress")
    window.confirm("Keep rollover")
    assert server.is_good(client.id, client.secret)

    window.confirm_smooth_reset()
    window.confirm("Reset Secret anyway")
    second = window.take_secret()
    assert [server.is_good(client.id, secret) for secret in (client.secret, first, second)] == [False, True, True]


def test_an_unused_new_secret_gives_way_and_the_old_one_stays(window: Window, server: Server, client: Client) -> None:
    server.run("client", "reset", client.id, "--hours", "24")
    window.open(client)
    fill_smooth_reset(window, "2")
    window.confirm_smooth_reset()
    expect(window.dialog.get_by_text("never used. People who received it")).to_be_visible()
    window.confirm("Reset Secret anyway")
    new = window.take_secret()

    assert server.is_good(client.id, new)
    assert server.is_good(client.id, client.secret)


def test_an_owner_is_reset_only_after_the_warning(window: Window, make_client: Callable[..., Client]) -> None:
    window.open(make_client("owner"))
    window.press("Reset Secret")
    expect(window.dialog.get_by_text("This client administers gql-secrets.")).to_be_visible()
    reset = window.dialog.get_by_role("button", name="Reset and end the old secret now")
    expect(reset).to_be_disabled()
    window.look("reset-owner")
    window.dialog.get_by_role("checkbox").check()
    reset.click()
    window.confirm("End the old secret now")
    window.take_secret()


def test_retention_is_changed_within_seven_days_of_the_reset(window: Window, client: Client) -> None:
    window.open(client)
    window.reset_smoothly(1)
    window.press("Change retention")
    window.days.fill("9")
    window.confirm("Change retention")
    expect(window.days).to_be_focused()
    assert len(window.mutations) == 1
    window.look("change-retention")
    window.days.fill("7")
    window.confirm("Change retention")
    expect(window.page.get_by_text("The old secret now ends")).to_be_visible()
    expect(window.page.get_by_role("timer")).to_contain_text("6 d")


def test_a_rollover_is_taken_back_while_nobody_used_the_new_secret(
    window: Window, server: Server, client: Client
) -> None:
    window.open(client)
    new = window.reset_smoothly(1)
    window.press("Cancel rollover")
    window.look("cancel-rollover")
    window.confirm("Cancel rollover")
    expect(window.page.get_by_text("The rollover is cancelled")).to_be_visible()

    assert not server.is_good(client.id, new)
    assert server.is_good(client.id, client.secret)


def test_a_failure_of_the_server_is_shown_with_its_request_id(window: Window, client: Client) -> None:
    window.open(client)
    failure = {"message": "Unexpected error.", "extensions": {"code": "INTERNAL", "requestId": "abcd2345abcd2345"}}

    def fail(route: Route) -> None:
        if "mutation" in (route.request.post_data or ""):
            route.fulfill(json={"data": {"resetSecret": None}, "errors": [failure]})
        else:
            route.continue_()

    window.page.route("**/graphql", fail)
    window.press("Reset Secret")
    window.ask_for_hard_reset()

    expect(window.dialog.get_by_text("Unexpected error.")).to_be_visible()
    expect(window.dialog.get_by_text("abcd2345abcd2345")).to_be_visible()
    window.look("server-failure")
