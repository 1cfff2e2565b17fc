"""How long an access token may be, at the HTTP server that users start: docs/frontends.md says so."""

import asyncio
import time
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout
from support.identity_provider import AUDIENCE, IdentityProvider, identity_providers
from support.serving import serving

LONGEST_FIELD = 8 * 1024
LONGEST_TOKEN = LONGEST_FIELD - len("Bearer ")


def long_token(provider: IdentityProvider) -> str:
    """A valid token, as long as fits into a header field; four characters encode three of its claims."""
    now = int(time.time())
    claims: dict[str, Any] = {"iat": now, "exp": now + 3600, "roles": ["look"]}
    spare = LONGEST_TOKEN - len(provider.token(**claims, more=""))
    return provider.token(**claims, more="x" * (spare * 3 // 4 - 3))


async def test_a_token_of_eight_kib_is_accepted_and_a_longer_header_is_answered_400(tmp_path: Path) -> None:
    async with identity_providers("/realms/staff") as [provider]:
        settings = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE, "oidc_viewer_roles": "look"}
        running = serving(tmp_path, **settings)
        server = await asyncio.to_thread(running.__enter__)
        try:
            async with ClientSession(server.url, timeout=ClientTimeout(total=60)) as session:

                async def ask(token: str) -> tuple[int, bytes]:
                    body = {"query": "{ viewer { roles } }"}
                    headers = {"Authorization": f"Bearer {token}", "Accept": "application/graphql-response+json"}
                    async with session.post("/graphql", json=body, headers=headers) as response:
                        return response.status, await response.read()

                token = long_token(provider)
                assert LONGEST_TOKEN - 8 < len(token) <= LONGEST_TOKEN
                assert await ask(token) == (200, b'{"data":{"viewer":{"roles":["VIEWER"]}}}')
                assert (await ask("x" * LONGEST_TOKEN))[0] == 401
                assert await ask("x" * (LONGEST_TOKEN + 1)) == (400, b"Malformed HTTP request.\n")
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)
