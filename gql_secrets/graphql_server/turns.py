"""Turns: one operation of a caller runs at a time, and a long one pauses for those of other callers."""

import asyncio
import time
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import Any, Final

from graphql import GraphQLOutputType, GraphQLResolveInfo
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path

from gql_secrets.graphql_server.plans import PlannedExecutor

# How long an operation may compute before it lets others run. A slice that begins in the middle of a computation is
# added to what came before it, so twice this time is the longest.
SLICE_SECONDS: Final = 0.0025


class Turns:
    """Runs the operations of one key one after another, in the order of their arrival."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, asyncio.Lock] = {}
        self._waiting: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def take(self, key: Hashable) -> AsyncIterator[None]:
        """Wait for the turn of this key's next operation, and hold it. None: no turn is waited for."""
        if key is None:
            yield
            return
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._waiting[key] = self._waiting.get(key, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._locks[key], self._waiting[key]


class TimeSlice:
    """Whether an operation has computed for too long without letting the event loop run."""

    def __init__(self) -> None:
        self._begin()

    @property
    def is_spent(self) -> bool:
        """Whether the operation must let others run now. After the loop has run, a new slice begins."""
        if time.perf_counter() - self._began_at <= SLICE_SECONDS:
            return False
        if self._has_loop_run:
            self._begin()
            return False
        return True

    async def pause(self) -> None:
        """Let others run while the slice is spent.

        All parts of the operation that pause go on in the same slice, so that what they load is loaded in one query.
        """
        while self.is_spent:  # noqa: ASYNC110  the loop itself must run; no event says when
            await asyncio.sleep(0)

    def _begin(self) -> None:
        self._began_at = time.perf_counter()
        self._has_loop_run = False
        asyncio.get_running_loop().call_soon(self._note_loop)

    def _note_loop(self) -> None:
        self._has_loop_run = True


class PausingExecutor(PlannedExecutor):
    """The executor with pauses: before an object or a list is completed, if the operation's time slice is spent."""

    _slice: TimeSlice | None = None

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
            if self._slice is None:
                self._slice = TimeSlice()
            if self._slice.is_spent:
                return self._complete_later(
                    self._slice, return_type, field_details_list, info, path, result, position_context
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
