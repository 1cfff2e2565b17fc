"""Too many failures and too many resets are answered with a wait; a valid secret never is."""

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import encode_basic_auth
from aiohttp.test_utils import TestClient
from hypothesis import given
from hypothesis import strategies as st
from support.callers import ADMIN, CLI, DAY, HARD, OPERATOR, Made
from support.clocks import HOUR, MINUTE, NOW, SECOND, Clock

from gql_secrets.api.app import build_app
from gql_secrets.api.keys import SERVICES
from gql_secrets.domain.access import Role
from gql_secrets.domain.errors import SetupError, TooManyResets
from gql_secrets.domain.limits import Rate, seconds_until_next, take, whole_seconds
from gql_secrets.service.rate_counters import MAX_KEPT, Counter, FailureCounters
from gql_secrets.settings import Settings

SECOND_NS = 1_000_000_000
THREE = Rate(3, MINUTE)
RESET = """mutation($id: ID!) {
    resetSecret(clientId: $id, hoursToLive: 0) { newSecret userErrors { code field message retryAfterSeconds } }
}"""


# The arithmetic


@given(
    st.integers(1, 50),
    st.integers(1, 3600),
    st.lists(st.integers(0, 3 * SECOND_NS), min_size=1, max_size=200),
)
def test_a_bucket_takes_a_burst_then_leaks_evenly_and_says_exactly_how_long_to_wait(
    count: int, seconds: int, pauses: list[int]
) -> None:
    rate, empty_at, now, taken = Rate(count, timedelta(seconds=seconds)), 0, SECOND_NS, 0
    began = now
    for pause in pauses:
        now += pause
        before = empty_at
        empty_at, too_early = take(rate, empty_at, now)
        if too_early:
            assert empty_at == before, "what came too early is not counted"
            assert take(rate, empty_at, now + too_early - 1)[1] == 1
            assert take(rate, empty_at, now + too_early)[1] == 0
        taken += not too_early
        # What leaked since the beginning, and one bucket full.
        assert taken <= count + (now - began) // (seconds * SECOND_NS // count)
    assert taken >= min(count, len(pauses))


def test_the_reported_time_to_wait_is_never_too_short() -> None:
    assert [whole_seconds(nanoseconds) for nanoseconds in (0, 1, SECOND_NS, SECOND_NS + 1)] == [0, 1, 1, 2]


def test_what_is_remembered_one_by_one_is_counted_in_any_stretch_of_the_time() -> None:
    rate = Rate(60, HOUR)
    assert seconds_until_next(rate, None, NOW) == 0
    assert seconds_until_next(rate, NOW - HOUR, NOW) == 0
    assert seconds_until_next(rate, NOW - HOUR + SECOND / 2, NOW) == 1
    assert seconds_until_next(rate, NOW, NOW) == 3600
    assert seconds_until_next(rate, NOW + 9 * HOUR, NOW) == 3600, "the clock was set back"


@pytest.mark.parametrize("text", ["", "10", "0/1m", "10/0s", "10/169h", "10/1d", "-1/1m", "10 / 1m", "1e3/1m", "٣/1m"])
def test_a_limit_that_cannot_be_stops_the_start(text: str) -> None:
    with pytest.raises(SetupError, match="GQL_SECRETS_LIMIT_RESETS_PER_CLIENT"):
        Settings.from_environment({"GQL_SECRETS_LIMIT_RESETS_PER_CLIENT": text})


def test_a_limit_is_written_as_it_is_read() -> None:
    for text in ("100/1m", "60/1h", "1/90s"):
        settings = Settings.from_environment({"GQL_SECRETS_LIMIT_FAILURES_PER_ADDRESS": text})
        assert str(settings.limit_failures_per_address) == text


# What is remembered


def test_memory_is_bounded_and_who_failed_last_is_remembered() -> None:
    counter = Counter(Rate(1, HOUR))
    assert counter.count("192.0.2.1", 0) == 0
    for number in range(2 * MAX_KEPT):
        assert counter.count(f"failed once {number}", number) == 0
        if number % 1000 == 0:
            assert counter.count("192.0.2.1", number) > 0
    assert len(counter) == MAX_KEPT
    assert counter.count("192.0.2.1", 2 * MAX_KEPT) > 0
    assert counter.count("failed once 0", 2 * MAX_KEPT) == 0


def test_addresses_and_client_ids_are_counted_apart() -> None:
    limits = FailureCounters(
        failures_per_address=Rate(5, MINUTE), failures_per_client=THREE, sign_ins_per_address=THREE
    )
    limits.clock = lambda: 0
    assert [limits.failed(f"192.0.2.{number}", "shop") for number in range(4)] == [0, 0, 0, 20]
    assert [limits.failed("192.0.2.9", f"shop-{number}") for number in range(6)] == [0, 0, 0, 0, 0, 12]
    assert limits.sign_in_failed("192.0.2.9") == 0
    # What cannot be a client id is not remembered.
    assert [limits.failed(f"198.51.100.{number}", "x" * 129) for number in range(9)] == [0] * 9


def test_the_addresses_of_one_ipv6_network_are_counted_together() -> None:
    """A caller with one address of a /64 network can use all of them."""
    limits = FailureCounters(failures_per_address=THREE, failures_per_client=None, sign_ins_per_address=THREE)
    limits.clock = lambda: 0
    assert [limits.failed(f"2001:db8:1:2::{number}", None) for number in range(4)] == [0, 0, 0, 20]
    assert limits.failed("2001:db8:1:3::1", None) == 0
    assert [limits.failed(None, None) for _ in range(4)] == [0, 0, 0, 20]


# Over HTTP: failed authentications


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(
        settings,
        clients_api_status="mapped",
        trusted_proxies="127.0.0.1",
        limit_failures_per_address=THREE,
        limit_failures_per_client=THREE,
        limit_sign_ins_per_address=THREE,
        limit_resets_per_client=THREE,
    )


class Seconds:
    """What the counters' clock says: a standing instant that a test moves."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now * SECOND_NS


@pytest.fixture
def seconds(api: TestClient[Any, Any]) -> Seconds:
    seconds = api.app[SERVICES].limits.clock = Seconds()
    return seconds


addresses = (f"203.0.113.{number}" for number in itertools.count(1))


def told(client_id: str, secret: str, address: str) -> dict[str, str]:
    return {"Authorization": encode_basic_auth(client_id, secret), "X-Forwarded-For": address}


async def ask_graphql(api: Any, headers: dict[str, str]) -> Any:
    return await api.post("/graphql", json={"query": "{ viewer { name } }"}, headers=headers)


async def ask_clients(api: Any, headers: dict[str, str]) -> Any:
    return await api.post("/clients/list", headers=headers)


ASK = {"graphql": ask_graphql, "clients": ask_clients}


@pytest.mark.parametrize("surface", ASK)
async def test_too_many_failures_from_one_address_are_429_and_a_valid_secret_still_signs_in(
    surface: str, api: Any, seconds: Seconds, owner: Made
):
    ask, address = ASK[surface], next(addresses)
    for number in range(3):
        assert (await ask(api, told(f"nobody-{number}", "wrong", address))).status == 401
    for number in range(5):
        answer = await ask(api, told(f"nobody-{number}", "wrong", address))
        assert answer.status == 429
        assert answer.headers["Retry-After"] == "20"
        assert "WWW-Authenticate" not in answer.headers
    assert (await ask(api, told(owner.id, owner.secret, address))).status == 200
    assert (await ask(api, told("nobody", "wrong", next(addresses)))).status == 401

    seconds.now += 20
    assert (await ask(api, told("nobody", "wrong", address))).status == 401
    assert (await ask(api, told("nobody", "wrong", address))).status == 429


@pytest.mark.parametrize("surface", ASK)
@pytest.mark.parametrize("known", [True, False])
async def test_too_many_failures_with_one_client_id_lock_no_valid_caller_out(
    surface: str, api: Any, seconds: Seconds, owner: Made, *, known: bool
):
    """From as many addresses as there are; whether the client exists makes no difference."""
    ask, client_id = ASK[surface], owner.id if known else "nobody"
    answers = [(await ask(api, told(client_id, "wrong", next(addresses)))).status for _ in range(6)]
    assert answers == [401, 401, 401, 429, 429, 429]
    assert (await ask(api, told(owner.id, owner.secret, next(addresses)))).status == 200
    assert seconds.now == 0


async def test_parallel_tries_do_not_beat_the_limit(api: Any, seconds: Seconds):
    del seconds
    address = next(addresses)
    answers = await asyncio.gather(*(ask_graphql(api, told(f"n-{n}", "wrong", address)) for n in range(20)))
    assert sorted(answer.status for answer in answers) == [401] * 3 + [429] * 17


async def test_graphql_and_clients_say_it_in_their_own_words(api: Any, seconds: Seconds):
    del seconds
    address = next(addresses)
    for _ in range(4):
        graphql = await ask_graphql(api, told("nobody", "wrong", address))
        clients = await ask_clients(api, told("nobody", "wrong", address))
    [error] = (await graphql.json(content_type=None))["errors"]
    assert error["extensions"] == {"code": "RATE_LIMITED", "retryAfter": 20}
    assert "Try again in 20 s" in error["message"]
    told_by_clients = await clients.json()
    assert (told_by_clients["stat"], told_by_clients["code"], told_by_clients["error"]) == (
        "error",
        510,
        "api_limit_error",
    )
    assert "Retry in 20 s" in told_by_clients["error_description"]


@pytest.mark.parametrize("header", ["Basic !", "Basic bm9jb2xvbg==", "Bearer x", ""])
async def test_credentials_that_cannot_be_read_count_for_their_address(header: str, api: Any, seconds: Seconds):
    del seconds
    headers = {"Authorization": header, "X-Forwarded-For": next(addresses)}
    assert [(await ask_graphql(api, headers)).status for _ in range(4)] == [401, 401, 401, 429]


async def test_to_a_gateway_a_refusal_is_401_however_many_there_were_but_it_counts(
    api: Any, seconds: Seconds, owner: Made
):
    del seconds
    address = next(addresses)
    answers = [await api.get("/verify", headers=told("nobody", "wrong", address)) for _ in range(6)]
    assert [answer.status for answer in answers] == [401] * 6
    assert all("Retry-After" not in answer.headers for answer in answers)
    assert (await api.get("/verify", headers=told(owner.id, owner.secret, address))).status == 200
    assert (await ask_graphql(api, told("nobody", "wrong", address))).status == 429


async def test_missing_credentials_and_a_refused_address_are_not_counted_as_failures(
    api: Any, seconds: Seconds, make_client: Any
):
    del seconds
    address = next(addresses)
    caller = await make_client("viewer", allow_list=["198.51.100.0/24"])
    for _ in range(9):
        assert (await ask_graphql(api, {"X-Forwarded-For": address})).status == 200
        assert (await ask_graphql(api, told(caller.id, caller.secret, address))).status == 403
    assert (await ask_graphql(api, told("nobody", "wrong", address))).status == 401


# Sign-in links


async def test_too_many_invalid_sign_in_links_are_429_and_a_valid_one_still_signs_in(api: Any, seconds: Seconds):
    address = next(addresses)

    async def sign_in(token: str) -> Any:
        headers = {"X-Forwarded-For": address, "Sec-Fetch-Site": "same-origin"}
        return await api.post("/sign-in", json={"token": token}, headers=headers)

    link = await api.app[SERVICES].sessions.create_sign_in_link("ada", Role.ADMIN, by=CLI)
    good = link.token.reveal()
    bad = good[:-1] + ("A" if good[-1] != "A" else "B")
    answers = [await sign_in(bad) for _ in range(5)]
    assert [answer.status for answer in answers] == [401, 401, 401, 429, 429]
    assert answers[-1].headers["Retry-After"] == "20"
    assert "gql-secrets sign-in-link" in (await answers[-1].json())["message"]
    assert (await sign_in(good)).status == 204
    assert (await sign_in(good)).status == 429, "a spent link is a bad one"
    seconds.now += 60
    assert (await sign_in(bad)).status == 401


# Resets


async def test_resets_of_one_client_are_limited_and_nothing_changes(gql: Any, make_client: Any, clock: Clock):
    target, other, operator = await make_client(), await make_client(), await make_client("operator")
    clock.move(SECOND)
    for _ in range(3):
        clock.move(10 * SECOND)
        secret = (await gql(RESET, as_=operator, id=target.id))["resetSecret"]["newSecret"]
    clock.move(10 * SECOND)

    refused = (await gql(RESET, as_=operator, id=target.id))["resetSecret"]

    assert refused["newSecret"] is None
    [error] = refused["userErrors"]
    assert (error["code"], error["field"], error["retryAfterSeconds"]) == ("RATE_LIMITED", ["clientId"], 30)
    assert "3/1m" in error["message"]
    assert (await gql("{ viewer { name } }", as_=Made(target.id, secret)))["viewer"]["name"] == target.id
    assert (await gql(RESET, as_=operator, id=other.id))["resetSecret"]["newSecret"]
    clock.move(29 * SECOND)
    assert (await gql(RESET, as_=operator, id=target.id))["resetSecret"]["userErrors"]
    clock.move(SECOND)
    assert (await gql(RESET, as_=operator, id=target.id))["resetSecret"]["newSecret"]


@pytest.mark.parametrize("status", ["200", "mapped"])
async def test_the_clients_dialect_calls_too_many_resets_510(
    status: str, aiohttp_client: Any, settings: Settings, clock: Clock
):
    api = await aiohttp_client(build_app(replace(settings, clients_api_status=status), adjust_clock=clock))
    made = api.app[SERVICES].first_owner
    assert made is not None
    owner, secret = made.client.client_id, made.secret.reveal()
    target = (await api.app[SERVICES].clients.create_client("Shop", by=ADMIN)).client.client_id
    clock.move(SECOND)
    for _ in range(4):
        answer = await api.post(
            "/clients/reset_secret",
            data={"for_client_id": target, "hours_to_live": "24"},
            headers={"Authorization": encode_basic_auth(owner, secret)},
        )
    content = await answer.json()
    assert (content["code"], content["error"], answer.headers["Retry-After"]) == (510, "api_limit_error", "60")
    assert answer.status == (200 if status == "200" else 429)
    await api.close()


async def test_resets_are_counted_once_for_all_processes(open_node: Any, clock: Clock, settings: Settings):
    """The limit is exact, regardless of how many requests and nodes try at the same time."""
    nodes = [await open_node(settings=settings) for _ in range(2)]
    client_id = (await nodes[0].clients.create_client("Shop", by=ADMIN)).client.client_id
    clock.move(SECOND)

    async def reset(node: Any) -> str:
        try:
            await node.rotation.reset_secret(client_id, HARD, by=OPERATOR)
        except TooManyResets:
            return "limited"
        return "reset"

    results = await asyncio.gather(*(reset(node) for node in nodes * 5))
    assert sorted(results) == ["limited"] * 7 + ["reset"] * 3


async def test_a_replay_and_the_command_line_are_not_limited(services: Any, clock: Clock):
    client_id = (await services.clients.create_client("Shop", by=ADMIN)).client.client_id
    clock.move(SECOND)
    key = "0123456789abcdef"
    first = await services.rotation.reset_secret(client_id, DAY, by=ADMIN, idempotency_key=key)
    for _ in range(5):
        again = await services.rotation.reset_secret(client_id, DAY, by=ADMIN, idempotency_key=key)
        assert again.replayed
        assert again.new_secret.reveal() == first.new_secret.reveal()
    for _ in range(5):
        await services.rotation.reset_secret(client_id, HARD, by=CLI)
    await services.rotation.reset_secret(client_id, HARD, by=OPERATOR)


async def test_the_limit_of_one_actor_is_not_the_limit_of_another(services: Any, clock: Clock):
    """A stolen OPERATOR reset 60 times, kept a valid secret, and the owner's reset was refused for an hour."""
    client_id = (await services.clients.create_client("Shop", by=ADMIN)).client.client_id
    clock.move(SECOND)
    for _ in range(3):
        await services.rotation.reset_secret(client_id, HARD, by=OPERATOR)
    with pytest.raises(TooManyResets):
        await services.rotation.reset_secret(client_id, HARD, by=OPERATOR)
    await services.rotation.reset_secret(client_id, DAY, by=ADMIN)


async def test_a_hard_reset_and_a_revoke_by_an_admin_are_never_limited(services: Any, clock: Clock):
    client_id = (await services.clients.create_client("Shop", by=ADMIN)).client.client_id
    clock.move(SECOND)
    for _ in range(3):
        await services.rotation.reset_secret(client_id, DAY, by=ADMIN)
    with pytest.raises(TooManyResets):
        await services.rotation.reset_secret(client_id, DAY, by=ADMIN)
    for _ in range(5):
        await services.rotation.reset_secret(client_id, HARD, by=ADMIN)
    await services.rotation.revoke_old_secret(client_id, by=ADMIN)


async def test_off_turns_every_limit_off(aiohttp_client: Any, settings: Settings, clock: Clock):
    api = await aiohttp_client(build_app(replace(settings, rate_limits="off"), adjust_clock=clock))
    services = api.app[SERVICES]
    address = next(addresses)
    for _ in range(9):
        assert (await ask_graphql(api, told("nobody", "wrong", address))).status == 401
        answer = await api.post("/sign-in", json={"token": "x"}, headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.status == 401
    client_id = (await services.clients.create_client("Shop", by=ADMIN)).client.client_id
    clock.move(SECOND)
    for _ in range(9):
        await services.rotation.reset_secret(client_id, DAY, by=ADMIN)
    await api.close()
