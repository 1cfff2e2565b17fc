"""Verifications that ask together are read by one statement, which begins after each of them."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from operator import contains
from typing import Any, cast

import pytest

from gql_secrets.storage.postgres import rounds
from gql_secrets.storage.postgres.connection import PooledConnection
from gql_secrets.storage.postgres.pool import ConnectionPool
from gql_secrets.storage.postgres.rounds import Rounds


class FakeConnection:
    is_terminated = False

    def terminate(self) -> None:
        self.is_terminated = True


class FakePool:
    """Gives a new connection to each caller, as long as it may."""

    def __init__(self) -> None:
        self.made: list[FakeConnection] = []
        self.asked = self.given_back = 0
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.trouble: Exception | None = None

    async def acquire(self, *, for_verification: bool) -> FakeConnection:
        assert for_verification
        self.asked += 1
        await self.is_open.wait()
        if self.trouble is not None:
            raise self.trouble
        self.made.append(FakeConnection())
        return self.made[-1]

    async def release(self, connection: FakeConnection) -> None:
        assert connection in self.made
        self.given_back += 1


class Reads:
    """Records what was read together; a read with a gate waits for it."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.trouble: dict[str, Exception] = {}

    async def __call__(self, _connection: PooledConnection, asked: Sequence[str]) -> list[str]:
        self.asked.append(list(asked))
        for each in asked:
            if each in self.gates:
                await self.gates[each].wait()
            if each in self.trouble:
                raise self.trouble[each]
        return [each.upper() for each in asked]


@pytest.fixture
async def pool() -> FakePool:
    return FakePool()


@pytest.fixture
def reads() -> Reads:
    return Reads()


@pytest.fixture
def ask(pool: FakePool, reads: Reads) -> Any:
    asking: Rounds[str, str] = Rounds(cast("ConnectionPool", pool), reads)

    def begin(word: str, *, seconds: float = 30.0) -> "asyncio.Task[str]":
        deadline = asyncio.get_running_loop().time() + seconds
        return asyncio.get_running_loop().create_task(asking.ask(word, deadline=deadline))

    return begin


async def turns(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  nobody reports it
            await asyncio.sleep(0.001)


async def test_questions_that_arrive_together_are_read_together(ask: Any, reads: Reads, pool: FakePool) -> None:
    assert await asyncio.gather(*map(ask, "abc")) == ["A", "B", "C"]
    assert reads.asked == [["a", "b", "c"]]
    assert pool.given_back == len(pool.made) == 1


async def test_a_question_is_never_answered_by_a_read_that_began_before_it(ask: Any, reads: Reads) -> None:
    reads.gates["a"] = asyncio.Event()
    first = ask("a")
    await turns()
    again = ask("a")
    await turns()
    assert reads.asked == [["a"], ["a"]]
    reads.gates["a"].set()
    assert (await first, await again) == ("A", "A")


async def test_while_two_rounds_are_under_way_the_next_questions_gather(
    ask: Any, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "_USUAL_SECONDS", 60.0)
    reads.gates = {"a": asyncio.Event(), "b": asyncio.Event()}
    asked = []
    for word in "abcde":
        asked.append(ask(word))
        await turns()
    assert reads.asked == [["a"], ["b"]]
    reads.gates["b"].set()
    assert await asked[1] == "B"
    assert await asked[4] == "E"
    assert reads.asked[2:] == [["c", "d", "e"]]
    assert not asked[0].done()
    asked[0].cancel()


async def test_nobody_waits_for_connections_that_do_not_answer(ask: Any, reads: Reads) -> None:
    reads.gates = dict.fromkeys("abcd", asyncio.Event())
    stuck = []
    for word in "abcd":
        stuck.append(ask(word))
        await until(partial(contains, reads.asked, [word]))
    assert await asyncio.wait_for(ask("e"), 60) == "E"
    assert [each for each in reads.asked if "e" not in each] == [["a"], ["b"], ["c"], ["d"]]
    for each in stuck:
        each.cancel()


async def test_a_question_that_waits_too_long_ends_alone_and_a_read_with_its_last_one(
    ask: Any, reads: Reads, pool: FakePool
) -> None:
    reads.gates["a"] = asyncio.Event()
    early, late = ask("a", seconds=0.05), ask("b", seconds=3.0)
    with pytest.raises(TimeoutError):
        await early
    assert reads.asked == [["a", "b"]]
    assert not late.done()
    assert [each.is_terminated for each in pool.made] == [False]
    with pytest.raises(TimeoutError):
        await late
    await until(lambda: pool.given_back == 1)
    assert [each.is_terminated for each in pool.made] == [True]


async def test_each_question_ends_at_its_own_time_in_any_order(ask: Any, reads: Reads, pool: FakePool) -> None:
    """One timer serves all of them, those that a statement reads for and those that have no connection yet."""
    reads.gates["a"] = asyncio.Event()
    latest = ask("a", seconds=0.4)
    await turns()
    pool.is_open.clear()
    middle, first = ask("b", seconds=0.2), ask("c", seconds=0.05)
    for ended, others in ((first, (middle, latest)), (middle, (latest,)), (latest, ())):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(ended), 10)
        assert not any(each.done() for each in others)


async def test_a_read_that_fails_fails_its_questions_and_no_others(ask: Any, reads: Reads, pool: FakePool) -> None:
    reads.gates["a"] = asyncio.Event()
    reads.trouble["a"] = ConnectionResetError("gone")
    first, second = ask("a"), ask("b")
    await turns()
    third = ask("c")
    assert await third == "C"
    reads.gates["a"].set()
    for failed in (first, second):
        with pytest.raises(ConnectionResetError):
            await failed
    assert [each.is_terminated for each in pool.made] == [True, False]
    assert await ask("d") == "D"


async def test_where_no_connection_can_be_made_all_that_wait_are_told(ask: Any, pool: FakePool) -> None:
    pool.is_open.clear()
    asked = [ask("a"), ask("b")]
    await turns()
    pool.trouble = ConnectionRefusedError()
    pool.is_open.set()
    for each in asked:
        with pytest.raises(ConnectionRefusedError):
            await each


async def test_those_that_came_later_still_get_a_connection_that_others_waited_for_too_long(
    ask: Any, pool: FakePool
) -> None:
    pool.is_open.clear()
    early = ask("a", seconds=0.02)
    await turns()
    late = ask("b")
    with pytest.raises(TimeoutError):
        await early
    await asyncio.sleep(0.05)
    pool.is_open.set()
    assert await late == "B"


async def test_of_the_rounds_that_get_no_connection_there_are_two(
    ask: Any, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One may be busy with a host that does not answer, while another connection becomes free."""
    monkeypatch.setattr(rounds, "_USUAL_SECONDS", 0.001)
    pool.is_open.clear()
    asked = [ask("a")]
    await until(lambda: pool.asked == 2)
    asked.append(ask("b"))
    await asyncio.sleep(0.05)
    assert pool.asked == 2
    pool.is_open.set()
    assert await asyncio.gather(*asked) == ["A", "B"]
    assert pool.given_back == 2


async def test_where_all_have_left_nothing_goes_on(ask: Any, pool: FakePool) -> None:
    pool.is_open.clear()
    with pytest.raises(TimeoutError):
        await ask("a", seconds=0.05)
    await turns()
    asked = pool.asked
    await asyncio.sleep(rounds._USUAL_SECONDS * 3)
    assert pool.asked == asked
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_who_left_is_neither_read_for_nor_in_the_way(ask: Any, pool: FakePool, reads: Reads) -> None:
    pool.is_open.clear()
    gone, stays = ask("a"), ask("b")
    await turns()
    gone.cancel()
    await turns()
    pool.is_open.set()
    assert await stays == "B"
    assert reads.asked == [["b"]]


async def test_a_statement_reads_for_a_bounded_number(ask: Any, reads: Reads) -> None:
    words = [f"w{number}" for number in range(150)]
    assert await asyncio.gather(*map(ask, words)) == [word.upper() for word in words]
    assert [len(asked) for asked in reads.asked] == [64, 64, 22]
