"""A real `gql-secrets serve` for tests, as a user starts it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("gql-secrets")
SECONDS_TO_START = 180  # on a machine that is busy with other things
SECONDS_TO_STOP = 60


def environment(settings: Mapping[str, str], source: Path | None = None) -> dict[str, str]:
    """The machine's environment with these settings of gql-secrets, and no others.

    Args:
        settings: their names without the prefix, in small letters.
        source: where Python looks for modules first: another release of gql-secrets, or what a test changes in Python.
    """
    return (
        {name: value for name, value in os.environ.items() if not name.startswith("GQL_SECRETS_")}
        | {f"GQL_SECRETS_{name.upper()}": value for name, value in settings.items()}
        | ({"PYTHONPATH": str(source)} if source else {})
    )


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that listens at `url`."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    @property
    def owner(self) -> str:
        """`client id:secret`, as the first start printed them."""
        [printed] = re.findall(r"^OWNER=(\S+)$", self.stdout, re.MULTILINE)
        return str(printed)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS_TO_STOP)


@contextlib.contextmanager
def serving(folder: Path, *arguments: str, **settings: str) -> Iterator[Serving]:
    """Run `gql-secrets serve` in a folder on a free port, until the end of the block."""
    process = start(folder, "--port", "0", *arguments, source=None, **settings)
    try:
        yield Serving(wait_for_url(process, folder), process, folder)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def start(folder: Path, *arguments: str, source: Path | None = None, **settings: str) -> subprocess.Popen[bytes]:
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        return subprocess.Popen(
            [PROGRAM, "serve", *arguments],
            cwd=folder,
            env=environment(settings, source),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )


def wait_for_url(process: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait until the server says where it listens."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        text = (folder / "stderr").read_text()
        if found := re.search(r"listens on (\S+)", text):
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise AssertionError(f"the server did not start: {(folder / 'stderr').read_text()[-3000:]}")
