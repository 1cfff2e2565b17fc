"""Real identity providers on loopback, and a real browser."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from support.console_window import CHROMIUM, FLAGS, PATIENCE

_HERE = Path(__file__).parent
_SECONDS = 180


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where oidc-provider is installed, as the committed lock says, and the programs that run it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("the identity provider is an npm package: node and npm are not installed")
    folder = tmp_path_factory.mktemp("identity")
    for source in (*_HERE.glob("package*.json"), *_HERE.glob("*.mjs")):
        shutil.copy(source, folder)
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        pytest.skip(f"npm could not install oidc-provider: {done.stderr.strip().splitlines()[-1:]}")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()
