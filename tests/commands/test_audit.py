"""`gql-secrets audit`: an edited audit log is reported until it is accepted."""

from datetime import timedelta
from pathlib import Path

import pytest
from support.commands import FullDisk, RunCommand, ask_services

from gql_secrets.commands import output
from gql_secrets.service import audit_pruning
from gql_secrets.settings import Settings


def test_an_edited_audit_log_is_reported_until_it_is_accepted(run: RunCommand, settings: Settings) -> None:
    statement = "UPDATE audit_event SET actor = 'user:eve' WHERE revision = 1"
    ask_services(settings, lambda services: services.database.run_tx(lambda tx: tx.execute(statement)))
    assert run("audit", "verify").code == 1

    accepted = run("audit", "accept", "--reason", "a test edited it", "--json")
    assert accepted.code == 0
    assert "Event 1 was edited" in accepted.data["accepted"]

    assert run("audit", "verify").code == 0
    assert "intact" in run("audit", "accept", "--reason", "again").err


def test_accepting_says_what_was_done_where_the_output_is_lost(
    run: RunCommand, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = "UPDATE audit_event SET actor = 'user:eve' WHERE revision = 1"
    ask_services(settings, lambda services: services.database.run_tx(lambda tx: tx.execute(statement)))
    with monkeypatch.context() as patched:
        patched.setattr(output, "_Stdout", FullDisk)
        lost = run("audit", "accept", "--reason", "a test edited it")

    assert lost.code == 4
    assert "The audit log is signed again. The problem that was accepted: Event 1 was edited" in lost.err
    assert run("audit", "verify").code == 0


def test_an_audit_log_is_not_accepted_without_a_reason(run: RunCommand) -> None:
    assert run("audit", "accept").code == 2


def test_old_events_are_pruned_into_a_file_that_can_be_verified(
    run: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("client", "create", "The first one").code == 0
    assert run("client", "create", "The second one").code == 0
    file = tmp_path / "audit.jsonl"
    prune = ("audit", "prune", "--before", "2099-01-01", "--export", str(file), "--reason", "a year is over")

    early = run(*prune)
    assert (early.code, "last 8 days" in early.err, file.exists()) == (1, True, False)
    assert run("audit", "prune", "--before", "yesterday", "--export", str(file)).code == 2

    monkeypatch.setattr(audit_pruning, "MIN_KEPT", timedelta(days=-36_500))  # as if 2099 were over
    done = run(*prune, "--json")
    assert done.code == 0
    assert done.data == {"first": 1, "last": done.data["last"], "export": str(file)}
    assert len(file.read_text().splitlines()) == done.data["last"]
    assert run("audit", "verify").code == run("audit", "verify", "--against", str(file)).code == 0
    archive = tmp_path / "archive"
    archive.mkdir()
    assert "it has no file of an audit archive" in run("audit", "verify", "--against", str(archive)).err
    lines = file.read_text("utf-8").splitlines(keepends=True)
    (archive / "audit-000000000001-000000000001.jsonl").write_text(lines[0], "utf-8")
    assert run("audit", "verify", "--against", str(archive)).code == 1
    (archive / "audit-000000000002-000000000009.jsonl").write_text("".join(lines[1:]), "utf-8")
    assert run("audit", "verify", "--against", str(archive)).code == 0
    assert run("db", "check").code == 0
    file.write_text(file.read_text().replace('"surface": "CLI"', '"surface": "GRAPHQL"', 1))
    assert run("audit", "verify", "--against", str(file)).code == 1


def test_an_export_goes_on_after_a_line_that_was_written_in_part(run: RunCommand, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    assert run("client", "create", "One").code == 0
    assert run("audit", "export", "--output", str(file)).code == 0
    before = file.read_bytes()
    reset = run("client", "list", "--json").data[0]["clientId"]
    assert run("client", "disable", reset, "--reason", "Zürich").code == 0
    assert run("audit", "export", "--output", str(file)).code == 0
    whole = file.read_bytes()

    for cut in (len(before) + 1, whole.index("ü".encode()) + 1, len(whole) - 1):
        file.write_bytes(whole[:cut])
        assert run("audit", "export", "--output", str(file)).code == 0
        assert file.read_bytes() == whole


@pytest.mark.parametrize(
    "content", [b"a note without an end", b"\xff\xfe\n\x00", b"a note\n", b'{"revision": 1}\n{"other']
)
def test_an_export_is_not_written_to_another_file(run: RunCommand, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "notes"
    file.write_bytes(content)
    assert run("audit", "export", "--output", str(file)).code == 1
    assert file.read_bytes() == content
