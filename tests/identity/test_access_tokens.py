"""JWT access tokens that a real OpenID provider issued (RFC 9068), at /graphql of a real server."""

import asyncio
import hashlib
import json
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientSession, ClientTimeout, CookieJar, WSMsgType, encode_basic_auth
from aiohttp.test_utils import unused_port
from support.identity_provider import AUDIENCE
from support.provider_processes import ProviderProcess, provider_process
from support.serving import Serving, serving
from support.sockets import PROTOCOL, Socket

from gql_secrets.domain import base64url

SECRET: Final = "a secret of the tests"
RESOURCE: Final = "https://api.example.com/"
REDIRECT_URI: Final = "http://localhost:1/callback"
URL_KEY: Final = "https://example.com/roles"
ROLES: Final = {
    "IONAPI-Admin": ["ADMIN", "OPERATOR", "VIEWER"],
    "ops": ["OPERATOR", "VIEWER"],
    "look": ["VIEWER"],
    "dance": [],
}
SHAPES: Final[Mapping[str, Any]] = {
    "roles": lambda role: {"roles": [role]},
    "groups": lambda role: {"groups": ["staff", role]},
    "keycloak": lambda role: {"realm_access": {"roles": [role, "offline_access"]}},
    "nested": lambda role: {"resource_access": {"gql-secrets": {"roles": [role]}}},
    "url-key": lambda role: {URL_KEY: [role]},
    "string": lambda role: {"roles": role},
    "mixed": lambda role: {"roles": [7, None, role], "groups": 7, "realm_access": "none"},
}
NO_ROLE: Final[dict[str, Any]] = {
    "absent": {},
    "empty": {"roles": [], "groups": [], "realm_access": {"roles": []}},
    "unknown": {"roles": ["somebody"]},
    "part-of-a-name": {"roles": "IONAPI-Admin,ops look"},
    "object": {"roles": {"IONAPI-Admin": True}},
    "elsewhere": {"permissions": ["IONAPI-Admin"], "realm_access.other": ["IONAPI-Admin"]},
}
CLAIMS: Final = NO_ROLE | {f"{shape}.{role}": make(role) for shape, make in SHAPES.items() for role in ROLES}
SETTINGS: Final = {
    "oidc_audience": AUDIENCE,
    "oidc_roles_claim": f"roles,groups,realm_access.roles,resource_access.gql-secrets.roles,{URL_KEY}",
    "oidc_operator_roles": "ops",
    "oidc_viewer_roles": "look",
    "rate_limits": "off",  # every caller here has one address
}
VIEWER: Final = "{ viewer { kind name roles } }"
# A query that each role is allowed, down to VIEWER, one of OPERATOR's arguments, and one of ADMIN alone.
CLIENTS: Final = "{ clients { totalCount } }"
SESSIONS: Final = "{ sessions { totalCount } }"


@pytest.fixture(scope="module")
def provider(modules: Path) -> Iterator[ProviderProcess]:
    with provider_process(["node", "access_tokens.mjs", "0", json.dumps(CLAIMS)], modules) as running:
        yield running


@pytest.fixture(scope="module")
def server(provider: ProviderProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("server"), oidc_issuer=provider.issuer, **SETTINGS) as running:
        asyncio.run(wait_until_accepted_with(provider, running))
        yield running


@asynccontextmanager
async def session_to(url: str) -> AsyncIterator[ClientSession]:
    # `unsafe` keeps the cookies of a host without a domain, such as localhost.
    async with ClientSession(url, timeout=ClientTimeout(total=60), cookie_jar=CookieJar(unsafe=True)) as session:
        yield session


async def token_of(provider: ProviderProcess, client_id: str, **asked: str) -> str:
    """An access token for this API that the provider issues to one of its clients."""
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    form = {"grant_type": "client_credentials", "resource": f"{RESOURCE}?{query}" if query else RESOURCE}
    async with (
        session_to(provider.issuer) as session,
        session.post("/token", data=form, headers=basic(client_id)) as response,
    ):
        content = await response.json()
        assert response.status == 200, content
        token: str = content["access_token"]
        return token


def basic(client_id: str) -> dict[str, str]:
    return {"Authorization": encode_basic_auth(client_id, SECRET)}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def ask(server: Serving, token: str, query: str = VIEWER) -> tuple[int, dict[str, Any]]:
    headers = bearer(token) | {"Accept": "application/graphql-response+json"}
    async with (
        session_to(server.url) as session,
        session.post("/graphql", json={"query": query}, headers=headers) as response,
    ):
        return response.status, await response.json(content_type=None)


async def viewer_of(server: Serving, token: str) -> dict[str, Any]:
    status, content = await ask(server, token)
    assert status == 200, content
    viewer: dict[str, Any] = content["data"]["viewer"]
    return viewer


async def reason_of(server: Serving, token: str) -> tuple[str, str]:
    """Why the server refuses the token, and in which words."""
    status, content = await ask(server, token)
    assert status == 401, content
    [error] = content["errors"]
    return error["extensions"]["reason"], error["message"]


async def ask_by_socket(server: Serving, token: str, query: str) -> Any:
    """The answer to a query over a WebSocket that signs in by `connection_init`; its close code if it is refused."""
    async with session_to(server.url) as session, session.ws_connect("/graphql", protocols=[PROTOCOL]) as raw:
        socket = Socket(raw)
        await socket.send({"type": "connection_init", "payload": bearer(token)})
        first = await raw.receive(timeout=60)
        if first.type is WSMsgType.CLOSE:
            return first.data
        await socket.subscribe(query)
        message = await raw.receive_json(timeout=60)
        return message["payload"]


async def ask_by_stream(server: Serving, token: str, query: str) -> Any:
    """The answer to a query as an event stream; its status if it is refused."""
    headers = bearer(token) | {"Accept": "text/event-stream"}
    async with (
        session_to(server.url) as session,
        session.post("/graphql", json={"query": query}, headers=headers) as response,
    ):
        if response.status != 200:
            return response.status
        events = (await response.text()).split("\n")
        return next(json.loads(line.removeprefix("data:")) for line in events if line.startswith("data: {"))


# Roles and the shapes of claims


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_role_counts_in_each_shape_of_claim(
    shape: str, role: str, provider: ProviderProcess, server: Serving
) -> None:
    client_id = f"{shape}.{role}"
    assert await viewer_of(server, await token_of(provider, client_id)) == {
        "kind": "USER",
        "name": client_id,
        "roles": ROLES[role],
    }


@pytest.mark.parametrize("shape", NO_ROLE)
async def test_other_claims_give_no_role(shape: str, provider: ProviderProcess, server: Serving) -> None:
    assert (await viewer_of(server, await token_of(provider, shape)))["roles"] == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("way", [ask, ask_by_socket, ask_by_stream])
async def test_each_transport_lets_a_role_do_what_it_may(
    way: Any, role: str, provider: ProviderProcess, server: Serving
) -> None:
    token = await token_of(provider, f"roles.{role}")

    async def is_allowed(query: str) -> bool:
        answer = await way(server, token, query)
        answer = answer[1] if isinstance(answer, tuple) else answer
        errors = answer if isinstance(answer, list) else answer.get("errors", [])
        assert {error["extensions"]["code"] for error in errors} <= {"FORBIDDEN"}, answer
        return not errors

    assert await is_allowed(VIEWER)
    assert await is_allowed(CLIENTS) == ("VIEWER" in ROLES[role])
    assert await is_allowed(SESSIONS) == ("ADMIN" in ROLES[role])


# Which tokens count


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"])
async def test_each_asymmetric_algorithm_is_accepted(
    algorithm: str, provider: ProviderProcess, server: Serving
) -> None:
    assert await viewer_of(server, await token_of(provider, "roles.look", alg=algorithm))


async def test_a_token_for_another_api_is_refused(provider: ProviderProcess, server: Serving) -> None:
    token = await token_of(provider, "roles.look", audience="another-api")
    assert (await reason_of(server, token))[0] == "AUDIENCE"
    assert await ask_by_socket(server, token, VIEWER) == 4403
    assert await ask_by_stream(server, token, VIEWER) == 401


async def test_a_token_that_is_not_a_jwt_is_refused_with_the_remedy(provider: ProviderProcess, server: Serving) -> None:
    reason, message = await reason_of(server, await token_of(provider, "roles.look", format="opaque"))
    assert reason == "MALFORMED"
    assert "only if the sign-in names this API as the audience or resource" in message


async def test_an_expired_token_is_refused(provider: ProviderProcess, server: Serving) -> None:
    token = await token_of(provider, "roles.look", seconds="1")
    async with asyncio.timeout(60):
        while (await ask(server, token))[0] == 200:  # noqa: ASYNC110  nobody reports the end of a token
            await asyncio.sleep(0.2)
    assert (await reason_of(server, token))[0] == "EXPIRED"
    assert await ask_by_socket(server, token, VIEWER) == 4403
    assert await ask_by_stream(server, token, VIEWER) == 401


async def test_a_stream_ends_when_its_token_expires(provider: ProviderProcess, server: Serving) -> None:
    token = await token_of(provider, "roles.look", seconds="30")
    body = {"query": "subscription { clientEvents { kind } }"}
    headers = bearer(token) | {"Accept": "text/event-stream"}
    async with (
        session_to(server.url) as session,
        session.post("/graphql", json=body, headers=headers, timeout=ClientTimeout(total=180)) as stream,
    ):
        assert stream.status == 200
        rest = await stream.text()
    assert '"reason":"EXPIRED"' in rest


async def test_a_person_sends_the_access_token_and_not_the_id_token(provider: ProviderProcess, server: Serving) -> None:
    """The authorization code flow, by a person whose account names its role."""
    tokens = await sign_in(provider, "ops")
    viewer = await viewer_of(server, tokens["access_token"])
    assert viewer == {"kind": "USER", "name": "ops", "roles": ["OPERATOR", "VIEWER"]}
    reason, message = await reason_of(server, tokens["id_token"])
    assert (reason, message) == ("AUDIENCE", "The token was issued for another audience than this API.")


async def test_an_id_token_is_refused_even_where_its_client_is_the_audience(
    provider: ProviderProcess, tmp_path: Path
) -> None:
    """Some set-ups use one client id for the frontend and as the name of the API."""
    id_token = (await sign_in(provider, "ops"))["id_token"]
    settings = SETTINGS | {"oidc_issuer": provider.issuer, "oidc_audience": "frontend"}
    with serving(tmp_path, **settings) as server:
        assert await reason_of(server, id_token) == ("ID_TOKEN", "This is an ID token. Send the access token.")


async def sign_in(provider: ProviderProcess, person: str) -> dict[str, str]:
    """Walk through the provider's pages, as a browser does, and return the tokens."""
    verifier = "v" * 43
    challenge = base64url.encode(hashlib.sha256(verifier.encode()).digest())
    query = {
        "client_id": "frontend",
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "scope": "openid",
        "nonce": "n",
        "resource": RESOURCE,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    async with session_to(provider.issuer) as session:
        response = await session.get("/auth", params=query, allow_redirects=False)
        for _ in range(12):
            place = response.headers.get("Location")
            if place is None:
                form = {"prompt": "login", "login": person, "password": "any"}
                if 'value="login"' not in await response.text():
                    form = {"prompt": "consent"}
                response = await session.post(response.url, data=form, allow_redirects=False)
            elif place.startswith(REDIRECT_URI):
                break
            else:
                response = await session.get(place, allow_redirects=False)
        assert place is not None, await response.text()
        [code] = parse_qs(urlsplit(place).query)["code"]
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": verifier,
            "resource": RESOURCE,
        }
        async with session.post("/token", data=form, headers=basic("frontend")) as response:
            tokens: dict[str, str] = await response.json()
            assert response.status == 200, tokens
            return tokens


# The provider changes its key, is slow, is away


async def test_nobody_notices_a_new_key(provider: ProviderProcess, tmp_path: Path) -> None:
    """Callers with old and new tokens, over all transports, while the provider begins to sign with another key."""
    old = await token_of(provider, "roles.look")
    answers: list[Any] = []
    with serving(tmp_path, oidc_issuer=provider.issuer, **SETTINGS) as server:
        await wait_until_accepted(server, old)
        async with session_to(provider.issuer) as session:
            await session.post("/rotate")
        new = await token_of(provider, "roles.ops")
        assert new.partition(".")[0] != old.partition(".")[0]

        async def call(token: str) -> None:
            for way in (ask, ask_by_socket, ask_by_stream):
                answer = await way(server, token, CLIENTS)
                answers.append(answer[1] if isinstance(answer, tuple) else answer)

        await asyncio.gather(*(call(token) for token in [old, new] * 8))
    assert answers == [{"data": {"clients": {"totalCount": 1}}}] * 48


async def test_a_provider_that_hangs_delays_no_caller_whose_key_is_known(
    provider: ProviderProcess, server: Serving, tmp_path: Path
) -> None:
    token = await token_of(provider, "roles.look")
    assert await viewer_of(server, token)
    with serving(tmp_path, oidc_issuer=provider.issuer, **SETTINGS) as fresh:
        provider.process.send_signal(signal.SIGSTOP)
        try:
            assert await viewer_of(server, token)
            status, content = await ask(fresh, token)
            assert (status, content["errors"][0]["extensions"]["code"]) == (503, "UNAVAILABLE")
            assert await ask_by_stream(fresh, token, VIEWER) == 503
        finally:
            provider.process.send_signal(signal.SIGCONT)
        await wait_until_accepted(fresh, token)


async def test_the_server_starts_and_recovers_without_the_provider(modules: Path, tmp_path: Path) -> None:
    port = unused_port()
    command = ["node", "access_tokens.mjs", str(port), json.dumps({"ops": {"roles": ["ops"]}})]
    settings = SETTINGS | {"oidc_issuer": f"http://localhost:{port}"}
    with serving(tmp_path, **settings) as server:
        with provider_process(command, modules) as provider:
            token = await token_of(provider, "ops")
        assert (await ask(server, token))[0] == 503  # the process has ended; its keys were never fetched
        assert await ask_by_stream(server, token, VIEWER) == 503
        with provider_process(command, modules) as provider:
            token = await token_of(provider, "ops")  # the keys are new ones
            await wait_until_accepted(server, token)
        assert await viewer_of(server, token)  # it has ended again, and its keys are known


async def wait_until_accepted_with(provider: ProviderProcess, server: Serving) -> None:
    await wait_until_accepted(server, await token_of(provider, "roles.look"))


async def wait_until_accepted(server: Serving, token: str) -> None:
    """After a failure nothing is fetched for a few seconds."""
    async with asyncio.timeout(180):
        while (answer := await ask(server, token))[0] != 200:
            assert answer[0] == 503, answer
            await asyncio.sleep(0.5)
