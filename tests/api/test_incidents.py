"""What went wrong elsewhere, each row of the table a test of ours, on every surface that it could have touched."""

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import graphql
import pytest
from aiohttp import FormData, encode_basic_auth
from aiohttp.test_utils import TestClient
from support.audits import check_chain
from support.callers import ADMIN, CLI, DAY, HARD, Made, is_good
from support.clocks import DAYS, HOUR, MICROSECOND, MILLISECOND, MINUTE, Clock
from support.installation import MakeClient
from support.leaks import Issued
from support.sockets import Socket, open_socket, until

from gql_secrets.api.app import build_app
from gql_secrets.api.graphql.schema import build_schema
from gql_secrets.api.keys import SERVICES
from gql_secrets.domain.access import Feature
from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.credentials import PlaintextSecret
from gql_secrets.domain.errors import Failure
from gql_secrets.domain.limits import Rate
from gql_secrets.domain.rotation import Retention
from gql_secrets.logs import LineFormatter
from gql_secrets.service import changes as change_module
from gql_secrets.service.changes import Change
from gql_secrets.service.new_clients import NewClient, write_client
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.secret_store import store_secret
from gql_secrets.settings import DATABASE_FILE, Settings
from gql_secrets.wiring import Services, open_services

Api = TestClient[Any, Any]
only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


# The surfaces on which a credential is shown


async def by_verify(api: Api, client: Made) -> bool:
    async with api.get("/verify", headers=basic(client)) as response:
        assert response.status in (200, 401)
        return response.status == 200


async def by_gateway_path(api: Api, client: Made) -> bool:
    async with api.post("/verify/some/path", headers=basic(client), data=b"x") as response:
        assert response.status in (200, 401)
        return response.status == 200


async def by_graphql(api: Api, client: Made) -> bool:
    async with api.post("/graphql", headers=basic(client), json={"query": "{ viewer { name } }"}) as response:
        assert response.status in (200, 401)
        return response.status == 200 and (await response.json())["data"]["viewer"]["name"] == client.id


async def by_clients(api: Api, client: Made) -> bool:
    async with api.post("/clients/list", headers=basic(client)) as response:
        told = await response.json(content_type=None)
        return bool(told["stat"] == "ok")


async def by_clients_form(api: Api, client: Made) -> bool:
    async with api.post("/clients/list", data={"client_id": client.id, "client_secret": client.secret}) as response:
        told = await response.json(content_type=None)
        return bool(told["stat"] == "ok")


async def by_web_socket(api: Api, client: Made) -> bool:
    async with open_socket(api) as socket:
        await socket.send(
            {"type": "connection_init", "payload": {"Authorization": encode_basic_auth(client.id, client.secret)}}
        )
        message = await socket.raw.receive()
        return message.data is not None and "connection_ack" in str(message.data)


SURFACES: dict[str, Callable[[Api, Made], Awaitable[bool]]] = {
    "/verify": by_verify,
    "/verify/…": by_gateway_path,
    "/graphql": by_graphql,
    "/clients": by_clients,
    "/clients, by its form": by_clients_form,
    "web socket": by_web_socket,
}
every_surface = pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)


def basic(client: Made) -> dict[str, str]:
    return {"Authorization": encode_basic_auth(client.id, client.secret)}


# The surfaces on which a secret is reset


async def reset_by_graphql(api: Api, owner: Made, client_id: str, hours: int) -> str:
    query = (
        "mutation($id: ID!, $hours: Int!) "
        "{ resetSecret(clientId: $id, hoursToLive: $hours) { newSecret userErrors { code } } }"
    )
    body = {"query": query, "variables": {"id": client_id, "hours": hours}}
    async with api.post("/graphql", headers=basic(owner), json=body) as response:
        return str((await response.json())["data"]["resetSecret"]["newSecret"])


async def reset_by_clients(api: Api, owner: Made, client_id: str, hours: int) -> str:
    data = {"for_client_id": client_id, "hours_to_live": str(hours)}
    async with api.post("/clients/reset_secret", headers=basic(owner), data=data) as response:
        return str((await response.json(content_type=None))["new_secret"])


async def reset_by_command_line(api: Api, owner: Made, client_id: str, hours: int) -> str:
    del owner
    done = await api.app[SERVICES].rotation.reset_secret(client_id, Retention(hours), by=CLI)
    return done.new_secret.reveal()


RESETS: dict[str, Callable[[Api, Made, str, int], Awaitable[str]]] = {
    "/graphql": reset_by_graphql,
    "/clients": reset_by_clients,
    "command line": reset_by_command_line,
}
every_reset = pytest.mark.parametrize("reset", RESETS.values(), ids=RESETS)


@pytest.fixture
async def boss(make_client: MakeClient) -> Made:
    """A client that may sign in everywhere."""
    return await make_client("owner")


# The table


@every_surface
async def test_an_old_secret_expires_on_time_whether_its_client_is_disabled_or_enabled(
    api: Api, services: Services, boss: Made, clock: Clock, surface: Callable[[Api, Made], Awaitable[bool]]
) -> None:
    """Keycloak issue 50855: a rotated secret stayed valid permanently after the feature was switched off."""
    clients = services.clients
    done = await services.rotation.reset_secret(boss.id, DAY, by=ADMIN)
    new = Made(boss.id, done.new_secret.reveal())
    await clients.set_client_enabled(boss.id, enabled=False, by=ADMIN)
    await clients.set_client_enabled(boss.id, enabled=True, by=ADMIN)
    await clients.update_client(boss.id, by=ADMIN, features=["viewer"], allow_list=["192.0.2.0/24"], name="x")
    await clients.update_client(boss.id, by=ADMIN, features=["owner"], allow_list=["0.0.0.0/0", "::/0"])
    assert await surface(api, boss)
    clock.move(DAYS)
    assert not await surface(api, boss)
    assert await surface(api, new)
    await clients.set_client_enabled(boss.id, enabled=False, by=ADMIN)
    await clients.set_client_enabled(boss.id, enabled=True, by=ADMIN)
    assert not await surface(api, boss)


@every_reset
async def test_every_interface_ends_older_secrets_permanently(
    api: Api, services: Services, owner: Made, boss: Made, reset: Callable[[Api, Made, str, int], Awaitable[str]]
) -> None:
    """Keycloak issues 51535 and 51529: one of two admin APIs skipped the cleanup; re-enabling revived old secrets."""
    second = Made(boss.id, await reset(api, owner, boss.id, 24))
    third = Made(boss.id, await reset(api, owner, boss.id, 0))
    await services.clients.set_client_enabled(boss.id, enabled=False, by=ADMIN)
    await services.clients.set_client_enabled(boss.id, enabled=True, by=ADMIN)
    for surface in SURFACES.values():
        assert [await surface(api, each) for each in (boss, second, third)] == [False, False, True]
    rows = (await services.queries.page_of_secrets(boss.id, PageRequest())).rows
    assert [row.state for row in rows] == ["CURRENT", "REVOKED", "REVOKED"]


async def test_no_query_returns_a_secret(api: Api, services: Services, owner: Made, make_client: MakeClient) -> None:
    """Keycloak CVE-2026-17048: a view-only admin could read rotated secrets. Only payloads that mint one carry one."""
    schema = graphql.build_schema(build_schema().as_str())
    texts = {
        f"{name}.{field}"
        for name, type_ in schema.type_map.items()
        if isinstance(type_, graphql.GraphQLObjectType) and not name.startswith("__")
        for field in type_.fields
        if "secret" in field.lower() and graphql.is_leaf_type(graphql.get_named_type(type_.fields[field].type))
    }
    exits = {
        "CreateClientPayload.secret",
        "ResetSecretPayload.newSecret",
        "ResetSecretResult.newSecret",
        "CreateWebhookPayload.signingSecret",
        "RotateWebhookSecretPayload.signingSecret",
    }
    assert exits <= texts
    assert {text for text in texts - exits if not text.endswith(("SecretId", "secretId", "ResetSecret"))} <= {
        "Client.unknownSecretAttempts",
        "Client.lastUnknownSecretAttemptAt",
        "Client.viewerCanSmoothReset",
        "Client.viewerCanRevokeOldSecret",
        "ResetSecretPayload.oldSecretExpiresAt",
        "ResetSecretResult.oldSecretExpiresAt",
        "RolloverSource.newSecretLastUsedAt",
        "RolloverSource.oldSecretLastUsedAt",
        "Webhook.previousSecretUntil",
        "ChangeRetentionPayload.oldSecretExpiresAt",
        "RolloverInProgress.currentSecretCreatedBy",
        "RolloverInProgress.currentSecretCreatedByName",
        "RolloverInProgress.currentSecretCreatedAt",
        "RolloverInProgress.currentSecretUsed",
        "RolloverInProgress.oldSecretExpiresAt",
        "RolloverInProgress.oldSecretLastUsedAt",
        "AuditEvent.weakSecret",
    }
    arguments = {
        argument
        for type_ in schema.type_map.values()
        if isinstance(type_, graphql.GraphQLObjectType)
        for field in type_.fields.values()
        for argument in field.args
        if "secret" in argument.lower()
    }
    assert arguments <= {"secretId"}, "no argument takes a secret"
    viewer, client = await make_client("viewer"), await make_client()
    new = (await services.rotation.reset_secret(client.id, DAY, by=ADMIN)).new_secret.reveal()
    issued = Issued([client.secret, new, viewer.secret, owner.secret])
    for caller, query in product((viewer, owner), everything_that_can_be_asked(client.id)):
        async with api.post("/graphql", headers=basic(caller), json={"query": query}) as response:
            assert issued.found_in(await response.read()) == set()


def everything_that_can_be_asked(client_id: str) -> list[str]:
    secret = "id hint state createdAt expiresAt endedAt endReason firstUsedAt lastUsedAt uses { address userAgent }"
    event = "id actor action reason secretId clientId address requestId"
    client = f"id clientId name description features allowList currentSecret {{ {secret} }} oldSecret {{ {secret} }}"
    return [
        f'{{ client(clientId: "{client_id}") {{ {client} secrets {{ nodes {{ {secret} }} }} }} }}',
        f"{{ clients {{ nodes {{ {client} }} edges {{ cursor }} pageInfo {{ endCursor }} }} }}",
        f"{{ auditEvents {{ nodes {{ {event} }} }} }}",
        f'{{ client(clientId: "{client_id}") {{ auditEvents {{ nodes {{ {event} }} }} }} }}',
    ]


@every_surface
async def test_no_node_accepts_a_secret_after_its_revoke_was_answered(
    api: Api,
    aiohttp_client: Any,
    settings: Settings,
    clock: Clock,
    services: Services,
    boss: Made,
    surface: Callable[[Api, Made], Awaitable[bool]],
) -> None:
    """WSO2 and Unkey: a cache accepted the secret for seconds to minutes after the revoke."""
    other: Api = await aiohttp_client(build_app(settings, adjust_clock=clock))
    await services.rotation.reset_secret(boss.id, DAY, by=ADMIN)
    for node in (api, other, api, other):
        assert await surface(node, boss)
    await services.rotation.revoke_old_secret(boss.id, by=ADMIN)
    assert [await surface(node, boss) for node in (other, api)] == [False, False]
    await other.close()


@every_reset
async def test_no_reset_extends_an_expiring_secret_beyond_its_bound(
    api: Api,
    owner: Made,
    boss: Made,
    clock: Clock,
    reset: Callable[[Api, Made, str, int], Awaitable[str]],
) -> None:
    """Unkey pull request 5892: rerolling turned an expiring key into a permanent one."""
    for _ in range(4):
        await reset(api, owner, boss.id, 168)
        clock.move(30 * MINUTE)
    clock.move(7 * DAYS - 120 * MINUTE - MICROSECOND)
    assert await by_verify(api, boss)
    clock.move(MICROSECOND)
    assert not await by_verify(api, boss)
    clock.move(-DAYS)
    assert not await by_verify(api, boss)


@every_reset
async def test_a_retry_ends_no_secret_in_use(
    api: Api, owner: Made, boss: Made, reset: Callable[[Api, Made, str, int], Awaitable[str]]
) -> None:
    """GitLab issue 524639, LiteLLM issue 38351: a retried rotation ended the token it had made, or the one in use."""
    assert await by_verify(api, boss)
    await reset(api, owner, boss.id, 24)
    again = Made(boss.id, await reset(api, owner, boss.id, 24))
    assert await by_verify(api, boss)
    assert await by_verify(api, again)


async def test_concurrent_resets_leave_one_current_secret(
    api: Api, services: Services, owner: Made, boss: Made
) -> None:
    """Weave OS issue 817: N concurrent rotations made N successors; a rotation during a delete left a valid secret."""
    surfaces = list(RESETS.values())[:2]
    made = await asyncio.gather(*(surfaces[number % 2](api, owner, boss.id, 0) for number in range(4)))
    assert [await by_verify(api, Made(boss.id, secret)) for secret in made].count(True) == 1
    async with asyncio.TaskGroup() as tasks:
        late = [tasks.create_task(tried(services.rotation.reset_secret(boss.id, HARD, by=ADMIN))) for _ in range(4)]
        tasks.create_task(services.clients.delete_client(boss.id, by=ADMIN))
    for reset in late:
        done = reset.result()
        if not isinstance(done, Failure):
            assert not await by_verify(api, Made(boss.id, done.new_secret.reveal()))
    await check_chain(services)


async def tried(act: Awaitable[Any]) -> Any:
    try:
        return await act
    except Failure as failure:
        return failure


@every_surface
@every_reset
async def test_every_interface_accepts_an_old_secret_that_any_interface_retained(
    api: Api,
    owner: Made,
    boss: Made,
    reset: Callable[[Api, Made, str, int], Awaitable[str]],
    surface: Callable[[Api, Made], Awaitable[bool]],
) -> None:
    """LiteLLM issue 27193: the grace period was stored, but the code that authenticates never read it."""
    new = Made(boss.id, await reset(api, owner, boss.id, 1))
    assert await surface(api, boss)
    assert await surface(api, new)


@every_surface
@pytest.mark.parametrize(
    ("offset", "good"), [(-MILLISECOND, True), (0 * MILLISECOND, False), (MILLISECOND, False)], ids=["-1", "0", "+1"]
)
async def test_an_old_secret_expires_at_its_exact_time(
    api: Api,
    services: Services,
    boss: Made,
    clock: Clock,
    surface: Callable[[Api, Made], Awaitable[bool]],
    offset: Any,
    good: bool,
) -> None:
    """VMware: it expired up to an hour late, because a job had to run first."""
    await services.rotation.reset_secret(boss.id, Retention(1), by=ADMIN)
    clock.move(HOUR + offset)
    assert await surface(api, boss) is good


async def test_no_answer_reveals_what_exists(api: Api, services: Services, boss: Made) -> None:
    """Medplum issue 5932, OpenBao CVE-2025-54999, Vendure GHSA-6f65: answers or their timing revealed who existed.

    tests/benchmarks/oracle.py measures the timing.
    """
    await services.rotation.reset_secret(boss.id, HARD, by=ADMIN)
    answers = set()
    for client in (boss, Made("nobody", boss.secret), Made(boss.id, "wrong"), Made(boss.id, "")):
        async with api.get("/verify", headers=basic(client)) as response:
            answers.add((response.status, await response.read(), response.headers["WWW-Authenticate"]))
    assert len(answers) == 1


async def test_no_mutation_runs_by_get(api: Api, owner: Made, boss: Made) -> None:
    """GitLab issue 462012: a mutation could be sent by GET."""
    query = f'mutation {{ resetSecret(clientId: "{boss.id}", hoursToLive: 0) {{ newSecret }} }}'
    for disguise in (query, f"query A {{ viewer {{ name }} }} {query}"):
        name = {"operationName": "A"} if disguise != query else {}
        async with api.get("/graphql", headers=basic(owner), params={"query": disguise, **name}) as response:
            assert response.status == (405 if disguise == query else 200)
    assert await by_verify(api, boss)


async def test_no_form_of_another_site_is_accepted(api: Api, owner: Made, boss: Made) -> None:
    """Strawberry CVE-2024-47082: multipart needs no preflight, so any page could send it."""
    query = f'mutation {{ resetSecret(clientId: "{boss.id}", hoursToLive: 0) {{ newSecret }} }}'
    operations = json.dumps({"query": query})
    form = FormData({"operations": operations, "map": "{}"})
    form.add_field("0", b"x", filename="x")
    for body in (form, {"operations": operations}, {"query": query}):
        async with api.post("/graphql", headers=basic(owner), data=body) as response:
            assert response.status == 415
    async with api.post(
        "/graphql", headers={**basic(owner), "Content-Type": "text/plain"}, data=operations
    ) as response:
        assert response.status == 415
    assert await by_verify(api, boss)


async def test_a_fragment_bomb_is_refused_early(api: Api, owner: Made) -> None:
    """Strawberry, 2026: limiters walked each fragment spread again, so 665 bytes cost seconds."""
    bomb = (
        "query { ...f0 } "
        + " ".join(f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }}" for n in range(30))
        + " fragment f30 on Query { viewer { name } }"
    )
    async with asyncio.timeout(30):
        async with api.post("/graphql", headers=basic(owner), json={"query": bomb}) as response:
            assert response.status == 200
            told = await response.json()
    assert "data" not in told
    assert told["errors"]


async def test_an_anonymous_socket_has_no_role(api: Api, boss: Made) -> None:
    """Directus CVE-2024-54151: an anonymous WebSocket had the rights of an admin."""
    async with open_socket(api) as socket:
        await socket.initialise()
        assert (await socket.answer("{ viewer { name } }"))["data"]["viewer"] is None
        told = await socket.answer(f'{{ client(clientId: "{boss.id}") {{ name }} }}', "2")
        assert told["data"]["client"] is None
        assert told["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        query = f'mutation {{ resetSecret(clientId: "{boss.id}", hoursToLive: 0) {{ newSecret }} }}'
        told = await socket.answer(query, "3")
        assert told["data"]["resetSecret"] is None
    assert await by_verify(api, boss)


async def test_a_socket_ends_with_the_access_of_its_caller(
    api: Api, services: Services, make_client: MakeClient
) -> None:
    """Vikunja, OpenClaw, Open WebUI: open sockets stayed authorized after the caller had lost access."""
    viewer, other = await make_client("viewer"), await make_client()
    async with open_socket(api) as socket:
        await socket.initialise(viewer)
        await socket.subscribe()
        await until(lambda: len(services.feed._streams) == 1)
        await services.rotation.reset_secret(viewer.id, HARD, by=ADMIN)
        await services.rotation.reset_secret(other.id, HARD, by=ADMIN)
        await ends_without_telling(socket, other.id)


async def ends_without_telling(socket: Socket, client_id: str) -> None:
    async with asyncio.timeout(30):
        while True:
            message = await socket.raw.receive()
            if not isinstance(message.data, str):
                return
            assert client_id not in message.data
            if json.loads(message.data)["type"] in ("error", "complete"):
                return


async def test_a_forwarded_address_counts_only_from_a_trusted_proxy(
    aiohttp_client: Any, settings: Settings, clock: Clock
) -> None:
    """Coder CVE-2026-111934: the leftmost address of X-Forwarded-For, which the caller writes, was used."""
    for trusted, forged, status in (
        ("", "192.0.2.1", 403),
        ("127.0.0.0/8", "192.0.2.1, 203.0.113.9", 403),
        ("127.0.0.0/8", "203.0.113.9, 192.0.2.1", 200),
    ):
        app = build_app(replace(settings, trusted_proxies=trusted), adjust_clock=clock)
        api: Api = await aiohttp_client(app)
        made = await api.app[SERVICES].clients.create_client("x", by=ADMIN, allow_list=["192.0.2.0/24"])
        client = Made(made.client.client_id, made.secret.reveal())
        headers = {**basic(client), "X-Forwarded-For": forged}
        async with api.get("/verify", headers=headers) as response:
            assert response.status == status, (trusted, forged)
        await api.close()


@only_sqlite
async def test_no_secret_is_in_the_audit_an_error_the_log_or_a_file(
    api: Api, services: Services, owner: Made, boss: Made, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenBao CVE-2025-62705 and five others: secrets in the audit, raw bodies, error texts or debug logs."""
    caplog.set_level("DEBUG", "gql_secrets")
    issued = Issued([owner.secret, boss.secret])
    for reset, hours in product(RESETS.values(), (24, 0)):
        issued.add(await reset(api, owner, boss.id, hours))
    told = b""
    counted = "query($x: Int!) { clients(first: $x) { totalCount } }"
    for body in (
        json.dumps({"query": owner.secret}),
        json.dumps({"query": f'{{ client(clientId: "{owner.secret}") {{ {owner.secret} }} }}'}),
        json.dumps({"query": f"{{ clients(first: {owner.secret[5:]}) {{ totalCount }} }}"}),
        json.dumps({"query": counted, "variables": {"x": owner.secret}}),
        owner.secret,
    ):
        headers = {**basic(owner), "Content-Type": "application/json"}
        async with api.post("/graphql", headers=headers, data=body) as response:
            assert response.status < 500
            told += await response.read()
    for path in (f"/verify?secret={owner.secret}", f"/{owner.secret}", f"/clients/{owner.secret}"):
        async with api.get(path, headers=basic(owner)) as response:
            told += await response.read()
    events = (await services.queries.page_of_audit_events(PageRequest(first=100))).rows
    audit = "\n".join(str(vars(event)) for event in events)
    assert issued.found_in(told) == set()
    assert issued.found_in(audit.encode()) == set()
    log = "\n".join(LineFormatter().format(record) for record in caplog.records)
    assert "request" in log
    assert issued.found_in(log.encode()) == set()
    assert issued.found_in(all_bytes_in(data_dir)) == set()


def all_bytes_in(directory: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in directory.iterdir())


async def test_no_change_is_made_without_its_audit_event(
    api: Api, owner: Made, boss: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenBao CVE-2026-115357: the operation completed although its audit record failed."""

    async def fail(*_: object) -> None:
        raise RuntimeError("the audit cannot be written")

    monkeypatch.setattr(change_module, "append_to_audit", fail)
    query = f'mutation {{ resetSecret(clientId: "{boss.id}", hoursToLive: 0) {{ newSecret }} }}'
    async with api.post("/graphql", headers=basic(owner), json={"query": query}) as response:
        told = await response.json()
    assert told["data"]["resetSecret"] is None
    assert told["errors"][0]["extensions"]["code"] == "INTERNAL"
    monkeypatch.undo()
    assert await by_verify(api, boss)


@every_surface
@pytest.mark.parametrize("state", ["enabled", "disabled", "in rollover", "deleted"])
async def test_a_blank_secret_is_invalid(
    api: Api, services: Services, boss: Made, surface: Callable[[Api, Made], Awaitable[bool]], state: str
) -> None:
    """Doorkeeper CVE-2026-44476."""
    if state == "disabled":
        await services.clients.set_client_enabled(boss.id, enabled=False, by=ADMIN)
    if state == "in rollover":
        await services.rotation.reset_secret(boss.id, DAY, by=ADMIN)
    if state == "deleted":
        await services.clients.delete_client(boss.id, by=ADMIN)
    secret = boss.secret
    for text in ("", " ", secret[:5], secret[:-1], secret.swapcase(), secret + " ", secret.replace("gqls", "gqIs")):
        assert not await surface(api, Made(boss.id, text))


@only_sqlite
async def test_a_restored_snapshot_does_not_extend_a_secret(settings: Settings, tmp_path: Path, clock: Clock) -> None:
    """OpenBao issue 522: a restored snapshot revived a spent token. Here the end of a secret is an instant."""
    services = await open_services(settings, adjust_clock=clock)
    assert services.first_owner is not None
    client = Made(services.first_owner.client.client_id, services.first_owner.secret.reveal())
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    await services.close()
    shutil.copy(settings.data_dir / DATABASE_FILE, tmp_path)
    clock.move(DAYS)
    backup = replace(settings, database_url=f"sqlite:///{tmp_path / DATABASE_FILE}")
    restored = await open_services(backup, adjust_clock=clock)
    try:
        living = await restored.queries.active_secrets([client.id])
        assert [state.value for state in living[client.id]] == ["CURRENT"]
        assert not await is_good(restored, client.id, client.secret)
    finally:
        await restored.close()


async def test_parallel_attempts_do_not_exceed_the_limit(aiohttp_client: Any, settings: Settings, clock: Clock) -> None:
    """Zitadel GHSA-7h8m, openssl-encrypt CVE-2026-74878: parallel attempts exceeded the limit."""
    rate = Rate(10, timedelta(minutes=1))
    limited = replace(settings, limit_failures_per_client=rate, limit_failures_per_address=rate)
    api: Api = await aiohttp_client(build_app(limited, adjust_clock=clock))
    made = await api.app[SERVICES].clients.create_client("x", by=ADMIN)
    client = Made(made.client.client_id, made.secret.reveal())
    wrong = basic(Made(client.id, "wrong"))

    async def one() -> int:
        async with api.post("/graphql", headers=wrong, json={"query": "{ __typename }"}) as response:
            return response.status

    assert Counter(await asyncio.gather(*(one() for _ in range(25)))) == {401: 10, 429: 15}
    assert await by_graphql(api, client)
    await api.close()


async def test_no_part_of_a_long_secret_or_client_id_is_ignored(api: Api, services: Services) -> None:
    """Okta, 2024: bcrypt ignored its input after 72 bytes, so any password was valid for a long name."""
    client_id, secret = "c" * 120, "s" * 60 + PlaintextSecret.mint().reveal()

    async def import_it(change: Change) -> None:
        client = await write_client(change, NewClient(client_id, "Long", features=frozenset({Feature.OWNER})))
        await store_secret(change, client, PlaintextSecret(secret))
        await change.record(AuditAction.CLIENT_IMPORTED, client_id=client_id, generation_before=0, generation_after=1)

    await services.changes.change_installation(ADMIN, import_it)
    for surface in SURFACES.values():
        assert await surface(api, Made(client_id, secret))
        for wrong in (secret[:72], secret[:-1], secret[:-1] + "-"):
            assert not await surface(api, Made(client_id, wrong))
