"""`gql-secrets serve`, as a user starts it."""

import asyncio
import contextlib
import errno
import http.client
import json
import re
import signal
import socket
import urllib.request
from base64 import b64encode
from pathlib import Path

import pytest
from support.commands import FullDisk, Outcome, RunCommand, create
from support.installation import PEPPER
from support.serving import SECONDS_TO_STOP, Serving, serving, start, wait_for_url

from gql_secrets.commands import output
from gql_secrets.domain.errors import Unavailable
from gql_secrets.service.history import History
from gql_secrets.settings import Settings


def status(server: Serving, client_id: str, secret: str) -> int:
    token = b64encode(f"{client_id}:{secret}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("GET", "/verify", headers={"Authorization": f"Basic {token}"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_running_server_sees_changes_of_the_command_line_immediately(
    run: RunCommand, settings: Settings, tmp_path: Path
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


def test_the_first_start_creates_everything_and_prints_the_credentials_once(tmp_path: Path) -> None:
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


def test_the_variables_of_a_kubernetes_service_do_not_stop_the_start(tmp_path: Path) -> None:
    with serving(tmp_path, service_host="10.96.4.7", port_8080_tcp="tcp://10.96.4.7:8080") as server:
        assert server.stop() == 0
        [line] = [line for line in server.stderr.splitlines() if "service_links_ignored" in line]
    assert "GQL_SECRETS_SERVICE_HOST, GQL_SECRETS_PORT_8080_TCP" in line


def test_a_first_start_whose_output_is_lost_says_how_to_get_a_secret(
    bare: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(output, "_Stdout", FullDisk)
        lost = bare("serve", "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert lost.code == 4
    found = re.search(r"gql-secrets (client reset \S+ --hours 0 --yes)", lost.err)
    assert found is not None
    again = bare(*found[1].split(), "--data-dir", str(tmp_path / "data"))
    assert (again.code, "newSecret: gqls_" in again.out) == (0, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_stops_on_a_signal(tmp_path: Path, number: int) -> None:
    with serving(tmp_path) as server, socket.create_connection(("127.0.0.1", server.port)) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\n")  # an unfinished request does not keep it
        assert server.stop(number) == 0
        assert "Traceback" not in server.stderr


def test_a_first_start_that_fails_later_has_shown_the_secret_of_its_owner(
    bare: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start has an owner, and shows none."""

    async def fail(_: History) -> None:
        raise Unavailable

    data_dir = str(tmp_path / "data")
    with monkeypatch.context() as trouble:
        trouble.setattr(History, "open", fail)
        failed = bare("serve", "--port", "0", "--data-dir", data_dir)
    assert (failed.code, "The database is unavailable" in failed.err) == (1, True)
    [owner] = bare("client", "list", "--json", "--data-dir", data_dir).data
    assert f"client id  {owner['clientId']}\n  secret     gqls_" in failed.out


def test_a_system_that_allows_no_more_processes_is_a_sentence(
    bare: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    outcome = bare("serve", "--port", "0", "--workers", "2", "--data-dir", str(tmp_path / "data"))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "gql-secrets: A worker cannot be started: Resource temporarily unavailable.\n"


def test_a_port_in_use_is_a_sentence_and_creates_nothing(
    bare: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        (("--host", "192.0.2.1", "--insecure"), "Cannot listen on 192.0.2.1: it is not an address of this machine"),
        (("--host", "no.such.host.invalid", "--insecure"), "Cannot listen on no.such.host.invalid"),
        (("--host", "127..0.0.1", "--insecure"), "Cannot listen on 127..0.0.1: it is not the name of a host"),
        (("--host", "192.0.2.1"), "pass --insecure"),
        (("--data-dir", "file"), "Cannot create the data directory file"),
        (("--database-url", "mysql://x"), "sqlite:/// or postgres://"),
        (("--database-url", "postgres://nobody@127.0.0.1:1/nothing"), "The database cannot be reached"),
    ],
)
def test_a_start_that_fails_is_one_sentence(
    bare: RunCommand,
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


def test_an_audit_archive_that_cannot_be_written_to_stops_the_start_and_creates_nothing(
    bare: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GQL_SECRETS_AUDIT_ARCHIVE", "missing")
    assert bare("serve", "--port", "0") == Outcome(
        1,
        "",
        "gql-secrets: GQL_SECRETS_AUDIT_ARCHIVE: cannot write to missing: No such file or directory. Give a directory "
        "that exists and that this user can write to.\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_localhost_listens_on_all_its_addresses(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "localhost") as server:
        for family, _, _, _, address in set(socket.getaddrinfo("localhost", server.port, type=socket.SOCK_STREAM)):
            if is_there(family, address[0]):
                socket.create_connection((str(address[0]), server.port), timeout=30).close()


def is_there(family: int, host: str | int) -> bool:
    with contextlib.suppress(OSError), socket.socket(family) as probe:
        probe.bind((host, 0))
        return True
    return False


def test_four_simultaneous_first_starts_create_one_owner(tmp_path: Path, postgres_url: str) -> None:
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
            process.wait(SECONDS_TO_STOP)


def test_the_content_of_a_malformed_request_is_not_logged(tmp_path: Path) -> None:
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
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
                connection.sendall(head.encode())
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
        assert server.stop() == 0
        log = server.stderr
    assert canary not in log
    assert all(re.match(r"at=\S+ level=[A-Z]+ logger=\S+ message=", line) for line in log.splitlines()[1:])


def test_metrics_are_served_on_a_port_of_their_own(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with serving(tmp_path, metrics_port=str(port)) as server:
        client_id, _, secret = server.owner.partition(":")
        assert status(server, client_id, secret) == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        assert 'gql_secrets_verifications_total{reason="",verdict="accepted"} 1.0' in text
        assert server.stop() == 0


def test_a_port_of_metrics_in_use_stops_the_start(
    bare: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("GQL_SECRETS_METRICS_PORT", str(port))
        outcome = bare("serve", "--port", "0")
    assert (outcome.code, list(tmp_path.iterdir())) == (1, [])
    assert outcome.err.startswith(f"gql-secrets: GQL_SECRETS_METRICS_PORT: Port {port} on 127.0.0.1 is in use.")


def test_another_failure_is_not_blamed_on_the_port_of_the_metrics(
    bare: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setenv("GQL_SECRETS_METRICS_PORT", str(port))
    outcome = bare("serve", "--port", "0", "--data-dir", str(tmp_path / "file"))
    assert outcome.code == 1
    assert outcome.err.startswith("gql-secrets: Cannot create the data directory")


def test_the_log_is_json_where_the_setting_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, log_format="json") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200
        connection.close()
        assert server.stop() == 0
        lines = [json.loads(line) for line in server.stderr.splitlines() if line.startswith("{")]
    assert any(line["message"] == "request" and line["path"] == "/livez" for line in lines)
