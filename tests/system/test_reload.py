"""SIGHUP: a running server reads its settings file again, and goes on even if the file is invalid."""

import hashlib
import http.client
import json
import os
import signal
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from support.serving import SECONDS_TO_START, Serving, serving

QUERY = "query One { viewer { name } }"
OTHER = "query Other { viewer { name } }"


def write(folder: Path, *lines: str) -> None:
    """Replace the settings file, as an editor or a configuration system does."""
    (folder / "new").write_text("".join(f"{line}\n" for line in lines))
    (folder / "new").rename(folder / "settings")


def reload(server: Serving) -> str:
    """Send SIGHUP; return the line about it."""
    before = len(lines_about(server))
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(lines_about(server)) > before)
    return lines_about(server)[-1]


def lines_about(server: Serving) -> list[str]:
    return [line for line in server.stderr.splitlines() if "reloaded" in line]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(server: Serving, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        given = {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
        connection.request(method, path, body, given)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def execute(server: Serving, query: str) -> str:
    owner = b64encode(server.owner.encode()).decode()
    return ask(server, "POST", "/graphql", json.dumps({"query": query}), Authorization=f"Basic {owner}")[1]


def refuse(server: Serving) -> int:
    wrong = b64encode(b"nobody:wrong").decode()
    return ask(server, "POST", "/graphql", json.dumps({"query": QUERY}), Authorization=f"Basic {wrong}")[0]


def requests_of(server: Serving) -> list[str]:
    return [line for line in server.stderr.splitlines() if "message=request" in line]


def test_the_log_level_takes_effect(tmp_path: Path) -> None:
    write(tmp_path, "GQL_SECRETS_LOG_LEVEL=WARNING")
    with serving(tmp_path, settings_file="settings") as server:
        ask(server, "GET", "/livez")
        assert requests_of(server) == []
        write(tmp_path, "# what happens", "", " GQL_SECRETS_LOG_LEVEL = info ")
        assert "changed=GQL_SECRETS_LOG_LEVEL" in reload(server)
        ask(server, "GET", "/livez")
        assert len(requests_of(server)) == 1
        assert server.stop() == 0


def test_the_trusted_proxies_take_effect(tmp_path: Path) -> None:
    write(tmp_path)
    with serving(tmp_path, settings_file="settings") as server:
        for address, line in (("127.0.0.1", None), ("192.0.2.7", "GQL_SECRETS_TRUSTED_PROXIES=127.0.0.1")):
            if line:
                write(tmp_path, line)
                reload(server)
            ask(server, "GET", "/livez", X_Forwarded_For="192.0.2.7")
            assert f"address={address}" in requests_of(server)[-1]


def test_the_limits_take_effect(tmp_path: Path) -> None:
    write(tmp_path, "GQL_SECRETS_LIMIT_FAILURES_PER_CLIENT=1/1h")
    with serving(tmp_path, settings_file="settings") as server:
        assert [refuse(server), refuse(server)] == [401, 429]
        write(tmp_path, "GQL_SECRETS_LIMIT_FAILURES_PER_CLIENT=2/1h")
        reload(server)
        assert [refuse(server), refuse(server), refuse(server)] == [401, 401, 429]
        write(tmp_path, "GQL_SECRETS_RATE_LIMITS=off")
        line = reload(server)
        assert "GQL_SECRETS_RATE_LIMITS, GQL_SECRETS_LIMIT_FAILURES_PER_CLIENT" in line
        assert refuse(server) == 401


def test_the_trusted_documents_are_read_each_time_even_without_a_settings_file(tmp_path: Path) -> None:
    manifest = tmp_path / "trusted.json"

    def trust(*queries: str) -> None:
        manifest.write_text(json.dumps({hashlib.sha256(query.encode()).hexdigest(): query for query in queries}))

    trust(QUERY)
    with serving(tmp_path, trusted_documents=str(manifest)) as server:
        assert '"data":{"viewer"' in execute(server, QUERY)
        assert "not registered" in execute(server, OTHER)
        trust(OTHER)
        reload(server)
        assert '"data":{"viewer"' in execute(server, OTHER)
        assert "not registered" in execute(server, QUERY)
        trust("{ noSuchField }")
        assert "settings_not_reloaded" in reload(server)
        assert '"data":{"viewer"' in execute(server, OTHER)


def test_a_setting_that_needs_a_restart_keeps_its_value_and_is_named_without_it(tmp_path: Path) -> None:
    write(tmp_path)
    with serving(tmp_path, settings_file="settings") as server:
        write(tmp_path, "GQL_SECRETS_QUIET_TIME=2h", "GQL_SECRETS_LOG_LEVEL=DEBUG", f"GQL_SECRETS_PEPPER=k9:{'A' * 43}")
        for changed in ("changed=GQL_SECRETS_LOG_LEVEL ", ""):
            line = reload(server)
            assert "level=WARNING" in line
            assert f'{changed}needs_restart="GQL_SECRETS_PEPPER, GQL_SECRETS_QUIET_TIME"' in line
        assert "k9:" not in server.stderr
        assert ask(server, "GET", "/readyz")[0] == 200


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("GQL_SECRETS_LOG_LEVEL=LOUD", "GQL_SECRETS_LOG_LEVEL must be one of"),
        ("GQL_SECRETS_LOG_LEVL=INFO", "GQL_SECRETS_LOG_LEVL is not a setting."),
        ("gqls_canarycanary", "line 2: write a setting as GQL_SECRETS_NAME=value"),
        ("GQL_SECRETS_TRUSTED_PROXIES=0.0.0.0/0", "would let callers choose their own address"),
        ("GQL_SECRETS_TRUSTED_DOCUMENTS=nowhere.json", "nowhere.json cannot be read"),
        (None, "Cannot read the file of GQL_SECRETS_SETTINGS_FILE"),
    ],
)
def test_a_bad_file_changes_nothing_and_is_one_line(tmp_path: Path, line: str | None, reason: str) -> None:
    write(tmp_path)
    with serving(tmp_path, settings_file="settings") as server:
        if line is None:
            (tmp_path / "settings").unlink()
        else:
            write(tmp_path, "GQL_SECRETS_LIMIT_FAILURES_PER_CLIENT=1/1h", line)
        answer = reload(server)
        assert "level=ERROR" in answer
        assert reason in answer
        assert "canary" not in server.stderr
        assert [refuse(server), refuse(server)] == [401, 401]
        write(tmp_path, "GQL_SECRETS_LIMIT_FAILURES_PER_CLIENT=1/1h")
        assert "message=settings_reloaded" in reload(server)
        assert server.stop() == 0
        assert "Traceback" not in server.stderr


def test_the_environment_takes_precedence_over_the_file(tmp_path: Path) -> None:
    write(tmp_path, "GQL_SECRETS_LIMIT_FAILURES_PER_CLIENT=1/1h")
    with serving(tmp_path, settings_file="settings", limit_failures_per_client="2/1h") as server:
        write(tmp_path, "GQL_SECRETS_LIMIT_FAILURES_PER_CLIENT=3/1h")
        assert "changed" not in reload(server)
        assert [refuse(server), refuse(server), refuse(server)] == [401, 401, 429]


def test_signals_that_would_end_a_process_end_nothing_even_in_a_burst(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        for _ in range(50):
            os.kill(server.process.pid, signal.SIGHUP)
            os.kill(server.process.pid, signal.SIGUSR1)
        wait_until(lambda: bool(lines_about(server)))
        assert ask(server, "GET", "/readyz")[0] == 200
        assert server.stop() == 0
        assert "Traceback" not in server.stderr
