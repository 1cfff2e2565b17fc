"""What a node remembers on PostgreSQL, and how far it has followed the change log."""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.journal import JournaledChange
from gql_secrets.storage.change_log import ChangedClient, Position, Rewound, compare
from gql_secrets.storage.secret_index.cache import SecretCache
from gql_secrets.storage.secret_index.stored_secret import StoredSecret

MAX_CHANGES: Final = 1000
# What `follow` wants: the rows from the position's revision on, itself included, and one more.
ROWS: Final = MAX_CHANGES + 2
# The changes without a client after which nothing may be remembered.
CHANGES_ALL: Final = frozenset({AuditAction.AUDIT_ACCEPTED, AuditAction.DATABASE_REWOUND, AuditAction.RESTORE_ACCEPTED})


class Followed(Enum):
    """What a poll found after the position."""

    NOTHING = auto()
    OWN = auto()
    """Only changes of this process."""
    OTHERS = auto()
    """Changes of other processes too."""
    WENT_BACK = auto()
    """The database went back in time."""


class SecretMemory:
    """Secrets by digest, as the change log had them at a position. It reads no database and knows no time.

    What this process changed is forgotten when its commit is known (`forget_own`), before any poll has it. That does
    not move the position: changes of other processes may have come between, which only polls have. So what a poll
    brings is always compared with the position from which it was sent, however late its answer is.

    A row that was read at a revision below `oldest_read` is not remembered: it may lack a change that was already
    applied. Nor is one that was read before everything was forgotten: its revision may be of another database.

    Attributes:
        position: up to where it has followed the log.
        oldest_read: the revision of the last change that it applied, one of this process included. The database has
            it: a read that begins now and has a lower one is of a database that went back in time.
        epoch: how often it has forgotten everything.
    """

    __slots__ = ("_cache", "_own", "epoch", "oldest_read", "position")

    def __init__(self) -> None:
        self._cache = SecretCache()
        # The changes of this process after the position, the hash of each by its revision.
        self._own: dict[int, bytes] = {}
        self.position: Position | None = None
        self.oldest_read = 0
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def newest_own(self) -> Position | None:
        """The newest change of this process after the position: the answer to a poll that is sent now has it."""
        revision = max(self._own, default=0)
        return Position(revision, self._own[revision]) if revision else None

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
        if epoch == self.epoch and self.position is not None and revision >= self.oldest_read:
            self._cache.remember(digest, secret)

    def forget_client(self, client_id: str) -> None:
        """Forget every secret of this client."""
        self._cache.forget_client(client_id)

    def forget_own(self, changes: Sequence[JournaledChange]) -> None:
        """Forget what this process has just changed, in one transaction whose commit was answered."""
        if self.position is None:
            return  # nothing is remembered, and no row that was read before it begins
        for change in changes:
            if change.client_id is not None:
                self._cache.forget_client(change.client_id)
            elif change.action in CHANGES_ALL:
                self._cache.clear()
            self._own[change.revision] = change.hash
            if len(self._own) > MAX_CHANGES:
                del self._own[next(iter(self._own))]
            self.oldest_read = max(self.oldest_read, change.revision)

    def follow(self, latest: Position, rows: Sequence[ChangedClient], *, own: Position | None) -> Followed:
        """Forget the clients that changed after the position, and move it to the last change.

        If the database went back in time, or too much changed, everything is forgotten.

        Args:
            latest: where the log was, in the snapshot of the poll.
            rows: its rows from the position's revision on, that one included.
            own: `newest_own` as it was when the poll was sent.

        Returns:
            What was found. The change at the position may also be missing because it was pruned: then there are only
            later ones, and the database did not go back.
        """
        before = self.position
        if before is None:
            self.start_at(latest)
            return Followed.OTHERS
        if own is not None and _lacks(own, latest, rows):
            self.start_at(latest)
            return Followed.WENT_BACK
        if latest == before:
            return Followed.NOTHING
        answer = compare(before, latest, rows, MAX_CHANGES)
        is_pruned = bool(rows) and rows[0].revision > before.revision
        if isinstance(answer, Rewound) and not is_pruned:
            self.start_at(latest)
            return Followed.WENT_BACK
        if isinstance(answer, Rewound) or answer.has_more:
            self._forget_all()
            self._move_to(latest)
            return Followed.OTHERS
        is_own = all(self._own.get(change.revision) == change.hash for change in answer.changes)
        if any(change.client_id is None for change in answer.changes):
            self._forget_all()
        self._cache.forget_clients(change.client_id for change in answer.changes if change.client_id is not None)
        self._move_to(answer.position)
        return Followed.OWN if is_own else Followed.OTHERS

    def start_at(self, position: Position) -> None:
        """Forget everything, the own changes too."""
        self._forget_all()
        self._own.clear()
        self.oldest_read = 0
        self._move_to(position)

    def _forget_all(self) -> None:
        self._cache.clear()
        self.epoch += 1

    def _move_to(self, position: Position) -> None:
        self.position = position
        self._own = {revision: digest for revision, digest in self._own.items() if revision > position.revision}
        self.oldest_read = max(self.oldest_read, position.revision)


def _lacks(own: Position, latest: Position, rows: Sequence[ChangedClient]) -> bool:
    """Return whether the database no longer has a change that this process committed."""
    return latest.revision < own.revision or any(row.revision == own.revision and row.hash != own.hash for row in rows)
