"""What docs/gateways says to add to a recipe: for the WebSockets of your API, and for its preflight requests."""

import sys
from pathlib import Path

import aiohttp
import pytest
from support.gateways import AWAY, Api, Make, Server, started
from support.pages import page

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="callers need several loopback addresses")

# The line of the recipe before which the block of the page with this beginning goes.
WEBSOCKETS = {
    "nginx": [
        ("        proxy_set_header Host            $host;\n", "        proxy_http_version 1.1;"),
    ],
    "envoy": [("                http_filters:\n", "                upgrade_configs:")],
}
PREFLIGHTS = {
    "nginx": [
        ("        auth_request     /_verify;\n", "        # A preflight request"),
        ("    location @unavailable {\n", "    location @preflight {"),
    ],
    "envoy": [("                        - match: { prefix: / }\n", "                        # A preflight request")],
    "caddy": [("\t\tforward_auth 127.0.0.1:", "\t\t# A preflight request")],
    "traefik": [("    api:\n      entryPoints", "    # A preflight request")],
    "haproxy": [("    http-request lua.verify\n", "    # A preflight request")],
    "apache": [("  local status, answer\n", "  -- A preflight request")],
}
PREFLIGHT = [
    ("Origin", "https://app.example"),
    ("Access-Control-Request-Method", "PUT"),
    ("X-Client-Id", "victim"),
    ("X_Client_Id", "victim"),
    ("X-Acting-User", "victim"),
    ("X_Acting_User", "victim"),
    ("X-Acting-Role", "ADMIN"),
    ("X-Secret-State", "current"),
    ("X-Forwarded-For", "192.0.2.99"),
    ("Authorization", "Bearer not-ours"),
]


def additions(name: str, places: list[tuple[str, str]]) -> list[tuple[str, str]]:
    blocks = [block.text for block in page(f"docs/gateways/{name}.md").blocks()]
    found = []
    for line, beginning in places:
        [block] = [text for text in blocks if text.startswith(beginning)]
        found.append((line, block))
    return found


def name_of(make: tuple[Make, str]) -> str:
    return make[0].command.__name__.removesuffix("_command")


async def test_a_websocket_passes_with_valid_credentials_and_not_without(
    make: tuple[Make, str], server: Server, api: Api, tmp_path: Path
) -> None:
    client = await server.create_client()
    name = name_of(make)
    with started(make, tmp_path, server.port, api, additions(name, WEBSOCKETS.get(name, []))) as gateway:
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(gateway.url, headers={"Authorization": client.auth}) as socket:
                assert await socket.receive_str(timeout=60) == "the API's message"
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(gateway.url)
        assert refused.value.status == 401
        [arrived] = api.arrived
        assert arrived.all_like("x-client-id") == [client.id]
        assert (await gateway.call(client.auth, method="POST", data=b"body")).status == 200


async def test_a_preflight_request_is_refused_unless_the_recipe_lets_it_pass(
    make: tuple[Make, str], server: Server, api: Api, tmp_path: Path
) -> None:
    name = name_of(make)
    (tmp_path / "without").mkdir()
    with started(make, tmp_path / "without", server.port, api) as gateway:
        assert (await gateway.call(None, method="OPTIONS", headers=PREFLIGHT)).status == 401
    assert api.arrived == []
    (tmp_path / "with").mkdir()
    with started(make, tmp_path / "with", server.port, api, additions(name, PREFLIGHTS[name])) as gateway:
        assert (await gateway.call(None, method="OPTIONS", headers=PREFLIGHT)).status == 200
        [arrived] = api.arrived
        removed = ("x-client-id", "x-acting-user", "x-acting-role", "x-secret-state", "authorization")
        assert [arrived.all_like(name) for name in removed] == [[]] * len(removed)
        assert arrived.all_like("x-forwarded-for") in ([], [AWAY])
        for method, headers in (("OPTIONS", PREFLIGHT[:1]), ("GET", PREFLIGHT), ("PUT", PREFLIGHT)):
            assert (await gateway.call(None, method=method, headers=headers)).status == 401
        assert len(api.arrived) == 1
