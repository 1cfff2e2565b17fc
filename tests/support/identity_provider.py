"""An identity provider on loopback: its discovery document, its keys, and the access tokens that it signs."""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from yarl import URL

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
        self.sign_ins = SignIns(self)

    def claims(self, **given: Any) -> dict[str, Any]:
        """The claims of a valid access token; a claim that is None is left out."""
        at = int(NOW.timestamp())
        usual = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "ada-1815",
            "iat": at,
            "exp": at + 300,
            "preferred_username": "Ada Ashdown",
        }
        return {name: value for name, value in (usual | given).items() if value is not None}

    def token(self, *, key: Key | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        signing = key or self.keys[-1]
        default = {"RSA": "RS256", "EC": "ES256", "OKP": "Ed25519", "oct": "HS256"}[signing.key_type]
        values = {"alg": default, "typ": ACCESS_TOKEN} | ({"kid": signing.kid} if signing.kid else {}) | (header or {})
        values = {name: value for name, value in values.items() if value is not None}
        registry = jws.JWSRegistry(algorithms=[values["alg"]], strict_check_header=False)
        # In ASCII, where every text can be written: joserfc's own writer fails on a lone surrogate.
        content = json.dumps(self.claims(**claims)).encode()
        return jws.serialize_compact(values, content, signing, registry=registry)

    def add_routes(self, app: web.Application) -> None:
        prefix = self.issuer.removeprefix(self.origin)
        app.router.add_get(f"{prefix}/.well-known/openid-configuration", self._discovery)
        app.router.add_get(f"{prefix}/keys", self._key_set)
        app.router.add_post(f"{prefix}/token", self.sign_ins.token)
        app.router.add_get(f"{prefix}/userinfo", self.sign_ins.user_info)

    async def _discovery(self, _: web.Request) -> web.Response:
        self.fetches += 1
        await asyncio.sleep(self.delay)
        if self.is_away:
            raise web.HTTPServiceUnavailable
        usual = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"} | self.sign_ins.endpoints()
        document = usual | self.document
        return web.json_response({name: value for name, value in document.items() if value is not None})

    async def _key_set(self, _: web.Request) -> web.Response:
        published = [key.as_dict(private=False) for key in self.keys] if self.published is None else self.published
        return web.json_response({"keys": published})


CLIENT_ID = "the-console"


class SignIns:
    """The provider's part of the console's sign-in: a test decides who signs in, and what each endpoint says."""

    def __init__(self, provider: "IdentityProvider") -> None:
        self._provider = provider
        self.person: dict[str, Any] = {"sub": "ada-1815", "roles": ["IONAPI-Admin"], "sid": "provider-session-1"}
        self.id_token: dict[str, Any] = {}
        self.shown_in = {"id_token"}
        """Where the roles are: `id_token`, `userinfo`, `access_token`."""
        self.refreshes = True
        self.is_away = False
        self.grant_has_ended = False
        self.user_info_status = 200
        self.user_info_is_jwt = False
        self.requests: list[tuple[dict[str, str], str | None]] = []
        self.while_redeeming: Callable[[], Awaitable[object]] | None = None
        """Called before a code is redeemed."""
        self.now = NOW
        self._codes: dict[str, dict[str, str]] = {}
        self._count = 0

    def endpoints(self) -> dict[str, str]:
        issuer = self._provider.issuer
        return {
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "userinfo_endpoint": f"{issuer}/userinfo",
            "end_session_endpoint": f"{issuer}/end-session",
        }

    def authorize(self, location: str) -> dict[str, str]:
        """Sign the person in for an authorization request; return what the provider sends the browser back with."""
        asked = dict(URL(location).query)
        self._count += 1
        code = f"code-{self._count}"
        self._codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": self._provider.issuer}

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.requests.append((form, request.headers.get("Authorization")))
        if self.is_away:
            raise web.HTTPServiceUnavailable
        asked: dict[str, str] | None = {}
        if form["grant_type"] == "authorization_code":
            if self.while_redeeming is not None:
                await self.while_redeeming()
            asked = self._codes.pop(form["code"], None)  # once
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            proof = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            if asked and (asked["code_challenge"], asked["redirect_uri"]) != (proof, form["redirect_uri"]):
                asked = None
        elif self.grant_has_ended or form["refresh_token"] != f"refresh-{self._count}":
            asked = None
        if asked is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        self._count += 1
        at = int(self.now.timestamp())
        times: dict[str, Any] = {"iat": at, "exp": at + 300}
        content = {"access_token": f"opaque-{self._count}", "token_type": "Bearer"}
        if "access_token" in self.shown_in:
            content["access_token"] = self._provider.token(**self._claims("access_token"), **times)
        nonce = {"nonce": asked["nonce"]} if "nonce" in asked else {}
        claims = self._claims("id_token") | {"aud": CLIENT_ID} | times | nonce | self.id_token
        content["id_token"] = self._provider.token(header={"typ": "JWT"}, **claims)
        if self.refreshes:
            content["refresh_token"] = f"refresh-{self._count}"
        return web.json_response(content)

    async def user_info(self, request: web.Request) -> web.Response:
        if self.is_away:
            raise web.HTTPServiceUnavailable
        assert request.headers["Authorization"].startswith("Bearer ")
        if self.user_info_is_jwt:
            return web.Response(text=self._provider.token(**self._claims("userinfo")), content_type="application/jwt")
        return web.json_response(self._claims("userinfo"), status=self.user_info_status)

    def logout_token(self, **claims: Any) -> str:
        event: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
        usual = {"aud": CLIENT_ID, "events": event, "sid": "provider-session-1", "jti": "1"}
        times = {"iat": int(self.now.timestamp()), "exp": int(self.now.timestamp()) + 120}
        return self._provider.token(header={"typ": "logout+jwt"}, **(usual | times | claims))

    def _claims(self, place: str) -> dict[str, Any]:
        return {name: value for name, value in self.person.items() if name != "roles" or place in self.shown_in}


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
