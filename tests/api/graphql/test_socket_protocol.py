"""The protocol graphql-transport-ws, and how each operation on a socket is admitted."""

import asyncio
import logging
from typing import Any

import pytest
from aiohttp import encode_basic_auth, web
from graphql import get_introspection_query
from support.callers import ADMIN, Made
from support.sockets import EVENTS, open_socket, until, wait_for_streams

from gql_secrets.api.keys import SOCKETS
from gql_secrets.graphql_server.socket_limits import SocketLimits
from gql_secrets.graphql_server.socket_places import SocketPlaces
from gql_secrets.graphql_server.websocket import Sockets
from gql_secrets.wiring import Services


def limit(api: Any, **limits: Any) -> Sockets:
    sockets: Sockets = api.app[SOCKETS]
    sockets._limits = SocketLimits(**limits)
    sockets._places = SocketPlaces(sockets._limits.sockets, sockets._limits.reserved_sockets)
    return sockets


class TestOperationsAreAdmittedAsOverHttp:
    @pytest.mark.parametrize(
        ("payload", "sentence"),
        [
            ({"query": "{"}, "Syntax error"),
            ({"query": "{ nothing }"}, "nothing"),
            ({"query": ""}, "Syntax error"),
            ({}, "no `query`"),
            ({"query": 5}, "`query` must be a string"),
            ({"query": "{ viewer { name } }", "variables": []}, "`variables` must be an object"),
            ({"query": "query A { serverTime } query B { serverTime }"}, "several operations"),
            ({"query": "{ " + "a: serverTime " * 200 + "}"}, "more than"),
            ({"query": "fragment f on Query { ...f } { ...f }"}, ""),
            ({"query": "{ a: clients(first: 100) { nodes { secrets(first: 100) { nodes { hint } } } } }"}, ""),
            ({"query": "query ($id: ID!) { client(clientId: $id) { name } }"}, "$id"),
        ],
    )
    async def test_an_invalid_operation_is_refused_and_the_socket_stays_open(
        self, api: Any, viewer: Made, payload: dict[str, Any], sentence: str
    ):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await socket.send({"type": "subscribe", "id": "1", "payload": payload})
            errors = await socket.errors()
            assert sentence in errors[0]["message"]
            assert errors[0]["extensions"]["code"] == "BAD_REQUEST"
            assert (await socket.answer("{ viewer { name } }"))["data"]["viewer"]

    async def test_introspection_requires_a_sign_in(self, api: Any, viewer: Made):
        for caller, code in ((None, "UNAUTHENTICATED"), (viewer, None)):
            async with open_socket(api) as socket:
                await socket.initialise(caller)
                if code is None:
                    assert (await socket.answer(get_introspection_query()))["data"]["__schema"]
                else:
                    await socket.subscribe(get_introspection_query())
                    assert (await socket.errors())[0]["extensions"]["code"] == code

    async def test_a_defect_is_reported_only_by_its_request_id(
        self,
        api: Any,
        viewer: Made,
        services: Services,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ):
        async def fail(*_: object) -> None:
            raise RuntimeError("detail of ours")

        monkeypatch.setattr(services.queries, "find_clients", fail)
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            content = await socket.answer('{ client(clientId: "some-client") { name } }')

        [error] = content["errors"]
        assert (error["message"], error["extensions"]["code"]) == ("Unexpected error.", "INTERNAL")
        assert error["extensions"]["requestId"] in caplog.text
        assert "detail of ours" in caplog.text
        assert "some-client" not in caplog.text

    async def test_a_refused_field_does_not_affect_the_others(self, api: Any, viewer: Made):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            content = await socket.answer("{ auditEvents { totalCount } clients { totalCount } }")
        assert content["data"]["auditEvents"] is None
        assert content["data"]["clients"]["totalCount"] >= 1
        assert content["errors"][0]["extensions"]["code"] == "FORBIDDEN"


class TestProtocol:
    """The specification of graphql-transport-ws."""

    @pytest.mark.parametrize(
        ("messages", "code"),
        [
            ([b"\x00"], 4400),
            (["no json"], 4400),
            ([5], 4400),
            ([{}], 4400),
            ([{"type": "nothing"}], 4400),
            ([{"type": "connection_init", "payload": "text"}], 4400),
            ([{"type": "connection_init", "payload": {"Authorization": 5}}], 4400),
            ([{"type": "subscribe", "id": "1", "payload": {"query": "{ serverTime }"}}], 4401),
            ([{"type": "connection_init"}, {"type": "connection_init"}], 4429),
            ([{"type": "connection_init"}, {"type": "subscribe", "payload": {"query": EVENTS}}], 4400),
            ([{"type": "connection_init"}, {"type": "subscribe", "id": "", "payload": {"query": EVENTS}}], 4400),
            ([{"type": "connection_init"}, {"type": "subscribe", "id": "a" * 257, "payload": {}}], 4400),
            ([{"type": "connection_init"}, {"type": "subscribe", "id": "1"}], 4400),
            (["x" * 200_000], 1009),
        ],
    )
    async def test_an_invalid_message_closes_the_socket(self, api: Any, messages: list[Any], code: int):
        async with open_socket(api) as socket:
            for message in messages:
                await socket.send(message)
            assert await socket.closing() == code

    async def test_two_operations_with_the_same_id_close_the_socket(self, api: Any, viewer: Made):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await socket.subscribe()
            await socket.subscribe()
            assert await socket.closing() == 4409

    @pytest.mark.parametrize("id_", ["é" * 100, "a" + "é" * 100], ids=["between characters", "within one"])
    async def test_the_reason_of_a_close_is_utf_8_even_where_it_is_cut(self, api: Any, viewer: Made, id_: str):
        """A client that meets other bytes drops the connection with 1007 in place of the code."""
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            for _ in range(2):
                await socket.send({"type": "subscribe", "id": id_, "payload": {"query": EVENTS}})
            assert await socket.closing() == 4409

    async def test_an_id_can_be_reused_when_its_operation_is_complete(self, api: Any, viewer: Made, services: Services):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            for _ in range(3):
                await socket.answer("{ serverTime }", "1")
            for _ in range(3):
                await socket.subscribe(EVENTS, "1")
                await socket.send({"type": "complete", "id": "1"})
            await socket.send({"type": "complete", "id": "unknown"})
            await socket.answer("{ serverTime }", "1")
            await until(lambda: not services.feed._streams)

    async def test_pings_are_answered_before_and_after_the_sign_in(self, api: Any):
        async with open_socket(api) as socket:
            for _ in range(2):
                await socket.send({"type": "ping", "payload": {"any": "thing"}})
                assert await socket.receive() == {"type": "pong"}
                await socket.send({"type": "pong"})
            await socket.initialise()
            await socket.send({"type": "ping"})
            assert await socket.receive() == {"type": "pong"}

    async def test_a_socket_that_sends_nothing_is_closed(self, api: Any):
        limit(api, init_seconds=0.05)
        async with open_socket(api) as socket:
            assert await socket.closing() == 4408

    async def test_an_anonymous_socket_is_closed_after_a_while(self, api: Any, viewer: Made):
        limit(api, anonymous_seconds=0.05)
        async with open_socket(api) as anonymous, open_socket(api) as signed_in:
            await signed_in.initialise(viewer)
            await anonymous.initialise()
            assert await anonymous.closing() == 4403
            await signed_in.answer("{ serverTime }")

    async def test_the_number_of_operations_of_a_socket_is_limited(self, api: Any, viewer: Made):
        limit(api, operations=2)
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await socket.subscribe(EVENTS, "1")
            await socket.subscribe(EVENTS, "2")
            await socket.subscribe(EVENTS, "3")
            assert (await socket.errors("3"))[0]["extensions"]["code"] == "RATE_LIMITED"
            await socket.send({"type": "complete", "id": "1"})
            await socket.answer("{ serverTime }", "3")

    async def test_the_number_of_sockets_of_a_process_is_limited(self, api: Any, viewer: Made):
        """Signed-in callers with one socket each keep it; a new socket, signed in or not, is refused."""
        sockets = limit(api, sockets=1, reserved_sockets=0)
        headers = {"Authorization": encode_basic_auth(viewer.id, viewer.secret)}
        async with open_socket(api, headers):
            assert len(sockets) == 1
            with pytest.raises(Exception, match="503"):
                async with open_socket(api):
                    pass
        await until(lambda: len(sockets) == 0)

    async def test_other_protocols_are_refused_and_not_logged(self, api: Any, caplog: pytest.LogCaptureFixture):
        """Some clients send a token in place of the protocol's name."""
        caplog.set_level(logging.DEBUG)
        for offered in ((), ("graphql-ws",), ("graphql-ws", "gqls_" + "token")):
            with pytest.raises(Exception, match="400"):
                await api.ws_connect("/graphql", protocols=offered)
        assert "gqls_" + "token" not in caplog.text

    async def test_a_socket_that_does_not_read_is_closed(
        self, api: Any, viewer: Made, monkeypatch: pytest.MonkeyPatch, services: Services
    ):
        sockets = limit(api, send_seconds=0.05)
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await socket.subscribe()
            await wait_for_streams(api)

            async def full(*_: object, **__: object) -> None:
                await asyncio.Event().wait()  # as if the peer did not read

            monkeypatch.setattr(web.WebSocketResponse, "send_str", full)
            await services.clients.update_client(viewer.id, name="Unread", by=ADMIN)

            await until(lambda: len(sockets) == 0)
            assert not services.feed._streams

    async def test_a_closed_socket_leaves_no_stream_behind(self, api: Any, viewer: Made, services: Services):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await socket.subscribe()
            await wait_for_streams(api)
        await until(lambda: not services.feed._streams and len(api.app[SOCKETS]) == 0)
