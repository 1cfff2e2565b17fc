"""`gql-secrets serve --workers`: several processes on one port, and one that watches them."""

import http.client
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.databases import PostgresServer
from support.installation import PEPPER
from support.processes import is_running
from support.serving import PROGRAM, SECONDS_TO_START, Serving, environment, start
from support.workers import COUNT, Asking, asking_each, pids, wait_until, workers

CREATE = 'mutation { createClient(name: "Shop") { client { clientId } secret } }'
RESET = "mutation ($id: ID!) { resetSecret(clientId: $id, hoursToLive: 24) { newSecret } }"
REVOKE = "mutation ($id: ID!) { revokeOldSecret(clientId: $id) { revokedSecret { state } effectiveEverywhere } }"
CLUSTER = "{ cluster { members { id } } }"
SECONDS_OF_DELAY = 2


@pytest.fixture(params=["sqlite", "postgres", "memory"])
def database(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The settings of an empty database of each kind."""
    if request.param == "sqlite":
        yield {}
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create()
    verify_from = "memory" if request.param == "memory" else "database"
    yield {"database_url": url, "pepper": PEPPER, "verify_from": verify_from}
    server.drop(url)


def status_of(server: Serving, path: str = "/livez") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def sees_all_workers(asked: Asking) -> bool:
    return len(asked.execute(CLUSTER)["cluster"]["members"]) == COUNT


def stop(server: Serving) -> int:
    """Send SIGTERM and return the exit code, however busy the machine is."""
    server.process.terminate()
    return server.process.wait(SECONDS_TO_START)


class Asker:
    """Asks on new connections, one after the other, and notes what was not answered."""

    def __init__(self, server: Serving) -> None:
        self.answered = 0
        self.failures: list[tuple[float, Exception]] = []
        self._server = server
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.02):
            try:
                status = status_of(self._server)
                if status != HTTPStatus.OK:
                    raise http.client.HTTPException(status)
                self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append((time.monotonic(), error))


@contextmanager
def asking_all_the_time(server: Serving) -> Iterator[Asker]:
    asker = Asker(server)
    try:
        yield asker
    finally:
        asker.stop()


def test_both_workers_answer_and_a_change_on_one_is_followed_by_the_other(
    tmp_path: Path, database: dict[str, str]
) -> None:
    with workers(tmp_path, **database) as server:
        assert server.stdout.count("\nOWNER=") == 1
        assert server.stdout.count("/sign-in#") <= 1
        assert server.stderr.count("listens on") == 1
        with asking_each(server) as both:
            for changing, other in (both, both[::-1]):
                # On a busy machine one may have polled too late, and joins again.
                wait_until(partial(sees_all_workers, changing))
                made = changing.execute(CREATE)["createClient"]
                client_id, old = made["client"]["clientId"], made["secret"]
                assert [each.verify(client_id, old) for each in both] == [200, 200]
                new = changing.execute(RESET, id=client_id)["resetSecret"]["newSecret"]
                assert [other.verify(client_id, each) for each in (old, new)] == [200, 200]
                done = changing.execute(REVOKE, id=client_id)["revokeOldSecret"]
                assert [other.verify(client_id, each) for each in (old, new)] == [401, 200]
                assert done == {"revokedSecret": {"state": "REVOKED"}, "effectiveEverywhere": True}
        assert stop(server) == 0
        assert "Traceback" not in server.stderr
        assert not any(map(is_running, pids(server).values()))


def test_a_worker_that_is_killed_is_started_again_while_the_other_answers(tmp_path: Path) -> None:
    with workers(tmp_path) as server:
        before = pids(server)
        with asking_all_the_time(server) as asker:
            wait_until(lambda: asker.answered > 0)
            os.kill(before["1"], signal.SIGKILL)
            wait_until(lambda: pids(server)["1"] != before["1"])
            with asking_each(server):
                assert pids(server)["2"] == before["2"]
        # Only the request that the killed worker was answering.
        assert len(asker.failures) <= 1, asker.failures
        assert f"message=worker_ended worker=1 pid={before['1']} code=-9 restart_in=0.0" in server.stderr
        assert server.stdout.count("\nOWNER=") == 1


@pytest.mark.parametrize("to_all", [False, True], ids=["to the supervisor", "to every process"])
def test_a_stop_drains_every_worker(tmp_path: Path, *, to_all: bool) -> None:
    """systemd sends SIGTERM to every process of the service, and a terminal Ctrl-C to every process of the group."""
    with workers(tmp_path, drain_delay=f"{SECONDS_OF_DELAY}s") as server:
        known = pids(server)
        with asking_all_the_time(server) as asker:
            wait_until(lambda: asker.answered > 0)
            sent = time.monotonic()
            for pid in known.values() if to_all else ():
                os.kill(pid, signal.SIGTERM)
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: server.stderr.count("message=draining") == COUNT)
            assert server.process.wait(SECONDS_TO_START) == 0
        assert all(at >= sent + SECONDS_OF_DELAY for at, _ in asker.failures)
        with pytest.raises(ConnectionRefusedError):
            status_of(server)
        assert not any(map(is_running, known.values()))
        assert "Traceback" not in server.stderr


def test_a_second_signal_ends_every_process(tmp_path: Path) -> None:
    with workers(tmp_path, drain_delay="5m") as server:
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.stderr.count("message=draining") == COUNT)
        assert status_of(server, "/readyz") == 503
        assert stop(server) == -signal.SIGTERM
        wait_until(lambda: not any(map(is_running, pids(server).values())))


def test_workers_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with workers(tmp_path, drain_delay="5m") as server:
        known = pids(server)
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not any(map(is_running, known.values())))
        with socket.create_server(("127.0.0.1", server.port)):
            pass


def test_sighup_reaches_every_worker_and_those_that_are_started_later(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("GQL_SECRETS_LOG_LEVEL=INFO\n")

    def reloaded(number: int) -> list[str]:
        return re.findall(rf".*message=settings_reloaded .*worker={number}", server.stderr)

    with workers(tmp_path, settings_file="settings") as server:
        for number in (signal.SIGUSR1, signal.SIGUSR1):
            server.process.send_signal(number)
        file.write_text("GQL_SECRETS_LOG_LEVEL=DEBUG\nGQL_SECRETS_QUIET_TIME=2h\n")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: bool(reloaded(1) and reloaded(2)))
        os.kill(pids(server)["1"], signal.SIGKILL)
        wait_until(lambda: len(reloaded(1)) > 1)
        # The later one has the settings that the others run with, too.
        for line in (*reloaded(1), *reloaded(2)):
            assert "changed=GQL_SECRETS_LOG_LEVEL needs_restart=GQL_SECRETS_QUIET_TIME" in line
        assert stop(server) == 0


def test_the_metrics_are_those_of_all_workers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    def read() -> dict[tuple[str, ...], float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}

    accepted = ("gql_secrets_verifications_total", "", "accepted")
    with workers(tmp_path, metrics_port=str(port)) as server:
        client_id, _, secret = server.owner.partition(":")
        with asking_each(server) as both:
            for times, each in zip((2, 3), both, strict=True):
                assert [each.verify(client_id, secret) for _ in range(times)] == [200] * times
            both[0].execute(CREATE)
            created = both[0].execute(CREATE)["createClient"]["client"]["clientId"]
            both[1].execute(RESET, id=created)
            found = read()
            assert found[accepted] == 5
            assert found["gql_secrets_verification_seconds_count",] == 5
            assert found["gql_secrets_rollovers",] == 1
            assert found["gql_secrets_ready",] == 1
            assert found["gql_secrets_worker_restarts_total",] == 0
        before = pids(server)
        os.kill(before["1"], signal.SIGKILL)
        wait_until(lambda: pids(server)["1"] != before["1"])
        assert read()[accepted] == 5
        with asking_each(server) as both:
            assert both[0].verify(client_id, secret) == 200
            found = read()
            assert (found[accepted], found["gql_secrets_worker_restarts_total",]) == (6, 1)
        assert stop(server) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--database-url", "postgres://nobody@127.0.0.1:1/nothing"), "The database cannot be reached"),
        (("--data-dir", "stdout"), "Cannot create the data directory stdout"),
    ],
)
def test_a_start_that_fails_is_one_sentence(tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    process = start(tmp_path, "--port", "0", "--workers", str(COUNT), *arguments, log_level="ERROR")
    assert process.wait(SECONDS_TO_START) == 1
    [line] = (tmp_path / "stderr").read_text().splitlines()
    assert line.startswith("gql-secrets: ")
    assert sentence in line


def test_a_first_start_that_cannot_print_its_credentials_creates_nothing(tmp_path: Path) -> None:
    command = [str(PROGRAM), "serve", "--port", "0", "--workers", str(COUNT)]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment({}), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 1
    assert "gql-secrets: Nothing was done, because the output could not be written" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_server_ends_where_no_worker_can_be_started_again(tmp_path: Path) -> None:
    with workers(tmp_path) as server:
        known = pids(server)
        (tmp_path / ".gql-secrets").chmod(0o777)
        for pid in known.values():
            os.kill(pid, signal.SIGKILL)
        assert server.process.wait(SECONDS_TO_START) == 1
        assert server.stderr.splitlines()[-1].startswith("gql-secrets: No worker runs, and 5 attempts to start one")
        assert not any(map(is_running, pids(server).values()))
