"""A server that trusts an identity provider on loopback."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from support.clocks import Clock
from support.identity_provider import AUDIENCE, IdentityProvider, identity_providers

from gql_secrets.api.app import build_app
from gql_secrets.settings import Settings

ROLES = {"oidc_operator_roles": "ops", "oidc_viewer_roles": "look"}

BuildApi = Callable[..., Awaitable[Any]]


@pytest.fixture
async def provider() -> AsyncIterator[IdentityProvider]:
    async with identity_providers("/realms/staff") as [made]:
        yield made


@pytest.fixture
async def build_api(aiohttp_client: Any, settings: Settings, clock: Clock) -> AsyncIterator[BuildApi]:
    """Start the server with these settings."""
    started = []

    async def start(**given: Any) -> Any:
        started.append(await aiohttp_client(build_app(replace(settings, **given), adjust_clock=clock)))
        return started[-1]

    yield start
    for each in started:
        await each.close()  # before the database goes


@pytest.fixture
async def trusting(build_api: BuildApi, provider: IdentityProvider) -> Any:
    """A server that trusts the provider."""
    return await build_api(oidc_issuer=provider.issuer, oidc_audience=AUDIENCE, **ROLES)
