"""Callers of the GraphQL tests."""

from typing import Any

import pytest
from support.browsers import Browser
from support.callers import Made
from support.installation import MakeClient

from gql_secrets.domain.access import Role


@pytest.fixture
async def browser(api: Any) -> Browser:
    browser = Browser(api)
    await browser.sign_in(Role.ADMIN)
    return browser


@pytest.fixture
async def viewer(make_client: MakeClient) -> Made:
    return await make_client("viewer", name="viewer")
