"""`gql-secrets db` and `gql-secrets schema`."""

import sqlite3
from pathlib import Path

import pytest
from support.commands import RunCommand, ask_services
from support.paths import ROOT

from gql_secrets.settings import Settings


def test_upgrade_creates_a_private_database_that_check_finds_consistent(bare: RunCommand, tmp_path: Path) -> None:
    directory = tmp_path / "new"
    first = bare("db", "upgrade", "--data-dir", str(directory), "--json")
    assert first.data["applied"][0] == "0001_initial"
    assert bare("db", "upgrade", "--data-dir", str(directory), "--json").data == {"applied": []}

    checked = bare("db", "check", "--data-dir", str(directory), "--json")
    assert (checked.code, checked.data["damage"]) == (0, [])
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


def test_check_refuses_a_database_that_is_not_migrated(bare: RunCommand, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "gql-secrets.db").close()
    (tmp_path / "gql-secrets.db").touch()
    for command in (("db", "check"), ("client", "list")):
        outcome = bare(*command, "--data-dir", str(tmp_path))
        assert outcome.code == 1
        assert "gql-secrets db upgrade" in outcome.err


@pytest.mark.parametrize(
    ("statement", "damage"),
    [
        (
            "UPDATE client_secret SET state = 'REVOKED', ended_at = 1, end_reason = 'REVOKED'",
            "clients without a current secret: 1",
        ),
        ("DELETE FROM audit_event", "missing audit events: 1"),
        ("UPDATE client SET deleted_at = 1", "deleted clients with an active secret: 1"),
        ("DELETE FROM client_listing", "clients that lists do not find, or find after they were deleted: 1"),
        ("UPDATE client SET deleted_at = 1", "clients that lists do not find, or find after they were deleted: 1"),
    ],
)
def test_check_names_the_damage(run: RunCommand, settings: Settings, statement: str, damage: str) -> None:
    ask_services(settings, lambda services: services.database.run_tx(lambda tx: tx.execute(statement)))
    outcome = run("db", "check", "--json")
    assert outcome.code == 1
    assert damage in outcome.data["damage"]


def test_schema_prints_schema_graphql(bare: RunCommand) -> None:
    outcome = bare("schema")
    assert (outcome.code, outcome.out) == (0, (ROOT / "schema.graphql").read_text())
