"""`gql-secrets backup` and `gql-secrets restore`, as an operator runs them."""

from pathlib import Path

import pytest
from support.commands import RunCommand

from gql_secrets.settings import Settings


def test_two_commands_move_an_installation(run: RunCommand, settings: Settings, data_dir: Path) -> None:
    del settings
    made = run("client", "create", "Shop", "--json").data
    backup = data_dir / "backup"
    outcome = run("backup", str(backup), "--json")
    assert (outcome.code, outcome.data["clients"], outcome.data["problems"]) == (0, 2, [])
    assert "a backup is worthless without" in outcome.err

    elsewhere = ("--database-url", f"sqlite:///{data_dir / 'new.db'}")
    restored = run("restore", str(backup), *elsewhere, "--json")
    assert restored.code == 0
    assert restored.data == outcome.data
    assert "client revoke-old --all" in restored.err
    assert run("client", "show", made["clientId"], *elsewhere, "--json").data["name"] == "Shop"

    again = run("restore", str(backup), *elsewhere)
    assert again.code == 1
    assert "The database is not empty" in again.err


def test_a_restore_without_the_pepper_is_refused(
    run: RunCommand, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = data_dir / "backup"
    assert run("backup", str(backup)).code == 0
    other = data_dir / "other"
    monkeypatch.delenv("GQL_SECRETS_PEPPER")
    outcome = run("restore", str(backup), "--data-dir", str(other), "--database-url", f"sqlite:///{other}/new.db")
    assert outcome.code == 1
    assert "Without the pepper" in outcome.err


def test_what_a_restore_lost_is_ended_again_and_accepted(run: RunCommand, settings: Settings, data_dir: Path) -> None:
    del settings
    shop = run("client", "create", "Shop", "--json").data["clientId"]
    assert run("client", "reset", shop, "--hours", "24").code == 0
    backup = data_dir / "backup"
    assert run("backup", str(backup)).code == 0
    assert run("client", "revoke-old", shop).code == 0
    late = run("client", "create", "Late", "--json").data["clientId"]
    elsewhere = ("--database-url", f"sqlite:///{data_dir / 'new.db'}")
    assert run("restore", str(backup), *elsewhere).code == 0

    refused = run("client", "update", shop, "--name", "Store", *elsewhere)
    assert refused.code != 0
    assert "restore accept" in refused.err
    accept = ("restore", "accept", "--reason", "Restored last night's backup.", *elsewhere, "--json")
    for choice in ((), ("--replay", "--as-it-is"), ("--as-it-is", "--export", "audit.jsonl")):
        assert run(*accept, *choice).code == 2
    accepted = run(*accept, "--replay")
    assert accepted.code == 0
    assert accepted.data == {
        "lostChanges": 2,
        "changed": [shop],
        "unknown": [late],
        "oldSecretsEnded": [],
        "needReset": [],
    }
    assert run("client", "show", shop, *elsewhere, "--json").data["oldSecret"] is None
    assert run("client", "update", shop, "--name", "Store", *elsewhere).code == 0
    assert "nothing to accept" in run(*accept, "--replay").err
