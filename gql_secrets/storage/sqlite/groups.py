"""Which change has SQLite's one writing connection, and when the changes that are done are committed."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from typing import Protocol

from tortoise.exceptions import OperationalError


class WritingConnection(Protocol):
    """What committing needs of the connection that writes."""

    @property
    def is_open(self) -> bool:
        """Whether SQLite is in a transaction: it rolls one back itself where a disk is full or broken."""

    def begin_commit(self, then: Callable[[BaseException | None], object]) -> None:
        """Commit on the connection's thread, which waits for the disk; `then` is called with how it failed, if so."""

    def run_now(self, statement: str) -> None:
        """Run a statement that controls the transaction on the event loop."""


class Group:
    """Changes that are committed together, each in a savepoint of its own, so that the disk is waited for once.

    A change that is done waits for the commit, and those that waited for the connection at that time go first. No
    change is answered before the commit, so none is lost that was answered.
    """

    __slots__ = ("done", "room")

    def __init__(self) -> None:
        self.done: list[asyncio.Future[OperationalError | None]] = []
        # How many more changes may join; unknown until shortly after the first one is done.
        self.room: int | None = None


class ChangeQueue(asyncio.Lock):
    """The lock of the connection that writes, handed out in the order of asking.

    Where the changes that are done form a group that is complete, it commits them before it goes to the next one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.group: Group | None = None
        self._connection: WritingConnection | None = None
        self._is_taken = False
        # Whether each that waits is a change, which may join a group.
        self._queue: deque[tuple[asyncio.Future[None], bool]] = deque()

    def locked(self) -> bool:
        """Return whether somebody has the connection."""
        return self._is_taken

    async def acquire(self, *, for_change: bool = False, until: float | None = None) -> bool:  # type: ignore[override]  # asyncio names the type True
        """Take the connection, when those that asked earlier are done; what is not a change, outside a transaction.

        Raises:
            TimeoutError: they were not done at `until`, an instant of the event loop's clock.
        """
        if not self._is_taken:
            self._is_taken = True
            return True
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._queue.append((turn, for_change))
        # `asyncio.timeout` takes several times as long, and with many callers each change waits.
        timer = None if until is None else loop.call_at(until, _expire, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release()  # it was this one's turn
            raise
        finally:
            if timer is not None:
                timer.cancel()
        return True

    def release(self) -> None:
        """Give the connection to the next one, after a commit where the group is complete."""
        group = self.group
        if group is None:
            self._hand_over()
        elif group.room is None:
            # Changes that are about to ask are seen in the next turn of the event loop.
            asyncio.get_running_loop().call_soon(self._close, group)
        else:
            group.room -= 1
            self._go_on(group)

    def open_group(self, connection: WritingConnection) -> None:
        """Note that the change which has the connection began a transaction: the next ones may join it."""
        self._connection, self.group = connection, Group()

    def keep(self) -> "asyncio.Future[OperationalError | None]":
        """Note that the change which has the connection is done; return a future of how its commit ended."""
        group = self.group
        if group is None:
            raise RuntimeError("No transaction is open.")
        end: asyncio.Future[OperationalError | None] = asyncio.get_running_loop().create_future()
        group.done.append(end)
        return end

    def end_group(self, failure: OperationalError | None = None) -> None:
        """Report to every change of the group how it ended: no transaction is open now."""
        group, self.group = self.group, None
        for end in group.done if group else ():
            if not end.done():
                end.set_result(failure)

    def _close(self, group: Group) -> None:
        """Let those that wait now join the group, and nobody else."""
        self._drop_gone()
        group.room = len(self._queue)
        self._go_on(group)

    def _go_on(self, group: Group) -> None:
        self._drop_gone()
        if group.done and group.room and self._queue and self._queue[0][1]:
            self._hand_over()
        else:
            self._commit(group)

    def _commit(self, group: Group) -> None:
        connection = self._connection
        if connection is None or not group.done:
            self.end_group()
            self._hand_over()
            return
        if not connection.is_open:
            self.end_group(rolled_back())
            self._hand_over()
            return
        connection.begin_commit(self._committed)

    def _committed(self, failure: BaseException | None) -> None:
        connection = self._connection
        if failure is not None and connection is not None and connection.is_open:
            # A commit that fails is rolled back, so that the next transaction can begin.
            try:
                connection.run_now("ROLLBACK")
            except sqlite3.Error as error:
                failure = error
        self.end_group(None if failure is None else OperationalError(failure))
        self._hand_over()

    def _hand_over(self) -> None:
        self._drop_gone()
        if self._queue:
            turn, _ = self._queue.popleft()
            turn.set_result(None)
        else:
            self._is_taken = False

    def _drop_gone(self) -> None:
        while self._queue and self._queue[0][0].done():
            self._queue.popleft()


def rolled_back(failure: object = None) -> OperationalError:
    """Return the error of the changes in a transaction that SQLite rolled back itself, after this failure."""
    cause = failure.args[0] if isinstance(failure, OperationalError) and failure.args else failure
    return OperationalError(
        cause if isinstance(cause, sqlite3.Error) else sqlite3.OperationalError("the transaction was rolled back")
    )


def _expire(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_exception(TimeoutError())
