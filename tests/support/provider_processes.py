"""Identity providers of other makes, each a process on loopback."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProviderProcess:
    """A provider that answers, and the process that runs it."""

    issuer: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def provider_process(command: Sequence[str], folder: Path, *, ready: bytes = b"ready") -> Iterator[ProviderProcess]:
    """Run a provider until the end of the block; its line with `ready` may end with its issuer."""
    log = folder / "errors.log"
    with log.open("ab") as errors:
        environment = {**os.environ, "NODE_ENV": "test"}
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        )
    try:
        assert process.stdout is not None
        line = next((line for line in iter(process.stdout.readline, b"") if ready in line), None)
        assert line is not None, log.read_text()
        yield ProviderProcess(line.decode().split()[-1], process)
    finally:
        process.kill()
        process.communicate()
