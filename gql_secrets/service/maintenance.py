"""Maintenance: writes EXPIRED to secrets that have expired, and deletes what is no longer needed.

Validity never waits for it (docs/rules.md, rule 3): a verification decides by the clock.
"""

import logging
from datetime import timedelta
from typing import Final

from gql_secrets.domain.changes_pause import ChangesPaused
from gql_secrets.domain.errors import Conflict
from gql_secrets.domain.idempotency import REPLAY_WINDOW
from gql_secrets.service.changes import Changes
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.transaction import Transaction
from gql_secrets.storage.urgency import waiting_briefly
from gql_secrets.storage.usage_pruning import Pruning

_log: Final = logging.getLogger(__name__)
_SECONDS: Final = 30.0  # at least every 60 s, with time for the work itself
_BATCH: Final = 500
# Whether the new secret of a self-reset is unused, and the old one active: then its answer can be asked for again.
_AWAITED: Final = """
    EXISTS (
        SELECT 1 FROM client_secret new JOIN client_secret old ON old.client_id = new.client_id
        WHERE new.id = idempotent_reset.secret_id AND new.state = 'CURRENT' AND new.first_used_at IS NULL
        AND old.state = 'RETAINED'
    )
"""


class Maintenance:
    """The maintenance of one database. Every node runs it: doing any of it twice is harmless."""

    def __init__(self, database: Database, changes: Changes, source_retention: timedelta) -> None:
        """Prepare it; `source_retention` is how long the source of a use is kept after it was last seen."""
        self._database = database
        self._changes = changes
        self._pruning = Pruning(database, source_retention)

    async def run(self) -> float:
        """Run once; return the number of seconds until the next run."""
        _, has_more = await self._expire_batch()
        if has_more:
            return 0
        await self.prune()
        return _SECONDS

    async def expire_due_secrets(self) -> int:
        """Write EXPIRED to old secrets that have expired, the earliest first; return how many this node wrote."""
        expired, _ = await self._expire_batch()
        return expired

    async def _expire_batch(self) -> tuple[int, bool]:
        """Write EXPIRED to a batch; return how many this node wrote, and whether to go on with more.

        Every node does it, so another one may have written some of a full batch. Where none of it can be written now,
        the next try is later. Only the first client that is locked is waited for as long as by a change: many of them
        do not delay the others, and the rest of maintenance.
        """
        rows = await self._database.fetch(
            """
            SELECT client_id FROM client_secret WHERE state = 'RETAINED' AND expires_at <= ?
            ORDER BY expires_at LIMIT ?
            """,
            [to_microseconds(await self._database.now()), _BATCH],
        )
        expired = done = 0
        has_waited = False
        for row in rows:
            try:
                with waiting_briefly(has_waited):
                    expired += await self._changes.expire_old_secret(row["client_id"])
            except Conflict:  # a change of this client is in progress, and writes the expiry itself
                has_waited = True
                _log.info("expiry_waits")
            except ChangesPaused:  # after the pause, or in the database that this one was copied into
                _log.info("expiry_waits")
                break
            else:
                done += 1
        return expired, len(rows) == _BATCH and done > 0

    async def prune(self) -> None:
        """Delete the nonces of resets that can no longer be replayed, old hours of usage, and old sources of uses."""
        now = await self._database.now()

        async def work(tx: Transaction) -> None:
            # Of a self-reset that is over, the row keeps the key from being used again until the ten minutes are over.
            await tx.execute(
                f"UPDATE idempotent_reset SET nonce = ? WHERE is_self_reset AND nonce <> ? AND NOT {_AWAITED}",  # noqa: S608  a constant
                b"",
                b"",
            )
            await tx.execute(
                f"DELETE FROM idempotent_reset WHERE created_at < ? AND NOT (is_self_reset AND {_AWAITED})",  # noqa: S608
                to_microseconds(now - REPLAY_WINDOW),
            )

        await self._database.run_tx(work)
        await self._pruning.prune_hours(now)
        await self._pruning.prune_sources(now)
