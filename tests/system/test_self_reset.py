"""The programs of docs/self-reset.md, killed after every line: the client always has a valid secret, and goes on."""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.pages import page
from support.serving import Serving, serving

MAX_STEPS = 200
# Sourced before the program: kills it, with what it has started, before the command with this number. The count is in a
# file, because subshells have variables of their own.
KILL_BASH = """
set -T
steps=$PWD/steps
: > "$steps"
trap 'printf . >> "$steps"; read -r -d "" count < "$steps" || true
    if [ "${#count}" -eq "$KILL_AT" ]; then kill -9 -- -$$; fi' DEBUG
"""
# Runs the program, and kills it before the line with this number.
KILL_PYTHON = """
import os, runpy, signal, sys
steps, last = 0, int(os.environ["KILL_AT"])
def trace(frame, event, _):
    global steps
    if frame.f_code.co_filename != sys.argv[1]:
        return None
    if event == "line":
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
    return trace
sys.settrace(trace)
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@dataclass(frozen=True, slots=True)
class Workload:
    """A client that resets itself, and the directory in which it keeps its secret."""

    server: Serving
    client_id: str
    state: Path

    @property
    def secret(self) -> str:
        return (self.state / "secret").read_text().strip()

    def is_valid(self, secret: str) -> bool:
        return ask(self.server, "{ viewer { name } }", f"{self.client_id}:{secret}", fails=True) is not None

    def run(self, language: str, kill_at: int = 0) -> int:
        """Run the program of the page; return its exit code, negative if it was killed."""
        folder = self.server.folder
        hooks = {"BASH_ENV": str(folder / "kill.sh")} if language == "bash" else {}
        command = {
            "bash": ["bash", "program.bash"],
            "python": [sys.executable, "kill.py", "program.python"],
        }[language]
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ
            | hooks
            | {"API": self.server.url, "CLIENT_ID": self.client_id, "STATE": str(self.state), "KILL_AT": str(kill_at)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        assert done.returncode <= 0, done.stderr
        assert "gqls_" not in done.stdout + done.stderr
        return done.returncode


def ask(server: Serving, query: str, credentials: str, *, fails: bool = False) -> Any:
    request = urllib.request.Request(  # noqa: S310  the test's own server
        f"{server.url}/graphql",
        json.dumps({"query": query}).encode(),
        {
            "Content-Type": "application/json",
            "Authorization": f"Basic {b64encode(credentials.encode()).decode()}",
        },
    )
    try:
        with urllib.request.urlopen(request) as response:  # noqa: S310
            answer = json.load(response)
    except urllib.error.HTTPError:
        if fails:
            return None
        raise
    assert "errors" not in answer, answer
    return answer["data"]


def resets_of(server: Serving, client_id: str) -> list[str]:
    query = f'{{ auditEvents(clientId: "{client_id}", action: SECRET_RESET) {{ nodes {{ actor }} }} }}'
    return [event["actor"] for event in ask(server, query, server.owner)["auditEvents"]["nodes"]]


def new_workload(server: Serving, name: str) -> Workload:
    created = ask(
        server,
        f'mutation {{ createClient(name: "{name}", selfReset: true) {{ secret client {{ clientId }} }} }}',
        server.owner,
    )["createClient"]
    state = server.folder / name
    state.mkdir(mode=0o700)
    (state / "secret").write_text(created["secret"])
    return Workload(server, created["client"]["clientId"], state)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("self-reset")
    for language in ("bash", "python"):
        [block] = page("docs/self-reset.md").blocks(language)
        (folder / f"program.{language}").write_text(block.text)
    (folder / "kill.sh").write_text(KILL_BASH)
    (folder / "kill.py").write_text(KILL_PYTHON)
    with serving(folder) as started:
        yield started


@pytest.mark.parametrize("language", ["bash", "python"])
def test_a_workload_that_is_killed_after_any_line_loses_nothing(language: str, server: Serving) -> None:
    missing = [name for name in ("bash", "curl", "jq", "flock") if language == "bash" and shutil.which(name) is None]
    assert missing == []
    for kill_at in range(1, MAX_STEPS):
        workload = new_workload(server, f"{language}-{kill_at}")
        before = workload.secret

        code = workload.run(language, kill_at)

        assert workload.is_valid(workload.secret), kill_at  # the application goes on with what is in the file
        if code == 0:  # it ended before the line with this number
            break
        assert workload.run(language) == 0, kill_at
        after = workload.secret
        assert workload.is_valid(after)
        assert workload.is_valid(before)  # for the hours that follow
        assert after != before
        assert resets_of(server, workload.client_id) == [f"api_client:{workload.client_id}"], kill_at
        assert sorted(each.name for each in workload.state.iterdir()) == ["lock", "secret"]
    assert 15 < kill_at < MAX_STEPS - 1


@pytest.mark.parametrize("language", ["bash", "python"])
def test_files_of_the_workload_are_for_its_owner_alone(language: str, server: Serving) -> None:
    workload = new_workload(server, f"{language}-mode")
    assert workload.run(language) == 0
    assert (workload.state / "secret").stat().st_mode & 0o077 == 0
