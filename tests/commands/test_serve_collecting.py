"""Garbage is collected while a server runs, though Python itself never looks through all objects then."""

import asyncio
import gc
import weakref

import pytest

from gql_secrets import cli
from gql_secrets.commands.collector import USUAL, look_as_usual, look_rarely
from gql_secrets.commands.serving import collecting
from gql_secrets.commands.serving.collecting import collecting_in_small_steps


class Node:
    """Garbage that only the collector can free: it refers to itself."""

    def __init__(self) -> None:
        self.itself = self
        self.freed = asyncio.Event()
        weakref.finalize(self, self.freed.set)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "_INTERVAL", 0.01)
    monkeypatch.setattr(collecting, "_DUE", 0)


async def test_new_garbage_is_freed_within_a_step() -> None:
    async with collecting_in_small_steps():
        freed = Node().freed
        async with asyncio.timeout(60):
            await freed.wait()


async def test_garbage_that_was_in_use_when_the_server_started_is_freed_by_a_whole_collection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = Node()
    freed = old.freed
    async with collecting_in_small_steps():
        del old
        gc.collect()
        assert not freed.is_set(), "small steps leave old objects out"
        monkeypatch.setattr(collecting, "_WHOLE_IF_IDLE", 0.0)
        monkeypatch.setattr(collecting, "_WHOLE_AT_LATEST", 0.0)
        async with asyncio.timeout(60):
            await freed.wait()


async def test_the_collector_is_as_it_was_after_the_server() -> None:
    before = gc.get_threshold()
    async with collecting_in_small_steps():
        assert gc.get_threshold()[2] > 1_000_000
        assert gc.get_freeze_count() > 0
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


async def test_a_server_that_listens_looks_at_new_objects_as_often_as_python_does() -> None:
    """It looks rarely while it starts; later, many objects at a time would make requests wait."""
    look_rarely()
    try:
        async with collecting_in_small_steps():
            assert gc.get_threshold()[:2] == USUAL[:2]
    finally:
        look_as_usual()


def test_a_command_looks_for_garbage_rarely_and_leaves_the_collector_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(cli, "app", lambda _arguments: seen.append(gc.get_threshold()))
    cli.main([])
    assert seen[0][0] > USUAL[0]
    assert gc.get_threshold() == USUAL
