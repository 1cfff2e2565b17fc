"""Which change goes next, and when those that are done are committed."""

import asyncio
import sqlite3
from collections.abc import Callable

import pytest
from tortoise.exceptions import OperationalError

from gql_secrets.storage.sqlite.groups import ChangeQueue


class Connection:
    """Notes what it is asked to do; its commit ends when the test lets it end."""

    def __init__(self) -> None:
        self.is_open = True
        self.statements: list[str] = []
        self.commits: list[asyncio.Future[None]] = []

    def begin_commit(self, then: Callable[[BaseException | None], object]) -> None:
        commit = asyncio.get_running_loop().create_future()
        commit.add_done_callback(lambda ended: then(ended.exception()))
        self.commits.append(commit)

    def run_now(self, statement: str) -> None:
        self.statements.append(statement)


@pytest.fixture
def queue() -> ChangeQueue:
    return ChangeQueue()


@pytest.fixture
def connection() -> Connection:
    return Connection()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def change(queue: ChangeQueue, connection: Connection) -> OperationalError | None:
    """Do what a change does: join the open transaction or begin one, and wait for the commit."""
    await queue.acquire(for_change=True)
    if queue.group is None:
        queue.open_group(connection)
    end = queue.keep()
    queue.release()
    return await end


async def test_the_next_change_waits_for_the_commit(queue: ChangeQueue, connection: Connection) -> None:
    first = asyncio.create_task(change(queue, connection))
    await settle()
    second = asyncio.create_task(change(queue, connection))
    await settle()
    assert len(connection.commits) == 1
    assert not first.done()
    connection.commits[0].set_result(None)
    await settle()
    assert first.done()
    assert not second.done()
    assert len(connection.commits) == 2
    connection.commits[1].set_result(None)
    assert await second is None
    assert not queue.locked()


async def test_changes_that_arrive_without_a_pause_do_not_put_off_the_commit(
    queue: ChangeQueue, connection: Connection
) -> None:
    """A group takes those that waited when its first change was done, and no more."""
    await queue.acquire()
    waiting = [asyncio.create_task(change(queue, connection)) for _ in range(3)]
    await settle()
    queue.release()
    later: list[asyncio.Task[OperationalError | None]] = []
    for _ in range(8):
        later.append(asyncio.create_task(change(queue, connection)))
        await asyncio.sleep(0)
    assert len(connection.commits) == 1
    connection.commits[0].set_result(None)
    assert await asyncio.gather(*waiting) == [None] * 3
    while not all(task.done() for task in later):
        if not connection.commits[-1].done():
            connection.commits[-1].set_result(None)
        await settle()


async def test_the_changes_that_are_done_are_committed_where_the_next_one_gives_up(
    queue: ChangeQueue, connection: Connection
) -> None:
    await queue.acquire()
    done = asyncio.create_task(change(queue, connection))
    gone = asyncio.create_task(change(queue, connection))
    await settle()
    queue.release()
    await asyncio.sleep(0)  # the first one is done, and the connection was given to the second one
    gone.cancel()
    await settle()
    assert len(connection.commits) == 1
    connection.commits[0].set_result(None)
    assert await done is None
    assert gone.cancelled()
    assert not queue.locked()


async def test_what_is_not_a_change_comes_after_the_commit(queue: ChangeQueue, connection: Connection) -> None:
    await queue.acquire()
    done = asyncio.create_task(change(queue, connection))
    await settle()
    other = asyncio.create_task(queue.acquire())
    await settle()
    queue.release()
    await settle()
    assert len(connection.commits) == 1
    assert not other.done()
    connection.commits[0].set_result(None)
    await other
    assert queue.group is None
    assert await done is None


async def test_a_commit_that_fails_is_rolled_back_and_reported_to_all(
    queue: ChangeQueue, connection: Connection
) -> None:
    await queue.acquire()
    tasks = [asyncio.create_task(change(queue, connection)) for _ in range(3)]
    await settle()
    queue.release()
    await settle()
    connection.commits[0].set_exception(sqlite3.OperationalError("disk I/O error"))
    assert [type(each) for each in await asyncio.gather(*tasks)] == [OperationalError] * 3
    assert connection.statements == ["ROLLBACK"]
    assert not queue.locked()


async def test_a_transaction_that_sqlite_ended_is_not_committed(queue: ChangeQueue, connection: Connection) -> None:
    connection.is_open = False
    assert isinstance(await change(queue, connection), OperationalError)
    assert not connection.commits


async def test_a_change_gives_up_at_its_time_and_the_next_one_goes_on(queue: ChangeQueue) -> None:
    now = asyncio.get_running_loop().time()
    await queue.acquire(until=now)
    late = asyncio.create_task(queue.acquire(for_change=True, until=now))
    following = asyncio.create_task(queue.acquire(for_change=True, until=now + 60))
    with pytest.raises(TimeoutError):
        await late
    assert not following.done()
    queue.release()
    await following


async def test_a_change_that_is_cancelled_as_it_gives_up_gives_nothing_away(
    queue: ChangeQueue,
) -> None:
    """It never had the connection, so it must not give it to the next one."""
    loop = asyncio.get_running_loop()
    now = loop.time()
    await queue.acquire()
    late = asyncio.create_task(queue.acquire(for_change=True, until=now - 2))
    following = asyncio.create_task(queue.acquire(for_change=True))
    await asyncio.sleep(0)
    loop.call_at(now - 1, late.cancel)  # in the same turn of the event loop, after the time is over
    with pytest.raises(asyncio.CancelledError):
        await late
    await settle()
    assert not following.done()
    queue.release()
    await following
