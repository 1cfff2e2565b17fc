"""Turns: one operation of a caller runs at a time, but for short reads, and a long one pauses for those of others."""

import asyncio
from collections import deque
from collections.abc import Hashable
from inspect import isawaitable
from typing import Any, Final

from graphql import GraphQLOutputType, GraphQLResolveInfo
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path

from gql_secrets.graphql_server.plans import PlannedExecutor
from gql_secrets.pauses import TimeSlice, current_slice

# How many operations of one caller may share a turn. Together they compute about as long as one slice of a long one.
MAX_SHARED: Final = 8


class _Line:
    """The operations of one key: those that run, and those that wait, in their order."""

    __slots__ = ("are_shared", "running", "waiting")

    def __init__(self, *, is_shared: bool) -> None:
        self.running = 1
        self.are_shared = is_shared
        self.waiting: deque[tuple[asyncio.Future[None], bool]] = deque()

    def may_begin(self, *, is_shared: bool) -> bool:
        """Whether one more operation may run together with those that run."""
        return not self.running or (is_shared and self.are_shared and self.running < MAX_SHARED)


class Turns:
    """Runs the operations of one key one after another, in the order of their arrival.

    Short reads that follow each other share a turn: most of their time, they wait for the database.
    """

    def __init__(self) -> None:
        # A key has a line while one of its operations runs.
        self._lines: dict[Hashable, _Line] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def is_free(self, key: Hashable) -> bool:
        """Whether a query of this key that awaits nothing may run without a turn.

        Nothing of this key runs or waits then, but for short reads.
        """
        line = self._lines.get(key)
        return line is None or (line.are_shared and not line.waiting)

    def take(self, key: Hashable, *, is_shared: bool = False) -> "Turn":
        """Return the turn of this key's next operation: `async with` waits for it and holds it.

        With None as the key, no turn is waited for. `is_shared` is for short reads.
        """
        return Turn(self._lines, key, is_shared=is_shared)


class Turn:
    """A turn of one key. Nothing is awaited where nobody else has one, or where it is shared."""

    __slots__ = ("_is_shared", "_key", "_lines")

    def __init__(self, lines: dict[Hashable, _Line], key: Hashable, *, is_shared: bool) -> None:
        self._lines = lines
        self._key = key
        self._is_shared = is_shared

    async def __aenter__(self) -> None:
        if self._key is None:
            return
        line = self._lines.get(self._key)
        if line is None:
            self._lines[self._key] = _Line(is_shared=self._is_shared)
            return
        if not line.waiting and line.may_begin(is_shared=self._is_shared):
            line.running += 1
            return
        mine = asyncio.get_running_loop().create_future()
        line.waiting.append((mine, self._is_shared))
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._pass_on()  # it was given the turn, and cannot use it
            raise

    async def __aexit__(self, *_: object) -> None:
        if self._key is not None:
            self._pass_on()

    def _pass_on(self) -> None:
        line = self._lines[self._key]
        line.running -= 1
        while line.waiting:
            following, is_shared = line.waiting[0]
            if not following.done():
                if not line.may_begin(is_shared=is_shared):
                    return
                line.running += 1
                line.are_shared = is_shared
                following.set_result(None)
            line.waiting.popleft()
        if not line.running:
            del self._lines[self._key]


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
        if field_details_list[0].node.selection_set is not None:
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
