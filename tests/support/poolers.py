"""A real PgBouncer in transaction mode, in front of a test's PostgreSQL."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from support.standbys import socket_of, url_on

SECONDS_TO_START = 20


def pgbouncer_program() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")


@contextlib.contextmanager
def pgbouncer(url: str, *, sessions: int) -> Iterator[str]:
    """Run it with this number of sessions on the server; yield the URL of the database through it."""
    program = pgbouncer_program()
    assert program
    with tempfile.TemporaryDirectory(prefix="gqls-pb-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o777)
        (directory / "pgbouncer.ini").write_text(
            f"""[databases]
* = host={socket_of(url)} user=postgres
[pgbouncer]
unix_socket_dir = {name}
listen_addr =
listen_port = 5432
auth_type = any
pool_mode = transaction
max_client_conn = 1000
default_pool_size = {sessions}
ignore_startup_parameters = extra_float_digits
"""
        )
        # It refuses to run as root, and must reach the server's socket.
        owner = {"user": Path(socket_of(url)).owner()} if os.getuid() == 0 else {}
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(  # type: ignore[call-overload]
                [program, directory / "pgbouncer.ini"], stdout=log, stderr=log, **owner
            )
        try:
            deadline = time.monotonic() + SECONDS_TO_START
            while not (directory / ".s.PGSQL.5432").exists():
                assert process.poll() is None, (directory / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield url_on(url, name).replace("postgres@", "postgres:none@")
        finally:
            process.terminate()
            process.wait()
