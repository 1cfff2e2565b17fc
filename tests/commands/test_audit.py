"""`gql-secrets audit`: an edited audit log is reported until it is accepted."""

import pytest
from support.commands import FullDisk, RunCommand, ask_services

from gql_secrets.commands import output
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
