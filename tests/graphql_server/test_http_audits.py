"""GraphQL over HTTP, to the letter, by the public audits: against the server itself, as a caller who is signed in."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest
from aiohttp import encode_basic_auth
from support.serving import serving

_AUDITS = 61
_SECONDS = 120


async def run(*command: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    async with asyncio.timeout(_SECONDS):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_all_61_public_audits_pass_for_a_caller_who_is_signed_in(tmp_path: Path) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("the audits are an npm package: node and npm are not installed")
    modules = tmp_path / "modules"
    install = ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(modules)]
    code, _, trouble = await run(*install, "graphql-http@1.23.1", "graphql@16")
    if code:
        pytest.skip(f"npm could not install graphql-http: {trouble.strip().splitlines()[-1:]}")
    script = Path(__file__).with_name("graphql_http_audits.mjs")

    with serving(tmp_path) as server:
        owner, _, secret = server.owner.partition(":")
        _, out, trouble = await run(
            "node",
            str(script),
            str(modules),
            f"{server.url}/graphql",
            GRAPHQL_AUTHORIZATION=encode_basic_auth(owner, secret),
        )

    results = json.loads(out or "[]")
    assert [result for result in results if result["status"] != "ok"] == [], trouble
    assert len(results) == _AUDITS
