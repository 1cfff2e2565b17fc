"""Tidying: writes down what time has ended, and deletes what nobody asks for any more.

Validity never waits for it (docs/rules.md, rule 3): a verification decides by the clock.
"""

import logging
from typing import Final

from gql_secrets.domain.errors import Conflict
from gql_secrets.domain.idempotency import REPLAY_WINDOW
from gql_secrets.service.changes import Changes
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.transaction import Transaction
from gql_secrets.storage.usage import Pruning

_log: Final = logging.getLogger(__name__)
_SECONDS: Final = 30.0  # at least each 60 s, with time for the work itself
_AT_ONCE: Final = 500


class Tidier:
    """Tidies one database. Every node may run one: each act is safe to be done twice."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._changes = changes
        self._pruning = Pruning(database)

    async def keep_tidy(self) -> float:
        """Tidy once; return after how many seconds to do it again."""
        if await self.expire_due_secrets() == _AT_ONCE:
            return 0
        await self.prune()
        return _SECONDS

    async def expire_due_secrets(self) -> int:
        """Write EXPIRED to old secrets whose time is over, the first to end first; return how many were."""
        rows = await self._database.fetch(
            """
            SELECT client_id FROM client_secret WHERE state = 'RETAINED' AND expires_at <= ?
            ORDER BY expires_at LIMIT ?
            """,
            [to_microseconds(await self._database.now()), _AT_ONCE],
        )
        expired = 0
        for row in rows:
            try:
                expired += await self._changes.expire_old_secret(row["client_id"])
            except Conflict:  # a change of this client is under way, and sees the expiry itself
                _log.info("an expiry waits for another change")
        return expired

    async def prune(self) -> None:
        """Delete nonces of resets that can be replayed no more, and hours of usage that are too old."""
        now = await self._database.now()

        async def work(tx: Transaction) -> int:
            return await tx.execute(
                "DELETE FROM idempotent_reset WHERE created_at < ?", to_microseconds(now - REPLAY_WINDOW)
            )

        await self._database.run_tx(work)
        await self._pruning.run(now)
