"""Output of commands: the field names of GraphQL, nothing that a terminal acts on, and no secret lost in silence."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from graphql import GraphQLObjectType, build_schema
from support.commands import FullDisk, RunCommand, are_valid, create, revision
from support.installation import PEPPER
from support.paths import ROOT
from support.serving import PROGRAM, environment

from gql_secrets.commands import output
from gql_secrets.settings import Settings

RunProgram = Callable[[str], "subprocess.CompletedProcess[str]"]


def test_keys_are_the_field_names_of_the_schema(run: RunCommand) -> None:
    """Programs that know the GraphQL API read the command line's JSON without another manual."""
    schema = build_schema((ROOT / "schema.graphql").read_text())

    def fields(*types: str) -> set[str]:
        named = [schema.type_map[name] for name in types]
        return {field for each in named if isinstance(each, GraphQLObjectType) for field in each.fields}

    made = create(run)
    client_id = made["clientId"]
    reset = run("client", "reset", client_id, "--hours", "24", "--json").data
    answers = {
        ("CreateClientPayload", "Client"): made,
        ("ResetSecretPayload", "Client"): reset,
        ("Client",): run("client", "show", client_id, "--json").data,
        ("ChangeRetentionPayload", "Client"): run(
            "client", "change-retention", client_id, "--hours", "2", "--json"
        ).data,
        ("RevokeOldSecretPayload", "Client"): run("client", "revoke-old", client_id, "--json").data,
        ("SetClientEnabledPayload", "Client", ""): run("client", "disable", client_id, "--json").data,
        ("DeleteClientPayload",): run("client", "delete", client_id, "--yes", "--json").data,
    }
    for types, answer in answers.items():
        assert set(answer) <= fields(*filter(None, types)), types
    assert set(reset["oldSecret"]) <= fields("ClientSecret")


# Output that cannot be written.

RESET = ("reset", "CLIENT", "--hours", "24")
CHANGES = [
    ("create", "Other"),
    RESET,
    ("revoke-old", "CLIENT"),
    ("disable", "CLIENT"),
    ("update", "CLIENT", "--name", "Store"),
    ("delete", "CLIENT", "--yes"),
]


@pytest.fixture
def execute(settings: Settings) -> RunProgram:
    """Run a program of the shell with `gql-secrets` on this installation."""
    given = {"data_dir": str(settings.data_dir), "database_url": settings.database_url, "pepper": PEPPER}

    def run_shell(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command.replace("gql-secrets", str(PROGRAM))],
            env=environment(given),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run_shell


@pytest.mark.parametrize("redirection", ["> /dev/full", ">&-", "| (exec true)"])
@pytest.mark.parametrize("as_json", ["", " --json"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nothing_is_changed_where_the_output_cannot_be_written(
    run: RunCommand, execute: RunProgram, redirection: str, as_json: str
) -> None:
    """The output of a reset is the only copy of the new secret."""
    made = create(run)
    before = revision(run)

    for command in (*CHANGES, ("show", "CLIENT"), ("list",)) if redirection == ">&-" and as_json else (RESET,):
        words = " ".join(made["clientId"] if word == "CLIENT" else word for word in command)
        done = execute(f"set -o pipefail; gql-secrets client {words}{as_json} {redirection}")

        assert done.returncode == 1
        assert done.stderr.startswith("gql-secrets: Nothing was done, because the output could not be written: ")
        assert len(done.stderr.splitlines()) == 1
    assert revision(run) == before


@pytest.mark.parametrize("command", CHANGES)
@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_change_whose_output_is_lost_says_what_was_done_and_exits_4(
    run: RunCommand, command: tuple[str, ...], as_json: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(run)
    before = revision(run)
    with monkeypatch.context() as patched:
        patched.setattr(output, "_Stdout", FullDisk)
        outcome = run("client", *(made["clientId"] if word == "CLIENT" else word for word in command), *as_json)

    assert (outcome.code, outcome.out) == (4, "")
    *_, last = outcome.err.splitlines()
    assert last.startswith("gql-secrets: The output could not be written: No space left on device. ")
    assert "gqls_" not in outcome.err
    assert revision(run) == before + (0 if command[0] == "revoke-old" else 1)
    if command[0] in ("create", "reset"):
        assert "cannot be shown again" in last
        assert "gql-secrets client reset " in last


def test_the_way_out_of_a_lost_secret_works(
    run: RunCommand, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(run)
    with monkeypatch.context() as patched:
        patched.setattr(output, "_Stdout", FullDisk)
        lost = run("client", "reset", made["clientId"], "--hours", "24")

    _, _, way_out = lost.err.rpartition("gql-secrets client ")
    again = run("client", *way_out.split(), "--json")
    assert again.code == 0
    assert are_valid(settings, made["clientId"], made["secret"], again.data["newSecret"]) == [True, True]


@pytest.mark.parametrize("command", ["--help", "--version", "schema", "client list", "client list --json", "db check"])
@pytest.mark.parametrize("redirection", ["> /dev/full", ">&-"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_command_fails_to_write_in_silence_or_with_a_traceback(
    run: RunCommand, execute: RunProgram, command: str, redirection: str
) -> None:
    create(run)
    done = execute(f"gql-secrets {command} {redirection}")
    assert done.returncode in (1, 4)
    assert done.stderr.startswith("gql-secrets: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_full_stderr_does_not_cost_the_secret(run: RunCommand, execute: RunProgram) -> None:
    made = create(run)
    for redirection in ("2> /dev/full", "2>&-"):
        done = execute(f"gql-secrets client reset {made['clientId']} --hours 0 --json {redirection}")
        assert done.returncode == 0
        assert json.loads(done.stdout)["newSecret"].startswith("gqls_")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("target", ["/nowhere/audit.jsonl", "/", "/dev/full"])
def test_an_export_that_cannot_be_written_is_a_sentence(run: RunCommand, target: str) -> None:
    outcome = run("audit", "export", "--output", target)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("gql-secrets: Cannot ")
    assert target in outcome.err


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_import_whose_report_is_lost_says_what_was_imported(
    run: RunCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "clients.json"
    file.write_text(json.dumps([{"client_id": "till", "client_secret": "wt4c3un9wkkcfvykn" + "qx44ync476afs68"}]))
    monkeypatch.setattr(output, "_Stdout", FullDisk)
    outcome = run("client", "import", str(file))
    assert outcome.code == 4
    assert "The import was done: 1 created, 0 unchanged, 0 refused." in outcome.err


# Characters that a terminal acts on.


def test_control_characters_are_never_printed_raw(run: RunCommand) -> None:
    name = "Sh\u202eop\u2066\u200b\u2003"
    made = create(run, name, "--description", "a\nb\u202ec")
    for command in (("show", made["clientId"]), ("list",), ("update", made["clientId"], "--name", f"x{name}")):
        for as_json in ((), ("--json",)):
            outcome = run("client", *command, *as_json)
            assert outcome.code == 0
            assert all(line.isprintable() for line in outcome.out.split("\n"))
            if as_json:
                assert "\u202e" in json.dumps(outcome.data, ensure_ascii=False)
    asked = run("client", "delete", made["clientId"], stdin="n\n")
    assert all(line.isprintable() for line in asked.err.split("\n"))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("run")
def test_a_terminal_without_unicode_gets_escapes(execute: RunProgram) -> None:
    created = execute("PYTHONIOENCODING=ascii gql-secrets client create Größe --json")
    assert (created.returncode, json.loads(created.stdout)["name"]) == (0, "Größe")
    as_text = execute("PYTHONIOENCODING=ascii gql-secrets client create Größe")
    assert as_text.returncode == 0
    assert "secret: gqls_" in as_text.stdout


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_export_of_the_audit_can_be_verified_whatever_stdout_can_show(
    run: RunCommand, execute: RunProgram, tmp_path: Path, encoding: str
) -> None:
    """What Windows redirects to a file is not UTF-8 either."""
    made = create(run)
    assert run("client", "disable", made["clientId"], "--reason", "Größe 😀").code == 0
    file = tmp_path / "audit.jsonl"
    assert execute(f"PYTHONIOENCODING={encoding} gql-secrets audit export > {file}").returncode == 0
    assert "Größe 😀" in file.read_text("utf-8")
    assert run("audit", "verify", "--against", str(file)).code == 0
