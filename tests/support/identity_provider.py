"""An identity provider on loopback: its discovery document, its keys, and the access tokens that it signs."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from support.clocks import NOW

AUDIENCE = "gql-secrets-api"
ACCESS_TOKEN = "at+jwt"

Key = RSAKey | ECKey | OKPKey | OctKey


def rsa_key(kid: str | None = "first") -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid} if kid else {})


class IdentityProvider:
    """What a test decides: the keys, the issuer of the document, how it answers."""

    def __init__(self, origin: str, path: str = "") -> None:
        self.origin = origin
        self.issuer = f"{origin}{path}"
        self.keys: list[Key] = [rsa_key()]
        self.published: list[dict[str, Any]] | None = None
        self.document: dict[str, Any] = {}
        self.is_away = False
        self.delay = 0.0
        self.fetches = 0

    def claims(self, **given: Any) -> dict[str, Any]:
        """The claims of a valid access token; a claim that is None is left out."""
        at = int(NOW.timestamp())
        usual = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "ada-1815",
            "iat": at,
            "exp": at + 300,
            "preferred_username": "Ada Lovelace",
        }
        return {name: value for name, value in (usual | given).items() if value is not None}

    def token(self, *, key: Key | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        signing = key or self.keys[-1]
        default = {"RSA": "RS256", "EC": "ES256", "OKP": "Ed25519", "oct": "HS256"}[signing.key_type]
        values = {"alg": default, "typ": ACCESS_TOKEN} | ({"kid": signing.kid} if signing.kid else {}) | (header or {})
        values = {name: value for name, value in values.items() if value is not None}
        registry = jws.JWSRegistry(algorithms=[values["alg"]], strict_check_header=False)
        return jwt.encode(values, self.claims(**claims), signing, registry=registry, default_type=None)

    def add_routes(self, app: web.Application) -> None:
        prefix = self.issuer.removeprefix(self.origin)
        app.router.add_get(f"{prefix}/.well-known/openid-configuration", self._discovery)
        app.router.add_get(f"{prefix}/keys", self._key_set)

    async def _discovery(self, _: web.Request) -> web.Response:
        self.fetches += 1
        await asyncio.sleep(self.delay)
        if self.is_away:
            raise web.HTTPServiceUnavailable
        return web.json_response({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"} | self.document)

    async def _key_set(self, _: web.Request) -> web.Response:
        published = [key.as_dict(private=False) for key in self.keys] if self.published is None else self.published
        return web.json_response({"keys": published})


@asynccontextmanager
async def identity_providers(*paths: str) -> AsyncIterator[list[IdentityProvider]]:
    """Serve one provider for each path, all on one host."""
    app = web.Application()
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    origin = "http://127.0.0.1:0"
    providers = [IdentityProvider(origin, path) for path in paths]
    for provider in providers:
        provider.add_routes(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    for provider, path in zip(providers, paths, strict=True):
        provider.origin = f"http://127.0.0.1:{port}"
        provider.issuer = f"{provider.origin}{path}"
    try:
        yield providers
    finally:
        await runner.cleanup()


class SteadyClock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = time.monotonic()

    def __call__(self) -> float:
        return self.seconds
