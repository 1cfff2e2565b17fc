"""A server whose console signs people in at an identity provider on loopback, and browsers that do it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from support.audits import events_of
from support.browsers import COOKIE
from support.clocks import Clock
from support.identity_provider import AUDIENCE, CLIENT_ID, IdentityProvider, identity_providers
from yarl import URL

from gql_secrets.api.app import build_app
from gql_secrets.api.sign_in import role_looks
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

Api = TestClient[Any, Any]
BuildApi = Callable[..., Awaitable[Api]]


@dataclass
class Person:
    """Somebody's browser, from the sign-in page to the provider and back."""

    api: Api
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, url: str, **headers: str) -> tuple[int, str]:
        """Follow no redirect; return the status and where the browser is sent."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        given = {"Cookie": cookie} | headers if cookie else headers
        async with self.api.get(url, headers=given, allow_redirects=False) as response:
            self.keep(response)
            return response.status, response.headers.get("Location", "")

    def keep(self, response: Any) -> None:
        for name, morsel in response.cookies.items():
            if morsel["max-age"] == "0" or not morsel.value:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
        self.api.session.cookie_jar.clear()

    async def start(self, provider: IdentityProvider, **query: str) -> str:
        url = URL("/sign-in/start").with_query({"issuer": provider.issuer} | query)
        status, location = await self.get(str(url), **{"Sec-Fetch-Site": "same-origin"})
        assert status == 303, location
        return location

    async def come_back(self, answer: dict[str, str]) -> str:
        url = URL("/sign-in/callback").with_query(answer)
        status, location = await self.get(str(url), **{"Sec-Fetch-Site": "cross-site"})
        assert status == 303
        return location

    async def sign_in(self, provider: IdentityProvider, **query: str) -> str:
        return await self.come_back(provider.sign_ins.authorize(await self.start(provider, **query)))

    async def post(self, url: str, **body: Any) -> Any:
        origin = f"http://{self.api.host}:{self.api.port}"
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"Sec-Fetch-Site": "same-origin", "Origin": origin, "Cookie": cookie}
        async with self.api.post(url, headers=headers, **body) as response:
            self.keep(response)
            return response.status, await response.json(content_type=None) if response.status != 204 else None

    async def ask(self, operation: str) -> Any:
        _, content = await self.post("/graphql", json={"query": operation})
        return content["data"]

    async def viewer(self) -> Any:
        return (await self.ask("{ viewer { name kind roles } }"))["viewer"]

    @property
    def session(self) -> str | None:
        return self.cookies.get(COOKIE)


@pytest.fixture(autouse=True)
def _no_looks_but_those_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's own run in the background would come between, on a machine that is busy with other things."""
    monkeypatch.setattr(role_looks, "SECONDS_BETWEEN_RUNS", 86_400.0)


@pytest.fixture
async def providers() -> AsyncIterator[list[IdentityProvider]]:
    async with identity_providers("/staff", "/partners") as made:
        yield made


@pytest.fixture
def provider(providers: list[IdentityProvider]) -> IdentityProvider:
    return providers[0]


@pytest.fixture
async def build_api(aiohttp_client: Any, settings: Settings, clock: Clock) -> AsyncIterator[BuildApi]:
    started: list[Api] = []

    async def start(**given: Any) -> Api:
        started.append(await aiohttp_client(build_app(replace(settings, **given), adjust_clock=clock)))
        return started[-1]

    yield start
    for each in started:
        await each.close()


@pytest.fixture
def console_settings(provider: IdentityProvider) -> dict[str, str]:
    return {
        "oidc_issuer": provider.issuer,
        "oidc_audience": AUDIENCE,
        "oidc_client_id": CLIENT_ID,
        "oidc_operator_roles": "ops",
        "oidc_viewer_roles": "look",
    }


@pytest.fixture
async def console(build_api: BuildApi, console_settings: dict[str, str]) -> Api:
    return await build_api(**console_settings)


@pytest.fixture
def person(console: Api) -> Person:
    return Person(console)


@pytest.fixture
async def ada(person: Person, provider: IdentityProvider) -> Person:
    assert await person.sign_in(provider) == "/"
    return person


@pytest.fixture
async def short(person: Person, provider: IdentityProvider) -> Person:
    """A person whose role cannot be looked up again: the provider gives no refresh token, and user info has no role."""
    provider.sign_ins.refreshes = False
    assert await person.sign_in(provider) == "/"
    return person


async def ends(services: Services) -> list[str]:
    return [event.session_end_reason for event in await events_of(services) if event.session_end_reason]


def move(clock: Clock, provider: IdentityProvider, by: Any) -> None:
    provider.sign_ins.now = clock.move(by)
