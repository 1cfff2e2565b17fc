"""A coroutine that awaits only futures needs no task."""

import asyncio
from typing import Any

import pytest

from gql_secrets.graphql_server.taskless import run_without_task


async def test_each_step_runs_as_soon_as_its_future_is_done() -> None:
    first, second = asyncio.Future[str](), asyncio.Future[str]()
    steps: list[Any] = []

    async def work() -> str:
        steps.append("begun")
        steps.append(await first)
        assert asyncio.current_task() is None
        await asyncio.sleep(0)
        return await second

    run_without_task(work(), steps.append)
    assert steps == ["begun"]
    first.set_result("first")
    await asyncio.sleep(0)
    second.set_result("returned")
    assert steps == ["begun", "first"]
    for _ in range(2):
        await asyncio.sleep(0)
    assert steps == ["begun", "first", "returned"]


async def test_the_end_is_not_noted_before_the_caller_goes_on() -> None:
    """Otherwise a chain of them would grow the stack."""
    ends: list[str | None] = []

    async def work() -> str:
        return "returned"

    run_without_task(work(), ends.append)
    assert ends == []
    await asyncio.sleep(0)
    assert ends == ["returned"]


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_none_is_noted_where_it_raises_or_what_it_awaits_is_cancelled(is_cancelled: bool) -> None:
    ends: list[str | None] = []
    awaited = asyncio.Future[str]()

    async def work() -> str:
        return await awaited

    run_without_task(work(), ends.append)
    if is_cancelled:
        awaited.cancel()
    else:
        awaited.set_exception(ValueError("x"))
    await asyncio.sleep(0)
    assert ends == [None]
