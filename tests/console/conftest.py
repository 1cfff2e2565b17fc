"""A server, a browser, and windows that are signed in; a window with a problem fails its test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, StorageState, sync_playwright
from support.console_window import CHROMIUM, FLAGS, Client, Server, Window, open_context, sign_in

OpenWindow = Callable[..., Window]
MakeClient = Callable[..., Client]


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("console"), GQL_SECRETS_WEBHOOK_NETWORKS="127.0.0.0/8")
    yield running
    running.stop()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    assert Path(CHROMIUM).exists(), "The console's tests need Debian's package chromium."
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="package")
def sign_ins(browser: Browser, server: Server) -> Callable[[str], StorageState]:
    """One sign-in per role, for all tests that do not end it."""
    made: dict[str, StorageState] = {}

    def sign_in_once(role: str) -> StorageState:
        if role not in made:
            context = open_context(browser)
            sign_in(Window(context.new_page(), server), role, "Ada Ashdown")
            made[role] = context.storage_state()
            context.close()
        return made[role]

    return sign_in_once


@pytest.fixture
def open_window(browser: Browser, server: Server, sign_ins: Callable[[str], StorageState]) -> Iterator[OpenWindow]:
    """Open a window; with `next_to`, it shares the sign-in of that window; with None it has none."""
    windows: list[Window] = []
    contexts: list[BrowserContext] = []

    def open_one(role: str | None = "ADMIN", *, next_to: Window | None = None, **options: object) -> Window:
        if next_to:
            context = next_to.page.context
        else:
            context = open_context(browser, storage_state=sign_ins(role) if role else None, **options)
            contexts.append(context)
        window = Window(context.new_page(), server)
        windows.append(window)
        window.page.goto(f"{server.url}/#/apps")
        return window

    yield open_one
    for context in contexts:
        context.close()
    assert [problem for window in windows for problem in window.problems] == []


@pytest.fixture
def window(open_window: OpenWindow) -> Window:
    return open_window()


@pytest.fixture
def make_client(server: Server, request: pytest.FixtureRequest) -> MakeClient:
    made = 0

    def make_one(*features: str) -> Client:
        nonlocal made
        made += 1
        return server.create_client(f"App {request.node.name[5:40].replace('_', ' ')} {made}", *features)

    return make_one


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    return make_client()
