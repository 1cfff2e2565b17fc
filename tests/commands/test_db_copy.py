"""`gql-secrets db copy`: from a file to PostgreSQL, and back."""

import os
import pty
import subprocess
from pathlib import Path

import pytest
from support.commands import RunCommand, are_valid, create
from support.installation import PEPPER
from support.serving import PROGRAM, environment

from gql_secrets.domain.errors import Failure
from gql_secrets.service import database_copy
from gql_secrets.settings import Settings


def test_an_installation_moves_to_postgresql_and_back(
    run: RunCommand, settings: Settings, postgres_url: str, tmp_path: Path
) -> None:
    made = create(run, "Shop")
    new = run("client", "reset", made["clientId"], "--hours", "24", "--json").data["newSecret"]
    audit = run("audit", "export").out
    url_file = tmp_path / "url"
    url_file.write_text(f"{postgres_url}\n")
    there, back = ("--database-url", postgres_url), ("--database-url", f"sqlite:///{tmp_path}/back.db")
    if settings.database_url == postgres_url:  # the installation is there already
        assert "not empty" in run("db", "copy", "--to-file", str(url_file)).err
    else:
        moved = run("db", "copy", "--to-file", str(url_file), "--json")
        assert (moved.code, moved.data["clients"], moved.data["problems"]) == (0, 2, []), moved.err
        assert "no server on the old one" in moved.err
    returned = run("db", "copy", "--to", f"sqlite:///{tmp_path}/back.db", *there, "--json")
    assert (returned.code, returned.data["secrets"]) == (0, 3), returned.err
    assert (tmp_path / "back.db").stat().st_mode & 0o777 == 0o600
    assert run("audit", "export", *back).out == audit
    assert run("audit", "verify", *back).code == run("db", "check", *back).code == 0
    given = Settings(data_dir=settings.data_dir, database_url=f"sqlite:///{tmp_path}/back.db", pepper=PEPPER)
    assert are_valid(given, made["clientId"], made["secret"], new) == [True, True]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_copy_that_is_refused_leaves_no_file(run: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"something else" * 100)
    refused = run("db", "copy", "--to", f"sqlite:///{tmp_path}/other.db")
    assert (refused.code, "not a SQLite database" in refused.err) == (1, True)
    assert run("db", "copy", "--to", "mysql://x").code == 1
    assert run("db", "copy", "--to", f"sqlite:///{tmp_path}/no/such/directory.db").code == 1
    assert run("db", "copy").code == run("db", "copy", "--to", "x", "--to-file", "y").code == 2
    assert "Cannot read" in run("db", "copy", "--to-file", str(tmp_path / "nowhere")).err
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".db"] == ["other.db"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_copy_that_fails_leaves_no_file(run: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(run)

    async def differ(*_: object) -> None:
        raise Failure("other digests")

    monkeypatch.setattr(database_copy, "_require_same_digests", differ)
    before = set(tmp_path.iterdir())
    failed = run("db", "copy", "--to", f"sqlite:///{tmp_path}/new.db")
    assert (failed.code, "other digests" in failed.err) == (1, True)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_password_in_the_url_is_warned_about(run: RunCommand) -> None:
    outcome = run("db", "copy", "--to", "postgres://nobody:hunter2-secret@127.0.0.1:1/nothing")
    assert outcome.code == 1
    assert "pass its path with --to-file" in outcome.err.splitlines()[0]
    assert "hunter2" not in outcome.err


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_terminal_gets_a_progress_bar(run: RunCommand, settings: Settings, tmp_path: Path) -> None:
    create(run)
    given = {"data_dir": str(settings.data_dir), "database_url": settings.database_url, "pepper": PEPPER}
    reader, terminal = pty.openpty()
    done = subprocess.run(
        [PROGRAM, "db", "copy", "--to", f"sqlite:///{tmp_path}/new.db"],
        env=environment(given),
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        check=False,
    )
    os.close(terminal)
    shown = os.read(reader, 100_000).decode()
    os.close(reader)
    assert done.returncode == 0, shown
    assert "Copying" in shown
    assert "100%" in shown
