"""A sign-in proxy acts for people: whom it may name, and that nobody else may name anybody."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest
from aiohttp import encode_basic_auth
from api.authentication.conftest import BuildApi
from support.browsers import Browser
from support.callers import ADMIN, DAY, HARD, Made, sign_in
from support.identity_provider import AUDIENCE, IdentityProvider
from support.installation import MakeClient

from gql_secrets.api.keys import SERVICES
from gql_secrets.domain.access import Role, acting_caller
from gql_secrets.domain.errors import Forbidden
from gql_secrets.domain.networks import EVERYWHERE
from gql_secrets.service.client_import import Import, ImportedClient
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

VIEWER: Final = "{ viewer { name kind roles expiresAt canCreateClient client { clientId } } }"
RESET: Final = """
    mutation {{ resetSecret(clientId: "{}", hoursToLive: 24{}) {{ newSecret replayed userErrors {{ code }} }} }}
"""
AUDIT: Final = "{ auditEvents(first: 1) { nodes { actor actorKind actorName } } }"

Answer = tuple[int, dict[str, Any]]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, trusted_proxies="127.0.0.1")


@pytest.fixture
async def proxy(make_client: MakeClient) -> Made:
    return await make_client("owner", "acts_for_users", name="Sign-in proxy")


async def ask(api: Any, made: Made | None, query: str, headers: Any = ()) -> Answer:
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if made is not None:
        pairs.append(("Authorization", encode_basic_auth(made.id, made.secret)))
    accept = ("Accept", "application/graphql-response+json")
    async with api.post("/graphql", json={"query": query}, headers=[*pairs, accept]) as response:
        return response.status, await response.json(content_type=None)


async def is_refused(answer: Answer) -> bool:
    status, content = answer
    [error] = content["errors"]
    return (status, error["extensions"]["code"], error["extensions"]["reason"]) == (403, "FORBIDDEN", "ACTING_USER")


# Accepted


async def test_the_viewer_is_the_person_with_the_role_of_the_client(api: Any, proxy: Made) -> None:
    _, content = await ask(api, proxy, VIEWER, {"X-Acting-User": "ada@example.com"})
    assert content["data"]["viewer"] == {
        "name": "ada@example.com",
        "kind": "USER",
        "roles": ["ADMIN", "OPERATOR", "VIEWER"],
        "expiresAt": None,
        "canCreateClient": True,
        "client": None,
    }


@pytest.mark.parametrize(("role", "count"), [("ADMIN", 3), ("OPERATOR", 2), ("VIEWER", 1)])
async def test_a_person_has_a_lower_role_where_the_proxy_says_so(
    role: str, count: int, api: Any, proxy: Made, client: Made
) -> None:
    acting = {"X-Acting-User": "ada", "X-Acting-Role": role}
    _, content = await ask(api, proxy, VIEWER, acting)
    assert len(content["data"]["viewer"]["roles"]) == count
    # The change evaluates it again: the role of the client is higher.
    _, content = await ask(api, proxy, RESET.format(client.id, ""), acting)
    assert ("errors" not in content) == (role == "ADMIN")


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("ada", "ada"),
        ("Ada%20Ashdown", "Ada Ashdown"),
        ("%C3%84da", "Äda"),
        ("%e2%98%83", "☃"),
        ("a/b:c,d", "a/b:c,d"),
        ("%25", "%"),
        ("x" * 128, "x" * 128),
        ("%F0%9F%98%80" * 128, "😀" * 128),
    ],
)
async def test_a_name_is_percent_encoded_utf_8(sent: str, name: str, api: Any, proxy: Made, client: Made) -> None:
    acting = {"X-Acting-User": sent}
    _, content = await ask(api, proxy, RESET.format(client.id, ""), acting)
    assert content["data"]["resetSecret"]["newSecret"]
    _, content = await ask(api, proxy, AUDIT, acting)
    assert content["data"]["auditEvents"]["nodes"] == [
        {"actor": f"user:{proxy.id}/{name}", "actorKind": "USER", "actorName": name}
    ]


async def test_two_people_are_two_actors_for_retries_and_keys(api: Any, proxy: Made, client: Made) -> None:
    """Through one API client for each role, the second person's reset withdrew the first one's secret silently."""
    key = ', idempotencyKey: "0b8f3c52-6a1e-4f0e-9d2f-5f1d2c3b4a59"'
    _, first = await ask(api, proxy, RESET.format(client.id, key), {"X-Acting-User": "ada"})
    _, other = await ask(api, proxy, RESET.format(client.id, key), {"X-Acting-User": "bob"})
    assert other["data"]["resetSecret"]["userErrors"] == [{"code": "ROLLOVER_IN_PROGRESS"}]
    _, again = await ask(api, proxy, RESET.format(client.id, key), {"X-Acting-User": "ada"})
    assert again["data"]["resetSecret"]["replayed"]
    assert again["data"]["resetSecret"]["newSecret"] == first["data"]["resetSecret"]["newSecret"]
    _, itself = await ask(api, proxy, RESET.format(client.id, key))
    assert itself["data"]["resetSecret"]["userErrors"] == [{"code": "ROLLOVER_IN_PROGRESS"}]


async def test_the_proxy_itself_is_the_caller_without_the_header(api: Any, proxy: Made) -> None:
    _, content = await ask(api, proxy, VIEWER)
    assert content["data"]["viewer"]["kind"] == "API_CLIENT"


async def test_a_person_is_not_the_client_that_resets_itself(api: Any, make_client: MakeClient) -> None:
    proxy = await make_client("acts_for_users", self_reset=True)
    _, content = await ask(api, proxy, RESET.format(proxy.id, ""), {"X-Acting-User": "ada"})
    assert content["errors"][0]["extensions"]["requiredRoles"] == ["ADMIN", "OPERATOR"]


async def test_the_clients_endpoints_know_people_too(api: Any, proxy: Made, client: Made) -> None:
    for name, stat in (("ada", "ok"), ("", "error")):
        async with api.post(
            "/clients/set_description",
            data={"for_client_id": client.id, "description": "x"},
            headers={
                "Authorization": encode_basic_auth(proxy.id, proxy.secret),
                "X-Acting-User": name,
            },
        ) as response:
            assert (await response.json())["stat"] == stat
    _, content = await ask(api, proxy, AUDIT)
    assert content["data"]["auditEvents"]["nodes"][0]["actor"] == f"user:{proxy.id}/ada"


async def test_a_socket_and_a_stream_are_opened_for_a_person(api: Any, proxy: Made) -> None:
    headers = {"X-Acting-User": "ada", "Authorization": encode_basic_auth(proxy.id, proxy.secret)}
    async with api.ws_connect("/graphql", protocols=("graphql-transport-ws",), headers=headers) as socket:
        await socket.send_json({"type": "connection_init"})
        await socket.receive_json()
        await socket.send_json({"type": "subscribe", "id": "1", "payload": {"query": VIEWER}})
        answer = await socket.receive_json()
        assert answer["payload"]["data"]["viewer"]["name"] == "ada"


# Refused


@pytest.mark.parametrize("features", [[], ["owner"], ["operator"], ["viewer"]])
async def test_another_client_cannot_name_anybody(features: list[str], api: Any, make_client: MakeClient) -> None:
    made = await make_client(*features)
    assert await is_refused(await ask(api, made, VIEWER, {"X-Acting-User": "ada"}))
    assert await is_refused(await ask(api, made, VIEWER, {"X-Acting-Role": "VIEWER"}))


async def test_a_caller_who_is_not_signed_in_cannot_name_anybody(api: Any) -> None:
    assert await is_refused(await ask(api, None, VIEWER, {"X-Acting-User": "ada"}))


async def test_a_person_with_a_session_cannot_name_another(api: Any) -> None:
    browser = Browser(api)
    await browser.sign_in(Role.ADMIN)
    response, content = await browser.ask(VIEWER, **{"X-Acting-User": "bob"})
    assert response.status == 403
    assert content["errors"][0]["extensions"]["reason"] == "ACTING_USER"


async def test_a_person_with_a_token_cannot_name_another(build_api: BuildApi, provider: IdentityProvider) -> None:
    api = await build_api(oidc_issuer=provider.issuer, oidc_audience=AUDIENCE, trusted_proxies="127.0.0.1")
    token = provider.token(roles=["IONAPI-Admin"])
    assert await is_refused(await ask(api, None, VIEWER, {"X-Acting-User": "bob", "Authorization": f"Bearer {token}"}))


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Acting-User", "ada"), ("X-Acting-User", "ada")],
        [("X-Acting-User", "ada"), ("X-Acting-User", "bob")],
        [("X-Acting-User", "ada"), ("X-Acting-Role", "VIEWER"), ("X-Acting-Role", "VIEWER")],
        [("X-Acting-Role", "VIEWER")],
        [("X-Acting-User", "")],
        [("X-Acting-User", "ada"), ("X-Acting-Role", "")],
        [("X-Acting-User", "ada"), ("X-Acting-Role", "viewer")],
        [("X-Acting-User", "ada"), ("X-Acting-Role", "OWNER")],
        *([("X-Acting-User", value)] for value in ("x" * 129, "%C3%84" * 129, "%", "%2", "%zz", "%FF", "%C3", "%00")),
        *([("X-Acting-User", value)] for value in ("a%0Ab", "%20", "ada%20", "%20ada", "%E2%80%8B", "a%E2%80%AEb")),
        *([("X-Acting-User", value)] for value in ("Äda", "ada lovelace", "%ED%A0%80", "%E3%85%A4")),
    ],
)
async def test_a_value_that_is_not_valid_is_refused(headers: list[tuple[str, str]], api: Any, proxy: Made) -> None:
    assert await is_refused(await ask(api, proxy, VIEWER, headers))


async def test_a_role_above_that_of_the_client_is_refused(api: Any, make_client: MakeClient) -> None:
    operator = await make_client("operator", "acts_for_users")
    acting = {"X-Acting-User": "ada", "X-Acting-Role": "ADMIN"}
    assert await is_refused(await ask(api, operator, VIEWER, acting))


async def test_the_header_counts_only_from_a_trusted_proxy(build_api: BuildApi) -> None:
    for proxies, accepted in (("", False), ("192.0.2.1", False), ("127.0.0.1", True)):
        api = await build_api(trusted_proxies=proxies)
        made = await api.app[SERVICES].clients.create_client("x", by=ADMIN, features=["owner", "acts_for_users"])
        proxy = Made(made.client.client_id, made.secret.reveal())
        answer = await ask(api, proxy, VIEWER, {"X-Acting-User": "ada"})
        assert (answer[0] == 200) is accepted
        assert accepted or await is_refused(answer)
        await api.close()


async def test_wrong_credentials_are_not_told_apart(api: Any, proxy: Made) -> None:
    status, _ = await ask(api, Made(proxy.id, "gqls_wrong"), VIEWER, {"X-Acting-User": "ada"})
    assert status == 401


@pytest.mark.parametrize("client_id", ["link", "link/1", "a/b"])
async def test_a_client_whose_people_would_look_like_others_cannot_name_them(
    client_id: str, api: Any, services: Services
) -> None:
    """`user:link/5` is the person of a link; and `a` for `b/c` would be `a/b` for `c`."""
    secret = "wt4c3un9wkkcfvykn" + "qx44ync476afs68"
    row = ImportedClient.of(
        client_id, secret, description=None, features=["owner", "acts_for_users"], allow_list=EVERYWHERE
    )
    await Import(services.changes, by=ADMIN).take([row])
    assert await is_refused(await ask(api, Made(client_id, secret), VIEWER, {"X-Acting-User": "5"}))


async def test_a_client_that_lost_the_feature_changes_nothing_more(
    services: Services, proxy: Made, client: Made
) -> None:
    signed_in = await sign_in(services, proxy.id, proxy.secret)
    person = acting_caller(replace(signed_in, acts_for_users=True), "ada", "OPERATOR")
    await services.clients.update_client(proxy.id, by=ADMIN, features=["owner"])
    with pytest.raises(Forbidden) as refused:
        await services.rotation.reset_secret(client.id, HARD, by=person)
    assert refused.value.reason == "ACTING_USER"


async def test_an_old_secret_stays_an_old_secret(api: Any, services: Services, proxy: Made, client: Made) -> None:
    await services.rotation.reset_secret(proxy.id, DAY, by=ADMIN)
    acting = {"X-Acting-User": "ada"}
    for operation in (
        'createClient(name: "x", features: [ACTS_FOR_USERS])',
        f'updateClient(clientId: "{client.id}", features: [ACTS_FOR_USERS])',
    ):
        for headers in (acting, {}):
            _, content = await ask(api, proxy, f"mutation {{ {operation} {{ userErrors {{ code }} }} }}", headers)
            extensions = content["errors"][0]["extensions"]
            assert (extensions["reason"], extensions["argument"]) == ("RETAINED_SECRET", "features")
    _, content = await ask(api, proxy, RESET.format(proxy.id, ""), acting)
    assert content["errors"][0]["extensions"]["reason"] == "RETAINED_SECRET"


async def test_an_acting_person_cannot_lock_the_proxy_out(api: Any, proxy: Made) -> None:
    edit = f'updateClient(clientId: "{proxy.id}", allowList: ["192.0.2.0/24"])'
    _, content = await ask(api, proxy, f"mutation {{ {edit} {{ userErrors {{ code }} }} }}", {"X-Acting-User": "ada"})
    assert content["data"]["updateClient"]["userErrors"] == [{"code": "INVALID_ALLOW_LIST"}]
