"""What the README shows, runs: its commands against a real server, its table against the settings."""

import dataclasses
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.paths import ROOT
from support.serving import PROGRAM, serving
from typer.testing import CliRunner

from gql_secrets.cli import app
from gql_secrets.domain.durations import written_duration
from gql_secrets.settings import Settings

README = (ROOT / "README.md").read_text()
SHORTENED = re.compile(r"[\w.:-]*…[\w.:-]*")
# Where the value of a variable comes from that the reader copies out of the last answer.
COPIED = {
    "CLIENT_ID": r'"clientId":"([^"]+)"',
    "OLD_SECRET": r'"secret":"([^"]+)"',
    "NEW_SECRET": r'"newSecret":"([^"]+)"',
}


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """A command and what the README shows of its answer."""

    command: str
    lines: tuple[str, ...]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(heading: str) -> str:
    return re.split(rf"^## {heading}$", README, flags=re.MULTILINE)[1].partition("\n## ")[0]


def commands(text: str) -> Iterator[Shown]:
    for block in blocks("console", text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.splitlines()
            yield Shown(command, tuple(lines))


def is_shown(line: str, told: str) -> bool:
    """Whether the answer's line is the README's, whose `…` stand for the rest of a value."""
    pattern = "".join(
        re.escape(piece) if number % 2 == 0 else r"[^\s\"]+"
        for number, piece in enumerate(re.split(rf"({SHORTENED.pattern})", line))
    )
    return re.fullmatch(pattern, told.rstrip()) is not None


def test_the_two_commands_stand_alone() -> None:
    assert blocks("sh")[0] == "pip install uv && uv run gql-secrets serve\n"
    assert README.index("```") == README.index("```sh\npip install uv && uv run gql-secrets serve")
    tests = section("Tests")
    assert blocks("sh", tests)[0] == "pip install uv && uv run --group test pytest\n"
    assert tests.index("```") == tests.index("```sh")


def test_what_the_readme_shows_runs(tmp_path: Path) -> None:
    """All its console blocks, in their order, in the directory where the server was started."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GQL_SECRETS_")},
        "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
    }
    run = 0
    with serving(tmp_path) as server:
        variables = {"OWNER": server.owner, "API": server.url}
        told = ""
        for shown in commands(README):
            if assignment := re.fullmatch(r"([A-Z_]+)=\S+", shown.command):
                name = assignment[1]
                if name not in variables:
                    [variables[name]] = re.findall(COPIED[name], told)
                continue
            done = subprocess.run(
                ["bash", "-c", shown.command],
                cwd=tmp_path,
                env=environment | variables,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            told = done.stdout
            assert done.returncode == 0, (shown.command, done.stderr)
            rest = iter(told.splitlines())
            for line in shown.lines:
                assert any(is_shown(line, each) for each in rest), (shown.command, line, told)
            run += 1
    assert run >= 10
    assert (tmp_path / "backup.db").stat().st_size > 0


def test_the_banner_and_the_readme_show_the_same_rollover(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        printed = server.stdout
    for shown in commands(section("The first rollover")):
        if shown.command.startswith("curl") and "320" not in shown.command:
            assert f"\n{shown.command}\n" in printed


def test_the_settings_table_names_every_setting_and_its_default() -> None:
    rows = re.findall(r"^\| `GQL_SECRETS_(\w+)` \| (?:`([^`]*)`)? ?\|", section("Settings"), re.MULTILINE)
    fields = {field.name.upper(): field.default for field in dataclasses.fields(Settings) if field.name != "insecure"}
    assert {name for name, _ in rows} == set(fields)
    for name, told in rows:
        default = fields[name]
        assert told == (written_duration(default) if isinstance(default, timedelta) else str(default)), name


@pytest.mark.parametrize("path", re.findall(r"\]\(([A-Za-z][\w./-]*)\)", README))
def test_what_the_readme_links_to_is_there(path: str) -> None:
    assert (ROOT / path).is_file()


def test_the_table_of_commands_is_complete() -> None:
    table = re.search(r"^\| command .*?(?=^$)", section("The command line"), re.MULTILINE | re.DOTALL)
    assert table is not None
    first_cells = "\n".join(re.findall(r"^\| (`.*?) \| ", table[0], re.MULTILINE))
    named = set(re.findall(r"`((?:(?:client|db|audit) )?[a-z-]+)", first_cells))
    parts = ("client", "db", "audit")
    assert named == (commands_of() - {*parts}) | {f"{part} {name}" for part in parts for name in commands_of(part)}


def commands_of(*part: str) -> set[str]:
    told = CliRunner().invoke(app, [*part, "--help"]).output
    return set(re.findall(r"^  ([a-z-]+)  ", told.partition("Commands:")[2], re.MULTILINE))


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"].values()
    texts = [*project["project"]["dependencies"], *(text for group in groups for text in group)]
    named = {re.split(r"[^\w.-]", text)[0] for text in texts}
    pinned = {text.partition("==")[0] for text in project["tool"]["uv"]["constraint-dependencies"]}
    assert named <= pinned, "run bash .ci/refresh-pins"
