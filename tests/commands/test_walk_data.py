"""The installation of `support/walk_data.py`: every state that the pictures of the console show."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import walk_data as data
from support.commands import RunCommand
from support.databases import temporary_directory

MAX_CPU_SECONDS = 60
CLIENTS = 64


NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """One installation for all tests: filling it costs processor time, which another load does not add to."""
    with temporary_directory() as directory:
        began = time.process_time()
        asyncio.run(data.fill(Path(directory), NOW))
        assert time.process_time() - began < MAX_CPU_SECONDS
        yield Path(directory)


def ask(bare: RunCommand, data_dir: Path, *arguments: str) -> object:
    outcome = bare(*arguments, "--data-dir", str(data_dir), "--json")
    assert outcome.code == 0, outcome.err
    return outcome.data


def column(data_dir: Path, statement: str, *values: object) -> list[object]:
    connection = sqlite3.connect(data_dir / "gql-secrets.db")
    try:
        return [value for (value,) in connection.execute(statement, values)]
    finally:
        connection.close()


def test_the_audit_verifies_and_the_database_is_consistent(bare: RunCommand, data_dir: Path) -> None:
    ask(bare, data_dir, "audit", "verify")
    checked = ask(bare, data_dir, "db", "check")
    assert isinstance(checked, dict)
    assert checked["damage"] == []


def test_64_clients_have_names_of_every_script_and_of_every_length(data_dir: Path) -> None:
    names = [str(name) for name in column(data_dir, "SELECT name FROM client WHERE deleted_at IS NULL")]
    assert len(names) == CLIENTS
    assert set(data.SCRIPTS) <= set(names)
    assert max(map(len, names)) > 160
    assert column(data_dir, "SELECT name FROM client WHERE deleted_at IS NOT NULL") == [data.DELETED]


ADVICE = {
    data.WAIT_FOR_NEW: "WAIT_FOR_NEW",
    data.WAIT_FOR_QUIET: "WAIT_FOR_QUIET",
    data.SAFE: "REVOKE",
    data.SILENT: "REVOKE",
    data.NEVER_USED_OLD: "WAIT_FOR_QUIET",
    data.ENDING: "WAIT_FOR_QUIET",
    data.MANY_SOURCES: "WAIT_FOR_QUIET",
    data.OUTSIDE: "WAIT_FOR_NEW",
    data.DISABLED_IN_ROLLOVER: "WAIT_FOR_NEW",
    data.CLAMPED: "REVOKE",
}
END_REASONS = {
    data.LEAKED: {"HARD_RESET"},
    data.LOCKED_OUT: {"EXPIRED"},
    data.EXPIRED: {"EXPIRED"},
    data.REVOKED: {"REVOKED"},
    data.CANCELLED: {"CANCELLED"},
    data.DISPLACED: {"DISPLACED", "EXPIRED"},
}


def test_every_state_of_a_rollover_is_there(data_dir: Path) -> None:
    advice = asyncio.run(data.advice_of(data_dir, NOW))
    assert advice == ADVICE
    for name, reasons in END_REASONS.items():
        found = column(
            data_dir,
            "SELECT end_reason FROM client_secret s JOIN client c ON c.client_id = s.client_id "
            "WHERE c.name = ? AND end_reason IS NOT NULL",
            name,
        )
        assert set(found) == reasons, name


def test_every_tile_of_the_overview_has_clients(data_dir: Path) -> None:
    counts = asyncio.run(data.overview_of(data_dir, NOW))
    assert min(counts.locked_out, counts.ending_soon, counts.safe_to_revoke, counts.waiting, counts.never_used) > 0
    disabled = column(data_dir, "SELECT name FROM client WHERE NOT enabled AND deleted_at IS NULL")
    assert set(disabled) == {data.DISABLED, data.DISABLED_IN_ROLLOVER}


def test_a_directory_that_holds_something_is_left_alone(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["walk_data", str(data_dir)])
    with pytest.raises(SystemExit):
        data.main()
