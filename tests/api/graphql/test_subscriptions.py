"""Streams of events and whole operations over WebSocket and SSE, as frontends and explorers ask for them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse, encode_basic_auth, web
from graphql import get_introspection_query
from support.browsers import Browser
from support.callers import ADMIN, DAY, HARD, Made
from support.clocks import DAYS, MINUTE, Clock
from support.installation import MakeClient
from support.sockets import EVENTS, Socket, open_socket, until

from gql_secrets.api.keys import SERVICES, SOCKETS
from gql_secrets.domain.access import Role
from gql_secrets.domain.errors import Unavailable
from gql_secrets.graphql_server import sse as sse_module
from gql_secrets.graphql_server.socket_limits import SocketLimits
from gql_secrets.graphql_server.socket_places import SocketPlaces
from gql_secrets.graphql_server.websocket import Sockets
from gql_secrets.storage.usage import find_totals
from gql_secrets.wiring import Services

RESET = 'mutation { resetSecret(clientId: "ID", hoursToLive: 24) { newSecret userErrors { code } } }'


@pytest.fixture
async def browser(api: Any) -> Browser:
    browser = Browser(api)
    await browser.sign_in(Role.ADMIN)
    return browser


@pytest.fixture
async def viewer(make_client: MakeClient) -> Made:
    return await make_client("viewer", name="viewer")


def limit(api: Any, **limits: Any) -> Sockets:
    sockets: Sockets = api.app[SOCKETS]
    sockets._limits = SocketLimits(**limits)
    sockets._places = SocketPlaces(sockets._limits.sockets, sockets._limits.reserved_sockets)
    return sockets


async def under_way(api: Any, count: int = 1) -> None:
    """Wait for so many streams: the protocol itself does not say that a subscription has begun."""
    await until(lambda: len(api.app[SERVICES].feed._streams) == count)


class TestOverAWebSocket:
    async def test_the_console_hears_what_its_own_session_may(self, browser: Browser, client: Made):
        async with open_socket(browser.api, browser.headers()) as socket:
            await socket.initialise()
            await socket.subscribe()
            await under_way(browser.api)

            await browser.ask(RESET.replace("ID", client.id))

            event = await socket.event()
            assert event["kind"] == "RESET"
            assert event["clientId"] == client.id
            assert event["actor"] == "user:ada"
            assert event["at"].endswith("Z")

    async def test_a_program_signs_in_with_its_first_message(self, api: Any, viewer: Made, services: Services):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await socket.subscribe()
            await under_way(api)
            assert (await socket.answer("{ viewer { name roles } }"))["data"]["viewer"] == {
                "name": viewer.id,
                "roles": ["VIEWER"],
            }

            await services.clients.update_client(viewer.id, name="Renamed", by=ADMIN)

            assert (await socket.event())["kind"] == "EDITED"

    async def test_or_with_the_header_of_its_request(self, api: Any, viewer: Made):
        headers = {"Authorization": encode_basic_auth(viewer.id, viewer.secret)}
        async with open_socket(api, headers) as socket:
            await socket.initialise()
            assert (await socket.answer("{ viewer { name } }"))["data"]["viewer"] == {"name": viewer.id}

    async def test_the_first_message_goes_before_the_cookie(self, browser: Browser, viewer: Made):
        async with open_socket(browser.api, browser.headers()) as socket:
            await socket.initialise(viewer)
            assert (await socket.answer("{ viewer { name } }"))["data"]["viewer"] == {"name": viewer.id}

    async def test_bad_credentials_close_it(self, api: Any, viewer: Made):
        for authorization in ("Basic", "Bearer x", "", encode_basic_auth(viewer.id, "wrong")):
            async with open_socket(api) as socket:
                await socket.send({"type": "connection_init", "payload": {"Authorization": authorization}})
                assert await socket.closing() == 4403

    async def test_bad_credentials_in_the_header_open_none(self, api: Any):
        async with api.get("/graphql", headers={"Upgrade": "websocket", "Authorization": "Basic eA=="}) as response:
            assert response.status == 401

    @pytest.mark.parametrize(("who", "code"), [(None, "UNAUTHENTICATED"), ("", "FORBIDDEN"), ("viewer", None)])
    async def test_who_may_listen(self, api: Any, make_client: MakeClient, who: str | None, code: str | None):
        caller = None if who is None else await make_client(*who.split())
        async with open_socket(api) as socket:
            await socket.initialise(caller)
            await socket.subscribe()
            if code is None:
                await under_way(api)
            else:
                [error] = await socket.errors()
                assert error["extensions"]["code"] == code
                assert error["extensions"].get("requiredRoles", []) == (
                    ["ADMIN", "OPERATOR", "VIEWER"] if code == "FORBIDDEN" else []
                )

    @pytest.mark.parametrize("client_id", ["", "a:b", "x" * 129, "x" * 60_000])
    async def test_a_client_id_that_no_client_can_have_is_refused(self, api: Any, viewer: Made, client_id: str):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            query = "subscription ($id: ID) { clientEvents(clientId: $id) { clientId } }"
            await socket.subscribe(query, variables={"id": client_id})
            [error] = await socket.errors()
            assert (error["extensions"]["code"], error["extensions"]["argument"]) == ("BAD_REQUEST", "clientId")

    async def test_nobody_hears_of_one_client_what_happens_to_another(
        self, api: Any, viewer: Made, client: Made, services: Services
    ):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            query = "subscription ($id: ID) { clientEvents(clientId: $id) { clientId } }"
            await socket.subscribe(query, variables={"id": client.id})
            await under_way(api)
            await services.clients.update_client(viewer.id, name="Other", by=ADMIN)
            await services.clients.update_client(client.id, name="One", by=ADMIN)

            assert await socket.event() == {"clientId": client.id}

    async def test_a_mutation_gives_the_new_secret_and_the_audit_its_own_request_id(
        self, api: Any, owner: Made, client: Made, services: Services
    ):
        async with open_socket(api) as socket:
            await socket.initialise(owner)
            for _ in range(2):
                content = await socket.answer(RESET.replace("ID", client.id))
                assert content["data"]["resetSecret"]["newSecret"].startswith("gqls_")
            content = await socket.answer("{ auditEvents(first: 2) { nodes { action requestId address } } }")

        events = content["data"]["auditEvents"]["nodes"]
        assert [event["action"] for event in events] == ["SECRET_RESET"] * 2
        assert len({event["requestId"] for event in events} - {None}) == 2
        assert {event["address"] for event in events} == {"127.0.0.1"}
        assert await services.reading.find_client(client.id)

    async def test_a_caller_is_judged_again_before_each_operation(
        self, api: Any, make_client: MakeClient, services: Services
    ):
        """A role that was taken away is gone on an open socket too."""
        operator = await make_client("operator")
        async with open_socket(api) as socket:
            await socket.initialise(operator)
            assert (await socket.answer("{ viewer { roles } }"))["data"]["viewer"]["roles"] == ["OPERATOR", "VIEWER"]

            await services.clients.update_client(operator.id, features=[], by=ADMIN)

            assert (await socket.answer("{ viewer { roles } }"))["data"]["viewer"]["roles"] == []

    async def test_a_socket_whose_sign_in_has_ended_answers_nothing_and_is_closed(
        self, api: Any, viewer: Made, services: Services
    ):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await services.clients.set_client_enabled(viewer.id, enabled=False, by=ADMIN)

            await socket.subscribe("{ clients { totalCount } }")

            [error] = await socket.errors()
            assert error["extensions"]["code"] == "UNAUTHENTICATED"
            assert await socket.closing() == 4403

    async def test_operations_over_a_socket_count_as_uses(
        self, api: Any, viewer: Made, services: Services, clock: Clock
    ):
        """Who still uses the old secret is to be seen, however the program asks."""
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            later = clock.move(MINUTE)
            await socket.answer("{ viewer { name } }")
        await services.usage.flush()

        [secret] = (await services.reading.active_secrets([viewer.id]))[viewer.id].values()
        assert (await find_totals(services.database, [secret.id]))[secret.id].last_used_at == later


class TestTheClientOfAnEvent:
    """A frontend with a normalized cache subscribes to the client itself, and its lists update themselves."""

    CLIENT = """subscription { clientEvents {
        kind deletedId client { id name generation features inRollover currentSecret { id state } }
    } }"""

    async def test_it_is_the_client_as_it_is_now(self, api: Any, viewer: Made, client: Made, services: Services):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await socket.subscribe(self.CLIENT)
            await under_way(api)

            await services.clients.update_client(client.id, name="One", by=ADMIN)
            one = await socket.event()
            await services.clients.update_client(client.id, name="Two", features=["viewer"], by=ADMIN)
            two = await socket.event()
            await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
            reset = await socket.event()

        assert (one["client"]["name"], one["client"]["features"]) == ("One", [])
        assert (two["client"]["name"], two["client"]["features"]) == ("Two", ["VIEWER"])
        assert reset["client"]["inRollover"]
        assert reset["client"]["currentSecret"]["id"] != two["client"]["currentSecret"]["id"]
        assert [event["client"]["generation"] for event in (one, two, reset)] == [2, 3, 4]
        assert {event["deletedId"] for event in (one, two, reset)} == {None}

    async def test_it_is_null_once_the_client_is_deleted(
        self, api: Any, viewer: Made, client: Made, services: Services, gql: Any
    ):
        global_id = (await gql(f'{{ client(clientId: "{client.id}") {{ id }} }}', as_=viewer))["client"]["id"]
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await socket.subscribe(self.CLIENT)
            await under_way(api)

            await services.clients.delete_client(client.id, by=ADMIN)

            assert await socket.event() == {"kind": "DELETED", "deletedId": global_id, "client": None}

    async def test_it_shows_what_the_role_of_now_may_see(
        self, api: Any, make_client: MakeClient, client: Made, services: Services
    ):
        """A stream outlives a change of its caller's role from ADMIN to VIEWER, and its guards follow."""
        caller = await make_client("owner")
        async with open_socket(api) as socket:
            await socket.initialise(caller)
            await socket.subscribe(
                f'subscription {{ clientEvents(clientId: "{client.id}") '
                "{ client { viewerCanEdit auditEvents { totalCount } } } }"
            )
            await under_way(api)
            await services.clients.update_client(client.id, name="One", by=ADMIN)
            assert (await socket.event())["client"] == {"viewerCanEdit": True, "auditEvents": {"totalCount": 2}}

            await services.clients.update_client(caller.id, features=["viewer"], by=ADMIN)
            await services.clients.update_client(client.id, name="Two", by=ADMIN)

            content = (await socket.receive())["payload"]
            assert content["data"]["clientEvents"]["client"] == {"viewerCanEdit": False, "auditEvents": None}
            assert [error["extensions"]["code"] for error in content["errors"]] == ["FORBIDDEN"]


class TestEachOperationIsAdmittedAsOverHttp:
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
    async def test_what_cannot_run_is_refused_and_the_socket_goes_on(
        self, api: Any, viewer: Made, payload: dict[str, Any], sentence: str
    ):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await socket.send({"type": "subscribe", "id": "1", "payload": payload})
            errors = await socket.errors()
            assert sentence in errors[0]["message"]
            assert errors[0]["extensions"]["code"] == "BAD_REQUEST"
            assert (await socket.answer("{ viewer { name } }"))["data"]["viewer"]

    async def test_the_schema_is_shown_to_who_signed_in(self, api: Any, viewer: Made):
        for caller, code in ((None, "UNAUTHENTICATED"), (viewer, None)):
            async with open_socket(api) as socket:
                await socket.initialise(caller)
                if code is None:
                    assert (await socket.answer(get_introspection_query()))["data"]["__schema"]
                else:
                    await socket.subscribe(get_introspection_query())
                    assert (await socket.errors())[0]["extensions"]["code"] == code

    async def test_a_defect_of_ours_is_told_by_a_request_id_alone(
        self,
        api: Any,
        viewer: Made,
        services: Services,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ):
        async def fail(*_: object) -> None:
            raise RuntimeError("detail of ours")

        monkeypatch.setattr(services.reading, "find_client", fail)
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            content = await socket.answer('{ client(clientId: "some-client") { name } }')

        [error] = content["errors"]
        assert (error["message"], error["extensions"]["code"]) == ("Unexpected error.", "INTERNAL")
        assert error["extensions"]["requestId"] in caplog.text
        assert "detail of ours" in caplog.text
        assert "some-client" not in caplog.text

    async def test_a_refusal_of_one_field_leaves_the_others(self, api: Any, viewer: Made):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            content = await socket.answer("{ auditEvents { totalCount } clients { totalCount } }")
        assert content["data"]["auditEvents"] is None
        assert content["data"]["clients"]["totalCount"] >= 1
        assert content["errors"][0]["extensions"]["code"] == "FORBIDDEN"


class TestTheProtocol:
    """graphql-transport-ws, to the letter of its specification."""

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
    async def test_what_is_no_message_closes_the_socket(self, api: Any, messages: list[Any], code: int):
        async with open_socket(api) as socket:
            for message in messages:
                await socket.send(message)
            assert await socket.closing() == code

    async def test_two_operations_of_one_id_close_the_socket(self, api: Any, viewer: Made):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await socket.subscribe()
            await socket.subscribe()
            assert await socket.closing() == 4409

    async def test_an_id_is_free_again_when_its_operation_is_complete(self, api: Any, viewer: Made, services: Services):
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

    async def test_who_says_nothing_is_not_waited_for(self, api: Any):
        limit(api, init_seconds=0.05)
        async with open_socket(api) as socket:
            assert await socket.closing() == 4408

    async def test_who_signs_in_as_nobody_may_not_stay(self, api: Any, viewer: Made):
        limit(api, anonymous_seconds=0.05)
        async with open_socket(api) as anonymous, open_socket(api) as signed_in:
            await signed_in.initialise(viewer)
            await anonymous.initialise()
            assert await anonymous.closing() == 4403
            await signed_in.answer("{ serverTime }")

    async def test_the_operations_of_a_socket_are_bounded(self, api: Any, viewer: Made):
        limit(api, operations=2)
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await socket.subscribe(EVENTS, "1")
            await socket.subscribe(EVENTS, "2")
            await socket.subscribe(EVENTS, "3")
            assert (await socket.errors("3"))[0]["extensions"]["code"] == "RATE_LIMITED"
            await socket.send({"type": "complete", "id": "1"})
            await socket.answer("{ serverTime }", "3")

    async def test_the_sockets_of_a_process_are_bounded(self, api: Any, viewer: Made):
        """Signed-in callers with one socket each keep it: a newcomer, signed in or not, is refused."""
        sockets = limit(api, sockets=1, reserved_sockets=0)
        headers = {"Authorization": encode_basic_auth(viewer.id, viewer.secret)}
        async with open_socket(api, headers):
            assert len(sockets) == 1
            with pytest.raises(Exception, match="503"):
                async with open_socket(api):
                    pass
        await until(lambda: len(sockets) == 0)

    async def test_no_other_protocol_is_spoken_and_what_was_offered_is_not_logged(
        self, api: Any, caplog: pytest.LogCaptureFixture
    ):
        """Some clients put a token where the protocol's name belongs."""
        caplog.set_level(logging.DEBUG)
        for offered in ((), ("graphql-ws",), ("graphql-ws", "gqls_" + "token")):
            with pytest.raises(Exception, match="400"):
                await api.ws_connect("/graphql", protocols=offered)
        assert "gqls_" + "token" not in caplog.text

    async def test_who_does_not_read_is_cut_off(
        self, api: Any, viewer: Made, monkeypatch: pytest.MonkeyPatch, services: Services
    ):
        sockets = limit(api, send_seconds=0.05)
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await socket.subscribe()
            await under_way(api)

            async def full(*_: object, **__: object) -> None:
                await asyncio.Event().wait()  # as a transport does whose other side makes no room

            monkeypatch.setattr(web.WebSocketResponse, "send_str", full)
            await services.clients.update_client(viewer.id, name="Unread", by=ADMIN)

            await until(lambda: len(sockets) == 0)
            assert not services.feed._streams

    async def test_a_client_that_leaves_is_forgotten(self, api: Any, viewer: Made, services: Services):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await socket.subscribe()
            await under_way(api)
        await until(lambda: not services.feed._streams and len(api.app[SOCKETS]) == 0)


class TestAStreamEndsWithItsCallersRight:
    """Vikunja, OpenClaw and Open WebUI (2026): a socket outlived the revoked right (facts/reliability.md)."""

    @pytest.mark.parametrize("end", ["sign out", "idle"])
    async def test_the_session(self, browser: Browser, clock: Clock, end: str):
        async with open_socket(browser.api, browser.headers()) as socket, sse(browser.api, browser.headers()) as stream:
            await socket.initialise()
            await socket.subscribe()
            await under_way(browser.api, 2)

            if end == "sign out":
                await browser.api.post("/sign-out", headers=browser.headers())
            else:
                clock.move(30 * MINUTE)

            assert (await socket.errors())[0]["extensions"]["code"] == "UNAUTHENTICATED"
            assert await socket.closing() == 4403
            assert await codes_to_the_end_of(stream) == ["UNAUTHENTICATED"]

    @pytest.mark.parametrize("end", ["disable", "revoke", "expiry", "hard reset", "delete", "role"])
    async def test_the_credential_and_the_role(
        self, api: Any, viewer: Made, services: Services, clock: Clock, end: str
    ):
        if end in {"revoke", "expiry"}:
            await services.rotation.reset_secret(viewer.id, DAY, by=ADMIN)
        headers = {"Authorization": encode_basic_auth(viewer.id, viewer.secret)}
        async with open_socket(api) as socket, sse(api, headers) as stream:
            await socket.initialise(viewer)
            await socket.subscribe()
            await under_way(api, 2)

            match end:
                case "disable":
                    await services.clients.set_client_enabled(viewer.id, enabled=False, by=ADMIN)
                case "revoke":
                    await services.rotation.revoke_old_secret(viewer.id, by=ADMIN)
                case "expiry":
                    clock.move(DAYS)
                case "hard reset":
                    await services.rotation.reset_secret(viewer.id, HARD, by=ADMIN)
                case "delete":
                    await services.clients.delete_client(viewer.id, by=ADMIN)
                case "role":
                    await services.clients.update_client(viewer.id, features=[], by=ADMIN)

            code = "FORBIDDEN" if end == "role" else "UNAUTHENTICATED"
            assert (await socket.errors())[0]["extensions"]["code"] == code
            assert await codes_to_the_end_of(stream) == [code]


@asynccontextmanager
async def sse(api: Any, headers: dict[str, str], query: str = EVENTS) -> AsyncIterator[ClientResponse]:
    accept = {"Accept": "text/event-stream"}
    async with api.post("/graphql", json={"query": query}, headers=headers | accept) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert await next_event(response) is None  # a comment that says: it begins
        yield response


async def next_event(response: ClientResponse) -> tuple[str, Any] | None:
    """The next event and its data, None for a comment."""
    async with asyncio.timeout(5):
        lines = (await response.content.readuntil(b"\n\n")).decode().strip("\n").split("\n")
    if lines[0].startswith(":"):
        return None
    assert lines[0].startswith("event: ")
    data = lines[1].removeprefix("data:").strip()
    return lines[0].removeprefix("event: "), orjson.loads(data) if data else None


async def codes_to_the_end_of(response: ClientResponse) -> list[str]:
    """The codes of the errors in what is left of a stream, up to its `complete`."""
    codes = []
    while (event := await next_event(response)) is None or event[0] != "complete":
        if event is not None:
            codes += [error["extensions"]["code"] for error in event[1].get("errors", ())]
    assert await response.content.read() == b""
    return codes


class TestAsAnEventStream:
    async def test_each_event_is_sent_as_it_happens(self, api: Any, viewer: Made, services: Services):
        async with sse(api, {"Authorization": encode_basic_auth(viewer.id, viewer.secret)}) as stream:
            for name in ("One", "Two"):
                await services.clients.update_client(viewer.id, name=name, by=ADMIN)
                event = await next_event(stream)
                assert event is not None
                assert event[0] == "next"
                assert event[1]["data"]["clientEvents"]["kind"] == "EDITED"

    async def test_it_may_be_asked_for_by_get(self, browser: Browser, client: Made, services: Services):
        headers = browser.headers(Accept="text/event-stream")
        async with browser.api.get("/graphql", params={"query": EVENTS}, headers=headers) as response:
            assert response.content_type == "text/event-stream"
            assert await next_event(response) is None
            await services.clients.update_client(client.id, name="One", by=ADMIN)
            event = await next_event(response)
            assert event is not None
            assert event[1]["data"]["clientEvents"]["clientId"] == client.id

    @pytest.mark.parametrize(
        "accept",
        [
            "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, */*",
            "text/event-stream, application/json",
        ],
    )
    async def test_a_new_secret_never_gets_lost_in_a_stream(self, browser: Browser, client: Made, accept: str):
        """urql lists event streams in every `Accept`; only a subscription is answered as one."""
        response, content = await browser.ask(RESET.replace("ID", client.id), Accept=accept)
        assert response.content_type.endswith("json")
        assert content["data"]["resetSecret"]["newSecret"]

    async def test_a_mutation_that_accepts_a_stream_alone_is_not_done(self, browser: Browser, client: Made):
        response, _ = await browser.ask(RESET.replace("ID", client.id), Accept="text/event-stream")
        assert response.status == 406

    @pytest.mark.parametrize("accept", ["text/event-stream", "text/event-stream, application/json"])
    async def test_a_refusal_has_a_status_that_says_why(
        self, api: Any, make_client: MakeClient, services: Services, monkeypatch: pytest.MonkeyPatch, accept: str
    ):
        """A reader of an event stream sees the status alone, and decides by it whether to reconnect."""

        async def fail(*_: object, **__: object) -> None:
            raise Unavailable

        no_role, viewer = await make_client(), await make_client("viewer")
        expected = {"UNAUTHENTICATED": 401, "FORBIDDEN": 403, "UNAVAILABLE": 503, "BAD_REQUEST": 400}
        answers = {}
        for who, query in ((None, EVENTS), (no_role, EVENTS), (viewer, EVENTS), (viewer, "subscription { nothing }")):
            if who is viewer:
                monkeypatch.setattr(services.feed, "subscribe", fail)
            headers = {"Authorization": encode_basic_auth(who.id, who.secret)} if who else {}
            async with api.post("/graphql", json={"query": query}, headers=headers | {"Accept": accept}) as response:
                content = await response.json(content_type=None)
                answers[content["errors"][0]["extensions"]["code"]] = response.status
                assert (response.status == 401) == ("WWW-Authenticate" in response.headers)
        if accept != "text/event-stream":
            del expected["BAD_REQUEST"], answers["BAD_REQUEST"]  # an unknown document: 200 in application/json
        assert answers == expected

    async def test_a_reader_that_left_is_noticed(
        self, api: Any, viewer: Made, services: Services, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(sse_module, "KEEP_ALIVE_SECONDS", 0.05)
        async with sse(api, {"Authorization": encode_basic_auth(viewer.id, viewer.secret)}) as stream:
            assert await next_event(stream) is None
            assert len(services.feed._streams) == 1
            stream.close()
        await until(lambda: not services.feed._streams)


async def test_no_event_holds_a_secret(api: Any, viewer: Made, owner: Made, client: Made, gql: Any):
    texts: list[str] = []
    secrets = [client.secret, viewer.secret, owner.secret]
    async with open_socket(api) as socket:
        await socket.initialise(viewer)
        await socket.subscribe()
        await under_way(api)
        for _ in range(3):
            answer = await gql(RESET.replace("ID", client.id), as_=owner)
            secrets.append(answer["resetSecret"]["newSecret"])
        answer = await gql('mutation { createClient(name: "x") { secret } }', as_=owner)
        secrets.append(answer["createClient"]["secret"])
        while not texts or '"CREATED"' not in texts[-1]:
            texts.append(orjson.dumps(await socket.receive()).decode())

    assert '"WITHDRAWN"' in "".join(texts)
    assert [secret for secret in secrets for text in texts if secret in text] == []


async def test_a_server_that_stops_ends_its_streams_and_does_not_wait_for_them(api: Any, viewer: Made):
    headers = {"Authorization": encode_basic_auth(viewer.id, viewer.secret)}
    async with open_socket(api) as socket, sse(api, headers) as stream:
        await socket.initialise(viewer)
        await socket.subscribe()
        await under_way(api, 2)

        stopping = asyncio.create_task(api.server.close())

        assert (await socket.errors())[0]["extensions"]["code"] == "UNAVAILABLE"
        assert await socket.closing() == 1001
        assert await codes_to_the_end_of(stream) == ["UNAVAILABLE"]
        await asyncio.wait_for(stopping, 5)


async def test_a_socket_opened_by_another_page_of_ours_is_the_same_person(browser: Browser):
    async with open_socket(browser.api, browser.headers()) as one, open_socket(browser.api, browser.headers()) as two:
        for socket in (one, two):
            assert isinstance(socket, Socket)
            await socket.initialise()
            assert (await socket.answer("{ viewer { name kind } }"))["data"]["viewer"] == {
                "name": "ada",
                "kind": "USER",
            }
