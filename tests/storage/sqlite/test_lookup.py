"""What the look-up on SQLite remembers is what the file holds."""

import sqlite3
from typing import cast

import pytest
from support.callers import ADMIN, DAY, HARD, Made, is_good
from support.installation import MakeClient, OpenNode

from gql_secrets.domain.access import ActorKind, Caller, Role, Surface
from gql_secrets.domain.rotation import SecretState
from gql_secrets.service.usage.tallies import Source
from gql_secrets.service.verification import Accepted
from gql_secrets.storage.secret_index import cache
from gql_secrets.storage.sqlite import lookup as sqlite_lookup
from gql_secrets.storage.sqlite.lookup import SqliteLookup
from gql_secrets.wiring import Services

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Reads:
    """How often a secret is read from the file rather than remembered."""

    def __init__(self, lookup: SqliteLookup, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        read = lookup._read

        def counted(digest: bytes) -> object:
            self.count += 1
            return read(digest)

        monkeypatch.setattr(lookup, "_read", counted)

    def taken(self) -> int:
        count, self.count = self.count, 0
        return count


@pytest.fixture
def lookup(services: Services) -> SqliteLookup:
    return cast(SqliteLookup, services.lookup)


@pytest.fixture
def reads(lookup: SqliteLookup, monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(lookup, monkeypatch)


@pytest.fixture
async def other(open_node: OpenNode, services: Services) -> Services:
    """Another process on the same file."""
    del services
    return await open_node(with_owner=False)


async def test_a_change_of_one_client_forgets_no_other(
    services: Services, other: Services, make_client: MakeClient, reads: Reads
) -> None:
    one, two = await make_client(name="one"), await make_client(name="two")
    for client in (one, two, one, two):
        assert await is_good(services, client.id, client.secret)
    reads.taken()

    await other.rotation.reset_secret(one.id, HARD, by=ADMIN)

    assert await is_good(services, two.id, two.secret)
    assert reads.taken() == 0
    assert not await is_good(services, one.id, one.secret)
    assert reads.taken() > 0


async def test_counts_that_are_written_forget_nothing(
    services: Services, other: Services, client: Made, reads: Reads
) -> None:
    for node in (services, other, services):
        assert await is_good(node, client.id, client.secret)
    reads.taken()
    await other.usage.flush()
    await services.usage.flush()
    assert await is_good(services, client.id, client.secret)
    assert reads.taken() == 0


async def read_all_ahead(services: Services) -> None:
    while await services.lookup.read_ahead() < 1:
        pass


async def test_what_was_in_use_before_the_start_is_read_ahead(
    services: Services, other: Services, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_lookup, "_PIECE_AHEAD", 2)
    clients = [await make_client(name=f"c{number}") for number in range(5)]
    good = {client.id: [client.secret] for client in clients}
    replaced = await services.rotation.reset_secret(clients[0].id, DAY, by=ADMIN)
    good[clients[0].id].append(replaced.new_secret.reveal())
    hard = await services.rotation.reset_secret(clients[1].id, HARD, by=ADMIN)
    good[clients[1].id] = [hard.new_secret.reveal()]
    everything = [(client_id, secret) for client_id, secrets in good.items() for secret in secrets]
    for client_id, secret in everything:
        assert await is_good(services, client_id, secret)
    await services.clients.set_client_enabled(clients[2].id, enabled=False, by=ADMIN)
    await services.clients.update_client(clients[3].id, allow_list=["192.0.2.0/24"], by=ADMIN)

    await read_all_ahead(other)

    reads = Reads(cast(SqliteLookup, other.lookup), monkeypatch)
    # Neither is read ahead: one is disabled, the other has an allow list, which is evaluated with each address.
    not_ahead = {clients[2].id, clients[3].id}
    for client_id, secret in everything:
        assert await is_good(other, client_id, secret) is (client_id not in not_ahead)
        assert bool(reads.taken()) is (client_id in not_ahead)
    assert not await is_good(other, clients[1].id, clients[1].secret)
    old = await other.verifier.verify(clients[0].id, clients[0].secret, Source("127.0.0.1"))
    assert isinstance(old, Accepted)
    assert (old.state, old.expires_at) == (SecretState.RETAINED, replaced.old_secret and replaced.old_secret.expires_at)

    await services.rotation.revoke_old_secret(clients[0].id, by=ADMIN)
    assert not await is_good(other, clients[0].id, clients[0].secret)


async def test_what_is_forgotten_as_a_whole_is_read_ahead_again(
    services: Services, other: Services, client: Made, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_lookup, "_MAX_CHANGES", 0)
    assert await is_good(services, client.id, client.secret)
    await read_all_ahead(services)
    await other.clients.update_client(client.id, name="another", by=ADMIN)
    await read_all_ahead(services)
    await read_all_ahead(services)
    reads.taken()
    assert await is_good(services, client.id, client.secret)
    assert reads.taken() == 0


async def test_no_more_is_read_ahead_than_there_is_room_for(
    services: Services, other: Services, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_lookup, "_PIECE_AHEAD", 1)
    monkeypatch.setattr(sqlite_lookup, "_MAX_AHEAD", 2)
    for number in range(4):
        client = await make_client(name=f"c{number}")
        assert await is_good(services, client.id, client.secret)
    await read_all_ahead(other)
    assert len(cast(SqliteLookup, other.lookup)._cache) == 2


@pytest.mark.parametrize("changes", [3, 4, 9])
async def test_many_changes_at_once_are_all_seen(
    services: Services,
    other: Services,
    make_client: MakeClient,
    reads: Reads,
    monkeypatch: pytest.MonkeyPatch,
    changes: int,
) -> None:
    """More of them than are gone through: of one client alone, and then of the one that is remembered."""
    monkeypatch.setattr(sqlite_lookup, "_MAX_CHANGES", 3)
    busy, client = await make_client(name="busy"), await make_client(name="shop")
    for _ in range(2):
        assert await is_good(services, client.id, client.secret)
    reads.taken()
    by = Caller("ada", ActorKind.USER, Role.ADMIN, Surface.GRAPHQL)
    for number in range(changes):
        await other.clients.update_client(busy.id, by=by, name=f"busy {number}")
    await other.rotation.reset_secret(client.id, HARD, by=by)
    assert not await is_good(services, client.id, client.secret)


async def test_what_is_remembered_is_bounded_and_stays_right(
    services: Services, make_client: MakeClient, lookup: SqliteLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MAX_REMEMBERED", 8)
    clients = [await make_client(name=f"c{number}") for number in range(12)]
    for _ in range(3):
        for client in clients:
            assert await is_good(services, client.id, client.secret)
            assert len(lookup._cache) <= 8
    await services.rotation.reset_secret(clients[0].id, DAY, by=ADMIN)
    await services.rotation.revoke_old_secret(clients[0].id, by=ADMIN)
    assert [await is_good(services, client.id, client.secret) for client in clients] == [False] + [True] * 11


async def test_a_secret_that_was_restored_to_use_is_read_again(
    services: Services, other: Services, client: Made
) -> None:
    """The same row good, refused and good again: each answer is of its moment."""
    for enabled in (True, False, True, False):
        await other.clients.set_client_enabled(client.id, enabled=enabled, by=ADMIN)
        assert await is_good(services, client.id, client.secret) is enabled
        assert await is_good(services, client.id, client.secret) is enabled


async def test_a_change_of_this_process_expires_the_view(services: Services, client: Made) -> None:
    """Of two pipelined requests, the second is answered by what the first one did, though nothing arrived between."""
    digests = services.changes.pepper.digests(client.id, client.secret)
    assert await is_good(services, client.id, client.secret)
    lookup = cast(SqliteLookup, services.lookup)
    found, _ = lookup.find_nowait(client.id, digests)
    assert found is not None
    assert found.state is SecretState.CURRENT

    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)

    found, _ = lookup.find_nowait(client.id, digests)
    assert found is not None
    assert found.state is SecretState.REVOKED


async def test_another_process_is_seen_when_the_view_expires(
    services: Services, other: Services, client: Made, reads: Reads
) -> None:
    digests = services.changes.pepper.digests(client.id, client.secret)
    assert await is_good(services, client.id, client.secret)
    lookup = cast(SqliteLookup, services.lookup)
    lookup.find_nowait(client.id, digests)
    await other.rotation.reset_secret(client.id, HARD, by=ADMIN)
    reads.taken()

    lookup.expire_view()

    found, _ = lookup.find_nowait(client.id, digests)
    assert found is not None
    assert found.state is SecretState.REVOKED
    assert reads.taken() > 0


async def test_a_secret_is_found_while_it_is_moved_to_another_key_of_the_pepper(
    services: Services, client: Made, lookup: SqliteLookup
) -> None:
    """Its digests are read as they are at one moment: the move may come between any two statements."""
    [row] = await services.database.fetch("SELECT id, digest FROM client_secret WHERE client_id = ?", [client.id])
    other, new = sqlite3.connect(str(services.database.address.path), isolation_level=None), bytes(32)
    statements = 0

    def move(statement: str) -> None:
        nonlocal statements
        statements += "digest" in statement
        if statements == 2:
            other.execute("UPDATE client_secret SET digest = ? WHERE id = ?", (new, row["id"]))

    lookup._connection.set_trace_callback(move)
    found, _ = await lookup.find(client.id, [new, row["digest"]])
    lookup._connection.set_trace_callback(None)
    other.close()
    assert found is not None
    assert found.secret_id == row["id"]


async def test_own_changes_are_forgotten_without_the_change_log(
    services: Services, make_client: MakeClient, lookup: SqliteLookup, reads: Reads
) -> None:
    one, two = await make_client(name="one"), await make_client(name="two")
    for client in (one, two, one, two):
        assert await is_good(services, client.id, client.secret)
    reads.taken()
    statements: list[str] = []
    lookup._connection.set_trace_callback(statements.append)

    for _ in range(2):
        await services.rotation.reset_secret(one.id, HARD, by=ADMIN)
        assert await is_good(services, two.id, two.secret)
    assert reads.taken() == 0
    assert not await is_good(services, one.id, one.secret)
    assert statements
    assert not [each for each in statements if "revision >=" in each]


async def test_an_own_change_hides_nothing_that_another_process_changed_before_it(
    services: Services, other: Services, make_client: MakeClient
) -> None:
    one, two = await make_client(name="one"), await make_client(name="two")
    for client in (one, two, one, two):
        assert await is_good(services, client.id, client.secret)

    await other.rotation.reset_secret(one.id, HARD, by=ADMIN)
    await services.rotation.reset_secret(two.id, HARD, by=ADMIN)

    assert not await is_good(services, one.id, one.secret)
    assert not await is_good(services, two.id, two.secret)
