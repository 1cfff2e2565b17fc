"""Changes that are committed together: each is whole or undone on its own, and none is answered before the commit."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from support.audits import check_chain
from support.callers import ADMIN, DAY, HARD, Made
from support.installation import MakeClient

from gql_secrets.domain.errors import Conflict, Unavailable
from gql_secrets.settings import DATABASE_FILE
from gql_secrets.storage.sqlite.engine import ImmediateTransaction
from gql_secrets.storage.transaction import Transaction
from gql_secrets.wiring import Services

Then = Callable[[BaseException | None], object]

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
async def clients(make_client: MakeClient) -> list[Made]:
    return [await make_client() for _ in range(8)]


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch, clients: list[Made]) -> list[None]:
    """One entry for each commit from now on."""
    del clients  # they are created first
    found: list[None] = []
    begin_commit = ImmediateTransaction.begin_commit

    def count(self: ImmediateTransaction, then: Then) -> None:
        found.append(None)
        begin_commit(self, then)

    monkeypatch.setattr(ImmediateTransaction, "begin_commit", count)
    return found


def fail_to_commit(_: ImmediateTransaction, then: Then) -> None:
    asyncio.get_running_loop().call_soon(then, sqlite3.OperationalError("disk I/O error"))


async def reset_all(services: Services, clients: list[Made]) -> list[object]:
    resets = [services.rotation.reset_secret(client.id, HARD, by=ADMIN) for client in clients]
    return list(await asyncio.gather(*resets, return_exceptions=True))


def generations(data_dir: Path, clients: list[Made]) -> list[int]:
    """What another process sees."""
    with closing(sqlite3.connect(data_dir / DATABASE_FILE)) as other:
        found = dict(other.execute("SELECT client_id, generation FROM client"))
    return [found[client.id] for client in clients]


async def test_changes_that_wait_are_committed_together(
    services: Services, clients: list[Made], commits: list[None], data_dir: Path
) -> None:
    assert not [each for each in await reset_all(services, clients) if isinstance(each, BaseException)]
    assert len(commits) < len(clients)
    assert generations(data_dir, clients) == [2] * len(clients)
    await check_chain(services)


async def test_a_single_change_is_committed_at_its_end(
    services: Services, clients: list[Made], commits: list[None]
) -> None:
    await services.rotation.reset_secret(clients[0].id, HARD, by=ADMIN)
    assert len(commits) == 1


@pytest.mark.parametrize("place", [0, 3, 7])
async def test_a_change_that_fails_leaves_the_others(
    place: int, services: Services, clients: list[Made], data_dir: Path
) -> None:
    async def fail(tx: Transaction) -> None:
        await tx.execute("UPDATE client SET generation = 99")
        raise LookupError

    resets = [services.rotation.reset_secret(client.id, HARD, by=ADMIN) for client in clients]
    with_failure = [*resets[:place], services.database.run_tx(fail), *resets[place:]]
    results = await asyncio.gather(*with_failure, return_exceptions=True)
    assert [place for place, each in enumerate(results) if isinstance(each, BaseException)] == [place]
    assert generations(data_dir, clients) == [2] * len(clients)
    await check_chain(services)


async def test_a_change_whose_savepoint_cannot_be_released_is_undone(
    services: Services, clients: list[Made], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is that nothing was changed, so it must not be committed with the others."""
    run_now = ImmediateTransaction.run_now
    releases = iter(range(len(clients)))

    def fail_once(self: ImmediateTransaction, statement: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        if statement.startswith("RELEASE") and next(releases) == 2:
            raise sqlite3.OperationalError("out of memory")
        return run_now(self, statement, values)

    monkeypatch.setattr(ImmediateTransaction, "run_now", fail_once)
    results = await reset_all(services, clients)
    failed = [place for place, each in enumerate(results) if isinstance(each, BaseException)]
    assert failed == [3]
    assert isinstance(results[3], Unavailable)
    assert generations(data_dir, clients) == [2, 2, 2, 1, 2, 2, 2, 2]
    await check_chain(services)


async def test_a_commit_that_fails_refuses_all_of_them(
    services: Services, clients: list[Made], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(ImmediateTransaction, "begin_commit", fail_to_commit)
        assert [type(each) for each in await reset_all(services, clients)] == [Unavailable] * len(clients)
    assert generations(data_dir, clients) == [1] * len(clients)
    await reset_all(services, clients)
    assert generations(data_dir, clients) == [2] * len(clients)


@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "not committed"])
async def test_a_refusal_is_not_answered_before_the_changes_that_it_was_decided_on(
    services: Services, clients: list[Made], data_dir: Path, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    """Otherwise somebody was refused because of a change that was never made."""

    async def refused() -> list[int]:
        with pytest.raises(Conflict if is_committed else Unavailable):
            await services.rotation.reset_secret(clients[0].id, HARD, by=ADMIN, if_generation=1)
        return generations(data_dir, clients[:1])

    if not is_committed:
        monkeypatch.setattr(ImmediateTransaction, "begin_commit", fail_to_commit)
    results = await asyncio.gather(
        services.rotation.reset_secret(clients[0].id, HARD, by=ADMIN), refused(), return_exceptions=True
    )
    assert isinstance(results[0], Unavailable) is not is_committed
    assert results[1] == [2 if is_committed else 1]


async def test_a_transaction_that_sqlite_rolls_back_itself_refuses_what_came_before(
    services: Services, clients: list[Made], data_dir: Path
) -> None:
    """A full disk can end the whole transaction, not only the statement that met it."""

    async def roll_back(tx: Transaction) -> None:
        await tx.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    resets = [services.rotation.reset_secret(client.id, HARD, by=ADMIN) for client in clients]
    results = await asyncio.gather(
        *resets[:4], services.database.run_tx(roll_back), *resets[4:], return_exceptions=True
    )
    states = [isinstance(each, BaseException) for each in results]
    assert states == [True] * 5 + [False] * 4
    assert generations(data_dir, clients) == [1] * 4 + [2] * 4
    await check_chain(services)


async def test_a_change_rolled_back_with_another_is_unavailable_and_an_ending_is_made_from_the_reserve(
    services: Services, clients: list[Made], data_dir: Path
) -> None:
    """A full disk is not a defect of the server, and endings have room of their own."""

    async def roll_back(tx: Transaction) -> None:
        await tx.execute("ROLLBACK")
        full = sqlite3.OperationalError("database or disk is full")
        full.sqlite_errorname = "SQLITE_FULL"
        raise full

    reset, ended, failed = await asyncio.gather(
        services.rotation.reset_secret(clients[0].id, DAY, by=ADMIN),
        services.rotation.reset_secret(clients[1].id, HARD, by=ADMIN),
        services.database.run_tx(roll_back),
        return_exceptions=True,
    )

    assert [str(each) for each in (reset, failed)] == ["The disk is full: nothing was changed."] * 2
    assert isinstance(reset, Unavailable)
    assert not isinstance(ended, BaseException)
    assert generations(data_dir, clients[:2]) == [1, 2]
    await check_chain(services)


async def test_no_change_is_answered_before_it_is_committed(
    services: Services, clients: list[Made], data_dir: Path
) -> None:
    async def reset(client: Made) -> int:
        await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
        return generations(data_dir, [client])[0]

    assert await asyncio.gather(*map(reset, clients)) == [2] * len(clients)
