"""Real gateways, set up as docs/gateways says, between callers and an API, asking a real `gql-secrets serve`.

The recipes in `tests/gateways/` are what docs/gateways shows; only their ports are replaced here.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import unused_port
from support.gateways import (
    AWAY,
    HOME,
    Api,
    Client,
    Gateway,
    Make,
    Server,
    started,
)

COPIES = 3
ANSWERS = 150

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="callers need several loopback addresses")


# What they guarantee.


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to one copy of an application, with the loop's time around it."""

    started: float
    finished: float
    status: int
    state: str | None
    expires_at: str | None


@dataclass(eq=False, slots=True)
class Copy:
    """A running copy of an application: it calls without a pause, always with the same secret."""

    gateway: Gateway
    client: Client
    answers: list[Answer] = field(default_factory=list)

    async def run(self) -> None:
        now = asyncio.get_running_loop().time
        async with aiohttp.ClientSession(headers={"Authorization": self.client.auth}) as session:
            for number in range(100_000):
                started = now()
                method, body = ("POST", b"x" * 5000) if number % 3 == 2 else ("GET", None)
                async with session.request(method, f"{self.gateway.url}/{number}", data=body) as response:
                    await response.read()
                self.answers.append(
                    Answer(
                        started,
                        now(),
                        response.status,
                        response.headers.get("X-Secret-State"),
                        response.headers.get("X-Secret-Expires-At"),
                    )
                )


async def more_answers(*copies: Copy) -> None:
    """Wait until each of these copies got this many more answers."""
    wanted = [len(copy.answers) + ANSWERS for copy in copies]
    async with asyncio.timeout(60):
        while any(len(copy.answers) < number for copy, number in zip(copies, wanted, strict=True)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_rollover_under_traffic_refuses_no_valid_call_and_accepts_none_after_the_revoke(
    server: Server, gateway: Gateway
) -> None:
    now = asyncio.get_running_loop().time
    client = await server.create_client()
    old = [Copy(gateway, client) for _ in range(COPIES)]
    async with asyncio.TaskGroup() as tasks:
        traffic = [tasks.create_task(copy.run()) for copy in old]
        await more_answers(*old)

        reset_asked = now()
        renewed = await server.reset(client)
        reset_answered = now()
        new = [Copy(gateway, renewed) for _ in range(COPIES)]
        traffic += [tasks.create_task(copy.run()) for copy in new]
        await more_answers(*old, *new)

        revoke_asked = now()
        await server.revoke_old_secret(client)
        revoke_answered = now()
        await more_answers(*old, *new)
        for task in traffic:
            task.cancel()

    of_old = [answer for copy in old for answer in copy.answers]
    of_new = [answer for copy in new for answer in copy.answers]
    before = [answer for answer in of_old if answer.finished < revoke_asked]
    after = [answer for answer in of_old if answer.started > revoke_answered]
    assert len(before) >= 2 * COPIES * ANSWERS
    assert len(after) >= COPIES * (ANSWERS - 1)
    assert len(of_new) >= 2 * COPIES * ANSWERS

    assert [answer for answer in before if answer.status != 200] == [], "false refusals of the old secret"
    assert [answer for answer in of_new if answer.status != 200] == [], "false refusals of the new secret"
    assert [answer for answer in after if answer.status != 401] == [], "accepted after the revoke"

    arrived = gateway.api.arrived
    if gateway.make.tells_the_caller:
        # The callers can read in the answers which of its secrets each uses, and how long it will work.
        told_before = {(a.state, a.expires_at) for a in before if a.finished < reset_asked}
        told_after = {(a.state, a.expires_at) for a in before if a.started > reset_answered}
        assert {(a.state, a.expires_at) for a in of_new} == {("current", None)}
    else:
        told_before = {(one.headers["X-Secret-State"], None) for one in arrived[: COPIES * ANSWERS]}
        told_after = {
            (one.headers["X-Secret-State"], one.headers["X-Secret-Expires-At"])
            for one in arrived
            if "X-Secret-Expires-At" in one.headers
        }
    assert told_before == {("current", None)}
    [(state, expires_at)] = told_after
    assert state == "retained"
    assert expires_at is not None
    assert expires_at.endswith("Z")

    assert {tuple(one.all_like("x-client-id")) for one in arrived} == {(client.id,)}
    assert {tuple(one.all_like("authorization")) for one in arrived} == {()}
    assert {(one.method, len(one.body)) for one in arrived} == {("GET", 0), ("POST", 5000)}
    assert len(arrived) >= sum(answer.status == 200 for answer in of_old + of_new)


async def test_bad_and_missing_credentials_are_refused_and_nothing_reaches_the_api(
    server: Server, gateway: Gateway
) -> None:
    client = await server.create_client()
    for auth in (
        None,
        aiohttp.encode_basic_auth(client.id, "wrong"),
        aiohttp.encode_basic_auth("nobody", client.secret),
    ):
        response = await gateway.call(auth)
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic ")

    headers = [("X-Client-Id", client.id), ("X-Secret-State", "current"), ("Authorization", f"Bearer {client.secret}")]
    assert (await gateway.call(None, headers=headers)).status == 401
    for method in ("HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"):
        assert (await gateway.call(None, method=method, data=b"x" * 5000)).status == 401
    assert gateway.api.arrived == []


TARGETS = [
    "/verify",
    "/_verify",
    "/@unavailable",
    "//",
    "/..",
    "/../healthz",
    "/../health",
    "/../../healthz",
    "/x/../../healthz",
    "/%2e%2e/healthz",
    "/..%2fhealthz",
    "/%2e%2e%2fhealthz",
    "/..;/healthz",
    "/..\\healthz",
    "/.%2e/graphql",
    "/../console",
    "/?/../../healthz",
    "http://127.0.0.1/healthz",
    "http://127.0.0.1/../healthz",
    "*",
]


async def test_no_way_of_writing_the_path_gets_around_the_question(gateway: Gateway) -> None:
    """Envoy asks with the caller's path behind `/verify`: a path that climbs out of it must not be accepted."""
    for target in TARGETS:
        for method in ("GET", "OPTIONS", "POST"):
            status = await gateway.send(f"{method} {target} HTTP/1.1".encode())
            # Go's server answers `OPTIONS *` automatically, before any of our rules.
            assert status == 0 or 400 <= status < 500 or target == "*", (method, target, status)
            assert gateway.api.arrived == [], (method, target)


async def test_the_api_hears_who_calls_from_the_gateway_alone(server: Server, gateway: Gateway) -> None:
    client = await server.create_client()
    forged = [
        ("X-Client-Id", "victim"),
        ("x-client-id", "victim"),
        ("X_Client_Id", "victim"),
        ("X-Client_Id", "victim"),
        ("X_Client-Id", "victim"),
        ("X-Acting-User", "forged"),
        ("x-acting-user", "forged"),
        ("X_Acting_User", "forged"),
        ("X-Acting_User", "forged"),
        ("X_Acting-User", "forged"),
        ("X-Acting-Role", "forged"),
        ("X_Acting_Role", "forged"),
        ("X-Secret-State", "forged"),
        ("X-Secret-Expires-At", "forged"),
        ("X-Forwarded-For", "192.0.2.99"),
        ("Forwarded", "for=192.0.2.99"),
    ]
    response = await gateway.call(client.auth, headers=forged, method="PUT", path="/a%20b?c=d", data=b"body")
    assert response.status == 200
    assert await response.text() == "the API's answer"
    [arrived] = gateway.api.arrived
    told = response.headers if gateway.make.tells_the_caller else arrived.headers
    assert told.getall("X-Secret-State") == ["current"]
    assert "X-Secret-Expires-At" not in told

    assert (arrived.method, arrived.path, arrived.body) == ("PUT", "/a%20b?c=d", b"body")
    assert arrived.all_like("x-client-id") == [client.id]
    assert arrived.all_like("authorization") == []
    assert "forged" not in arrived.headers.values()
    assert arrived.all_like("x-forwarded-for") == [AWAY]
    assert arrived.all_like("forwarded") == []


async def test_a_caller_cannot_have_the_gateways_own_headers_dropped(server: Server, gateway: Gateway) -> None:
    """`Connection` names headers that the next hop does not get; a caller must not name ours."""
    client = await server.create_client(allow_list=[HOME])
    hop = [("Connection", "close, X-Client-Id, X-Forwarded-For, X-Secret-State"), ("X-Client-Id", "victim")]

    # Envoy calls such a request malformed.
    assert (await gateway.call(client.auth, headers=hop, source=AWAY)).status in {400, 403}
    assert gateway.api.arrived == []
    await gateway.call(client.auth, headers=hop, source=HOME)
    assert all(arrived.all_like("x-client-id") in ([client.id], []) for arrived in gateway.api.arrived)


@pytest.mark.parametrize(
    "named",
    [
        "X-Client-Id",
        "x-client-id",
        "X-Client-Id, X-Secret-State",
        "X_CLIENT_ID, x-client_id, X-Client-Id",
        "X-Client-Id, Authorization, X-Forwarded-For",
    ],
)
async def test_the_api_hears_who_calls_although_connection_names_that_header(
    server: Server, gateway: Gateway, named: str
) -> None:
    client = await server.create_client()
    headers = [("Connection", f"close, {named}"), ("X_CLIENT_ID", "victim"), ("x-client_id", "victim")]
    response = await gateway.call(client.auth, headers=headers)
    if response.status == 200:
        [arrived] = gateway.api.arrived
        assert arrived.all_like("x-client-id") == [client.id]
        assert gateway.make.tells_the_caller or arrived.all_like("x-secret-state") == ["current"]
    else:
        # Envoy calls such a request malformed. Where the credentials are dropped first, nothing passes.
        assert response.status == 400 or (response.status == 401 and "Authorization" in named)
        assert gateway.api.arrived == []


@pytest.mark.parametrize("what", ["cookie", "cookies", "fields", "path", "query", "coding"])
async def test_a_valid_caller_is_accepted_with_everything_that_the_gateway_accepts(
    server: Server, gateway: Gateway, what: str
) -> None:
    client = await server.create_client()
    much = "x" * gateway.make.line_bytes
    headers = {
        "cookie": [("Cookie", f"a={much[4:]}")],
        "cookies": [("Cookie", f"a={much[:4000]}"), ("X-Other", much[:8000]), ("X-Another", much[:8000])],
        "fields": [(f"X-Field-{number}", "x") for number in range(gateway.make.fields)],
        "coding": [("Content-Encoding", "gzip")],
    }.get(what, [])
    long_part = "x" * (gateway.make.url_bytes - 2)
    path = {"path": f"/{long_part}", "query": f"/?{long_part}"}.get(what, "/")
    response = await gateway.call(client.auth, path=path, headers=headers)
    assert response.status == 200
    [arrived] = gateway.api.arrived
    assert arrived.all_like("x-client-id") == [client.id]


async def test_the_allow_list_is_asked_about_the_callers_own_address(server: Server, gateway: Gateway) -> None:
    client = await server.create_client(allow_list=[f"{HOME}/32"])

    assert (await gateway.call(client.auth, source=HOME)).status == 200
    assert (await gateway.call(client.auth, source=AWAY)).status == 403
    for forged in (
        [("X-Forwarded-For", HOME)],
        [("X-Forwarded-For", f"{HOME}, 127.0.0.1")],
        [("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-For", HOME)],
        [("Forwarded", f"for={HOME}")],
        [("X-Real-IP", HOME), ("X-Client-IP", HOME), ("X-Envoy-External-Address", HOME)],
    ):
        assert (await gateway.call(client.auth, headers=forged, source=AWAY)).status == 403
    assert len(gateway.api.arrived) == 1

    # What a caller writes does not lock it out either, and only a valid secret reveals that there is a list.
    lies = [("X-Forwarded-For", f"unknown, {AWAY}"), ("Forwarded", 'for="'), ("Forwarded", "for=unknown")]
    assert (await gateway.call(client.auth, headers=lies, source=HOME)).status == 200
    assert (await gateway.call(aiohttp.encode_basic_auth(client.id, "wrong"), source=AWAY)).status == 401


async def test_a_streamed_body_passes(server: Server, gateway: Gateway) -> None:
    client = await server.create_client()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 10_000

    assert (await gateway.call(client.auth, method="POST", data=pieces())).status == 200
    [arrived] = gateway.api.arrived
    assert len(arrived.body) == 100_000


async def test_a_kept_connection_that_was_closed_refuses_no_valid_call(
    make: tuple[Make, str], api: Api, tmp_path: Path
) -> None:
    """A server closes idle connections; a gateway that is just about to use one has to ask again on another."""

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nX-Client-Id: one\r\nContent-Length: 0\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer_once, "127.0.0.1", 0) as verifier:
        with started(make, tmp_path, verifier.sockets[0].getsockname()[1], api) as gateway:
            for method in ("GET", "POST") * 10:
                response = await gateway.call(aiohttp.encode_basic_auth("one", "secret"), method=method)
                assert response.status == 200


async def test_many_slow_answers_are_waited_for(make: tuple[Make, str], api: Api, tmp_path: Path) -> None:
    """A first use waits for a disk; Envoy gave up each try after its longest pause between two."""
    slow = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await slow.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nX-Client-Id: one\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as verifier:
        with started(make, tmp_path, verifier.sockets[0].getsockname()[1], api) as gateway:
            asyncio.get_running_loop().call_later(0.5, slow.set)
            calls = (gateway.call(aiohttp.encode_basic_auth("one", "secret")) for _ in range(10))
            assert [response.status for response in await asyncio.gather(*calls)] == [200] * 10


async def test_a_gateway_without_gql_secrets_refuses_with_a_server_error(
    make: tuple[Make, str], api: Api, tmp_path: Path
) -> None:
    """5xx makes applications try again; 401 would make them throw their secret away."""
    with started(make, tmp_path, unused_port(), api) as gateway:
        response = await gateway.call(aiohttp.encode_basic_auth("anyone", "anything"))

    assert response.status in make[0].unavailable
    assert api.arrived == []
