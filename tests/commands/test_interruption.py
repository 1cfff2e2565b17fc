"""Ctrl-C and SIGTERM while a command changes something."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.commands import BOTH_WAYS, RunCommand, are_valid, create

from gql_secrets.commands import client_bulk
from gql_secrets.commands.interruption import uninterrupted
from gql_secrets.settings import Settings
from gql_secrets.storage.database import Database


@pytest.fixture
def interrupting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[signal.Signals], None]]:
    """Return what makes the next change of a client begin with a signal to the command."""
    # A process that a script starts in the background ignores Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    number: signal.Signals | None = None
    run_once = Database._run_tx_once

    async def interrupt(self: Database, work: Any, *, is_urgent: bool, for_client: str | None) -> Any:
        nonlocal number
        if number is not None and for_client is not None and not is_urgent:
            os.kill(os.getpid(), number)
            number = None
        return await run_once(self, work, is_urgent=is_urgent, for_client=for_client)

    def begin(wanted: signal.Signals) -> None:
        nonlocal number
        number = wanted

    monkeypatch.setattr(Database, "_run_tx_once", interrupt)
    yield begin
    signal.signal(signal.SIGINT, before)


@BOTH_WAYS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_reset_that_is_interrupted_shows_its_new_secret(
    run: RunCommand, settings: Settings, interrupting: Callable[[signal.Signals], None], number: signal.Signals
) -> None:
    """The transaction goes on: without the new secret, nobody could sign in."""
    made = create(run)
    interrupting(number)
    reset = run("client", "reset", made["clientId"], "--hours", "0", "--yes", "--json")
    assert reset.code == 0, reset.err
    assert "Interrupted. Waiting for the result" in reset.err
    assert are_valid(settings, made["clientId"], made["secret"], reset.data["newSecret"]) == [False, True]


@BOTH_WAYS
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_of_many_resets_that_is_interrupted_ends_after_its_batch(
    run: RunCommand,
    settings: Settings,
    interrupting: Callable[[signal.Signals], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    code: int,
) -> None:
    monkeypatch.setattr(client_bulk, "_BATCH", 1)
    first, second = (create(run)["clientId"] for _ in range(2))
    ids, out = tmp_path / "ids", tmp_path / "out"
    ids.write_text(f"{first}\n{second}\n")
    interrupting(number)
    arguments = ("client", "reset", "--ids", str(ids), "--out", str(out), "--hours", "24", "--yes", "--json")
    stopped = run(*arguments)
    assert (stopped.code, stopped.data["reset"]) == (code, 1)
    assert are_valid(settings, first, (out / f"{first}.secret").read_text().strip()) == [True]
    again = run(*arguments)
    assert (again.code, again.data["reset"], again.data["skipped"]) == (0, 1, 1)


async def test_a_second_interruption_ends_the_wait_and_says_what_is_not_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes: list[int] = []

    @uninterrupted
    async def change(number: int) -> int:
        await asyncio.sleep(0.01)
        changes.append(number)
        return number

    command = asyncio.create_task(change(1))
    for _ in range(2):
        await asyncio.sleep(0)
        command.cancel()
    with pytest.raises(asyncio.CancelledError):
        await command
    assert "Whether the change was made is not known" in capsys.readouterr().err
    assert await change(2) == 2
    assert changes == [1, 2]
