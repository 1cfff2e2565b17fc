"""Subscriptions and whole operations over WebSocket, as frontends and explorers use them."""

import asyncio
from typing import Any

import orjson
import pytest
from aiohttp import encode_basic_auth
from support.browsers import Browser
from support.callers import ADMIN, DAY, HARD, Made
from support.clocks import DAYS, MINUTE, Clock
from support.event_streams import open_event_stream, read_error_codes
from support.installation import MakeClient
from support.sockets import Socket, open_socket, wait_for_streams

from gql_secrets.storage.usage import find_totals
from gql_secrets.wiring import Services

OF_ONE_CLIENT = "subscription ($id: ID) { clientEvents(clientId: $id) { clientId } }"
RESET = 'mutation { resetSecret(clientId: "ID", hoursToLive: 24) { newSecret userErrors { code } } }'


class TestWebSocket:
    async def test_the_console_receives_events_by_its_session_cookie(self, browser: Browser, client: Made):
        async with open_socket(browser.api, browser.headers()) as socket:
            await socket.initialise()
            await socket.subscribe()
            await wait_for_streams(browser.api)

            await browser.ask(RESET.replace("ID", client.id))

            event = await socket.event()
            assert event["kind"] == "RESET"
            assert event["clientId"] == client.id
            assert event["actor"] == "user:link/1"
            assert event["at"].endswith("Z")

    async def test_a_client_signs_in_with_its_first_message(self, api: Any, viewer: Made, services: Services):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await socket.subscribe()
            await wait_for_streams(api)
            assert (await socket.answer("{ viewer { name roles } }"))["data"]["viewer"] == {
                "name": viewer.id,
                "roles": ["VIEWER"],
            }

            await services.clients.update_client(viewer.id, name="Renamed", by=ADMIN)

            assert (await socket.event())["kind"] == "EDITED"

    async def test_a_client_signs_in_with_the_header_of_its_request(self, api: Any, viewer: Made):
        headers = {"Authorization": encode_basic_auth(viewer.id, viewer.secret)}
        async with open_socket(api, headers) as socket:
            await socket.initialise()
            assert (await socket.answer("{ viewer { name } }"))["data"]["viewer"] == {"name": viewer.id}

    async def test_the_first_message_takes_precedence_over_the_cookie(self, browser: Browser, viewer: Made):
        async with open_socket(browser.api, browser.headers()) as socket:
            await socket.initialise(viewer)
            assert (await socket.answer("{ viewer { name } }"))["data"]["viewer"] == {"name": viewer.id}

    async def test_invalid_credentials_close_the_socket(self, api: Any, viewer: Made):
        for authorization in ("Basic", "Bearer x", "", encode_basic_auth(viewer.id, "wrong")):
            async with open_socket(api) as socket:
                await socket.send({"type": "connection_init", "payload": {"Authorization": authorization}})
                assert await socket.closing() == 4403

    async def test_invalid_credentials_in_the_header_open_no_socket(self, api: Any):
        async with api.get("/graphql", headers={"Upgrade": "websocket", "Authorization": "Basic eA=="}) as response:
            assert response.status == 401

    @pytest.mark.parametrize(("who", "code"), [(None, "UNAUTHENTICATED"), ("", "FORBIDDEN"), ("viewer", None)])
    async def test_a_subscription_requires_a_role(
        self, api: Any, make_client: MakeClient, who: str | None, code: str | None
    ):
        caller = None if who is None else await make_client(*who.split())
        async with open_socket(api) as socket:
            await socket.initialise(caller)
            await socket.subscribe()
            if code is None:
                await wait_for_streams(api)
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
            await socket.subscribe(OF_ONE_CLIENT, variables={"id": client_id})
            [error] = await socket.errors()
            assert (error["extensions"]["code"], error["extensions"]["argument"]) == ("BAD_REQUEST", "clientId")

    async def test_a_subscription_to_one_client_receives_only_its_events(
        self, api: Any, viewer: Made, client: Made, services: Services
    ):
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            await socket.subscribe(OF_ONE_CLIENT, variables={"id": client.id})
            await wait_for_streams(api)
            await services.clients.update_client(viewer.id, name="Other", by=ADMIN)
            await services.clients.update_client(client.id, name="One", by=ADMIN)

            assert await socket.event() == {"clientId": client.id}

    async def test_a_mutation_returns_the_new_secret_and_is_audited_with_its_own_request_id(
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
        assert await services.queries.find_client(client.id)

    async def test_a_caller_is_authorized_again_before_each_operation(
        self, api: Any, make_client: MakeClient, services: Services
    ):
        """A role that is withdrawn is gone on open sockets too."""
        operator = await make_client("operator")
        async with open_socket(api) as socket:
            await socket.initialise(operator)
            assert (await socket.answer("{ viewer { roles } }"))["data"]["viewer"]["roles"] == ["OPERATOR", "VIEWER"]

            await services.clients.update_client(operator.id, features=[], by=ADMIN)

            assert (await socket.answer("{ viewer { roles } }"))["data"]["viewer"]["roles"] == []

    async def test_a_socket_whose_caller_lost_its_sign_in_is_closed(self, api: Any, viewer: Made, services: Services):
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
        """The uses of an old secret are visible regardless of the transport."""
        async with open_socket(api) as socket:
            await socket.initialise(viewer)
            later = clock.move(MINUTE)
            await socket.answer("{ viewer { name } }")
        await services.usage.flush()

        [secret] = (await services.queries.active_secrets([viewer.id]))[viewer.id].values()
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
            await wait_for_streams(api)

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
            await wait_for_streams(api)

            await services.clients.delete_client(client.id, by=ADMIN)

            assert await socket.event() == {"kind": "DELETED", "deletedId": global_id, "client": None}

    async def test_its_guards_follow_the_present_role_of_the_caller(
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
            await wait_for_streams(api)
            await services.clients.update_client(client.id, name="One", by=ADMIN)
            assert (await socket.event())["client"] == {"viewerCanEdit": True, "auditEvents": {"totalCount": 2}}

            await services.clients.update_client(caller.id, features=["viewer"], by=ADMIN)
            await services.clients.update_client(client.id, name="Two", by=ADMIN)

            content = (await socket.receive())["payload"]
            assert content["data"]["clientEvents"]["client"] == {"viewerCanEdit": False, "auditEvents": None}
            assert [error["extensions"]["code"] for error in content["errors"]] == ["FORBIDDEN"]


class TestAStreamEndsWhenItsCallerLosesAccess:
    """Vikunja, OpenClaw and Open WebUI (2026): a socket stayed open after its caller's access was revoked."""

    @pytest.mark.parametrize("end", ["sign out", "idle"])
    async def test_the_session(self, browser: Browser, clock: Clock, end: str):
        async with (
            open_socket(browser.api, browser.headers()) as socket,
            open_event_stream(browser.api, browser.headers()) as stream,
        ):
            await socket.initialise()
            await socket.subscribe()
            await wait_for_streams(browser.api, 2)

            if end == "sign out":
                await browser.api.post("/sign-out", headers=browser.headers())
            else:
                clock.move(30 * MINUTE)

            assert (await socket.errors())[0]["extensions"]["code"] == "UNAUTHENTICATED"
            assert await socket.closing() == 4403
            assert await read_error_codes(stream) == ["UNAUTHENTICATED"]

    @pytest.mark.parametrize("end", ["disable", "revoke", "expiry", "hard reset", "delete", "role"])
    async def test_the_credential_and_the_role(
        self, api: Any, viewer: Made, services: Services, clock: Clock, end: str
    ):
        if end in {"revoke", "expiry"}:
            await services.rotation.reset_secret(viewer.id, DAY, by=ADMIN)
        headers = {"Authorization": encode_basic_auth(viewer.id, viewer.secret)}
        async with open_socket(api) as socket, open_event_stream(api, headers) as stream:
            await socket.initialise(viewer)
            await socket.subscribe()
            await wait_for_streams(api, 2)

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
            assert await read_error_codes(stream) == [code]


async def test_no_event_contains_a_secret(api: Any, viewer: Made, owner: Made, client: Made, gql: Any):
    texts: list[str] = []
    secrets = [client.secret, viewer.secret, owner.secret]
    async with open_socket(api) as socket:
        await socket.initialise(viewer)
        await socket.subscribe()
        await wait_for_streams(api)
        for _ in range(3):
            answer = await gql(RESET.replace("ID", client.id), as_=owner)
            secrets.append(answer["resetSecret"]["newSecret"])
        answer = await gql('mutation { createClient(name: "x") { secret } }', as_=owner)
        secrets.append(answer["createClient"]["secret"])
        while not texts or '"CREATED"' not in texts[-1]:
            texts.append(orjson.dumps(await socket.receive()).decode())

    assert '"WITHDRAWN"' in "".join(texts)
    assert [secret for secret in secrets for text in texts if secret in text] == []


async def test_a_stopping_server_ends_its_streams(api: Any, viewer: Made):
    headers = {"Authorization": encode_basic_auth(viewer.id, viewer.secret)}
    async with open_socket(api) as socket, open_event_stream(api, headers) as stream:
        await socket.initialise(viewer)
        await socket.subscribe()
        await wait_for_streams(api, 2)

        stopping = asyncio.create_task(api.server.close())

        assert (await socket.errors())[0]["extensions"]["code"] == "UNAVAILABLE"
        assert await socket.closing() == 1001
        assert await read_error_codes(stream) == ["UNAVAILABLE"]
        await asyncio.wait_for(stopping, 30)


async def test_two_pages_of_one_session_are_the_same_viewer(browser: Browser):
    async with open_socket(browser.api, browser.headers()) as one, open_socket(browser.api, browser.headers()) as two:
        for socket in (one, two):
            assert isinstance(socket, Socket)
            await socket.initialise()
            assert (await socket.answer("{ viewer { name kind } }"))["data"]["viewer"] == {
                "name": "ada",
                "kind": "USER",
            }
