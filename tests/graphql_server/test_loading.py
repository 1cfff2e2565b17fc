"""A loader reads once for all fields that ask together, and gives each its own value or failure."""

import asyncio

import pytest

from gql_secrets import pauses
from gql_secrets.graphql_server.loading import Loader
from gql_secrets.pauses import LongWork, pause


class Reads:
    """What a loader was asked to read."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.keys: list[list[int]] = []
        self.begun: asyncio.Queue[None] = asyncio.Queue()
        self.failure = failure
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self, keys: list[int]) -> dict[int, str]:
        self.keys.append(list(keys))
        self.begun.put_nowait(None)
        await self.may_end.wait()
        if self.failure is not None:
            raise self.failure
        return {key: f"value {key}" for key in keys if key > 0}


async def test_fields_that_ask_together_are_read_together_and_only_once() -> None:
    reads = Reads()
    loader = Loader(reads)
    values = await asyncio.gather(*(loader.load(key) for key in (1, 2, 1)))
    assert list(values) == ["value 1", "value 2", "value 1"]
    assert list(await asyncio.gather(*(loader.find(key) for key in (2, 3, -1)))) == ["value 2", "value 3", None]
    assert reads.keys == [[1, 2], [3, -1]]


async def test_values_that_were_loaded_before_are_there_without_awaiting() -> None:
    reads = Reads()
    loader = Loader(reads)
    await loader.load(1)
    await asyncio.gather(loader.load_all([1, 2, 3]), loader.load(4))
    assert reads.keys == [[1], [2, 3, 4]]
    found = loader.find(3)
    with pytest.raises(StopIteration) as done:
        found.send(None)
    assert done.value.value == "value 3"


async def test_a_field_that_asks_during_a_read_begins_another_one() -> None:
    reads = Reads()
    reads.may_end.clear()
    loader = Loader(reads)
    first = asyncio.ensure_future(loader.load(1))
    await reads.begun.get()
    rest = asyncio.gather(loader.load(1), loader.load(2))
    await reads.begun.get()
    reads.may_end.set()
    assert (await first, *await rest) == ("value 1", "value 1", "value 2")
    assert reads.keys == [[1], [2]]


async def test_a_failure_is_that_of_every_field_that_asked() -> None:
    failure = ValueError("broken")
    reads = Reads(failure)
    loader = Loader(reads)
    outcomes = await asyncio.gather(*(loader.load(key) for key in (1, 2)), return_exceptions=True)
    assert list(outcomes) == [failure, failure]
    with pytest.raises(ValueError, match="broken"):
        await loader.load(1)
    assert reads.keys == [[1, 2]]


async def test_where_a_reading_field_is_cancelled_one_that_waits_reads() -> None:
    """A field is cancelled when another one of the same object fails. The fields of other objects have their values."""
    reads = Reads()
    reads.may_end.clear()
    loader = Loader(reads)
    fields = [asyncio.ensure_future(loader.load(key)) for key in (1, 2, 3)]
    await reads.begun.get()
    fields[0].cancel()
    await reads.begun.get()
    fields[1].cancel()
    await reads.begun.get()
    reads.may_end.set()
    assert await fields[2] == "value 3"
    assert [field.cancelled() for field in fields[:2]] == [True, True]
    assert await loader.load(1) == "value 1"
    assert await loader.load(4) == "value 4"
    assert reads.keys == [[1, 2, 3]] * 3 + [[4]]


async def test_a_cancelled_operation_reads_nothing_again() -> None:
    reads = Reads()
    reads.may_end.clear()
    loader = Loader(reads)
    fields = [asyncio.ensure_future(loader.load(key)) for key in (1, 2)]
    await reads.begun.get()
    for field in fields:
        field.cancel()
    assert all(
        isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*fields, return_exceptions=True)
    )
    assert reads.keys == [[1, 2]]


async def test_a_waiting_field_that_is_cancelled_disturbs_nobody() -> None:
    reads = Reads()
    reads.may_end.clear()
    loader = Loader(reads)
    fields = [asyncio.ensure_future(loader.load(key)) for key in (1, 2, 2)]
    await reads.begun.get()
    fields[1].cancel()
    reads.may_end.set()
    assert [await fields[0], await fields[2]] == ["value 1", "value 2"]


async def test_fields_that_ask_after_pauses_of_their_operation_are_read_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each pause lets few of them go on, and the first of these must wait for all others."""
    monkeypatch.setattr(pauses, "SLICE_SECONDS", 0.0)
    reads = Reads()
    loader = Loader(reads)
    keys = list(range(1, 101))

    async def ask_below_an_object(key: int) -> str:
        await pause()
        return await asyncio.ensure_future(loader.load(key))

    with LongWork():
        values = await asyncio.gather(*map(ask_below_an_object, keys))

    assert list(values) == [f"value {key}" for key in keys]
    assert [sorted(read) for read in reads.keys] == [keys]
