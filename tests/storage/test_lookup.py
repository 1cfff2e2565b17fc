"""What the look-up on SQLite remembers is what the file holds."""

from typing import cast

import pytest
from callers import ADMIN, DAY, HARD, Made, is_good
from conftest import MakeClient, OpenNode

from gql_secrets.domain.access import ActorKind, Caller, Role, Surface
from gql_secrets.services import Services
from gql_secrets.storage import lookup as lookup_module
from gql_secrets.storage.lookup import SqliteLookup

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
    monkeypatch.setattr(lookup_module, "_MOST_CHANGES", 3)
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
    monkeypatch.setattr(lookup_module, "_MOST_REMEMBERED", 8)
    clients = [await make_client(name=f"c{number}") for number in range(12)]
    for _ in range(3):
        for client in clients:
            assert await is_good(services, client.id, client.secret)
            assert len(lookup._remembered) <= 8
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
