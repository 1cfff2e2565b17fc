"""The signing keys of an identity provider: discovered, fetched, and kept while it is away.

OpenID Connect Discovery 1.0 names the key set of an issuer, RFC 7517 describes it.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from yarl import URL

from gql_secrets.domain.errors import Unavailable
from gql_secrets.domain.identity import Issuer

if TYPE_CHECKING:
    from gql_secrets.api.authentication.jose import PublicKey

_log: Final = logging.getLogger(__name__)

# A key set is fetched again, without making anybody wait, when it is this old: a key that the provider withdrew must
# not be valid for long.
MAX_AGE_SECONDS: Final = 600.0
# How often tokens with an unknown key may lead to a fetch.
SECONDS_BETWEEN_REFETCHES: Final = 30.0
# How long nothing is fetched after a failure: callers get their answer immediately.
SECONDS_AFTER_FAILURE: Final = 5.0
FETCH_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 3.0
_MAX_DOCUMENT: Final = 512 * 1024
_DISCOVERY_PATH: Final = "/.well-known/openid-configuration"


class InvalidDocument(Exception):  # noqa: N818  a signal to whom asked the provider
    """The provider's document is not what it must be."""


class IdentityProvider:
    """The keys of one issuer.

    Args:
        issuer: the issuer.
        clock: a clock in seconds that never goes back.
    """

    def __init__(self, issuer: Issuer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.issuer = issuer
        self._clock = clock
        self._keys: tuple[PublicKey, ...] = ()
        self._document: Mapping[str, Any] = {}
        self._fetched_at = 0.0
        self._refetched_at: float | None = None
        self._failed_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def current_keys(self) -> "tuple[PublicKey, ...]":
        """Return the keys that are known; they are fetched if none are.

        Raises:
            Unavailable: none are known, and the provider does not answer.
        """
        if not self._keys:
            if not self._has_just_failed:
                await self._fetch()
            if not self._keys:
                raise _unavailable()
        elif self._clock() - self._fetched_at >= MAX_AGE_SECONDS and not self._has_just_failed:
            self._start_fetching()
        return self._keys

    async def document(self) -> Mapping[str, Any]:
        """Return the discovery document, which names the endpoints.

        Raises:
            Unavailable: it is not known, and the provider does not answer.
        """
        await self.current_keys()
        return self._document

    async def newer_keys(self) -> "tuple[PublicKey, ...]":
        """Return the keys after another fetch, because a token names an unknown one.

        There is one fetch at a time, and at most one in 30 s: otherwise the known keys are returned.

        Raises:
            Unavailable: the provider does not answer, so nobody knows whether the key is one of its keys.
        """
        now = self._clock()
        is_due = self._refetched_at is None or now - self._refetched_at >= SECONDS_BETWEEN_REFETCHES
        if self._fetching is not None:
            await self._fetch()
        elif is_due:
            self._refetched_at = now
            await self._fetch()
        if self._failed_at is not None:
            raise _unavailable()
        return self._keys

    async def close(self) -> None:
        """Stop fetching."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    @property
    def _has_just_failed(self) -> bool:
        return self._failed_at is not None and self._clock() - self._failed_at < SECONDS_AFTER_FAILURE

    async def _fetch(self) -> None:
        # Shielded: a request that ends early must not end the fetch that others wait for.
        await asyncio.shield(self._start_fetching())

    def _start_fetching(self) -> "asyncio.Task[None]":
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_now())
            self._fetching.add_done_callback(self._forget_fetch)
        return self._fetching

    def _forget_fetch(self, _: "asyncio.Task[None]") -> None:
        self._fetching = None

    async def _fetch_now(self) -> None:
        """Replace the keys; where that fails, keep them and remember the failure."""
        try:
            document, keys = await self._read_keys()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, InvalidDocument) as error:
            self._failed_at = self._clock()
            reason = str(error) if isinstance(error, InvalidDocument) else type(error).__name__
            _log.warning(
                "identity_provider_keys_not_fetched",
                extra={"issuer": self.issuer.url, "reason": reason, "known_keys": len(self._keys)},
            )
        else:
            self._document, self._keys, self._fetched_at, self._failed_at = document, keys, self._clock(), None

    async def _read_keys(self) -> "tuple[Mapping[str, Any], tuple[PublicKey, ...]]":
        from gql_secrets.api.authentication.jose import usable_keys  # noqa: PLC0415  loaded only where there is a provider

        async with asyncio.timeout(FETCH_SECONDS), make_session() as session:
            document = await _get_json(session, self.issuer.url.rstrip("/") + _DISCOVERY_PATH)
            if document.get("issuer") != self.issuer.url:
                raise InvalidDocument("the discovery document is of another issuer")
            key_set = await _get_json(session, find_endpoint(document, "jwks_uri", self.issuer))
        keys = usable_keys(key_set)
        if not keys:
            raise InvalidDocument("the key set has no key that can sign access tokens")
        return document, keys


def find_endpoint(document: Mapping[str, Any], name: str, issuer: Issuer) -> str:
    """Return a URL of the discovery document.

    Raises:
        InvalidDocument: it has none; or one over http, where keys prove nothing and tokens are not safe, unless the
            issuer itself is asked over http.
    """
    text = document.get(name)
    url = URL(text) if isinstance(text, str) else URL()
    if not url.host or url.scheme not in ("https", URL(issuer.url).scheme):
        raise InvalidDocument(f"the discovery document has no valid {name}")
    return str(url)


def make_session() -> aiohttp.ClientSession:
    """Return a session for a few requests to a provider."""
    limits = aiohttp.ClientTimeout(total=FETCH_SECONDS, connect=_CONNECT_SECONDS)
    return aiohttp.ClientSession(timeout=limits, cookie_jar=aiohttp.DummyCookieJar())


def _unavailable() -> Unavailable:
    return Unavailable("The identity provider does not answer, so your token was not checked. Try again.")


async def _get_json(session: aiohttp.ClientSession, url: str) -> Mapping[str, Any]:
    headers = {"Accept": "application/json"}
    async with session.get(url, headers=headers, allow_redirects=False) as response:
        if response.status != 200:  # noqa: PLR2004  OK
            raise InvalidDocument(f"the provider answers with the status {response.status}")
        return await read_json(response)


async def read_json(response: aiohttp.ClientResponse) -> Mapping[str, Any]:
    """Return the JSON object of a provider's answer.

    Raises:
        InvalidDocument: it is too long, or not a JSON object.
    """
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > _MAX_DOCUMENT:
            raise InvalidDocument("a document of the provider is too long")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InvalidDocument("a document of the provider is not a JSON object")
    return content
