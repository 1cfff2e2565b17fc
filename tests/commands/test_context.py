"""Which installation a command acts on."""

import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from support.commands import Outcome, RunCommand, create
from support.serving import PROGRAM, environment


def test_the_options_go_before_or_after_the_command_and_the_later_one_counts(
    bare: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for directory in (first, second):
        assert bare("db", "upgrade", "--data-dir", str(directory)).code == 0
    create(bare, "In the first", "--data-dir", str(first))

    def names(outcome: Outcome) -> list[str]:
        return [client["name"] for client in outcome.data]

    assert names(bare("--data-dir", str(first), "client", "list", "--json")) == ["In the first"]
    assert names(bare("--data-dir", str(second), "client", "list", "--json", "--data-dir", str(first))) == [
        "In the first"
    ]
    monkeypatch.setenv("GQL_SECRETS_DATA_DIR", str(second))
    assert names(bare("client", "list", "--json")) == []
    assert names(bare("client", "list", "--json", "--data-dir", str(first))) == ["In the first"]
    monkeypatch.setenv("GQL_SECRETS_DATABASE_URL", f"sqlite:///{second}/gql-secrets.db")
    url = f"sqlite:///{first}/gql-secrets.db"
    assert names(bare("client", "list", "--json", "--data-dir", str(first), "--database-url", url)) == ["In the first"]


def test_a_mistyped_directory_creates_no_database(bare: RunCommand, tmp_path: Path) -> None:
    outcome = bare("client", "list", "--data-dir", str(tmp_path / "nowhere"))
    assert (outcome.code, outcome.out) == (1, "")
    assert "There is no database at" in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--data-dir", "--database-url"])
@pytest.mark.parametrize("before", [True, False])
def test_an_option_that_a_script_did_not_fill_leads_to_no_other_database(
    bare: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, *, before: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = bare(option, "", "db", "upgrade") if before else bare("db", "upgrade", option, "")
    assert (outcome.code, "It is empty" in outcome.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("before", [True, False])
def test_a_password_on_the_command_line_is_warned_about(bare: RunCommand, *, before: bool) -> None:
    option = ("--database-url", "postgres://nobody:hunter2-secret@127.0.0.1:1/nothing")
    command = ("client", "list")
    outcome = bare(*option, *command) if before else bare(*command, *option)
    assert outcome.code == 1
    assert "GQL_SECRETS_DATABASE_URL_FILE" in outcome.err.splitlines()[0]
    assert "hunter2" not in outcome.err
    assert "DATABASE_URL_FILE" not in bare(*command, "--database-url", "postgres://nobody@127.0.0.1:1/nothing").err


def test_an_unknown_setting_is_refused(bare: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_SECRETS_PASWORD", "x")
    outcome = bare("client", "list")
    assert outcome.code == 1
    assert "GQL_SECRETS_PASWORD is not a setting" in outcome.err


@pytest.mark.parametrize("command", [("client", "list"), ("serve", "--port", "0")])
def test_a_file_that_is_not_a_database_is_named_and_nothing_hangs(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "gql-secrets.db").write_bytes(os.urandom(8192))
    outcome = subprocess.run(
        [PROGRAM, *command, "--data-dir", str(tmp_path)],
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("gql-secrets: ")
    assert "is not a SQLite database" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1


def test_another_pepper_is_refused(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_SECRETS_PEPPER", "test:" + b64encode(bytes(range(32)), b"-_").decode())
    for command in (("client", "list"), ("db", "check")):
        outcome = run(*command)
        assert outcome.code == 1
        assert "pepper" in outcome.err


# What each process that loads it without need pays for with memory, and with time at its start.
SERVER_ONLY = {"aiohttp", "graphql", "joserfc", "prometheus_client", "pydantic", "strawberry"}


def loaded_by(program: str, directory: str = "") -> set[str]:
    """The packages that Python has loaded after this program."""
    program = f"{program}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    settings = environment({"data_dir": directory})
    done = subprocess.run([sys.executable, "-c", program], env=settings, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_the_help_does_not_wait_for_a_database_or_a_server() -> None:
    loaded = loaded_by("import gql_secrets.cli")
    assert not loaded & {*SERVER_ONLY, "aiosqlite", "asyncpg", "cryptography", "tortoise"}


def test_a_command_does_not_wait_for_the_modules_of_the_server(bare: RunCommand, tmp_path: Path) -> None:
    directory = str(tmp_path / "data")
    assert bare("db", "upgrade", "--data-dir", directory).code == 0
    client_id = create(bare, "Shop", "--data-dir", directory)["clientId"]
    command = f"gql_secrets.cli.main(['client', 'show', '{client_id}'])"
    loaded = loaded_by(
        f"import gql_secrets.cli\ntry: {command}\nexcept SystemExit as end: assert not end.code", directory
    )
    assert "tortoise" in loaded
    assert not loaded & SERVER_ONLY


def test_a_server_does_not_load_what_its_settings_do_not_use(tmp_path: Path) -> None:
    """Without identity providers, webhooks and metrics, it takes a tenth less memory."""
    program = "from gql_secrets.settings import Settings; from gql_secrets.api.app import build_app"
    loaded = loaded_by(f"{program}; import gql_secrets.commands.serving.single; build_app(Settings())", str(tmp_path))
    assert "strawberry" in loaded
    assert not loaded & {"cryptography", "joserfc", "opentelemetry", "prometheus_client", "pydantic"}
