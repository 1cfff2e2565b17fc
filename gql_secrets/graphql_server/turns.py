"""Turns: one operation of a caller runs at a time, and a long one pauses for those of other callers."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from contextvars import copy_context
from functools import partial
from inspect import isawaitable
from typing import Any, TypeAlias

from graphql import GraphQLOutputType, GraphQLResolveInfo, Undefined
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path

from gql_secrets.graphql_server.planned_executor import PlannedExecutor
from gql_secrets.pauses import TimeSlice, current_slice

_Queues: TypeAlias = dict[Hashable, deque[asyncio.Future[None] | Callable[[], None]]]


class Turns:
    """Runs the operations of one key one after another, in the order of their arrival."""

    def __init__(self) -> None:
        self._queues: _Queues = {}

    def __len__(self) -> int:
        return len(self._queues)

    def is_free(self, key: Hashable) -> bool:
        """Whether no operation of this key runs or waits: one that awaits nothing may run without a turn."""
        return key not in self._queues

    def take(self, key: Hashable) -> "Turn":
        """Return the turn of this key's next operation: `async with` waits for it and holds it.

        With None as the key, no turn is waited for.
        """
        return Turn(self._queues, key)

    def call(self, key: Hashable, begin: Callable[["Turn"], None]) -> None:
        """Call this with the turn of this key's next operation when it comes, which may be now; it has to pass it on.

        It raises nothing, and returns before the turn is passed on.
        """
        turn = Turn(self._queues, key, is_held=True)
        queue = self._queues.get(key)
        if queue is not None:
            queue.append(partial(copy_context().run, begin, turn))  # not in the context of what precedes it
            return
        if key is not None:
            self._queues[key] = deque()
        begin(turn)


class Turn:
    """A turn of one key, which may be held already. Nothing is awaited where nobody else has one."""

    __slots__ = ("_is_held", "_key", "_queues")

    def __init__(self, queues: _Queues, key: Hashable, *, is_held: bool = False) -> None:
        # A key has a queue while one of its operations runs: of those that wait.
        self._queues = queues
        self._key = key
        self._is_held = is_held

    async def __aenter__(self) -> None:
        if self._key is None or self._is_held:
            return
        queue = self._queues.get(self._key)
        if queue is None:
            self._queues[self._key] = deque()
            return
        mine = asyncio.get_running_loop().create_future()
        queue.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.pass_on()  # it was given the turn, and cannot use it
            raise

    async def __aexit__(self, *_: object) -> None:
        self.pass_on()

    def pass_on(self) -> None:
        """Give the turn to the operation that has waited longest."""
        if self._key is None:
            return
        queue = self._queues[self._key]
        while queue:
            following = queue.popleft()
            if not isinstance(following, asyncio.Future):
                following()
                return
            if not following.done():
                following.set_result(None)
                return
        del self._queues[self._key]


class PausingExecutor(PlannedExecutor):
    """The executor with pauses: before an object or a list is completed, if the operation's time slice is spent."""

    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,  # noqa: ANN401  as its base
        position_context: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Complete a value now, or after a pause."""
        # Null is completed now: graphql-core looks for it in a value that may not be null before that is awaited.
        is_null = result is None or result is Undefined
        if not is_null and field_details_list[0].node.selection_set is not None:
            time_slice = current_slice()
            if time_slice is not None and time_slice.is_spent:
                return self._complete_later(
                    time_slice, return_type, field_details_list, info, path, result, position_context
                )
        return super().complete_value(return_type, field_details_list, info, path, result, position_context)

    async def _complete_later(
        self,
        time_slice: TimeSlice,
        return_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,  # noqa: ANN401
        position_context: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        await time_slice.pause()
        completed = super().complete_value(return_type, field_details_list, info, path, result, position_context)
        return await completed if isawaitable(completed) else completed
