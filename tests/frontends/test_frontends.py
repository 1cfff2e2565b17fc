"""Frontends as docs/frontends.md shows them, against a running server."""

import asyncio
import json
import subprocess
import time
from pathlib import Path
from typing import Final

import pytest
from support.frontend_programs import HERE, build, run
from support.identity_provider import AUDIENCE, identity_providers
from support.pages import page
from support.serving import serving

# What each page's block is, and how its language is marked there.
SHOWN: Final = {
    "apollo_client.mjs": "javascript",
    "urql_client.mjs": "javascript",
    "sse_client.mjs": "javascript",
    "relay_client.js": "javascript",
    "typed_client.ts": "typescript",
    "codegen.json": "json",
}


@pytest.mark.parametrize("program", SHOWN)
def test_the_page_shows_the_program_that_is_tested(program: str) -> None:
    blocks = [block.text for block in page("docs/frontends.md").blocks(SHOWN[program])]
    assert (HERE / program).read_text("utf-8") in blocks


async def walk(folder: Path, script: str) -> None:
    """Run a frontend against a server, signed in as an ADMIN with a bearer token."""
    async with identity_providers("/realms/staff") as [provider]:
        now = int(time.time())
        token = provider.token(iat=now, exp=now + 3600, roles=["IONAPI-Admin"])
        settings = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE}

        def serve_and_run() -> subprocess.CompletedProcess[str]:
            with serving(folder.parent, **settings) as server:
                return run(folder, "node", script, env={"API": server.url, "TOKEN": token})

        done = await asyncio.to_thread(serve_and_run)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@pytest.mark.parametrize("library", ["apollo", "urql", "sse"])
async def test_a_frontend_turns_pages_resets_and_follows_the_changes_of_others(library: str, program: Path) -> None:
    await walk(program, f"{library}.mjs")


async def test_relay_does_so_with_the_artifacts_of_its_compiler(program: Path) -> None:
    (program / "__generated__").mkdir()
    build(program, ["relay-compiler"])
    done = run(program, "node", "build_relay.mjs")
    assert done.returncode == 0, done.stderr
    await walk(program, "relay.mjs")


async def test_the_types_of_codegen_fit_and_refuse_mistakes(program: Path) -> None:
    build(program, ["graphql-codegen", "--config", "codegen.json"], ["tsc", "--project", "."])
    await walk(program, "built/typed.js")


def test_the_types_of_codegen_are_checked(program: Path) -> None:
    """Without the marks that a mistake is expected, each of them fails the check: it is not vacuous."""
    source = program / "typed.ts"
    text = source.read_text("utf-8")
    count = text.count("// @ts-expect-error")
    source.write_text(text.replace("// @ts-expect-error", "//"), "utf-8")
    build(program, ["graphql-codegen", "--config", "codegen.json"])
    done = run(program, "node", "node_modules/.bin/tsc", "--project", ".")
    assert done.returncode != 0
    assert sum("error TS" in line for line in done.stdout.splitlines()) == count == 5


def test_each_package_has_one_version() -> None:
    wanted = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
    assert all(version[0].isdigit() for version in wanted.values())
