"""Concurrent requests, nodes and processes that change one client, and what must be true in any order."""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
from support.audits import check_chain
from support.callers import ADMIN, DAY, HARD, Made, is_good, sign_in, verify
from support.clocks import HOUR, Clock
from support.installation import MakeClient, OpenNode
from support.paths import TESTS

from gql_secrets.domain.access import Caller
from gql_secrets.domain.errors import (
    ClientNotFound,
    Conflict,
    Failure,
    LastOwner,
    RolloverInProgress,
    Unauthenticated,
)
from gql_secrets.domain.rotation import Retention, SecretState
from gql_secrets.service.active_secrets import save_active_secret
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.rotation import Reset
from gql_secrets.service.verification import Accepted
from gql_secrets.settings import Settings
from gql_secrets.storage.models import ClientSecret
from gql_secrets.storage.transaction import Transaction
from gql_secrets.wiring import Services

PATIENCE = 60


async def at_once(*acts: Awaitable[object]) -> list[object]:
    """The answers of all, failures of the family among them; anything else, or a hang, fails the test."""
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(*acts, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, Failure):
            raise answer
    return answers


async def history(services: Services, client_id: str) -> list[ClientSecret]:
    page = await services.queries.page_of_secrets(client_id, PageRequest(first=100))
    return page.rows[::-1]


async def check(services: Services, client_id: str, answers: Sequence[object]) -> list[ClientSecret]:
    """Rule 1, and that the audit, the generation and the answers tell one story."""
    rows = await history(services, client_id)
    states = Counter(row.state for row in rows)
    client = await services.queries.find_client(client_id)
    events = [event for event in await check_chain(services) if event.client_id == client_id]
    resets = [event for event in events if event.action == "SECRET_RESET"]
    if client is None:
        assert states[SecretState.CURRENT] == states[SecretState.RETAINED] == 0, "a deleted client is no zombie"
    else:
        assert states[SecretState.CURRENT] == 1
        assert states[SecretState.RETAINED] <= 1
        assert client.generation == max(event.generation_after or 0 for event in events)
    done = [answer for answer in answers if isinstance(answer, Reset) and not answer.replayed]
    assert len(resets) == len(done)
    assert len(rows) == len(done) + 1
    before = [event.generation_before for event in events if event.generation_before != event.generation_after]
    assert before == sorted(set(before), key=int), "each change began where the one before ended"  # type: ignore[arg-type]
    good = [answer for answer in done if await is_good(services, client_id, answer.new_secret.reveal())]
    assert len(good) == sum(states[state] for state in (SecretState.CURRENT, SecretState.RETAINED)) - (
        client is not None and rows[0].state in (SecretState.CURRENT, SecretState.RETAINED)
    )
    return rows


# Resets


@pytest.mark.parametrize("count", [2, 5, 25])
@pytest.mark.parametrize("retention", [HARD, DAY], ids=["hard", "smooth"])
async def test_parallel_resets_of_one_client_leave_one_current_secret(
    services: Services, client: Made, open_node: OpenNode, count: int, retention: Retention
) -> None:
    """Weave OS issue 817: N concurrent rotations, N successors."""
    assert await is_good(services, client.id, client.secret)
    nodes = [services, await open_node()]
    answers = await at_once(
        *(
            nodes[number % 2].rotation.reset_secret(client.id, retention, by=replace(ADMIN, name=f"admin {number}"))
            for number in range(count)
        )
    )
    done = [answer for answer in answers if isinstance(answer, Reset)]
    rows = await check(services, client.id, answers)
    if retention is HARD:
        assert len(done) == count
    else:
        assert len(done) == 1, "the others found a rollover that somebody else began"
        assert all(isinstance(answer, Reset | RolloverInProgress) for answer in answers)
        assert [row.state for row in rows] == ["RETAINED", "CURRENT"]
        assert await is_good(services, client.id, client.secret)


@pytest.mark.parametrize("count", [2, 25])
async def test_a_double_click_at_once_leaves_the_secret_in_use_good(
    services: Services, client: Made, count: int
) -> None:
    assert await is_good(services, client.id, client.secret)
    answers = await at_once(*(services.rotation.reset_secret(client.id, DAY, by=ADMIN) for _ in range(count)))
    rows = await check(services, client.id, answers)
    assert [row.state for row in rows] == ["RETAINED"] + ["REVOKED"] * (count - 1) + ["CURRENT"]
    assert {row.end_reason for row in rows} == {None, "WITHDRAWN"}
    assert await is_good(services, client.id, client.secret)


async def test_parallel_resets_that_go_on_end_all_but_two(services: Services, client: Made) -> None:
    answers = await at_once(
        *(
            services.rotation.reset_secret(
                client.id, DAY, by=replace(ADMIN, name=f"admin {number}"), end_active_rollover=True
            )
            for number in range(12)
        )
    )
    await check(services, client.id, answers)
    assert all(isinstance(answer, Reset) for answer in answers)


async def test_one_idempotency_key_at_once_gives_one_secret(
    services: Services, client: Made, open_node: OpenNode
) -> None:
    nodes = [services, await open_node()]
    answers = await at_once(
        *(
            nodes[number % 2].rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key="one key for all of them")
            for number in range(10)
        )
    )
    resets = [answer for answer in answers if isinstance(answer, Reset)]
    assert len(resets) == 10
    assert len({reset.new_secret.reveal() for reset in resets}) == 1
    assert sorted(reset.replayed for reset in resets) == [False] + [True] * 9
    await check(services, client.id, answers)


async def test_of_many_with_one_generation_one_wins(services: Services, client: Made) -> None:
    answers = await at_once(
        *(services.rotation.reset_secret(client.id, HARD, by=ADMIN, if_generation=1) for _ in range(8))
    )
    assert Counter(type(answer).__name__ for answer in answers) == {"Reset": 1, "Conflict": 7}
    await check(services, client.id, answers)


async def test_changes_of_different_clients_do_not_meet_a_conflict(services: Services, make_client: MakeClient) -> None:
    clients = [await make_client() for _ in range(10)]
    answers = await at_once(
        *(services.rotation.reset_secret(client.id, DAY, by=ADMIN) for client in clients for _ in range(3))
    )
    assert all(isinstance(answer, Reset) for answer in answers)
    assert len(await check_chain(services)) == 11 + 30


# Resets against the rest

AGAINST: dict[str, Callable[[Services, str], Awaitable[object]]] = {
    "revoke": lambda services, client: services.rotation.revoke_old_secret(client, by=ADMIN),
    "disable": lambda services, client: services.clients.set_client_enabled(client, enabled=False, by=ADMIN),
    "delete": lambda services, client: services.clients.delete_client(client, by=ADMIN),
    "cancel": lambda services, client: services.rotation.cancel_rollover(client, by=ADMIN),
    "retention": lambda services, client: services.rotation.change_retention(client, DAY, by=ADMIN),
}


@pytest.mark.parametrize("name", AGAINST)
async def test_resets_against_another_change(services: Services, client: Made, open_node: OpenNode, name: str) -> None:
    """weave-os #817: a rotation against a delete left a zombie."""
    other = await open_node()
    chance = random.Random(name)  # noqa: S311
    acts = [
        services.rotation.reset_secret(client.id, chance.choice([HARD, DAY]), by=ADMIN, end_active_rollover=True)
        for _ in range(6)
    ]
    acts[3:3] = [AGAINST[name](other, client.id), AGAINST[name](services, client.id)]  # type: ignore[list-item]
    answers = await at_once(*acts)
    await check(services, client.id, answers) if name != "disable" else None
    if name == "delete":
        assert all(not isinstance(answer, Failure) or isinstance(answer, ClientNotFound) for answer in answers)
        for secret in [client.secret, *(each.new_secret.reveal() for each in answers if isinstance(each, Reset))]:
            assert not await is_good(other, client.id, secret)
    if name == "disable":
        await services.clients.set_client_enabled(client.id, enabled=True, by=ADMIN)
        await check(services, client.id, answers)


def any_act(chance: random.Random, node: Services, client: Made) -> Awaitable[object]:
    """One of the things that can be asked of a client."""
    name = chance.choice(["reset", "reset", "reset", "verify", *AGAINST])
    if name == "delete" and chance.random() < 0.7:
        name = "reset"
    if name == "reset":
        return node.rotation.reset_secret(
            client.id, chance.choice([HARD, DAY]), by=ADMIN, end_active_rollover=chance.random() < 0.5
        )
    return verify(node, client.id, client.secret) if name == "verify" else AGAINST[name](node, client.id)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_comes_at_once_the_rules_hold(
    services: Services, client: Made, open_node: OpenNode, seed: int
) -> None:
    """Everything against everything, on two nodes, with callers who give up at any moment."""
    chance = random.Random(seed)  # noqa: S311
    nodes = [services, await open_node()]
    tasks = [asyncio.ensure_future(any_act(chance, chance.choice(nodes), client)) for _ in range(14)]
    for _ in range(chance.randrange(60)):
        await asyncio.sleep(0)
    given_up = [task for task in tasks if chance.random() < 0.25]
    for task in given_up:
        task.cancel()
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [
        answer
        for answer in answers
        if isinstance(answer, BaseException) and not isinstance(answer, Failure | asyncio.CancelledError)
    ]
    for node in nodes:  # what was given up goes on to its end, which closing waits for
        await node.close()
    after = await open_node()
    rows = await history(after, client.id)
    states = Counter(row.state for row in rows)
    exists = await after.queries.find_client(client.id) is not None
    assert states["CURRENT"] == exists
    assert states["RETAINED"] <= exists
    events = [event for event in await check_chain(after) if event.client_id == client.id]
    resets = [event for event in events if event.action == "SECRET_RESET"]
    assert {event.secret_id for event in resets} == {row.id for row in rows[1:]}
    answered = [answer for answer in answers if isinstance(answer, Reset)]
    assert len(answered) <= len(resets) <= len(answered) + len(given_up), "who gave up does not know; the audit does"


# Uses


async def test_a_secret_whose_use_was_accepted_is_never_withdrawn(
    services: Services, make_client: MakeClient, open_node: OpenNode
) -> None:
    """A retry withdraws a secret that nobody used: a use at that very moment is either refused, or keeps it."""
    other = await open_node()
    outcomes = Counter[str]()
    chance = random.Random(3)  # noqa: S311
    for _ in range(25):
        client = await make_client()
        new = (await services.rotation.reset_secret(client.id, DAY, by=ADMIN)).new_secret.reveal()
        pause = chance.randrange(12)

        async def use(secret: str = new, client_id: str = client.id, pause: int = pause) -> object:
            for _ in range(pause):
                await asyncio.sleep(0)
            return await verify(other, client_id, secret)

        verdict, retry = await at_once(use(), services.rotation.reset_secret(client.id, DAY, by=ADMIN))
        if isinstance(verdict, Accepted):
            assert isinstance(retry, RolloverInProgress)
            assert retry.current_secret_used
            assert await is_good(services, client.id, new)
        else:
            assert isinstance(retry, Reset)
            assert not await is_good(services, client.id, new)
        outcomes[type(verdict).__name__] += 1
        assert await is_good(services, client.id, client.secret)
    assert sum(outcomes.values()) == 25


async def test_a_use_against_a_cancel_ends_nothing_that_was_accepted(
    services: Services, make_client: MakeClient, open_node: OpenNode
) -> None:
    other = await open_node()
    for _ in range(12):
        client = await make_client()
        new = (await services.rotation.reset_secret(client.id, DAY, by=ADMIN)).new_secret.reveal()
        verdict, cancelled = await at_once(
            verify(other, client.id, new), services.rotation.cancel_rollover(client.id, by=ADMIN)
        )
        assert isinstance(verdict, Accepted) is isinstance(cancelled, Failure)
        assert await is_good(services, client.id, new) is isinstance(verdict, Accepted)


async def test_a_secret_that_ended_meanwhile_is_not_written(services: Services, client: Made) -> None:
    """The last guard, behind the locks: a reader that takes an ended secret for an active one revives nothing."""
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    [old, _] = await history(services, client.id)
    await services.rotation.revoke_old_secret(client.id, by=ADMIN)

    async def revive(tx: Transaction) -> None:
        await save_active_secret(old, tx, "state")

    with pytest.raises(Conflict):
        await services.database.run_tx(revive)
    assert not await is_good(services, client.id, client.secret)


@pytest.mark.parametrize("name", ["revoke", "disable", "delete", "hard reset"])
async def test_no_first_use_is_recorded_after_the_end(
    services: Services, make_client: MakeClient, open_node: OpenNode, name: str
) -> None:
    """The first use is written only while the secret is valid and its client enabled, in any order of changes."""
    other = await open_node()
    ends = {**AGAINST, "hard reset": lambda node, client_id: node.rotation.reset_secret(client_id, HARD, by=ADMIN)}
    for _ in range(10):
        client = await make_client()
        if name == "revoke":
            await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
        verdict, _ = await at_once(verify(other, client.id, client.secret), ends[name](services, client.id))
        [first, *_] = await history(services, client.id)
        assert (first.first_used_at is not None) is isinstance(verdict, Accepted)
        assert not await is_good(services, client.id, client.secret)


async def test_many_first_uses_at_once_are_one(services: Services, client: Made, open_node: OpenNode) -> None:
    other = await open_node(adjust_clock=Clock(services.database.adjust_clock.now + HOUR))  # type: ignore[attr-defined]
    verdicts = await at_once(*(verify(node, client.id, client.secret) for node in (services, other) for _ in range(12)))
    assert all(isinstance(verdict, Accepted) for verdict in verdicts)
    [row] = await history(services, client.id)
    assert row.first_used_at is not None


async def test_many_who_see_an_expiry_write_it_once(
    services: Services, client: Made, clock: Clock, open_node: OpenNode
) -> None:
    other = await open_node()
    await services.rotation.reset_secret(client.id, Retention(1), by=ADMIN)
    clock.move(HOUR)
    answers = await at_once(
        *(verify(node, client.id, client.secret) for node in (services, other) for _ in range(8)),
        *(services.rotation.change_retention(client.id, DAY, by=ADMIN) for _ in range(3)),
    )
    assert not [answer for answer in answers if isinstance(answer, Accepted)]
    events = await check_chain(services)
    assert [event.action for event in events].count("OLD_SECRET_EXPIRED") == 1


async def test_counting_uses_and_changing_clients_do_not_get_in_each_others_way(
    services: Services, make_client: MakeClient, open_node: OpenNode
) -> None:
    """A batch of counts touches many secrets; a change locks two of them. Neither may wait for the other in a ring."""
    other = await open_node()
    clients = [await make_client() for _ in range(12)]
    for client in clients:
        new = (await services.rotation.reset_secret(client.id, DAY, by=ADMIN)).new_secret.reveal()
        for node in (services, other):
            assert await is_good(node, client.id, client.secret)
            assert await is_good(node, client.id, new)

    async def count(node: Services) -> None:
        for _ in range(6):
            for client in clients:
                await verify(node, client.id, client.secret)
            await node.usage.flush()

    async def change(client: Made) -> None:
        for _ in range(4):
            await services.rotation.change_retention(client.id, DAY, by=ADMIN)

    answers = await at_once(count(services), count(other), *(change(client) for client in clients))
    assert not [answer for answer in answers if isinstance(answer, Failure)]


# Owners


async def test_two_owners_never_vanish_by_ending_each_other(
    services: Services, owner: Made, make_client: MakeClient, open_node: OpenNode
) -> None:
    other = await open_node()
    ends: list[Callable[[Services, str, Caller], Awaitable[object]]] = [
        lambda node, target, by: node.clients.set_client_enabled(target, enabled=False, by=by),
        lambda node, target, by: node.clients.delete_client(target, by=by),
        lambda node, target, by: node.clients.update_client(target, by=by, features=[]),
    ]
    alive = owner
    for number in range(9):
        second = await make_client("owner")
        end = ends[number % 3]
        first_caller = await sign_in(services, alive.id, alive.secret)
        second_caller = await sign_in(services, second.id, second.secret)
        answers = await at_once(end(services, second.id, first_caller), end(other, alive.id, second_caller))
        failures = [answer for answer in answers if isinstance(answer, Failure)]
        assert len(failures) == 1, answers
        assert isinstance(failures[0], LastOwner | Unauthenticated | ClientNotFound | Failure)
        owners = await services.database.fetch(
            "SELECT f.client_id FROM client_feature f JOIN client c ON c.client_id = f.client_id "
            "WHERE f.feature = 'owner' AND c.enabled = ? AND c.deleted_at IS NULL",
            [True],
        )
        assert len(owners) == 1
        alive = second if owners[0]["client_id"] == second.id else alive


async def test_many_owners_ended_at_once_by_a_person_leave_one(
    services: Services, owner: Made, make_client: MakeClient, open_node: OpenNode
) -> None:
    other = await open_node()
    owners = [owner, *[await make_client("owner") for _ in range(5)]]
    answers = await at_once(
        *((services, other)[number % 2].clients.delete_client(each.id, by=ADMIN) for number, each in enumerate(owners))
    )
    assert Counter(type(answer).__name__ for answer in answers) == {"Deletion": 5, "LastOwner": 1}
    assert [await is_good(services, each.id, each.secret) for each in owners].count(True) == 1


# Processes

WORKER = """
import asyncio, json, sys
from support.callers import ADMIN, Made
from dataclasses import replace
from gql_secrets.domain.errors import Failure
from gql_secrets.domain.rotation import Retention
from gql_secrets.wiring import open_services
from gql_secrets.settings import Settings

async def work(number, client_ids):
    services = await open_services(Settings.from_environment())
    by = replace(ADMIN, name=f"process {number}")
    print("ready", flush=True)
    sys.stdin.readline()
    for turn in range(40):
        client_id = client_ids[turn % len(client_ids)]
        try:
            done = await services.rotation.reset_secret(client_id, Retention(0), by=by)
            print(json.dumps([client_id, done.client.generation, done.new_secret.reveal()]), flush=True)
        except Failure as failure:
            print(json.dumps([client_id, 0, repr(failure)]), flush=True)
    await services.close()

asyncio.run(work(int(sys.argv[1]), sys.argv[2:]))
"""


async def test_three_processes_at_once_all_succeed_and_none_loses_an_update(
    services: Services, settings: Settings, make_client: MakeClient
) -> None:
    """Tortoise's own transactions failed in 64 of 150 resets with "database is locked"."""
    clients = [await make_client(), await make_client()]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GQL_SECRETS_")},
        "GQL_SECRETS_DATA_DIR": str(settings.data_dir),
        "GQL_SECRETS_DATABASE_URL": settings.database_url,
        "GQL_SECRETS_PEPPER": settings.pepper,
        "GQL_SECRETS_RATE_LIMITS": "off",
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
    }
    ids = [client.id for client in clients]

    def run() -> list[list[object]]:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, str(number), *ids],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(3)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        answers = [process.communicate("go\n", timeout=PATIENCE)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0]
        return [json.loads(line) for answer in answers for line in answer.splitlines()]

    answers = await asyncio.to_thread(run)
    assert len(answers) == 120
    assert [answer for answer in answers if not answer[1]] == []
    for client_id in ids:
        generations = {generation: secret for each, generation, secret in answers if each == client_id}
        assert sorted(generations) == list(range(2, 62)), "each reset built on the one before"  # type: ignore[type-var]
        for generation, secret in generations.items():
            assert await is_good(services, client_id, str(secret)) is (generation == 61)
    assert len(await check_chain(services)) == 3 + 120
