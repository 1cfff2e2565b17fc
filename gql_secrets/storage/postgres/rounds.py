"""Reads for several verifications with one statement.

A question waits until a connection is free, and at least until everything that arrived together was looked at. Then
one statement reads for all that wait, so it begins after each of them arrived. While two rounds are under way, the next
questions wait for the end of one, because a statement for many costs little more than one for a few. They do not wait
for a round that takes longer than usual: its connection may have died silently, and others are there.
"""

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar, cast

from gql_secrets.storage.postgres.connection import PooledConnection
from gql_secrets.storage.postgres.pool import ConnectionPool

AskedT = TypeVar("AskedT")
AnswerT = TypeVar("AnswerT")

_MAX_ROUNDS: Final = 2
_USUAL_SECONDS: Final = 0.02
# Those that asked first wait for the whole statement.
_MAX_QUESTIONS: Final = 64


class _Question(NamedTuple, Generic[AskedT, AnswerT]):
    asked: AskedT
    deadline: float
    answer: "asyncio.Future[AnswerT]"


class Rounds(Generic[AskedT, AnswerT]):
    """Answers the questions of verifications, as many by one read as there are."""

    def __init__(
        self,
        pool: ConnectionPool,
        read: Callable[[PooledConnection, Sequence[AskedT]], Awaitable[Sequence[AnswerT]]],
    ) -> None:
        """Read over the connections of the pool with `read`, which returns the answer to each question."""
        self._pool = pool
        self._read = read
        self._waiting: list[_Question[AskedT, AnswerT]] = []
        # The rounds that have no connection yet, those that did not take longer than usual so far, and what each took.
        self._boarding: set[asyncio.Task[None]] = set()
        self._usual: dict[asyncio.Task[None], asyncio.TimerHandle] = {}
        self._taken: dict[asyncio.Task[None], Sequence[_Question[AskedT, AnswerT]]] = {}
        # One timer for all questions. No question that is not answered ends before it fires.
        self._timer: asyncio.TimerHandle | None = None
        self._earliest = math.inf

    async def ask(self, asked: AskedT, *, deadline: float) -> AnswerT:
        """Return the answer, which was read after this call, before this instant of the event loop's clock.

        Raises:
            TimeoutError: there was no answer in time.
            Exception: no connection could be made, or what the read raised.
        """
        answer: asyncio.Future[AnswerT] = asyncio.get_running_loop().create_future()
        question = _Question(asked, deadline, answer)
        self._waiting.append(question)
        self._board()
        if deadline < self._earliest:
            self._watch(deadline)
        try:
            return await answer
        except BaseException:
            if question in self._waiting:  # it ended before a round took it along
                self._waiting.remove(question)
            raise

    def _watch(self, earliest: float) -> None:
        """Fail what is not answered at this instant, before which no question ends."""
        if self._timer is not None:
            self._timer.cancel()
        self._earliest = earliest
        self._timer = asyncio.get_running_loop().call_at(earliest, self._fail_late)

    def _fail_late(self) -> None:
        """Fail the questions whose time is over, and look again when the next one's is."""
        now = asyncio.get_running_loop().time()
        self._timer, self._earliest = None, math.inf
        unanswered = [each for each in itertools.chain(self._waiting, *self._taken.values()) if not each.answer.done()]
        for question in unanswered:
            if question.deadline <= now:
                _fail(question.answer, TimeoutError())
        later = [question.deadline for question in unanswered if question.deadline > now]
        if later:
            self._watch(min(later))

    def _board(self) -> None:
        """Begin a round for the questions that wait, unless there is one that they can wait for."""
        can_wait = not self._boarding.isdisjoint(self._usual) or len(self._boarding) >= _MAX_ROUNDS
        if self._waiting and not can_wait and len(self._usual) < _MAX_ROUNDS:
            loop = asyncio.get_running_loop()
            task = loop.create_task(self._run())
            self._boarding.add(task)
            self._usual[task] = loop.call_later(_USUAL_SECONDS, self._pass, task)

    def _pass(self, task: "asyncio.Task[None]") -> None:
        """Do not wait for this round: it is done, or takes longer than usual."""
        if (timer := self._usual.pop(task, None)) is not None:
            timer.cancel()
        self._board()

    async def _run(self) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        questions: list[_Question[AskedT, AnswerT]] = []
        connection = None
        try:
            latest = max((question.deadline for question in self._waiting), default=None)
            if latest is None:  # another round took them along
                return
            async with asyncio.timeout_at(latest) as limit:
                connection = await self._pool.acquire(for_verification=True)
                self._boarding.discard(task)
                self._taken[task] = questions = self._depart()
                if questions:
                    limit.reschedule(max(question.deadline for question in questions))
                    answers = await self._read(connection, [question.asked for question in questions])
                    _answer(questions, answers)
        except BaseException as error:
            if connection is not None:
                connection.terminate()  # cancelling the query on the server would wait just as long
            elif not isinstance(error, TimeoutError):  # those that came later may still get a connection
                questions = self._depart()
            for question in questions:
                _fail(question.answer, error)
            if not isinstance(error, Exception):
                raise
        finally:
            if connection is not None:
                await self._pool.release(connection)
            self._taken.pop(task, None)
            self._boarding.discard(task)
            self._pass(task)

    def _depart(self) -> list[_Question[AskedT, AnswerT]]:
        """Take the questions that wait along; those that come now begin the next round."""
        waiting = [question for question in self._waiting if not question.answer.done()]
        self._waiting = waiting[_MAX_QUESTIONS:]
        self._board()
        return waiting[:_MAX_QUESTIONS]


def _answer(questions: Sequence[_Question[AskedT, AnswerT]], answers: Sequence[AnswerT]) -> None:
    for question, answer in zip(questions, answers, strict=True):
        if not question.answer.done():
            question.answer.set_result(answer)


def _fail(answer: "asyncio.Future[AnswerT]", error: BaseException) -> None:
    if answer.done():
        return
    if isinstance(error, asyncio.CancelledError):
        answer.cancel()
    else:
        answer.set_exception(error)
