"""The programs of tests/frontends, and what their builds run."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from support.paths import TESTS

HERE: Final = TESTS / "frontends"
_SECONDS: Final = 240


def run(folder: Path, *command: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )


def build(folder: Path, *commands: Sequence[str]) -> None:
    """Run what a frontend's build runs."""
    for command in commands:
        done = run(folder, "node", f"node_modules/.bin/{command[0]}", *command[1:])
        assert done.returncode == 0, done.stdout + done.stderr
