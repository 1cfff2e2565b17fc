"""The command line: every command does, says and refuses what it should, on both databases, beside a running server."""

import contextlib
import getpass
import http.client
import io
import json
import logging
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLObjectType, build_schema
from support.callers import ADMIN, DAY, is_good
from support.databases import apart
from support.installation import PEPPER
from support.paths import ROOT
from support.serving import PROGRAM, Serving, environment, serving, start, wait_for_url

from gql_secrets.cli import main
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services, open_services


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def _the_process_stays_as_it_was() -> Iterator[None]:
    """A command sets up the whole process: its log, its umask."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in logging.root.manager.loggerDict)]
    levels = {logger: logger.level for logger in loggers}
    handlers, umask = logging.getLogger().handlers[:], os.umask(0o022)
    with warnings.catch_warnings():
        yield
    os.umask(umask)
    logging.captureWarnings(capture=False)
    logging.getLogger().handlers[:] = handlers
    for name in logging.root.manager.loggerDict:
        logger = logging.getLogger(name)
        logger.setLevel(levels.get(logger, logging.NOTSET))
    logging.getLogger().setLevel(levels[logging.getLogger()])


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command in this process; no setting stands in the environment."""
    for name in [name for name in os.environ if name.startswith("GQL_SECRETS_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, stdin: str = "") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        captured = capsys.readouterr()
        return Outcome(int(exited.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def run(bare: Callable[..., Outcome], settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run a command on an installation that has one owner."""
    monkeypatch.setenv("GQL_SECRETS_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("GQL_SECRETS_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("GQL_SECRETS_PEPPER", PEPPER)
    asked(settings, lambda _: _nothing())
    return bare


async def _nothing() -> None:
    return None


def asked(settings: Settings, work: Callable[[Services], Any]) -> Any:
    """What the services answer, opened beside the command line."""

    async def ask() -> Any:
        services = await open_services(settings)
        try:
            return await work(services)
        finally:
            await services.close()

    return apart(ask())


def good(settings: Settings, client_id: str, *secrets: str) -> list[bool]:
    async def work(services: Services) -> list[bool]:
        return [await is_good(services, client_id, secret) for secret in secrets]

    return list(asked(settings, work))


def create(run: Callable[..., Outcome], name: str = "Shop", *arguments: str) -> dict[str, str]:
    outcome = run("client", "create", name, *arguments, "--json")
    assert outcome.code == 0, outcome.err
    return dict(outcome.data)


def owner_of(run: Callable[..., Outcome]) -> str:
    [owner] = run("client", "list", "--search", "First owner", "--json").data
    return str(owner["clientId"])


def revision(run: Callable[..., Outcome]) -> int:
    return int(run("db", "check", "--json").data["revision"])


# Data and prose.


def test_create_prints_the_secret_on_stdout_and_the_prose_on_stderr(
    run: Callable[..., Outcome], settings: Settings
) -> None:
    outcome = run("client", "create", "Shop")

    values = dict(line.split(": ", 1) for line in outcome.out.splitlines())
    assert (outcome.code, list(values)) == (0, ["clientId", "name", "secret"])
    assert values["name"] == "Shop"
    assert "gqls_" not in outcome.err
    assert good(settings, values["clientId"], values["secret"]) == [True]


def test_the_first_rollover(run: Callable[..., Outcome], settings: Settings) -> None:
    made = create(run)

    reset = run("client", "reset", made["clientId"], "--hours", "24", "--json")
    assert reset.code == 0
    assert reset.data["oldSecretExpiresAt"] in reset.err
    assert reset.data["oldSecret"]["state"] == "RETAINED"
    assert good(settings, made["clientId"], made["secret"], reset.data["newSecret"]) == [True, True]

    revoked = run("client", "revoke-old", made["clientId"], "--json")
    assert revoked.data["revokedSecret"]["endReason"] == "REVOKED"
    assert good(settings, made["clientId"], made["secret"], reset.data["newSecret"]) == [False, True]

    again = run("client", "revoke-old", made["clientId"], "--json")
    assert (again.code, again.data["alreadyEnded"]) == (0, True)


def test_a_hard_reset_ends_the_old_secret_now(run: Callable[..., Outcome], settings: Settings) -> None:
    made = create(run)
    reset = run("client", "reset", made["clientId"], "--hours", "0", "--json")
    assert (reset.data["oldSecretExpiresAt"], reset.data["oldSecret"]) == (None, None)
    assert good(settings, made["clientId"], made["secret"], reset.data["newSecret"]) == [False, True]


def test_a_second_reset_is_refused_until_it_is_told_to_go_on(run: Callable[..., Outcome], settings: Settings) -> None:
    made = create(run)
    first = run("client", "reset", made["clientId"], "--hours", "24", "--json").data
    assert good(settings, made["clientId"], first["newSecret"]) == [True]  # somebody uses it

    refused = run("client", "reset", made["clientId"], "--hours", "24", "--json")
    assert (refused.code, refused.out) == (1, "")
    assert "ROLLOVER_IN_PROGRESS" in refused.err
    assert "--end-active-rollover" in refused.err

    went_on = run("client", "reset", made["clientId"], "--hours", "24", "--end-active-rollover", "--json").data
    assert went_on["displacedSecret"]["endReason"] == "DISPLACED"
    secrets = (made["secret"], first["newSecret"], went_on["newSecret"])
    assert good(settings, made["clientId"], *secrets) == [False, True, True]


def test_a_retry_with_the_same_key_shows_the_same_secret(run: Callable[..., Outcome]) -> None:
    made = create(run)
    arguments = ("client", "reset", made["clientId"], "--hours", "24", "--idempotency-key", "k" * 16, "--json")
    first, second = run(*arguments).data, run(*arguments).data
    assert first["newSecret"] == second["newSecret"]
    assert (first["replayed"], second["replayed"]) == (False, True)


def test_retention_and_cancel(run: Callable[..., Outcome], settings: Settings) -> None:
    made = create(run)
    reset = run("client", "reset", made["clientId"], "--hours", "1", "--json").data

    changed = run("client", "change-retention", made["clientId"], "--hours", "168", "--json").data
    assert changed["clamped"] is True
    assert changed["oldSecretExpiresAt"] > reset["oldSecretExpiresAt"]

    cancelled = run("client", "cancel-rollover", made["clientId"], "--json").data
    assert cancelled["withdrawnSecret"]["endReason"] == "CANCELLED"
    assert good(settings, made["clientId"], made["secret"], reset["newSecret"]) == [True, False]


def test_disable_enable_update_delete(run: Callable[..., Outcome], settings: Settings) -> None:
    made = create(run, "Shop", "--feature", "viewer", "--description", "first", "--allow", "192.0.2.0/24")

    assert run("client", "disable", made["clientId"], "--json").data == {"clientId": made["clientId"], "enabled": False}
    assert run("client", "enable", made["clientId"], "--json").data == {"clientId": made["clientId"], "enabled": True}

    shown = run("client", "show", made["clientId"], "--json").data
    assert (shown["features"], shown["allowList"], shown["description"]) == (["viewer"], ["192.0.2.0/24"], "first")

    edited = run(
        "client", "update", made["clientId"], "--name", "Store", "--feature", "", "--allow", "::/0", "--json"
    ).data
    assert (edited["name"], edited["features"], edited["allowList"]) == ("Store", [], ["::/0"])
    assert edited["description"] == "first"

    gone = run("client", "delete", made["clientId"], "--yes", "--json")
    assert gone.data == {"deletedClientId": made["clientId"]}
    assert good(settings, made["clientId"], made["secret"]) == [False]
    assert run("client", "show", made["clientId"]).code == 1


def test_show_in_words_names_every_field_and_no_secret(run: Callable[..., Outcome]) -> None:
    made = create(run)
    run("client", "reset", made["clientId"], "--hours", "24")
    shown = run("client", "show", made["clientId"])
    as_json = run("client", "show", made["clientId"], "--json").data
    assert [line.partition(": ")[0] for line in shown.out.splitlines()] == list(as_json)
    assert "gqls_" not in shown.out
    assert "state=RETAINED" in shown.out


def test_keys_are_the_field_names_of_the_schema(run: Callable[..., Outcome]) -> None:
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


# Lists.


def test_list_pages_through_all_clients_newest_first(run: Callable[..., Outcome], settings: Settings) -> None:
    async def make(services: Services) -> list[str]:
        made = [await services.clients.create_client(f"Shop {number}", by=ADMIN) for number in range(230)]
        for each in made[:3]:
            await services.rotation.reset_secret(each.client.client_id, DAY, by=ADMIN)
        return [each.client.client_id for each in made]

    ids = asked(settings, make)
    owner = owner_of(run)

    listed = run("client", "list", "--json").data
    assert [client["clientId"] for client in listed] == [*reversed(ids), owner]

    in_words = run("client", "list")
    assert [line.split()[0] for line in in_words.out.splitlines()] == [*reversed(ids), owner]
    assert in_words.err.startswith("CLIENT ID")

    found = run("client", "list", "--search", "SHOP 22", "--json").data
    assert {client["name"] for client in found} == {"Shop 22", *(f"Shop {number}" for number in range(220, 230))}

    running = run("client", "list", "--in-rollover", "--json").data
    assert [client["clientId"] for client in running] == ids[2::-1]
    assert all(client["oldSecret"]["state"] == "RETAINED" for client in running)
    assert len(run("client", "list", "--not-in-rollover", "--json").data) == 228


def test_an_empty_list_is_an_empty_list(run: Callable[..., Outcome]) -> None:
    assert run("client", "list", "--search", "nobody", "--json").data == []
    outcome = run("client", "list", "--search", "nobody")
    assert (outcome.code, outcome.out) == (0, "")


def test_revoke_all_ends_every_old_secret_and_no_current_one(run: Callable[..., Outcome], settings: Settings) -> None:
    made = [create(run, f"Shop {number}") for number in range(3)]
    new = [run("client", "reset", each["clientId"], "--hours", "24", "--json").data["newSecret"] for each in made]

    ended = run("client", "revoke-old", "--all", "--json")
    assert {each["clientId"] for each in ended.data} == {each["clientId"] for each in made}
    for each, secret in zip(made, new, strict=True):
        assert good(settings, each["clientId"], each["secret"], secret) == [False, True]
    assert run("client", "revoke-old", "--all").out == ""


# What is refused.


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("create", " "), "INVALID_NAME"),
        (("create", "Shop", "--feature", "king"), "INVALID_FEATURE"),
        (("create", "Shop", "--allow", "here"), "INVALID_ALLOW_LIST"),
        (("create", "Shop", "--description", "\x00"), "INVALID_DESCRIPTION"),
        (("show", "nobody"), "CLIENT_NOT_FOUND"),
        (("update", "nobody", "--name", "x"), "CLIENT_NOT_FOUND"),
        (("reset", "nobody", "--hours", "24"), "CLIENT_NOT_FOUND"),
        (("reset", "nobody", "--hours", "320"), "INVALID_HOURS_TO_LIVE"),
        (("reset", "nobody", "--hours", "-1"), "INVALID_HOURS_TO_LIVE"),
        (("reset", "CLIENT", "--hours", "24", "--if-generation", "7"), "CONFLICT"),
        (("reset", "CLIENT", "--hours", "24", "--idempotency-key", "short"), "INVALID_IDEMPOTENCY_KEY"),
        (("revoke-old", "nobody"), "CLIENT_NOT_FOUND"),
        (("change-retention", "CLIENT", "--hours", "24"), "NO_ROLLOVER"),
        (("change-retention", "CLIENT", "--hours", "0"), "INVALID_HOURS_TO_LIVE"),
        (("cancel-rollover", "CLIENT"), "NO_ROLLOVER"),
        (("enable", "nobody"), "CLIENT_NOT_FOUND"),
        (("disable", "OWNER"), "LAST_OWNER"),
        (("delete", "OWNER", "--yes"), "LAST_OWNER"),
        (("delete", "nobody"), "CLIENT_NOT_FOUND"),
        (("update", "OWNER", "--feature", "viewer"), "LAST_OWNER"),
    ],
)
def test_a_refusal_is_a_sentence_on_stderr_and_changes_nothing(
    run: Callable[..., Outcome], arguments: tuple[str, ...], code: str
) -> None:
    named = {"CLIENT": create(run)["clientId"], "OWNER": owner_of(run)}
    before = revision(run)

    outcome = run("client", *(named.get(each, each) for each in arguments), "--json")

    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"gql-secrets: {code}: ")
    assert outcome.err.rstrip().endswith(".")
    assert revision(run) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("client", "reset", "nobody"),
        ("client", "reset", "nobody", "--hours", "1.5"),
        ("client", "revoke-old"),
        ("client", "revoke-old", "nobody", "--all"),
        ("client", "no-such-command"),
        ("--no-such-option",),
    ],
)
def test_what_is_not_understood_exits_2(run: Callable[..., Outcome], arguments: tuple[str, ...]) -> None:
    outcome = run(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Error: " in outcome.err


@pytest.mark.parametrize("stdin", ["n\n", "\n", ""])
def test_the_reset_of_an_owner_asks_first(run: Callable[..., Outcome], stdin: str) -> None:
    owner, before = owner_of(run), revision(run)

    refused = run("client", "reset", owner, "--hours", "24", stdin=stdin)
    assert (refused.code, refused.out) == (1, "")
    assert "This client administers gql-secrets: have the new secret in place before the old one ends." in refused.err
    assert "--yes" in refused.err
    assert revision(run) == before

    assert "newSecret: gqls_" in run("client", "reset", owner, "--hours", "24", stdin="y\n").out
    assert "newSecret: gqls_" in run("client", "reset", owner, "--hours", "24", "--yes").out


def test_delete_asks_first(run: Callable[..., Outcome]) -> None:
    made = create(run)
    assert run("client", "delete", made["clientId"], stdin="n\n").code == 1
    assert run("client", "show", made["clientId"]).code == 0
    assert run("client", "delete", made["clientId"], stdin="y\n").code == 0
    assert run("client", "show", made["clientId"]).code == 1


def test_the_audit_names_the_systems_user(
    run: Callable[..., Outcome], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    made = create(run)

    async def read(services: Services) -> tuple[str, str, str]:
        [row] = await services.database.fetch(
            "SELECT actor, actor_kind, surface FROM audit_event WHERE client_id = ?", [made["clientId"]]
        )
        return row["actor"], row["actor_kind"], row["surface"]

    monkeypatch.delenv("LOGNAME")
    assert asked(settings, read) == (f"cli:{getpass.getuser()}", "CLI", "CLI")


# Which installation.


def test_the_options_stand_before_or_after_the_command_and_the_nearer_one_counts(
    bare: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_a_mistyped_directory_makes_no_database(bare: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = bare("client", "list", "--data-dir", str(tmp_path / "nowhere"))
    assert (outcome.code, outcome.out) == (1, "")
    assert "There is no database at" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_setting_is_refused(bare: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_SECRETS_PASWORD", "x")
    outcome = bare("client", "list")
    assert outcome.code == 1
    assert "GQL_SECRETS_PASWORD is not a setting" in outcome.err


@pytest.mark.parametrize("command", [("client", "list"), ("serve", "--port", "0")])
def test_a_file_that_is_no_database_is_named_and_nothing_hangs(command: tuple[str, ...], tmp_path: Path) -> None:
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
    assert "cannot be opened as a database" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1


# db and schema.


def test_upgrade_makes_a_private_database_and_check_finds_it_sound(
    bare: Callable[..., Outcome], tmp_path: Path
) -> None:
    directory = tmp_path / "new"
    first = bare("db", "upgrade", "--data-dir", str(directory), "--json")
    assert first.data["applied"][0] == "0001_initial"
    assert bare("db", "upgrade", "--data-dir", str(directory), "--json").data == {"applied": []}

    checked = bare("db", "check", "--data-dir", str(directory), "--json")
    assert (checked.code, checked.data["damage"]) == (0, [])
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


def test_check_refuses_a_database_that_is_not_migrated(bare: Callable[..., Outcome], tmp_path: Path) -> None:
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
        ("DELETE FROM audit_event", "audit events missing: 1"),
        ("UPDATE client SET deleted_at = 1", "deleted clients with a living secret: 1"),
    ],
)
def test_check_names_the_damage(run: Callable[..., Outcome], settings: Settings, statement: str, damage: str) -> None:
    asked(settings, lambda services: services.database.run_tx(lambda tx: tx.execute(statement)))
    outcome = run("db", "check", "--json")
    assert outcome.code == 1
    assert damage in outcome.data["damage"]


def test_another_pepper_is_refused(run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_SECRETS_PEPPER", "test:" + b64encode(bytes(range(32)), b"-_").decode())
    for command in (("client", "list"), ("db", "check")):
        outcome = run(*command)
        assert outcome.code == 1
        assert "pepper" in outcome.err


def test_schema_prints_the_contract(bare: Callable[..., Outcome]) -> None:
    outcome = bare("schema")
    assert (outcome.code, outcome.out) == (0, (ROOT / "schema.graphql").read_text())


def test_every_command_explains_itself(bare: Callable[..., Outcome]) -> None:
    commands = re.findall(r"^  ([a-z-]+) ", bare("client", "--help").out.partition("Commands:")[2], re.MULTILINE)
    assert {"create", "list", "show", "reset", "revoke-old", "change-retention", "cancel-rollover"} <= set(commands)
    for command in commands:
        outcome = bare("client", command, "--help")
        assert outcome.code == 0
        assert "--data-dir" in outcome.out


# The server.


def status(server: Serving, client_id: str, secret: str) -> int:
    token = b64encode(f"{client_id}:{secret}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", "/verify", headers={"Authorization": f"Basic {token}"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_command_line_changes_what_a_running_server_says_at_once(
    run: Callable[..., Outcome], settings: Settings, tmp_path: Path
) -> None:
    given = {"data_dir": str(settings.data_dir), "database_url": settings.database_url, "pepper": PEPPER}
    with serving(tmp_path, **given) as server:
        made = create(run)
        assert status(server, made["clientId"], made["secret"]) == 200
        new = run("client", "reset", made["clientId"], "--hours", "24", "--json").data["newSecret"]
        assert [status(server, made["clientId"], each) for each in (made["secret"], new)] == [200, 200]
        run("client", "revoke-old", made["clientId"])
        assert [status(server, made["clientId"], each) for each in (made["secret"], new)] == [401, 200]
        run("client", "disable", made["clientId"])
        assert status(server, made["clientId"], new) == 401


def test_the_first_start_sets_everything_up_and_says_it_once(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        client_id, _, secret = server.owner.partition(":")
        assert status(server, client_id, secret) == 200
        assert secret not in server.stderr
        assert server.stdout.count("\ncurl -sw ") == 3
        assert f"API={server.url}\n" in server.stdout
        assert server.stop() == 0
    data = tmp_path / ".gql-secrets"
    assert data.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in data.iterdir()} == {0o600}
    assert {"gql-secrets.db", "pepper.keys"} <= {path.name for path in data.iterdir()}

    with serving(tmp_path) as server:
        assert server.stdout == ""
        assert status(server, client_id, secret) == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_stops_when_it_is_told_to(tmp_path: Path, number: int) -> None:
    with serving(tmp_path) as server, socket.create_connection(("127.0.0.1", server.port)) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\n")  # an unfinished request does not keep it
        assert server.stop(number) == 0
        assert "Traceback" not in server.stderr


def test_a_port_in_use_is_a_sentence_and_makes_nothing(
    bare: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner made by a start that failed would have a secret that nobody has seen."""
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = bare("serve", "--port", str(port))
    assert outcome == Outcome(
        1,
        "",
        f"gql-secrets: Port {port} on 127.0.0.1 is in use. Stop the other program, or choose another --port.\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--host", "192.0.2.1", "--insecure"), "192.0.2.1 is no address of this machine"),
        (("--host", "no.such.host.invalid", "--insecure"), "no.such.host.invalid is no address of this machine"),
        (("--host", "192.0.2.1"), "say --insecure"),
        (("--data-dir", "file"), "The data directory file cannot be made"),
        (("--database-url", "mysql://x"), "sqlite:/// or postgres://"),
        (("--database-url", "postgres://nobody@127.0.0.1:1/nothing"), "The database cannot be reached"),
    ],
)
def test_a_start_that_cannot_be_is_a_sentence(
    bare: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    outcome = bare("serve", "--port", "0", *arguments)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("gql-secrets: ")
    assert sentence in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_localhost_listens_on_every_address_it_has(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "localhost") as server:
        for family, _, _, _, address in set(socket.getaddrinfo("localhost", server.port, type=socket.SOCK_STREAM)):
            if is_there(family, address[0]):
                socket.create_connection((str(address[0]), server.port), timeout=5).close()


def is_there(family: int, host: str | int) -> bool:
    with contextlib.suppress(OSError), socket.socket(family) as probe:
        probe.bind((host, 0))
        return True
    return False


def test_four_first_starts_at_once_make_one_owner(tmp_path: Path, postgres_url: str) -> None:
    folders = [tmp_path / str(number) for number in range(4)]
    for folder in folders:
        folder.mkdir()
    processes = [start(folder, "--port", "0", database_url=postgres_url, pepper=PEPPER) for folder in folders]
    try:
        for process, folder in zip(processes, folders, strict=True):
            wait_for_url(process, folder)
        assert sum("OWNER=" in (folder / "stdout").read_text() for folder in folders) == 1
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


def test_what_a_malformed_request_says_stands_in_no_log(tmp_path: Path) -> None:
    """aiohttp's own logger writes the head that it could not read, `Authorization` included, and the request line."""
    canary = "Q2FuYXJ5" * 4
    heads = [
        f"GET /{canary} HTTP/9.9\r\nAuthorization: Basic {canary}\r\n\r\n",
        f"GET / HTTP/1.1\r\nAuthorization Basic {canary}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {canary}\x00\r\n\r\n",
        f"{canary} {canary} {canary}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nX-Long: {canary * 500}\r\n\r\n",
        f"POST /graphql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{canary}\r\n\r\n",
        f"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: {canary}\r\n\r\n",
        f"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 32\r\n\r\n{canary}",
    ]
    with serving(tmp_path, log_level="DEBUG") as server:
        for head in heads:
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
                connection.sendall(head.encode())
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
        assert server.stop() == 0
        log = server.stderr
    assert canary not in log
    assert all(re.match(r"at=\S+ level=[A-Z]+ logger=\S+ message=", line) for line in log.splitlines()[1:])
