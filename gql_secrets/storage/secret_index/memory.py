"""What a node remembers on PostgreSQL, and how far it has followed the change log."""

from collections.abc import Sequence
from typing import Final

from gql_secrets.storage.change_log import ChangedClient, Position, Rewound, compare
from gql_secrets.storage.secret_index.cache import SecretCache
from gql_secrets.storage.secret_index.stored_secret import StoredSecret

MAX_CHANGES: Final = 1000
# What `follow` wants: the rows from the position's revision on, itself included, and one more.
ROWS: Final = MAX_CHANGES + 2


class SecretMemory:
    """Secrets by digest, as the change log had them at a position. It reads no database and knows no time.

    A row that was read at an earlier revision than the position is not remembered: it may lack a change that was
    already applied. Nor is one that was read before everything was forgotten: its revision may be of another database.

    Attributes:
        position: up to where it has followed the log.
        epoch: how often it has forgotten everything.
    """

    __slots__ = ("_cache", "epoch", "position")

    def __init__(self) -> None:
        self._cache = SecretCache()
        self.position: Position | None = None
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._cache)

    def find(self, client_id: str, digest: bytes) -> StoredSecret | None:
        """Return the secret with this digest, which was made with this client id, if it is remembered."""
        return self._cache.find(client_id, digest)

    def remember(self, digest: bytes, secret: StoredSecret, *, revision: int, epoch: int) -> None:
        """Remember a valid secret.

        Args:
            digest: its digest.
            secret: the secret.
            revision: the installation's, in the snapshot that the secret was read from.
            epoch: this memory's, before it was read.
        """
        if epoch == self.epoch and self.position is not None and revision >= self.position.revision:
            self._cache.remember(digest, secret)

    def forget_client(self, client_id: str) -> None:
        """Forget every secret of this client."""
        self._cache.forget_client(client_id)

    def follow(self, latest: Position, rows: Sequence[ChangedClient]) -> bool:
        """Forget the clients that changed after the position, and move it to the last change.

        If the database went back in time, or too much changed, everything is forgotten.

        Returns:
            Whether the database went back in time. The change at the position may also be missing because it was
            pruned: then there are only later ones.
        """
        before = self.position
        if before is None:
            self.start_at(latest)
            return False
        if latest == before:
            return False
        answer = compare(before, latest, rows, MAX_CHANGES)
        if isinstance(answer, Rewound) or answer.has_more:
            self.start_at(latest)
            is_pruned = bool(rows) and rows[0].revision > before.revision
            return isinstance(answer, Rewound) and not is_pruned
        if any(change.client_id is None for change in answer.changes):
            self.start_at(answer.position)
            return False
        self._cache.forget_clients(change.client_id for change in answer.changes if change.client_id is not None)
        self.position = answer.position
        return False

    def start_at(self, position: Position) -> None:
        """Forget everything."""
        self._cache.clear()
        self.position = position
        self.epoch += 1
