"""How a node connects to PostgreSQL."""

import asyncio
import logging
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from asyncpg.protocol import NO_TIMEOUT

from gql_secrets.domain.credentials import is_client_id
from gql_secrets.domain.errors import SetupError, Unavailable
from gql_secrets.storage.address import DatabaseAddress, TlsFiles
from gql_secrets.storage.errors import log_rarely
from gql_secrets.storage.urgency import lock_seconds

_CONNECT_SECONDS: Final = 5


# Local to the transaction: settings of a session do not pass through PgBouncer. A process that was stopped in the
# middle of a change holds its locks for 3 seconds: less than others wait for them.
_BEGIN: Final = "BEGIN; SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = '3s'"
LOCK_CLIENT: Final = "SELECT 1 FROM client WHERE client_id = $1 AND deleted_at IS NULL FOR UPDATE"
# The condition on the count makes PostgreSQL lock every secret before it comes to the installation.
LOCK_THE_REST: Final = """
    WITH secret AS MATERIALIZED (
        SELECT id FROM client_secret WHERE client_id = $1 AND state IN ('CURRENT', 'RETAINED') ORDER BY id FOR UPDATE
    )
    SELECT 1 FROM installation WHERE id = 1 AND (SELECT count(*) FROM secret) >= 0 FOR UPDATE
"""
# Prepared by their names, the statements that lock are planned once and run in the round trip of the begin.
_PREPARE_LOCKS: Final = f"""
    PREPARE gqls_lock_client (varchar) AS {LOCK_CLIENT};
    PREPARE gqls_lock_the_rest (varchar) AS {LOCK_THE_REST}
"""
_LOCK: Final = "EXECUTE gqls_lock_client ('{0}'); EXECUTE gqls_lock_the_rest ('{0}')"
# Where an address of several hosts is tried, each gets this long.
_HOST_SECONDS: Final = 2
_log: Final = logging.getLogger(__name__)


class PatientConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg is untyped here
    """A connection without limits, for migrations; it notices within seconds that its link is dead."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        own = self._transport.get_extra_info("socket")
        if own is not None and own.family in (socket.AF_INET, socket.AF_INET6):
            limit_silence(own)

    async def begin(self, client_id: str | None = None) -> bool:  # noqa: ARG002
        """Begin a transaction; return whether this client was locked for a change too."""
        await self.execute("BEGIN")
        return False

    @property
    def is_cancelling(self) -> bool:
        """Whether a statement was abandoned, and the server has not confirmed yet that it ended."""
        return bool(self._protocol._is_cancelling())  # noqa: SLF001  as asyncpg's own pool asks

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:  # noqa: ASYNC109  asyncpg's signature
        """Run a statement, but none after one that was abandoned: the server rolls back as the connection ends."""
        if self.is_cancelling:
            self.terminate()
        status: str = await super().execute(query, *args, timeout=timeout)
        return status

    async def fetch(
        self,
        query: str,
        *args: object,
        timeout: object = None,  # noqa: ASYNC109  asyncpg's signature
        record_class: type[asyncpg.Record] | None = None,
    ) -> Sequence[asyncpg.Record]:
        """Return the rows of a statement. With `NO_TIMEOUT`, its caller ends the connection if it takes too long.

        Then a statement that this connection has prepared goes directly to asyncpg's protocol: time limits and the
        layers above the protocol take half as long as the protocol.
        """
        prepared = None
        if timeout is NO_TIMEOUT:
            prepared, timeout = self._stmt_cache.get((query, asyncpg.Record, False)), None
        rows: Sequence[asyncpg.Record]
        try:
            if prepared is not None:
                rows = await self._protocol.bind_execute(prepared, args, "", 0, False, NO_TIMEOUT)
                return rows
        except (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError):
            pass  # asyncpg's own way forgets what was prepared for an older schema
        rows = await super().fetch(query, *args, timeout=timeout, record_class=record_class)
        return rows


class PooledConnection(PatientConnection):
    """A connection whose transactions wait for locks, and hold them while they do nothing, for seconds at most."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self._has_prepared = False

    async def begin(self, client_id: str | None = None) -> bool:
        """Begin a transaction; return whether this client was locked for a change too, as `lock_for_change` does.

        The locks take no round trips of their own, unless a pooler is between, which does not keep what is prepared.
        """
        begin = _BEGIN.format(int(lock_seconds() * 1000))
        if client_id is None or not is_client_id(client_id) or not self._stmt_cache.get_max_size():
            await self.execute(begin)
            return False
        if not self._has_prepared:
            await self.execute(_PREPARE_LOCKS)
            self._has_prepared = True
        # A client id has no quote and no backslash.
        await self.execute(f"{begin}; {_LOCK.format(client_id)}")
        return True


class Connector:
    """Connects to the primary among the hosts of an address; the one that was found last is tried first."""

    def __init__(self, address: DatabaseAddress, **options: object) -> None:
        """Prepare it; `options` are asyncpg's.

        Raises:
            SetupError: a certificate or key file cannot be read.
        """
        self._arguments = connect_arguments(address) | options
        self._hosts = deque(address.hosts)
        if len(self._hosts) > 1:
            self._arguments["timeout"] = address.connect_seconds or _HOST_SECONDS

    async def connect(self) -> asyncpg.Connection:
        """Return a connection to a primary.

        Raises:
            Unavailable: a host answers, but none of them is a primary.
            asyncpg.PostgresError, OSError, TimeoutError: no host can be connected to.
        """
        failure: Exception | None = None
        standbys = []
        for _ in range(len(self._hosts)):
            host, port = self._hosts[0]
            try:
                return await asyncpg.connect(**self._arguments, host=host, port=port, target_session_attrs="primary")
            except asyncpg.TargetServerAttributeNotMatched:
                standbys.append(host)
                failure = Unavailable(f"PostgreSQL on {host} is a standby: its answers may be out of date.")
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
                failure = failure or error
            except asyncio.CancelledError:
                # The caller has no more time for this host: the next one tries another host first.
                self._hosts.rotate(-1)
                raise
            self._hosts.rotate(-1)
        if standbys:
            log_rarely(_log, "standby_refused", hosts=", ".join(standbys))
        raise failure or Unavailable


def limit_silence(own: socket.socket) -> None:
    """Let the operating system end a TCP connection whose other end does not answer, within about 10 seconds."""
    options = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 5000}
    own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options.items():
        if hasattr(socket, name):  # not every system has each of them
            own.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def connect_arguments(address: DatabaseAddress) -> dict[str, Any]:
    """Return asyncpg's arguments for one connection to this address, but for the host.

    Raises:
        SetupError: a certificate or key file cannot be read.
    """
    arguments: dict[str, Any] = {
        "user": address.user,
        "password": address.password,
        "database": address.database,
        "timeout": address.connect_seconds or _CONNECT_SECONDS,
        "server_settings": {"application_name": address.application_name},
    }
    if address.tls_files is not None:
        arguments["ssl"] = _tls_context(str(address.ssl_mode), address.tls_files)
    elif address.ssl_mode is not None:
        arguments["ssl"] = address.ssl_mode
    return arguments


def _tls_context(mode: str, files: TlsFiles) -> ssl.SSLContext:
    """Return what libpq would do with these files: without a root certificate `require` verifies nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = mode == "verify-full"
    if mode == "require" and files.root_certificate is None:
        context.verify_mode = ssl.CERT_NONE
    try:
        if files.root_certificate is not None:
            context.load_verify_locations(files.root_certificate)
        elif context.verify_mode is not ssl.CERT_NONE:
            context.load_default_certs()
    except OSError as error:
        raise _unusable("sslrootcert", files.root_certificate, error) from error
    try:
        if files.certificate is not None:
            context.load_cert_chain(files.certificate, files.key)
    except OSError as error:
        raise _unusable("sslcert and sslkey", files.certificate, error) from error
    return context


def _unusable(option: str, path: str | None, error: OSError) -> SetupError:
    reason = getattr(error, "reason", None) or error.strerror or error
    return SetupError(f"{option} in the database URL cannot be used ({path}): {reason}.")
