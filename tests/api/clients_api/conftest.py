"""Calls of the /clients API."""

from typing import Any

import pytest
from aiohttp import encode_basic_auth
from aiohttp.test_utils import TestClient
from support.callers import Made
from support.clients_api import Answer, CallClients


@pytest.fixture
def call_clients(api: TestClient[Any, Any], owner: Made) -> CallClients:
    """Make a call with Basic credentials, by default the owner's."""

    async def call(
        name: str,
        arguments: Any = None,
        *,
        as_: Made | None = owner,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        **given: Any,
    ) -> Answer:
        basic = {"Authorization": encode_basic_auth(as_.id, as_.secret)} if as_ else {}
        url = name if name.startswith("/") else f"/clients/{name}"
        body = {"data": arguments} if method == "POST" else {"params": arguments or {}}
        async with api.request(method, url, headers={**basic, **(headers or {})}, **body, **given) as response:
            return Answer(response.status, await response.json(content_type=None), response.headers)

    return call
