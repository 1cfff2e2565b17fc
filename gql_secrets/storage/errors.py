"""The drivers' errors, and what they mean. Nothing outside the storage layer names a driver.

An error means one of three things: the database is unavailable, another transaction holds a lock, or the code is wrong.
"""

import logging
import sqlite3
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Final, TypeVar

import asyncpg
from tortoise.exceptions import BaseORMException, IntegrityError

from gql_secrets.domain.errors import Conflict, Failure, SetupError, Unavailable
from gql_secrets.storage.address import DatabaseAddress

# `IntegrityError` is what a violated constraint raises, on either database.
__all__ = [
    "READ_ERRORS",
    "IntegrityError",
    "is_busy",
    "is_damage",
    "is_outdated_statement",
    "log_rarely",
    "lost_statement",
    "translate",
    "translate_read",
    "translate_start",
    "translated",
    "translated_read",
]

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES: Final = 10.0
_MAX_LOGGED: Final = 100
# When each error was logged last, and how often it was left out since.
_logged: Final[dict[tuple[object, ...], tuple[float, int]]] = {}

# Another transaction holds a lock, and this one changed nothing: it can be retried.
_CONFLICTS: Final = (asyncpg.LockNotAvailableError, asyncpg.TransactionRollbackError)
# The statement was prepared before a column changed; prepared again, it works.
_OUTDATED: Final = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
# A pooler gave the statement to another session than the one that prepared it.
_NO_STATEMENTS: Final = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
_UNAVAILABLE: Final = (
    OSError,
    TimeoutError,
    sqlite3.OperationalError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was cut while it was being established
    asyncpg.InvalidAuthorizationSpecificationError,  # the role's right to log in was revoked, or its password changed
    asyncpg.InvalidCatalogNameError,  # the database was dropped or renamed
    asyncpg.InsufficientPrivilegeError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ConfigurationLimitExceededError,
    asyncpg.PostgresSystemError,  # an input or output error of the server
    asyncpg.DataCorruptedError,
    asyncpg.IndexCorruptedError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, after a failover
    asyncpg.IdleInTransactionSessionTimeoutError,  # this process was stopped in the middle of a transaction
    *_NO_STATEMENTS,
    *_OUTDATED,
)
# `DatabaseError` itself is a damaged file; these are its subclasses that mean something else.
_NOT_DAMAGE: Final = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
    sqlite3.NotSupportedError,
)
# Every error that reading can raise. The content of a read is never the cause.
READ_ERRORS: Final = (
    OSError,
    TimeoutError,
    sqlite3.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


def translate(error: BaseException) -> Unavailable | Conflict | None:
    """Return the failure that this error of a driver means, or None if it is a defect of ours."""
    if isinstance(error, (Unavailable, Conflict)):
        return error
    cause = _cause_of(error)
    if isinstance(cause, _CONFLICTS) or is_busy(cause):
        return Conflict("Another change holds the lock. Try again.")
    if is_damage(cause):
        _report(cause)
        return Unavailable("The database file is damaged. Restore it from a backup.")
    if isinstance(cause, _UNAVAILABLE):
        _report(cause)
        if isinstance(cause, sqlite3.OperationalError) and "full" in str(cause):
            return Unavailable("The disk is full: nothing was changed.")
        return Unavailable()
    return None


def translate_read(error: BaseException) -> Unavailable:
    """Return the failure that a driver's error means for a read, which can only be unavailable."""
    failure = translate(error)
    if isinstance(failure, Unavailable):
        return failure
    if failure is None:
        _report(_cause_of(error))
    return Unavailable()


class _Translated:
    """A class, because a context manager made of a generator takes as long as some reads do."""

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, Failure):
            return
        failure = translate(error)
        if failure is not None:
            raise failure from error


class _TranslatedRead(_Translated):
    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if not isinstance(error, Exception):
            return
        failure = error if isinstance(error, Failure) else translate(error)
        if isinstance(failure, Conflict):
            raise Unavailable from error
        if failure is not None and failure is not error:
            raise failure from error


_TRANSLATED: Final = _Translated()
_TRANSLATED_READ: Final = _TranslatedRead()


def translated() -> AbstractContextManager[None]:
    """Raise failures instead of the drivers' errors; let defects pass.

    Raises:
        Conflict: another transaction holds a lock.
        Unavailable: the database does not answer, or cannot write.
    """
    return _TRANSLATED


def translated_read() -> AbstractContextManager[None]:
    """Raise failures instead of the drivers' errors for a read, which has no conflicts.

    Raises:
        Unavailable: the database does not answer.
    """
    return _TRANSLATED_READ


def translate_start(error: Exception, address: DatabaseAddress) -> SetupError | Unavailable | None:
    """Return the failure to report when a database cannot be opened, or None if the error is a defect of ours.

    What an operator must fix is a SetupError, whose message says how; what may pass is Unavailable.
    """
    cause = _cause_of(error)
    if isinstance(cause, asyncpg.InvalidPasswordError):
        return SetupError(
            f"PostgreSQL refused the password of the role {address.user}. Check the password in the database URL; "
            "write its special characters percent-encoded (# is %23, @ is %40, / is %2F)."
        )
    if isinstance(cause, asyncpg.InvalidAuthorizationSpecificationError):
        return SetupError(
            f"PostgreSQL refused the role {address.user}: {cause}. "
            "The role must exist, be allowed to log in, and be listed in pg_hba.conf."
        )
    if isinstance(cause, asyncpg.InvalidCatalogNameError):
        return SetupError(
            f'The PostgreSQL database {address.database} does not exist. Create it with: createdb "{address.database}"'
        )
    if isinstance(cause, asyncpg.InsufficientPrivilegeError):
        return SetupError(f"The role {address.user} lacks a privilege on the database {address.database}: {cause}.")
    if isinstance(cause, asyncpg.ClientConfigurationError):
        return SetupError(f"The database URL is not valid: {cause}.")
    if lost := lost_statement(cause):
        return lost
    if isinstance(cause, (ssl.SSLError, ConnectionError)) and (tls := _tls_failure(cause)):
        return tls
    if is_damage(cause):
        return SetupError(f"{address.path} is damaged, or is not a SQLite database: {cause}. Restore it from a backup.")
    if isinstance(cause, _UNAVAILABLE):
        detail = f": {cause}" if str(cause) else ""
        return Unavailable(f"The database cannot be reached ({type(cause).__name__}{detail}).")
    return None


def lost_statement(error: BaseException) -> SetupError | None:
    """Return the failure to report when a start ended because a pooler lost a prepared statement."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(_cause_of(cause), _NO_STATEMENTS):
            return SetupError(
                "A connection pooler between this node and PostgreSQL does not keep prepared statements (PgBouncer in "
                "transaction mode). Remove GQL_SECRETS_STATEMENT_CACHE_SIZE, or set it to 0."
            )
        cause = cause.__cause__
    return None


def _tls_failure(cause: OSError) -> SetupError | None:
    if isinstance(cause, ssl.SSLError):
        return SetupError(
            f"The TLS connection to PostgreSQL failed: {cause.reason or cause}. Check sslmode, sslrootcert, sslcert "
            "and sslkey in the database URL."
        )
    if "SSL" in str(cause):
        return SetupError(
            "PostgreSQL does not offer TLS, and the database URL requires it (sslmode). Enable ssl on the server, or "
            "change sslmode."
        )
    return None


def is_outdated_statement(error: BaseException) -> bool:
    """Return whether a statement was prepared before the schema changed: it works the second time."""
    return isinstance(_cause_of(error), _OUTDATED)


async def retried(work: Callable[[], Awaitable[T]]) -> T:
    """Run it, and once more if its statements were prepared for an older schema (another process migrated it)."""
    try:
        return await work()
    except Exception as error:
        if not is_outdated_statement(error):
            raise
    return await work()


def is_busy(error: object) -> bool:
    """Return whether another connection holds SQLite's lock."""
    return isinstance(error, sqlite3.OperationalError) and _name_of(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def is_damage(error: object) -> bool:
    """Return whether a SQLite file is damaged, or is not one."""
    return isinstance(error, sqlite3.DatabaseError) and (
        _name_of(error).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))
        or not isinstance(error, (sqlite3.OperationalError, *_NOT_DAMAGE))
    )


def _name_of(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", ""))


def _cause_of(error: BaseException) -> BaseException:
    """Return the driver's own error: Tortoise wraps some of them."""
    if isinstance(error, BaseORMException):
        wrapped = error.args[0] if error.args else None
        if isinstance(wrapped, BaseException):
            return wrapped
        return error.__cause__ or error
    return error


def log_rarely(log: logging.Logger, event: str, **facts: object) -> None:
    """Log an error, once in ten seconds with the same facts: an outage repeats it for each verification."""
    now = time.monotonic()
    key = (event, *facts.values())
    last, left_out = _logged.get(key, (-_SECONDS_BETWEEN_LINES, 0))
    if now - last < _SECONDS_BETWEEN_LINES:
        _logged[key] = (last, left_out + 1)
        return
    if len(_logged) >= _MAX_LOGGED:
        _logged.clear()
    _logged[key] = (now, 0)
    log.error(event, extra=facts | ({"left_out": left_out} if left_out else {}))


def _report(cause: BaseException) -> None:
    log_rarely(_log, "database_unavailable", error=type(cause).__name__, detail=str(cause))
