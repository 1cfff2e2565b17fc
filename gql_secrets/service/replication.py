"""Whether a failover of the database may lose changes that were already answered."""

import asyncio
import logging
from typing import Final

from gql_secrets.domain.errors import Unavailable
from gql_secrets.storage.database import Database

_log: Final = logging.getLogger(__name__)
ASYNCHRONOUS: Final = "asynchronous"
# How long the health question waits for it.
_PROBE_SECONDS: Final = 0.3


async def probe_replication(database: Database) -> str:
    """Return "none", "synchronous", "asynchronous", or "unavailable" if it cannot be read now."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            return await database.read(database.dialect.read_replication)
    except (Unavailable, TimeoutError):
        return "unavailable"


async def report_replication(database: Database) -> None:
    """Log a warning where a standby may not have what was already answered, such as a revoke."""
    if await probe_replication(database) == ASYNCHRONOUS:
        _log.warning("replication_asynchronous", extra={"advice": "Set synchronous_standby_names on the server."})
