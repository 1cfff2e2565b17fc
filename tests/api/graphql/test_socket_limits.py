"""Anonymous sockets, and one caller's, never keep others out."""

import asyncio
from collections.abc import Hashable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import encode_basic_auth
from aiohttp.test_utils import make_mocked_request
from support.callers import ADMIN, VIEWER, Made
from support.installation import MakeClient
from support.sockets import EVENTS, Socket, open_socket, until

from gql_secrets.api.graphql.context import turn_key_of
from gql_secrets.api.graphql.streaming import _CallerOfSocket
from gql_secrets.api.keys import SERVICES, SOCKETS, SOURCE
from gql_secrets.api.web.client_address import RequestSource
from gql_secrets.domain.access import Caller, Surface
from gql_secrets.graphql_server.socket_limits import SocketLimits
from gql_secrets.graphql_server.socket_places import SocketPlaces
from gql_secrets.service import event_feed
from gql_secrets.service.usage.tallies import Source

TRY_AGAIN_LATER = 1013


def limit(api: Any, **limits: Any) -> None:
    sockets = api.app[SOCKETS]
    sockets._limits = SocketLimits(**limits)
    sockets._places = SocketPlaces(sockets._limits.sockets, sockets._limits.reserved_sockets)


def authorization(made: Made) -> dict[str, str]:
    return {"Authorization": encode_basic_auth(made.id, made.secret)}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestWhenAllSocketsAreTaken:
    async def test_an_owner_opens_one_while_anonymous_callers_hold_all(
        self, api: Any, owner: Made, caplog: pytest.LogCaptureFixture
    ) -> None:
        limit(api, sockets=2, reserved_sockets=0)
        async with (
            open_socket(api) as oldest,
            open_socket(api) as other,
            open_socket(api, authorization(owner)) as socket,
        ):
            assert await oldest.closing() == TRY_AGAIN_LATER
            await socket.initialise()
            assert (await socket.answer("{ viewer { name } }"))["data"]["viewer"] == {"name": owner.id}
            await other.initialise()

        assert "websocket_gives_way reason=oldest_without_forwarded_address" in caplog.text

    async def test_an_owner_signs_in_on_one_while_another_caller_holds_all(
        self, api: Any, owner: Made, make_client: MakeClient
    ) -> None:
        viewer = await make_client("viewer")
        limit(api, sockets=3, reserved_sockets=1)
        async with open_socket(api) as first, open_socket(api) as second, open_socket(api) as socket:
            await first.initialise(viewer)
            await second.initialise(viewer)
            await socket.initialise(owner)
            assert await first.closing() == TRY_AGAIN_LATER
            assert (await socket.answer("{ viewer { name } }"))["data"]["viewer"] == {"name": owner.id}
            assert (await second.answer("{ viewer { name } }"))["data"]["viewer"] == {"name": viewer.id}

    async def test_the_messages_of_a_socket_have_a_rate(self, api: Any) -> None:
        limit(api, message_burst=3, messages_per_second=0.01)
        async with open_socket(api) as socket, open_socket(api) as other:
            for _ in range(20):
                await socket.send({"type": "ping"})
            await other.initialise()
            for _ in range(4):
                assert await socket.receive() == {"type": "pong"}
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await socket.raw.receive()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_when_all_streams_are_taken_the_caller_with_the_most_gives_way(
    api: Any, owner: Made, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "MAX_STREAMS", 3)
    viewer = await make_client("viewer")
    feed = api.app[SERVICES].feed

    async def subscribe(stack: AsyncExitStack, caller: Made, ids: str) -> Socket:
        socket = await stack.enter_async_context(open_socket(api))
        await socket.initialise(caller)
        for id_ in ids:
            streams = len(feed._streams)
            await socket.subscribe(EVENTS, id_)
            await until(lambda streams=streams: len(feed._streams) in (streams + 1, 3))
        return socket

    async with AsyncExitStack() as stack:
        greedy = await subscribe(stack, viewer, "123")
        await subscribe(stack, owner, "1")

        [error] = await greedy.errors("1")
        assert error["extensions"]["code"] == "UNAVAILABLE"
        assert sorted(stream.caller.name for stream in feed._streams) == sorted([viewer.id, viewer.id, owner.id])


@pytest.mark.parametrize(
    ("peer", "address", "share"),
    [
        ("198.51.100.1", "198.51.100.1", None),
        ("::ffff:198.51.100.1", "198.51.100.1", None),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "2001:db8::1", "2001:db8::/64"),
        ("127.0.0.1", None, None),
    ],
)
def test_an_anonymous_socket_counts_for_an_address_only_where_a_proxy_forwarded_it(
    peer: str, address: str | None, share: str | None
) -> None:
    request = make_mocked_request("GET", "/graphql").clone(remote=peer)
    request[SOURCE] = RequestSource(Source(address, None), None)

    assert _CallerOfSocket(request, Caller.anonymous(Surface.GRAPHQL, address=address)).share == share


def test_operations_take_turns_by_caller_or_by_the_address_of_anonymous_callers() -> None:
    def anonymous(address: str | None) -> Hashable:
        return turn_key_of(Caller.anonymous(Surface.GRAPHQL, address=address))

    assert turn_key_of(ADMIN) != turn_key_of(VIEWER) != anonymous("192.0.2.1")
    assert anonymous("2001:db8::1") == anonymous("2001:db8::2") != anonymous("2001:db8:0:1::1")
    assert anonymous("192.0.2.1") != anonymous("192.0.2.2")
