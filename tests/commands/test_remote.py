"""The command line against a remote server: what is different from acting on the database.

That everything else is the same is what tests with `BOTH_WAYS` show.
"""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from support.audits import events_of
from support.commands import BOTH_WAYS, REMOTELY, FullDisk, RunCommand, ask_services, create
from support.listening import listening

from gql_secrets.commands import output
from gql_secrets.commands.remote import installation
from gql_secrets.commands.remote.connection import Connection
from gql_secrets.domain.errors import Unavailable
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

SECRET = "gqls_" + "x" * 49


@pytest.fixture
def credentials(bare: RunCommand, monkeypatch: pytest.MonkeyPatch) -> RunCommand:
    """Run a command with credentials in the environment, and no installation on this machine."""
    monkeypatch.setenv("GQL_SECRETS_CLIENT_ID", "me")
    monkeypatch.setenv("GQL_SECRETS_CLIENT_SECRET", SECRET)
    return bare


@contextmanager
def answering(status: int, body: str = "", **headers: str) -> Iterator[str]:
    """A server that answers everything in this way."""

    class Handler(BaseHTTPRequestHandler):
        asked: ClassVar[list[str]] = []

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            """Keep stderr for what the command writes."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@REMOTELY
def test_the_audit_names_the_client_that_signed_in(run: RunCommand, settings: Settings) -> None:
    create(run)
    event = ask_services(settings, events_of)[-1]
    assert (event.action, event.actor_kind, event.surface) == ("CLIENT_CREATED", "API_CLIENT", "GRAPHQL")
    assert event.actor.startswith("api_client:")


@BOTH_WAYS
def test_the_export_of_the_audit_is_the_same_and_continues(run: RunCommand, tmp_path: Path) -> None:
    create(run)
    file = tmp_path / "audit.jsonl"
    assert run("audit", "export", "--output", str(file)).code == 0
    create(run)
    assert "Wrote 1 events" in run("audit", "export", "--output", str(file)).err
    exported = run("audit", "export").out
    assert file.read_text() == exported
    revisions = [json.loads(line)["revision"] for line in exported.splitlines()]
    assert revisions == list(range(1, len(revisions) + 1))
    assert run("audit", "export", "--after", str(revisions[-2])).out == exported.splitlines()[-1] + "\n"
    assert run("audit", "verify", "--against", str(file)).code == 0


@REMOTELY
def test_the_cluster_has_the_server_that_was_asked(run: RunCommand) -> None:
    members = run("cluster", "status", "--json").data["members"]
    assert [list(each) for each in members] == [["id", "version", "lease", "lag", "startedAt", "lastSeenAt"]]
    assert run("cluster", "status").out.startswith(members[0]["id"])


@REMOTELY
def test_sessions_are_listed_and_ended(run: RunCommand, settings: Settings) -> None:
    made = run("sign-in-link", "--name", "Ada", "--role", "OPERATOR", "--json").data
    assert (made["name"], made["role"], made["number"] > 0) == ("Ada", "OPERATOR", True)

    async def sign_in(services: Services) -> int:
        return (await services.sessions.sign_in(made["url"].partition("#")[2], address="192.0.2.7")).session_id

    number = ask_services(settings, sign_in)
    listed = run("session", "list", "--json")
    assert listed.data["signInLinks"] is None
    assert "only where the database is" in listed.err
    [session] = listed.data["sessions"]
    assert (session["number"], session["role"], session["address"]) == (number, "OPERATOR", "192.0.2.7")
    assert run("session", "end", str(number), "--json").data == {"session": number, "alreadyEnded": False}
    assert run("session", "end", str(number), "--json").data == {"session": number, "alreadyEnded": True}
    assert "SESSION_NOT_FOUND" in run("session", "end", "4711").err


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--port", "0"),
        ("client", "import", "file"),
        ("db", "check"),
        ("db", "upgrade"),
        ("audit", "verify"),
        ("audit", "accept", "--reason", "x"),
        ("audit", "prune", "--before", "2026-01-01", "--export", "file"),
        ("pepper", "status"),
        ("backup", "file"),
        ("restore", "file"),
        ("restore", "accept", "--as-it-is", "--reason", "x"),
        ("pepper", "migrate"),
        ("session", "end", "--all"),
        ("session", "void-link", "1"),
        ("client", "wait-unused", "x", "--quiet", "1h"),
    ],
)
def test_what_a_server_cannot_do_says_that_it_needs_the_database(
    credentials: RunCommand, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    outcome = credentials("--url", "http://127.0.0.1:1", *arguments)
    assert (outcome.code, outcome.out) == (1, "")
    assert "needs the database" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://secrets.example.com", "http would send the secret to secrets.example.com in cleartext"),
        ("http://127.0.0.1.example.com", "in cleartext"),
        ("ftp://127.0.0.1", "only a scheme and a host"),
        ("https://", "only a scheme and a host"),
        ("https://me@secrets.example.com", "only a scheme and a host"),
        ("https://secrets.example.com/graphql", "only a scheme and a host"),
        ("https://[", "malformed"),
    ],
)
def test_a_secret_is_sent_over_https_or_to_this_machine(credentials: RunCommand, url: str, reason: str) -> None:
    outcome = credentials("--url", url, "client", "list")
    assert (outcome.code, reason in outcome.err) == (1, True), outcome.err


def test_credentials_go_to_no_other_address(credentials: RunCommand) -> None:
    with answering(200, '{"data": {"client": null}}') as other, answering(307, Location=f"{other}/graphql") as url:
        outcome = credentials("--url", url, "client", "show", "x")
    assert (outcome.code, "redirects" in outcome.err) == (1, True)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, "<html>", "answered with status 200, and not as gql-secrets does"),
        (502, "Bad Gateway", "answered with status 502"),
        (404, "[]", "answered with status 404"),
        (404, '{"message": "Not Found"}', "answered with status 404"),
        (200, '{"data": null}', "answered with status 200"),
        (401, '{"errors": ["Sign in."]}', "answered with status 401"),
        (403, '{"errors": {"code": 1}}', "answered with status 403"),
        (503, '{"errors": [{"status": "503"}]}', "answered with status 503"),
    ],
)
def test_an_answer_of_something_else_is_one_sentence(
    credentials: RunCommand, status: int, body: str, reason: str
) -> None:
    with answering(status, body) as url:
        outcome = credentials("--url", url, "client", "show", "x")
    assert (outcome.code, len(outcome.err.splitlines())) == (1, 1)
    assert reason in outcome.err
    assert SECRET not in outcome.err


def test_a_server_that_is_not_there_is_one_sentence_and_exit_code_1(credentials: RunCommand) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    outcome = credentials("--url", f"http://127.0.0.1:{port}", "client", "disable", "x")
    assert (outcome.code, outcome.out, len(outcome.err.splitlines())) == (1, "", 1)
    assert "cannot be reached" in outcome.err


@pytest.mark.parametrize(("client_id", "secret"), [("a:b", SECRET), ("caf\udce9", SECRET), ("me", "gqls_\udce9")])
def test_credentials_that_cannot_be_sent_are_one_sentence(
    bare: RunCommand, monkeypatch: pytest.MonkeyPatch, client_id: str, secret: str
) -> None:
    monkeypatch.setenv("GQL_SECRETS_CLIENT_SECRET", secret)
    outcome = bare("--url", "http://127.0.0.1:1", "--client-id", client_id, "client", "list")
    assert (outcome.code, len(outcome.err.splitlines())) == (1, 1)
    assert client_id not in outcome.err
    assert secret not in outcome.err


@REMOTELY
def test_wrong_credentials_are_one_sentence(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_SECRETS_CLIENT_SECRET", SECRET)
    outcome = run("client", "list")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("gql-secrets: UNAUTHENTICATED: ")
    assert outcome.err.endswith("Check the client id and the secret.\n")


def test_credentials_come_from_a_file_that_only_its_owner_can_read(
    bare: RunCommand, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def create_viewer(services: Services) -> tuple[str, str]:
        owner = services.first_owner
        assert owner is not None
        return owner.client.client_id, owner.secret.reveal()

    client_id, secret = ask_services(settings, create_viewer)
    profile = tmp_path / "profile"
    with listening(settings) as url:
        profile.write_text(f"# ours\nurl={url}\nclient_id = {client_id}\n\nclient_secret={secret}\n")
        profile.chmod(0o640)
        refused = bare("--profile", str(profile), "client", "list")
        assert (refused.code, f"chmod 600 {profile}" in refused.err) == (1, True)
        profile.chmod(0o600)
        assert client_id in bare("--profile", str(profile), "client", "list").out
        # The environment comes before the profile, and the command line first.
        monkeypatch.setenv("GQL_SECRETS_CLIENT_ID", "somebody")
        assert "UNAUTHENTICATED" in bare("--profile", str(profile), "client", "list").err
        assert bare("--profile", str(profile), "--client-id", client_id, "client", "list").code == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--client-id", "me", "client", "list"), "pass --url too"),
        (("--url", "https://x.example", "client", "list"), "the client id is missing"),
        (("--url", "https://x.example", "--client-id", "me", "client", "list"), "the secret is missing"),
        (("--profile", "nowhere", "client", "list"), "Cannot read nowhere"),
        (("--profile", "wrong", "client", "list"), "wrong, line 2: write one each of url=…"),
        (("--profile", "empty", "client", "list"), "empty names no server"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    bare: RunCommand, arguments: tuple[str, ...], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("wrong", "\nsecret=hunter2\n"), ("empty", "")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    outcome = bare(*arguments)
    assert (outcome.code, reason in outcome.err, "hunter2" in outcome.err) == (1, True, False), outcome.err


@pytest.mark.parametrize("option", ["--data-dir", "--database-url"])
@pytest.mark.parametrize("before", [True, False])
def test_a_server_and_a_database_are_not_understood_together(
    credentials: RunCommand, option: str, *, before: bool
) -> None:
    remote, command = ("--url", "http://127.0.0.1:1"), ("client", "list")
    arguments = (*remote, option, "x", *command) if before else (*remote, *command, option, "x")
    outcome = credentials(*arguments)
    assert (outcome.code, "not for a remote server" in outcome.err) == (2, True)


def test_the_credentials_of_the_command_line_are_no_settings_of_a_server() -> None:
    """They may be in the environment of a person who also runs local commands."""
    environment = {"GQL_SECRETS_CLIENT_ID": "me", "GQL_SECRETS_CLIENT_SECRET": SECRET}
    assert Settings.from_environment(environment) == Settings()


@BOTH_WAYS
def test_a_change_whose_output_is_lost_exits_4(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    client_id = create(run)["clientId"]
    with monkeypatch.context() as patched:
        patched.setattr(output, "_Stdout", FullDisk)
        lost = run("client", "reset", client_id, "--hours", "24")
    assert (lost.code, "cannot be shown again" in lost.err) == (4, True)
    assert run("client", "show", client_id, "--json").data["generation"] == 2


@REMOTELY
def test_the_new_secret_of_a_reset_whose_answer_is_lost_is_asked_for_again(
    run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "_SECONDS_BETWEEN_ATTEMPTS", 0.0)
    client_id = create(run)["clientId"]
    query = Connection.query
    lost: list[dict[str, Any]] = []

    async def lose_the_first(self: Connection, document: str, **variables: object) -> dict[str, Any]:
        data = await query(self, document, **variables)
        if "CliResetSecret" in document and not lost:
            lost.append(data)
            raise Unavailable("The connection ended.")
        return data

    monkeypatch.setattr(Connection, "query", lose_the_first)
    outcome = run("client", "reset", client_id, "--hours", "24", "--json")
    assert (outcome.code, outcome.data["replayed"]) == (0, False)
    assert outcome.data["newSecret"] == lost[0]["done"]["newSecret"]
    assert run("client", "show", client_id, "--json").data["generation"] == 2


@REMOTELY
def test_a_change_whose_answer_is_lost_says_that_it_may_have_been_made(
    run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    client_id = create(run)["clientId"]

    async def lose(*_: object, **__: object) -> dict[str, Any]:
        raise Unavailable("The connection ended.")

    monkeypatch.setattr(Connection, "query", lose)
    outcome = run("client", "disable", client_id)
    assert (outcome.code, "Whether the change was made is not known" in outcome.err) == (1, True)


def test_a_reset_that_a_proxy_answers_with_json_of_its_own_is_sent_again(
    credentials: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "_SECONDS_BETWEEN_ATTEMPTS", 0.0)
    sent: list[object] = []
    query = Connection.query

    async def note(self: Connection, document: str, **variables: object) -> dict[str, Any]:
        sent.append(variables["idempotencyKey"])
        return await query(self, document, **variables)

    monkeypatch.setattr(Connection, "query", note)
    with answering(503, '{"message": "no healthy upstream"}') as url:
        outcome = credentials("--url", url, "client", "reset", "x", "--hours", "0", "--yes")
    assert (outcome.code, outcome.out) == (1, "")
    assert "Whether the change was made is not known" in outcome.err
    assert (len(sent), len(set(sent))) == (5, 1)


@REMOTELY
def test_a_change_that_a_pause_refuses_says_why_and_nothing_else(run: RunCommand, settings: Settings) -> None:
    statement = "UPDATE installation SET changes_pause = 'COPIED'"
    ask_services(settings, lambda services: services.database.run_tx(lambda tx: tx.execute(statement)))
    outcome = run("client", "create", "Shop")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("gql-secrets: Changes are paused: the database was copied")
    assert "not known" not in outcome.err


def test_the_documents_of_the_command_line_are_trusted(
    bare: RunCommand, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "trusted.json"
    manifest.write_text("{}")

    async def owner_of(services: Services) -> tuple[str, str]:
        assert services.first_owner is not None
        return services.first_owner.client.client_id, services.first_owner.secret.reveal()

    client_id, secret = ask_services(settings, owner_of)
    monkeypatch.setenv("GQL_SECRETS_CLIENT_SECRET", secret)
    given = {name: getattr(settings, name) for name in ("data_dir", "database_url", "pepper")}
    with listening(Settings(**given, trusted_documents=str(manifest))) as url:
        outcome = bare("--url", url, "--client-id", client_id, "client", "list", "--json")
    assert [each["clientId"] for each in outcome.data] == [client_id]
