"""The secrets that are moved to the key of a pepper migration: queued by verifications, written with the usage flush.

Only a verification knows the plaintext of a secret, so only a secret that is used can be moved. The path of its answer
writes nothing: a move that is lost, or that finds the secret locked, is queued again by the next verification.
"""

import logging
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Final

from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.errors import Conflict
from gql_secrets.storage.database import Database
from gql_secrets.storage.digests import Move, find_target, move_digests
from gql_secrets.storage.errors import IntegrityError
from gql_secrets.storage.secret_index.lookup import Lookup
from gql_secrets.storage.secret_index.stored_secret import StoredSecret

_log: Final = logging.getLogger(__name__)
MAX_QUEUED: Final = 100_000
# A first use, and a change of one of these secrets, wait for the transaction of such a batch.
_BATCH: Final = 500


class DigestMoves:
    """The queue of one process."""

    def __init__(self, database: Database, pepper: Pepper, lookup: Lookup) -> None:
        self._database = database
        self._pepper = pepper
        self._lookup = lookup
        # The place of the migration's key in the ring, as the last flush found it.
        self._place: int | None = None
        self._queue: dict[int, Move] = {}

    @property
    def is_needed(self) -> bool:
        """Whether a migration is under way to a key that this process has."""
        return self._place is not None

    def queue(self, stored: StoredSecret, digests: Sequence[bytes]) -> None:
        """Queue a secret that was accepted, unless it is under the migration's key; `digests` are one for each key."""
        if self._place is None:
            return
        new = digests[self._place]
        if stored.digest != new and len(self._queue) < MAX_QUEUED:
            self._queue[stored.secret_id] = Move(stored.secret_id, stored.client_id, stored.digest, new)

    async def flush(self) -> None:
        """Write the queue, and read which migration is under way.

        Raises:
            Unavailable: the database does not answer, or cannot write.
        """
        if len(self._pepper.keys) == 1:
            return
        target, queue = await find_target(self._database), iter(sorted(self._queue.values()))
        self._queue = {}
        is_same = self._place is not None and target == self._pepper.keys[self._place].key_id
        self._place = self._pepper.key_ids.index(target) if target in self._pepper.key_ids else None
        while is_same and target is not None and (batch := list(islice(queue, _BATCH))):
            try:
                await self._database.run_tx(partial(move_digests, key_id=target, moves=batch))
            except (Conflict, IntegrityError) as error:
                _log.info("secrets_not_moved", extra={"secrets": len(batch), "reason": type(error).__name__})
            for each in batch:
                # It is remembered by its old digest. This includes those that another node has moved.
                self._lookup.forget_client(each.client_id)
