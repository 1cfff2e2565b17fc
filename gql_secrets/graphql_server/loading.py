"""Loads the rows that several fields of an operation ask for in one read.

Strawberry's DataLoader makes a future for each key and a task for each read. Here the field that asks first reads for
all that ask before the event loop comes back to it, and they share one future.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeAlias, TypeVar

from graphql import GraphQLField

from gql_secrets.pauses import current_slice

K = TypeVar("K")
V = TypeVar("V")

# Strawberry's key from a field of graphql-core to its own definition.
_DEFINITION: Final = "strawberry-definition"
_METADATA_KEY: Final = "loads"

Load: TypeAlias = Callable[[Any, list[Any], Mapping[str, Any]], Awaitable[bool]]
"""Loads, for the context of a request, all that the resolver of a field of these objects awaits when it gets these
arguments; returns whether it did."""


def loads(load: Load) -> Mapping[Any, Any]:
    """Return the metadata of a Strawberry field whose resolver awaits nothing after this has loaded all."""
    return {_METADATA_KEY: load}


def load_of(field: GraphQLField) -> Load | None:
    """Return what loads the values of a field, or None if it does not say."""
    metadata: Mapping[Any, Any] = getattr(field.extensions.get(_DEFINITION), "metadata", None) or {}
    load: Load | None = metadata.get(_METADATA_KEY)
    return load


class Loader(Generic[K, V]):
    """Returns values by their keys, and remembers them; a failure is remembered too.

    Args:
        read: reads the values of all these keys.
    """

    def __init__(self, read: Callable[[list[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._read = read
        self._batches: dict[K, _Batch[K, V]] = {}
        self._open: _Batch[K, V] | None = None

    async def load(self, key: K) -> V:
        """Return the value of a key that the read knows."""
        return (await self._values(key))[key]

    async def find(self, key: K) -> V | None:
        """Return the value of a key, or None where the read has none."""
        return (await self._values(key)).get(key)

    async def load_all(self, keys: Iterable[K]) -> None:
        """Load the values of these keys, so that `load` and `find` return them without awaiting anything."""
        batches = {id(batch): batch for batch in map(self._batch_of, keys)}
        for batch in batches.values():
            await self._filled(batch)

    async def _values(self, key: K) -> Mapping[K, V]:
        return await self._filled(self._batch_of(key))

    def _batch_of(self, key: K) -> "_Batch[K, V]":
        """Return the batch with which a key is read: that of an earlier request, or the one that is open now."""
        batch = self._batches.get(key)
        if batch is None:
            batch = self._open
            if batch is None:
                batch = self._open = _Batch()
            batch.keys.append(key)
            self._batches[key] = batch
        return batch

    async def _filled(self, batch: "_Batch[K, V]") -> Mapping[K, V]:
        """Return the values of a batch; the first to ask reads them, or the next one if the first was cancelled."""
        while batch.values is None:
            if batch.is_begun:
                await batch.wait()
            else:
                batch.is_begun = True
                await self._fill(batch)
        return batch.values

    async def _others_ask(self) -> None:
        """Wait for the other fields: also for those of objects that are completed after a pause of the operation."""
        time_slice = current_slice()
        if time_slice is None:
            await asyncio.sleep(0)
        else:
            await time_slice.settle()

    async def _fill(self, batch: "_Batch[K, V]") -> None:
        try:
            await self._others_ask()
            self._open = None
            batch.finish(await self._read(batch.keys))
        except Exception as failure:
            self._open = None
            batch.fail(failure)
            raise
        except BaseException:
            self._open = None
            batch.give_up()
            raise


class _Batch(Generic[K, V]):
    """Keys that are read together."""

    __slots__ = ("_failure", "_future", "is_begun", "keys", "values")

    def __init__(self) -> None:
        self.keys: list[K] = []
        self.is_begun = False
        self.values: Mapping[K, V] | None = None
        self._failure: Exception | None = None
        self._future: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Wait until the values are read, or somebody else has to read them."""
        if self._failure is not None:
            raise self._failure
        if self._future is None:
            self._future = asyncio.get_running_loop().create_future()
        # Shielded: one field that is cancelled must not cancel the others.
        await asyncio.shield(self._future)

    def finish(self, values: Mapping[K, V]) -> None:
        """Give the values to all that wait."""
        self.values = values
        if self._future is not None:
            self._future.set_result(None)

    def fail(self, failure: Exception) -> None:
        """Let all that wait, and all that ask later, fail in the same way."""
        self._failure = failure
        if self._future is not None:
            self._future.set_exception(failure)
            self._future.exception()  # those that waited may have been cancelled

    def give_up(self) -> None:
        """Let one of those that wait read, because the field that did was cancelled: one next to it failed."""
        self.is_begun = False
        if self._future is not None:
            self._future.set_result(None)
            self._future = None
