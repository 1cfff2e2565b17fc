"""How a node connects to PostgreSQL."""

import ssl
from typing import Any, Final

import asyncpg

from gql_secrets.domain.errors import SetupError
from gql_secrets.storage.address import DatabaseAddress, TlsFiles

_CONNECT_SECONDS: Final = 5


# In one round trip with the begin, and local to the transaction: settings of a session do not pass through PgBouncer.
_BEGIN: Final = "BEGIN;"
_BEGIN_IMPATIENT: Final = "BEGIN; SET LOCAL lock_timeout = '5s'"


class PatientConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg is untyped here
    """A connection that is returned to its pool without asyncpg's reset queries: we leave no session state behind.

    A transaction that Tortoise left open is still rolled back; otherwise the next user of the connection would fail.
    """

    def get_reset_query(self) -> str:
        """Return no query: every setting that we make is local to its transaction."""
        return ""


class PooledConnection(PatientConnection):
    """A connection whose transactions wait for a lock for at most 5 seconds."""

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:  # noqa: ASYNC109  asyncpg's signature
        """Run a statement; one that begins a transaction also limits its waiting."""
        statement = _BEGIN_IMPATIENT if query == _BEGIN else query
        status: str = await super().execute(statement, *args, timeout=timeout)
        return status


def connect_arguments(address: DatabaseAddress) -> dict[str, Any]:
    """Return asyncpg's arguments for one connection to this address.

    Raises:
        SetupError: a certificate or key file cannot be read.
    """
    arguments: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
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
