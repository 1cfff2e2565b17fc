"""Nodes verify from memory under a lease, and a change is acknowledged when every one of them follows it."""

import asyncio
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.callers import ADMIN, DAY, HARD, Made, is_good
from support.clocks import DAYS, HOUR, Clock
from support.cluster import Proxy
from support.databases import PostgresServer
from support.installation import PEPPER, MakeClient, OpenNode
from support.members import SOURCE, Join, Node, rows_of, until_joined
from support.standbys import socket_of, url_on

from gql_secrets.domain import base64url
from gql_secrets.domain.effects import EFFECTIVE, NOT_CHANGED, Effect
from gql_secrets.domain.errors import ClientNotFound, SetupError, Unavailable
from gql_secrets.domain.leases import LeaseState
from gql_secrets.service.bulk import ResetTarget, RevokeTarget
from gql_secrets.service.verification import Accepted
from gql_secrets.settings import Settings
from gql_secrets.storage import cluster
from gql_secrets.storage.node_lease import LEASE_SECONDS
from gql_secrets.storage.postgres.connection import PooledConnection
from gql_secrets.storage.postgres.lookup import PostgresLookup
from gql_secrets.storage.postgres.membership import Membership
from gql_secrets.storage.transaction import Transaction
from gql_secrets.wiring import Services

LEASE = LEASE_SECONDS


@pytest.fixture
def settings(postgres_url: str, settings: Settings) -> Settings:
    return replace(settings, database_url=postgres_url, verify_from="memory", rate_limits="off")


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def services(node: Node) -> Services:
    return node.services


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that return rows, from now on."""
    sent: list[str] = []
    fetch = PooledConnection.fetch

    async def note(self: PooledConnection, query: str, *args: object, **options: Any) -> Any:
        sent.append(query)
        return await fetch(self, query, *args, **options)

    monkeypatch.setattr(PooledConnection, "fetch", note)
    return sent


ENDINGS = {
    "revoke": lambda services, client: services.rotation.revoke_old_secret(client, by=ADMIN),
    "hard reset": lambda services, client: services.rotation.reset_secret(client, HARD, by=ADMIN),
    "disable": lambda services, client: services.clients.set_client_enabled(client, enabled=False, by=ADMIN),
    "delete": lambda services, client: services.clients.delete_client(client, by=ADMIN),
    "allow list": lambda services, client: services.clients.update_client(
        client, allow_list=["192.0.2.0/24"], by=ADMIN
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_no_node_accepts_from_memory_after_the_answer(
    node: Node, join: Join, make_client: MakeClient, ending: str
) -> None:
    other = await join()
    for _ in range(5):
        client = await make_client()
        await is_good(node.services, client.id, client.secret)
        await node.services.rotation.reset_secret(client.id, DAY, by=ADMIN)
        for each in (node, other):
            assert isinstance(await each.verify_from_memory(client), Accepted)
        result = await ENDINGS[ending](node.services, client.id)
        assert result.effect == EFFECTIVE
        assert not await is_good(other.services, client.id, client.secret)
        assert not await is_good(node.services, client.id, client.secret)


async def test_a_secret_whose_digest_was_changed_is_not_accepted_after_its_end(node: Node, client: Made) -> None:
    await is_good(node.services, client.id, client.secret)
    await node.services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    assert isinstance(await node.verify_from_memory(client), Accepted)
    change = "UPDATE client_secret SET digest = ? WHERE state = 'RETAINED'"
    await node.services.database.fetch_rows(change, [bytes(32)])
    await node.services.rotation.revoke_old_secret(client.id, by=ADMIN)
    assert not await is_good(node.services, client.id, client.secret)


async def test_a_remembered_secret_expires_on_time(node: Node, client: Made, clock: Clock) -> None:
    await is_good(node.services, client.id, client.secret)
    await node.services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    assert isinstance(await node.verify_from_memory(client), Accepted)
    clock.move(24 * HOUR)
    assert not await is_good(node.services, client.id, client.secret)
    clock.move(-DAYS)
    assert not await is_good(node.services, client.id, client.secret)


async def test_only_the_first_change_waits_for_a_node_that_died(
    node: Node, join: Join, make_client: MakeClient
) -> None:
    dead = await join()
    client = await make_client()
    await dead.die()
    began = time.monotonic()
    edit = await node.services.clients.update_client(client.id, name="One", by=ADMIN)
    assert edit.effect == EFFECTIVE
    assert time.monotonic() - began >= LEASE * 0.9
    assert not await rows_of(node.services, dead.membership.id)


async def test_the_nodes_are_listed_with_their_leases_and_their_lag(node: Node, join: Join, settings: Settings) -> None:
    reader = await join(settings=replace(settings, verify_from="database"))
    await node.wait_for_lease()
    members = await node.services.cluster.members()
    assert [(each.id, each.is_own) for each in members] == [(node.membership.id, True), (reader.membership.id, False)]
    assert members[0].lag == 0
    assert (members[1].lease, members[1].lag) == (LeaseState.NOT_NEEDED, None)
    assert node.services.cluster.own_lease in (LeaseState.HELD, LeaseState.EXPIRED)
    assert reader.services.cluster.own_lease is LeaseState.NOT_NEEDED
    await node.die()
    await asyncio.sleep(LEASE)
    assert not node.membership.lease.is_held
    assert node.services.cluster.own_lease is LeaseState.EXPIRED


async def hold_without_polls(node: Node) -> None:
    """Let the node keep its lease for a minute without a poll, as if its polls got no answer."""
    await node.wait_for_lease()
    await node.die()
    node.membership.lease._end = node.membership.lease.read_clocks().boot + 60_000_000_000
    assert node.membership.lease.is_held


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_change_does_not_wait_for_the_node_that_made_it(
    node: Node, make_client: MakeClient, ending: str, statements: list[str]
) -> None:
    """The node forgets what it changed when the commit is answered, and no other node has to be asked for."""
    client = await make_client()
    await is_good(node.services, client.id, client.secret)
    await node.services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    assert isinstance(await node.verify_from_memory(client), Accepted)
    await hold_without_polls(node)
    statements.clear()
    result = await ENDINGS[ending](node.services, client.id)
    assert result.effect == EFFECTIVE
    assert node.services.verifier.verify_nowait(client.id, client.secret, SOURCE) is None
    assert not await is_good(node.services, client.id, client.secret)
    assert not [each for each in statements if "applied_revision <" in each or "pg_notify" in each]
    # It was not taken for a node that died.
    assert await rows_of(node.services, node.membership.id)


async def test_a_change_whose_commit_was_not_answered_is_waited_for_by_the_next_that_finds_it(
    node: Node, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This node did not forget the secret, so "already ended" would not be true on it."""
    await is_good(node.services, client.id, client.secret)
    await node.services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    await hold_without_polls(node)
    execute = PooledConnection.execute

    async def lose_answer(self: PooledConnection, query: str, *args: object, **options: Any) -> str:
        status = await execute(self, query, *args, **options)
        if query.startswith("COMMIT"):
            raise ConnectionResetError
        return status

    monkeypatch.setattr(PooledConnection, "execute", lose_answer)
    with pytest.raises(Unavailable):
        await node.services.rotation.revoke_old_secret(client.id, by=ADMIN)
    monkeypatch.setattr(PooledConnection, "execute", execute)
    began = time.monotonic()
    again = await node.services.rotation.revoke_old_secret(client.id, by=ADMIN)
    assert (again.already_ended, again.effect) == (True, NOT_CHANGED)
    assert time.monotonic() - began >= LEASE * 0.9
    assert not await rows_of(node.services, node.membership.id)


async def test_a_notification_wakes_every_node_but_the_one_that_sent_it(
    node: Node, join: Join, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await join()
    await other.wait_for_lease()
    woken: list[str] = []
    wake = Membership.wake

    def note(self: Membership) -> None:
        woken.append(self.id)
        wake(self)

    monkeypatch.setattr(Membership, "wake", note)
    while other.membership.id not in woken:  # its poll may have confirmed a change before it was asked to
        await node.services.clients.update_client(client.id, name=secrets.token_hex(4), by=ADMIN)
    assert node.membership.id not in woken


async def test_a_node_that_was_removed_joins_again(node: Node, client: Made) -> None:
    assert isinstance(await node.verify_from_memory(client), Accepted)
    await node.services.database.fetch_rows("DELETE FROM cluster_member")
    await until_joined(node)
    assert isinstance(await node.verify_from_memory(client), Accepted)
    assert (await node.services.clients.update_client(client.id, name="One", by=ADMIN)).effect == EFFECTIVE


async def test_a_node_joins_after_the_changes_that_did_not_see_it(
    node: Node, open_node: OpenNode, client: Made
) -> None:
    """Such a change waits for nobody, so that node must not have a lease from before its commit."""
    services = await open_node()
    membership = services.membership
    assert membership is not None

    async def wait_for_it(tx: Transaction) -> Node:
        await tx.lock_for_change(client.id)
        other = Node(services, asyncio.create_task(membership.run()))
        waiting: list[dict[str, object]] = []
        while not waiting:
            assert not await rows_of(node.services, membership.id)
            waiting = await tx.fetch("SELECT 1 FROM pg_locks WHERE NOT granted")
        assert not membership.lease.is_held
        return other

    other = await node.services.database.run_tx(wait_for_it)
    await other.wait_for_lease()
    membership.stop()
    await other.running


async def test_a_node_that_stops_gives_its_lease_back(node: Node, join: Join, client: Made) -> None:
    leaving = await join()
    assert isinstance(await leaving.verify_from_memory(client), Accepted)
    leaving.membership.stop()
    assert leaving.services.verifier.verify_nowait(client.id, client.secret, SOURCE) is None
    await leaving.running
    assert [row["id"] for row in await rows_of(node.services)] == [node.membership.id]


async def test_changes_wait_after_a_failover_until_the_leases_of_the_old_server_are_over(
    node: Node, client: Made
) -> None:
    began = time.monotonic()
    await node.services.database.fetch_rows("UPDATE cluster SET server = 'another'")
    edit = await node.services.clients.update_client(client.id, name="One", by=ADMIN)
    assert edit.effect == EFFECTIVE
    assert time.monotonic() - began >= LEASE * 0.9
    [row] = await node.services.database.fetch("SELECT server FROM cluster")
    while row["server"] == "another":
        await asyncio.sleep(0.05)
        [row] = await node.services.database.fetch("SELECT server FROM cluster")


async def test_a_node_that_reads_the_database_is_waited_for_by_nobody(
    node: Node, join: Join, settings: Settings, client: Made
) -> None:
    reader = await join(settings=replace(settings, verify_from="database"))
    await reader.die()
    edit = await node.services.clients.update_client(client.id, name="One", by=ADMIN)
    assert edit.effect == EFFECTIVE
    assert {row["serves_from"] for row in await rows_of(node.services)} == {"memory", "database"}


async def test_a_node_that_died_without_a_memory_is_removed_by_the_next_one(
    node: Node, join: Join, settings: Settings
) -> None:
    reader = await join(settings=replace(settings, verify_from="database"))
    await reader.die()
    ids: set[object] = set()
    while ids != {node.membership.id}:  # a poll that was on its way may be recorded after the first one
        await node.services.database.fetch_rows(
            "UPDATE cluster_member SET last_seen_at = 0 WHERE serves_from = 'database'"
        )
        ids = {each.id for each in await node.services.cluster.members()}
    other = await join()
    ids = {row["id"] for row in await rows_of(node.services)}
    assert ids == {node.membership.id, other.membership.id}


async def test_a_change_whose_effect_is_not_confirmed_is_answered_with_the_reason(
    node: Node, join: Join, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    await join()

    async def fail(*_: object) -> bool:
        raise Unavailable

    monkeypatch.setattr(cluster, "_MAX_WAIT_SECONDS", 0.5)
    monkeypatch.setattr(cluster._Wait, "_is_unconfirmed", fail)
    edit = await node.services.clients.update_client(client.id, name="One", by=ADMIN)
    assert edit.client.name == "One"
    assert edit.effect == Effect(everywhere=False, reason=cluster._LOST)


async def test_a_wait_that_takes_too_long_is_answered_with_the_reason(
    node: Node, join: Join, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    await join()

    async def wait(*_: object) -> bool:
        return True

    monkeypatch.setattr(cluster, "_MAX_WAIT_SECONDS", 0.5)
    monkeypatch.setattr(cluster._Wait, "_is_unconfirmed", wait)
    edit = await node.services.clients.update_client(client.id, name="One", by=ADMIN)
    assert edit.effect == Effect(everywhere=False, reason=cluster._TOO_SLOW)


async def test_a_secret_in_use_is_accepted_from_memory_without_the_database(
    node: Node, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(await node.verify_from_memory(client), Accepted)

    async def fail(*_: object) -> None:
        raise AssertionError("the database was read")

    await node.wait_for_lease()
    monkeypatch.setattr(PostgresLookup, "read", fail)
    assert isinstance(node.services.verifier.verify_nowait(client.id, client.secret, SOURCE), Accepted)


async def test_no_node_starts_with_a_key_in_front_that_a_running_node_lacks(
    node: Node, open_node: OpenNode, settings: Settings
) -> None:
    """That node would not find the secrets that the new one makes."""
    new = base64url.encode(secrets.token_bytes(32))
    with pytest.raises(SetupError, match="lacks the pepper key k2"):
        await open_node(settings=replace(settings, pepper=f"k2:{new},{PEPPER}"))
    await open_node(settings=replace(settings, pepper=f"{PEPPER},k2:{new}"))
    await node.die()
    await node.services.database.run_tx(lambda tx: tx.execute("UPDATE cluster_member SET last_seen_at = 0"))
    await open_node(settings=replace(settings, pepper=f"k2:{new},{PEPPER}"))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The revisions that were waited for, in order."""
    made: list[int] = []
    wait = cluster.Fence.wait

    async def counted(fence: cluster.Fence, awaited: cluster.Awaited) -> Effect:
        made.append(max(awaited))
        return await wait(fence, awaited)

    monkeypatch.setattr(cluster.Fence, "wait", counted)
    return made


async def newest_revision(services: Services) -> int:
    [row] = await services.database.fetch("SELECT revision FROM installation")
    return int(row["revision"])


async def test_changes_of_many_clients_wait_once_for_a_node_that_died(
    node: Node, join: Join, make_client: MakeClient, waits: list[int]
) -> None:
    clients = [await make_client() for _ in range(4)]
    targets = [ResetTarget(client.id) for client in clients]
    await (await join()).die()
    waits.clear()
    resets = await node.services.bulk.reset_secrets(targets, DAY, by=ADMIN, idempotency_key="k" * 16)
    assert waits == [await newest_revision(node.services)]
    again = await node.services.bulk.reset_secrets(targets[:3], DAY, by=ADMIN, idempotency_key="k" * 16)
    assert len(waits) == 2
    old = [
        RevokeTarget(reset.client_id, reset.result.old_secret.id)
        for reset in resets
        if reset.result and reset.result.old_secret
    ]
    await node.services.rotation.revoke_old_secret(old[0].client_id, by=ADMIN)
    await (await join()).die()
    waits.clear()
    revokes = await node.services.bulk.revoke_old_secrets(old, by=ADMIN, only_if_safe=False)
    assert waits == [await newest_revision(node.services)]
    assert [outcome.result and outcome.result.effect for outcome in resets] == [EFFECTIVE] * 4
    assert [outcome.result and outcome.result.effect for outcome in again] == [NOT_CHANGED] * 3
    assert [outcome.result and outcome.result.effect for outcome in revokes] == [NOT_CHANGED, *[EFFECTIVE] * 3]
    for client in clients:
        assert not await is_good(node.services, client.id, client.secret)


async def test_changes_of_many_clients_whose_effect_is_not_confirmed_are_answered_with_the_reason(
    node: Node, join: Join, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await join()

    async def fail(*_: object) -> bool:
        raise Unavailable

    clients = [await make_client() for _ in range(2)]
    monkeypatch.setattr(cluster, "_MAX_WAIT_SECONDS", 0.5)
    monkeypatch.setattr(cluster._Wait, "_is_unconfirmed", fail)
    targets = [*(ResetTarget(client.id) for client in clients), ResetTarget("no-such-client")]
    outcomes = await node.services.bulk.reset_secrets(targets, DAY, by=ADMIN, idempotency_key="k" * 16)
    effects = [outcome.result and outcome.result.effect for outcome in outcomes]
    assert effects == [*[Effect(everywhere=False, reason=cluster._LOST)] * 2, None]
    for outcome in outcomes[:2]:
        assert outcome.result
        assert await is_good(node.services, outcome.client_id, outcome.result.new_secret.reveal())


async def test_a_request_of_many_clients_that_changed_nothing_waits_for_nothing(node: Node, waits: list[int]) -> None:
    [outcome] = await node.services.bulk.reset_secrets(
        [ResetTarget("no-such-client")], DAY, by=ADMIN, idempotency_key="k" * 16
    )
    assert isinstance(outcome.refusal, ClientNotFound)
    assert waits == []


@pytest.fixture
def alone(postgres_server: PostgresServer, postgres_url: str) -> Iterator[str]:
    """A role that may have one connection: a superuser would not be counted."""
    postgres_server.execute("CREATE ROLE gqls_one LOGIN CONNECTION LIMIT 1 IN ROLE pg_read_all_data, pg_write_all_data")
    yield re.sub("//[^@]*@", "//gqls_one@", postgres_url)
    postgres_server.execute("DROP ROLE gqls_one")


async def test_a_node_that_gets_one_connection_shares_it_with_its_polls(
    alone: str, join: Join, settings: Settings, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The polls kept the only connection, and everything else waited for it without end."""
    # There is only one connection, so it must not be given up because an answer is slow.
    monkeypatch.setattr("gql_secrets.storage.postgres.pool._PING_SECONDS", 30.0)
    node = await join(settings=replace(settings, database_url=alone))
    assert isinstance(await node.verify_from_memory(client), Accepted)
    reset = await node.services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    assert reset.effect == EFFECTIVE
    assert not await is_good(node.services, client.id, client.secret)


async def test_a_node_far_from_its_database_holds_a_lease(
    join: Join, settings: Settings, postgres_url: str, data_dir: Path, client: Made
) -> None:
    """It had half a second to connect and to join, which is a dozen round trips, and never stopped trying."""
    proxy = Proxy(socket_of(postgres_url), data_dir / "far", delay=0.04)
    await proxy.start()
    try:
        node = await join(settings=replace(settings, database_url=url_on(postgres_url, str(proxy.folder))))
        assert isinstance(await node.verify_from_memory(client), Accepted)
        node.membership.stop()
        await node.running
        await node.services.close()
    finally:
        await proxy.close()
