"""Subscriptions as server-sent events."""

from typing import Any

import pytest
from aiohttp import encode_basic_auth
from support.browsers import Browser
from support.callers import ADMIN, Made
from support.event_streams import open_event_stream, read_event
from support.installation import MakeClient
from support.sockets import EVENTS, until

from gql_secrets.domain.errors import Unavailable
from gql_secrets.graphql_server import sse as sse_module
from gql_secrets.wiring import Services

RESET = 'mutation { resetSecret(clientId: "ID", hoursToLive: 24) { newSecret userErrors { code } } }'


class TestEventStream:
    async def test_each_event_is_sent_as_it_happens(self, api: Any, viewer: Made, services: Services):
        async with open_event_stream(api, {"Authorization": encode_basic_auth(viewer.id, viewer.secret)}) as stream:
            for name in ("One", "Two"):
                await services.clients.update_client(viewer.id, name=name, by=ADMIN)
                event = await read_event(stream)
                assert event is not None
                assert event[0] == "next"
                assert event[1]["data"]["clientEvents"]["kind"] == "EDITED"

    async def test_a_subscription_can_be_sent_by_get(self, browser: Browser, client: Made, services: Services):
        headers = browser.headers(Accept="text/event-stream")
        async with browser.api.get("/graphql", params={"query": EVENTS}, headers=headers) as response:
            assert response.content_type == "text/event-stream"
            assert await read_event(response) is None
            await services.clients.update_client(client.id, name="One", by=ADMIN)
            event = await read_event(response)
            assert event is not None
            assert event[1]["data"]["clientEvents"]["clientId"] == client.id

    @pytest.mark.parametrize(
        "accept",
        [
            "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, */*",
            "text/event-stream, application/json",
        ],
    )
    async def test_a_mutation_is_answered_as_json_if_that_is_accepted(
        self, browser: Browser, client: Made, accept: str
    ):
        """urql lists event streams in every `Accept` header; only a subscription is answered as a stream."""
        response, content = await browser.ask(RESET.replace("ID", client.id), Accept=accept)
        assert response.content_type.endswith("json")
        assert content["data"]["resetSecret"]["newSecret"]

    async def test_a_mutation_that_accepts_only_a_stream_is_not_executed(self, browser: Browser, client: Made):
        response, _ = await browser.ask(RESET.replace("ID", client.id), Accept="text/event-stream")
        assert response.status == 406

    @pytest.mark.parametrize("accept", ["text/event-stream", "text/event-stream, application/json"])
    async def test_a_refusal_has_the_status_of_its_code(
        self, api: Any, make_client: MakeClient, services: Services, monkeypatch: pytest.MonkeyPatch, accept: str
    ):
        """The reader of an event stream sees only the status, and decides by it whether to reconnect."""

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

    async def test_a_disconnected_reader_is_detected(
        self, api: Any, viewer: Made, services: Services, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(sse_module, "KEEP_ALIVE_SECONDS", 0.05)
        async with open_event_stream(api, {"Authorization": encode_basic_auth(viewer.id, viewer.secret)}) as stream:
            assert await read_event(stream) is None
            assert len(services.feed._streams) == 1
            stream.close()
        await until(lambda: not services.feed._streams)
