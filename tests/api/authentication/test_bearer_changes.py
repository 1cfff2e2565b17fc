"""What people with an access token change, who they are in the audit, and when their streams end."""

import asyncio
from typing import Any

import pytest
from api.authentication.conftest import BuildApi
from support.clocks import SECOND, Clock
from support.event_streams import open_event_stream, read_error_codes
from support.identity_provider import AUDIENCE, IdentityProvider, identity_providers
from support.sockets import open_socket, wait_for_streams

from gql_secrets.api.keys import SERVICES
from gql_secrets.domain.access import ActorKind, Caller, Role, Surface
from gql_secrets.domain.errors import InvalidToken

CREATE = 'mutation { createClient(name: "Shop") { client { clientId } userErrors { code } } }'
AUDIT = "{ auditEvents(first: 1) { nodes { action actor actorName actorKind } } }"
RESET = """mutation ($id: ID!, $key: String) {
  resetSecret(clientId: $id, hoursToLive: 24, idempotencyKey: $key) { newSecret replayed userErrors { code } }
}"""


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def ask(api: Any, token: str, query: str, **variables: Any) -> dict[str, Any]:
    body = {"query": query, "variables": variables}
    async with api.post("/graphql", json=body, headers=bearer(token)) as response:
        content: dict[str, Any] = await response.json(content_type=None)
        return content


async def create(api: Any, token: str) -> str:
    content = await ask(api, token, CREATE)
    client_id: str = content["data"]["createClient"]["client"]["clientId"]
    return client_id


# The audit


async def test_the_actor_is_the_issuer_and_the_whole_subject(trusting: Any, provider: IdentityProvider) -> None:
    subject = "f:" + "s" * 253
    token = provider.token(sub=subject, roles="IONAPI-Admin")
    await create(trusting, token)
    [event] = (await ask(trusting, token, AUDIT))["data"]["auditEvents"]["nodes"]
    assert event == {
        "action": "CLIENT_CREATED",
        "actor": f"user:{provider.issuer.removeprefix('http://')}/{subject}",
        "actorName": "Ada Ashdown",
        "actorKind": "USER",
    }


async def test_the_longest_actor_fits_the_database(build_api: BuildApi) -> None:
    async with identity_providers("/" + "r" * 220) as [long]:
        api = await build_api(oidc_issuer=long.issuer, oidc_audience=AUDIENCE)
        token = long.token(sub="ü" * 255, roles="IONAPI-Admin")
        client_id = await create(api, token)
        answer = await ask(api, token, RESET, id=client_id, key="k" * 16)
        assert answer["data"]["resetSecret"]["userErrors"] == []


async def test_two_realms_of_one_host_are_two_people(build_api: BuildApi) -> None:
    async with identity_providers("/realms/a", "/realms/b") as [a, b]:
        api = await build_api(
            oidc_issuer=f"{a.issuer},{b.issuer}",
            oidc_audience=f"{AUDIENCE};{AUDIENCE}",
            oidc_admin_roles="boss;boss",
        )
        ada, other_ada = (each.token(roles="boss") for each in (a, b))
        client_id = await create(api, ada)
        first = (await ask(api, ada, RESET, id=client_id, key="k" * 16))["data"]["resetSecret"]
        again = (await ask(api, ada, RESET, id=client_id, key="k" * 16))["data"]["resetSecret"]
        assert (again["newSecret"], again["replayed"]) == (first["newSecret"], True)
        theirs = (await ask(api, other_ada, RESET, id=client_id, key="k" * 16))["data"]["resetSecret"]
        assert [error["code"] for error in theirs["userErrors"]] == ["ROLLOVER_IN_PROGRESS"]
        # The same person with a fresh token is the same actor: the unused secret is withdrawn.
        fresh = a.token(roles="boss", jti="fresh", preferred_username="Ada Kingston")
        retry = (await ask(api, fresh, RESET, id=client_id))["data"]["resetSecret"]
        assert retry["userErrors"] == []


# The end of a token


async def test_an_expired_token_changes_nothing_within_a_transaction(
    trusting: Any, provider: IdentityProvider, clock: Clock
) -> None:
    """The token was valid when the request came, and expired while it waited for the lock."""
    services = trusting.app[SERVICES]
    caller = Caller("idp/ada", ActorKind.USER, Role.ADMIN, Surface.GRAPHQL, expires_at=clock.now + SECOND)
    made = await services.clients.create_client("Shop", by=caller)
    before = await services.database.fetch("SELECT count(*) AS number FROM audit_event")
    clock.move(SECOND)
    with pytest.raises(InvalidToken) as refused:
        await services.clients.create_client("Other", by=caller)
    assert refused.value.reason == "EXPIRED"
    with pytest.raises(InvalidToken):
        await services.clients.update_client(made.client.client_id, by=caller, name="Renamed")
    assert await services.database.fetch("SELECT count(*) AS number FROM audit_event") == before
    del provider


@pytest.mark.parametrize("shape", ["Authorization", "authorization", "AUTHORIZATION", "headers"])
async def test_a_socket_signs_in_by_message_and_its_stream_ends_with_the_token(
    trusting: Any, provider: IdentityProvider, clock: Clock, shape: str
) -> None:
    value = f"Bearer {provider.token(roles='look')}"
    payload = {"headers": {"authorization": value}} if shape == "headers" else {shape: value}
    async with open_socket(trusting) as socket:
        await socket.send({"type": "connection_init", "payload": payload})
        assert await socket.receive() == {"type": "connection_ack"}
        answer = await socket.answer("{ viewer { name kind expiresAt } }")
        assert answer["data"]["viewer"]["kind"] == "USER"
        await socket.subscribe()
        await wait_for_streams(trusting)
        clock.move(300 * SECOND)
        [error] = await socket.errors()
        assert (error["extensions"]["code"], error["extensions"]["reason"]) == ("UNAUTHENTICATED", "EXPIRED")
        assert await socket.closing() == 4403
    async with open_socket(trusting) as socket:
        fresh = provider.token(roles="look", exp=int(clock.now.timestamp()) + 60)
        await socket.send({"type": "connection_init", "payload": {"Authorization": f"Bearer {fresh}"}})
        assert await socket.receive() == {"type": "connection_ack"}


async def test_a_socket_takes_a_longer_token_than_a_header(trusting: Any, provider: IdentityProvider) -> None:
    groups = [f"group-{number:04d}" for number in range(600)]
    token = provider.token(groups=[*groups, "ops"])
    assert 8 * 1024 < len(token) < 16 * 1024
    async with open_socket(trusting) as socket:
        await socket.send({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}})
        assert await socket.receive() == {"type": "connection_ack"}
        assert (await socket.answer("{ viewer { roles } }"))["data"] == {"viewer": {"roles": ["OPERATOR", "VIEWER"]}}
    async with open_socket(trusting) as socket:
        await socket.send({"type": "connection_init", "payload": {"Authorization": f"Bearer {token * 2}"}})
        assert await socket.closing() == 4403


async def test_an_operation_after_the_end_of_the_token_is_refused(
    trusting: Any, provider: IdentityProvider, clock: Clock
) -> None:
    async with open_socket(trusting, headers=bearer(provider.token(roles="look"))) as socket:
        await socket.send({"type": "connection_init"})
        assert await socket.receive() == {"type": "connection_ack"}
        clock.move(300 * SECOND)
        await socket.subscribe("{ clients { totalCount } }", "q")
        [error] = await socket.errors("q")
        assert error["extensions"]["reason"] == "EXPIRED"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"Authorization": "Bearer x.y.z"}, 4403),
        ({"headers": {"Authorization": "Bearer x.y.z"}}, 4403),
        ({"authorization": "Basic eA=="}, 4403),
        ({"Authorization": "Bearer a", "authorization": "Bearer b"}, 4400),
        ({"Authorization": ["Bearer a"]}, 4400),
        ({"headers": {"Authorization": {}}}, 4400),
    ],
)
async def test_wrong_credentials_close_a_socket(trusting: Any, payload: dict[str, Any], code: int) -> None:
    async with open_socket(trusting) as socket:
        await socket.send({"type": "connection_init", "payload": payload})
        assert await socket.closing() == code


@pytest.mark.parametrize("payload", [{}, {"Authorization": None}, {"headers": None}, {"headers": {}}, {"headers": "x"}])
async def test_a_socket_without_credentials_is_anonymous(trusting: Any, payload: dict[str, Any]) -> None:
    async with open_socket(trusting) as socket:
        await socket.send({"type": "connection_init", "payload": payload})
        assert await socket.receive() == {"type": "connection_ack"}
        assert (await socket.answer("{ viewer { name } }"))["data"] == {"viewer": None}


async def test_an_event_stream_ends_with_the_token(trusting: Any, provider: IdentityProvider, clock: Clock) -> None:
    async with open_event_stream(trusting, bearer(provider.token(roles="look"))) as stream:
        await wait_for_streams(trusting)
        clock.move(300 * SECOND)
        async with asyncio.timeout(30):
            assert await read_error_codes(stream) == ["UNAUTHENTICATED"]
