"""The main states in the light, in the dark and on a phone: axe finds nothing; the pictures are for people."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect
from support.console_window import Client, Server, Window

OpenWindow = Callable[..., Window]

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 860}},
    "dark": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True},
}


@pytest.fixture(scope="module")
def used(server: Server) -> Client:
    """A client in rollover whose secrets are both in use."""
    client = server.create_client("Payroll sync")
    assert server.is_good(client.id, client.secret)
    return client


@pytest.mark.parametrize("look", LOOKS)
def test_every_main_state_is_fit_to_be_seen(open_window: OpenWindow, server: Server, used: Client, look: str) -> None:
    window = open_window("ADMIN", **LOOKS[look])
    window.look(f"{look}-list")
    window.open(used)
    expect(window.page.get_by_role("heading", name="Audit trail")).to_be_visible()
    if window.page.get_by_role("timer").count() == 0:
        assert server.is_good(used.id, window.reset_smoothly(3))
        assert server.is_good(used.id, used.secret)
    window.page.reload()
    expect(window.page.get_by_role("timer")).to_be_visible()
    window.page.wait_for_load_state("networkidle")
    window.look(f"{look}-client")
    window.press("Table")
    window.look(f"{look}-table")
    window.press("Reset Secret")
    window.dialog.get_by_role("switch", name="Smooth Rollover").check()
    window.days.fill("9")
    window.confirm_smooth_reset()
    window.look(f"{look}-reset")


def test_nothing_on_a_phone_is_wider_than_its_screen(open_window: OpenWindow, used: Client) -> None:
    window = open_window("ADMIN", **LOOKS["phone"])
    for show in (lambda: None, lambda: window.open(used)):
        show()
        window.page.wait_for_load_state("networkidle")
        assert window.page.evaluate("document.documentElement.scrollWidth") <= 390
