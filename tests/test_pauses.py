"""An operation that computes for long lets others run, and goes on."""

import asyncio
from typing import Any

import pytest

from gql_secrets import pauses
from gql_secrets.pauses import LongWork, TimeSlice, can_pause, current_slice, make_all, pause


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("gql_secrets.pauses.time.perf_counter", clock)
    return clock


@pytest.fixture
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock finds the slice spent."""
    monkeypatch.setattr(pauses, "SLICE_SECONDS", -1.0)


def is_spent(time_slice: TimeSlice) -> bool:
    return time_slice.is_spent


async def runs_during(work: asyncio.Future[Any]) -> int:
    """How often the event loop ran while this work was done."""
    runs = 0
    while not work.done():
        runs += 1
        await asyncio.sleep(0)
    work.result()
    return runs


async def test_a_slice_is_spent_by_computing_without_a_pause(clock: Clock) -> None:
    time_slice = TimeSlice()
    clock.now += 0.002
    assert not is_spent(time_slice)
    clock.now += 0.002
    assert is_spent(time_slice)
    await time_slice.pause()
    assert not is_spent(time_slice)


async def test_waiting_is_not_computing(clock: Clock) -> None:
    """Such as waiting for the database: nothing of the operation ran in the loop's last runs."""
    time_slice = TimeSlice()
    assert not is_spent(time_slice)
    for _ in range(3):
        await asyncio.sleep(0)
    clock.now += 10
    assert not is_spent(time_slice)
    clock.now += 0.003
    assert is_spent(time_slice)


async def test_each_run_of_the_loop_is_counted_on_its_own(clock: Clock) -> None:
    time_slice = TimeSlice()
    for _ in range(5):
        clock.now += 0.002
        assert not is_spent(time_slice)
        await asyncio.sleep(0)


async def test_computing_in_one_run_is_added_up_over_all_parts_of_an_operation(clock: Clock) -> None:
    time_slice = TimeSlice()
    paused = 0

    async def compute() -> None:
        nonlocal paused
        clock.now += 0.001
        paused += time_slice.is_spent
        await time_slice.pause()

    await asyncio.gather(*(compute() for _ in range(10)))
    assert paused == 7  # the first look begins the slice


@pytest.mark.usefixtures("_always")
async def test_parts_that_pause_go_on_even_where_the_slice_is_always_spent() -> None:
    time_slice = TimeSlice()
    order: list[int] = []

    async def compute(number: int) -> None:
        await time_slice.pause()
        order.append(number)

    tasks = [asyncio.create_task(compute(number)) for number in range(200)]
    runs = await runs_during(asyncio.ensure_future(asyncio.gather(*tasks)))
    assert sorted(order) == list(range(200))
    assert runs >= 200


@pytest.mark.usefixtures("_always")
async def test_a_part_that_is_cancelled_while_it_pauses_holds_no_other_one_up() -> None:
    time_slice = TimeSlice()
    first, cancelled, *others = [asyncio.create_task(time_slice.pause()) for _ in range(5)]
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait_for(asyncio.gather(first, *others), 60)
    assert cancelled.cancelled()


async def test_work_inside_long_work_has_the_same_slice() -> None:
    assert not can_pause()
    with LongWork():
        outer = current_slice()
        with LongWork():
            assert current_slice() is outer
        assert current_slice() is outer is not None
    assert not can_pause()


@pytest.mark.usefixtures("_always")
async def test_rows_are_made_with_pauses_in_long_work_and_without_elsewhere() -> None:
    async def make() -> list[int]:
        return await make_all(lambda number: 2 * number, range(100))

    async def make_in_long_work() -> list[int]:
        with LongWork():
            return await make()

    for work, least, most in ((make, 1, 2), (make_in_long_work, 7, 1000)):
        task = asyncio.create_task(work())
        runs = await runs_during(task)
        assert task.result() == [2 * number for number in range(100)]
        assert least <= runs <= most


@pytest.mark.usefixtures("_always")
async def test_nothing_pauses_outside_long_work() -> None:
    async def work() -> None:
        for _ in range(100):
            await pause()

    assert await runs_during(asyncio.create_task(work())) <= 2
