"""The lock under which one node migrates a PostgreSQL database while the others wait."""

import asyncio
import logging
import time
from typing import Final

import asyncpg

from gql_secrets.domain.errors import Unavailable

_log: Final = logging.getLogger(__name__)
# The first 63 bits of SHA-256 of "gql-secrets: migrations": no other program uses it by accident.
_MIGRATION_KEY: Final = 0x4C0497E739DE8F53
_MIGRATION_SECONDS: Final = 120.0
_BETWEEN_TRIES: Final = 0.1
_BETWEEN_LINES: Final = 10.0
_HOLDER: Final = """
    SELECT a.pid, a.usename, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid <> pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.classid::bigint = $1::bigint >> 32 AND l.objid::bigint = $1::bigint & 4294967295
"""


async def wait_for_migration_lock(connection: asyncpg.Connection) -> None:
    """Wait for the lock, and log whose it is.

    Raises:
        Unavailable: another session has held it for two minutes.
    """
    began = time.monotonic()
    next_line = began + 1
    while not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _MIGRATION_KEY):
        now = time.monotonic()
        if now >= next_line:
            next_line = now + _BETWEEN_LINES
            holder = await connection.fetchrow(_HOLDER, _MIGRATION_KEY)
            facts = dict(holder) if holder else {}
            _log.warning(
                "waiting_for_migration_lock",
                extra={"pid": facts.get("pid"), "role": facts.get("usename"), "program": facts.get("application_name")},
            )
            if now - began > _MIGRATION_SECONDS:
                raise Unavailable(
                    f"The PostgreSQL session {facts.get('pid')} of the role {facts.get('usename')} has held the "
                    f"migration lock (advisory lock {_MIGRATION_KEY}) for 2 minutes. "
                    "End it with pg_terminate_backend, or wait."
                )
        await asyncio.sleep(_BETWEEN_TRIES)
