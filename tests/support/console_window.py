"""A real server and real browser windows, for the tests of the console."""

import base64
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.base import AxeResults
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, expect

from support.paths import ROOT

PROGRAM = Path(sys.executable).parent / "gql-secrets"
OUTPUT = ROOT / ".ci" / "output" / "console"
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TEMPLATE = {"ti": "ACME_TST", "iu": "https://gateway.example", "ot": "token.oauth2", "ev": "X1"}
SECONDS_TO_START = 180  # on a machine that is busy with other things
Scheme = Literal["light", "dark"]
NARROWEST = 360
SIZES: tuple[tuple[int, int, Scheme], ...] = (
    (2560, 1300, "light"),
    (NARROWEST, 740, "light"),
    (1440, 900, "dark"),
    (1440, 900, "light"),
)
PATIENCE = 20_000  # milliseconds, on a machine that is busy with other things
expect.set_options(timeout=PATIENCE)
_AXE_OPTIONS = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}

_STANDS_STILL = """
() => !document.querySelector("[aria-busy=true]")
  && document.getAnimations().every((each) => !(each instanceof CSSTransition))
"""


@dataclass
class Client:
    """A client as it was registered."""

    id: str
    secret: str
    name: str


def basic(client_id: str, secret: str) -> str:
    return f"Basic {base64.b64encode(f'{client_id}:{secret}'.encode()).decode()}"


class Server:
    """`gql-secrets serve`, as a user starts it, and the command line on the same data directory."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self._data_dir = data_dir
        (data_dir / "template.json").write_text(json.dumps(TEMPLATE))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("GQL_SECRETS_")}
        self._environment |= {
            "GQL_SECRETS_DATA_DIR": str(data_dir / "data"),
            "GQL_SECRETS_PORT": str(self.port),
            "GQL_SECRETS_RATE_LIMITS": "off",  # every window here comes from one address
            "GQL_SECRETS_IONAPI_TEMPLATE": str(data_dir / "template.json"),
            **settings,
        }
        with (data_dir / "server.log").open("wb") as log:
            self._process = subprocess.Popen([PROGRAM, "serve"], env=self._environment, stdout=log, stderr=log)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < until and self._process.poll() is None:
            try:
                if self._ask("/healthz", {}) == HTTPStatus.OK:
                    return
            except OSError:
                time.sleep(0.1)
        self.stop()
        raise RuntimeError(self.log)

    @property
    def database(self) -> Path:
        return self._data_dir / "data" / "gql-secrets.db"

    @property
    def log(self) -> str:
        return (self._data_dir / "server.log").read_text()

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)

    def run(self, *arguments: str) -> str:
        """Run a command and return what it prints."""
        done = subprocess.run([PROGRAM, *arguments], env=self._environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @cached_property
    def _owner(self) -> Client:
        made = json.loads(self.run("client", "create", "Owner of these tests", "--feature", "owner", "--json"))
        return Client(made["clientId"], made["secret"], "Owner of these tests")

    def create_client(self, name: str, *features: str) -> Client:
        asked = "createClient(name: $n, features: $f) { client { clientId } secret }"
        query = f"mutation($n: String!, $f: [ClientFeature!]) {{ {asked} }}"
        body = json.dumps({"query": query, "variables": {"n": name, "f": [feature.upper() for feature in features]}})
        headers = {"Content-Type": "application/json", "Authorization": basic(self._owner.id, self._owner.secret)}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", "/graphql", body, headers)
        made = json.loads(connection.getresponse().read())["data"]["createClient"]
        connection.close()
        return Client(made["client"]["clientId"], made["secret"], name)

    def sign_in_link(self, role: str, name: str) -> str:
        return re.findall(r"http\S+", self.run("sign-in-link", "--role", role, "--name", name))[-1]

    def is_good(self, client_id: str, secret: str, agent: str = "payroll/2.3") -> bool:
        """Ask `/verify`, as a gateway does; a good answer is a use.

        A first use that a busy machine does not write within a second is 503: then callers ask again.
        """
        until = time.monotonic() + PATIENCE / 1000
        status = self.verify(client_id, secret, agent)
        while status == HTTPStatus.SERVICE_UNAVAILABLE and time.monotonic() < until:
            time.sleep(0.1)
            status = self.verify(client_id, secret, agent)
        assert status in {HTTPStatus.OK, HTTPStatus.UNAUTHORIZED}, status
        return status == HTTPStatus.OK

    def verify(self, client_id: str, secret: str, agent: str = "payroll/2.3") -> int:
        return self._ask("/verify", {"Authorization": basic(client_id, secret), "User-Agent": agent})

    def _ask(self, path: str, headers: dict[str, str]) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE / 1000)
        try:
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()


@dataclass
class Window:
    """One browser window, and everything in it that must not happen."""

    page: Page
    server: Server
    problems: list[str] = field(default_factory=list)
    mutations: list[dict[str, Any]] = field(default_factory=list)
    expects_failures: bool = False

    def __post_init__(self) -> None:
        self.page.on("console", lambda said: self._heard(said.type, said.text))
        self.page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        self.page.on("request", self._requested)

    def _heard(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not (self.expects_failures and "Failed to load resource" in text):
            self.problems.append(f"{kind}: {text}")

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.server.url, "blob:", "data:")):
            self.problems.append(f"outside request: {request.url}")
        if request.method == "POST" and request.url.endswith("/graphql") and "mutation" in (request.post_data or ""):
            self.mutations.append(json.loads(request.post_data or "{}").get("variables", {}))

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    @property
    def days(self) -> Locator:
        return self.dialog.get_by_role("textbox", name="retention period")

    @property
    def new_secret(self) -> Locator:
        return self.dialog.get_by_role("textbox", name="New secret")

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the browser reports, which arrives only while this waits for the browser."""
        until = time.monotonic() + PATIENCE / 1000
        while not condition():
            assert time.monotonic() < until
            self.page.wait_for_timeout(20)

    def open(self, client: Client) -> None:
        self.page.goto(f"{self.server.url}/#/apps/{client.id}")
        expect(self.page.get_by_role("heading", level=1, name=client.name)).to_be_visible()

    def show_list(self) -> None:
        """Go to Authorized Apps by the navigation, as people do."""
        self.page.get_by_role("navigation", name="Main").get_by_role("link", name="Authorized Apps").click()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def confirm(self, name: str) -> None:
        self.dialog.get_by_role("button", name=name, exact=True).click()

    def reset_smoothly(self, days: int) -> str:
        """Walk through the Reset Secret dialog of the open client, and return the new secret."""
        self.press("Reset Secret")
        self.dialog.get_by_role("switch", name="Smooth Rollover").check()
        self.days.fill(str(days))
        self.confirm_smooth_reset()
        return self.take_secret()

    def confirm_smooth_reset(self) -> None:
        self.dialog.get_by_role("button", name="Reset, keep the old secret").click()

    def ask_for_hard_reset(self) -> None:
        """Press the open dialog's button, and answer the question that follows."""
        self.confirm("Reset and end the old secret now")
        self.confirm("End the old secret now")

    def reset_now(self) -> str:
        """Hard reset the open client, and return the new secret."""
        self.press("Reset Secret")
        self.ask_for_hard_reset()
        return self.take_secret()

    def take_secret(self) -> str:
        expect(self.new_secret).to_be_visible()
        secret = self.new_secret.input_value()
        self.confirm("Copy secret")
        self.confirm("Done")
        expect(self.dialog).to_have_count(0)
        return secret

    def look(self, name: str) -> None:
        """Keep a picture of this state, and let axe check it, once the data is there and nothing fades in or out."""
        self.page.wait_for_function(_STANDS_STILL)
        self.picture(name)
        found = self.check()
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"

    def check(self) -> AxeResults:
        """Return what axe finds in this state."""
        return Axe().run(self.page, options=_AXE_OPTIONS)

    def picture(self, name: str) -> None:
        OUTPUT.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=OUTPUT / f"{name}.png", full_page=self.dialog.count() == 0)

    def look_in_all_sizes(self, name: str) -> None:
        """Keep pictures of this state in every size; axe checks the narrowest in the light, and one in the dark."""
        self.page.emulate_media(reduced_motion="reduce")
        for width, height, scheme in SIZES:
            self.page.set_viewport_size({"width": width, "height": height})
            self.page.emulate_media(color_scheme=scheme)
            see = self.look if width == NARROWEST or scheme == "dark" else self.picture
            see(f"{name}-{width}{'-dark' if scheme == 'dark' else ''}")
            assert self.page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} scrolls at {width}"
            wider = "all => all.some(dialog => dialog.scrollWidth > dialog.clientWidth)"
            assert not self.page.locator("dialog[open]").evaluate_all(wider), f"{name}: the dialog scrolls at {width}"


def sign_in(window: Window, role: str, name: str) -> None:
    """Open a one-time link and press its one button."""
    window.page.goto(window.server.sign_in_link(role, name))
    window.page.get_by_role("button").click()
    expect(window.page.get_by_role("heading", level=1, name="Overview")).to_be_visible()


def open_context(browser: Browser, **options: Any) -> BrowserContext:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **options)
    context.set_default_timeout(PATIENCE)
    return context
