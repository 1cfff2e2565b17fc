"""The look-up of verification on SQLite."""

import itertools
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from gql_secrets.domain.errors import Unavailable
from gql_secrets.domain.rotation import SecretState
from gql_secrets.storage.database import Database
from gql_secrets.storage.secret_index import (
    COLUMNS,
    NOBODYS_DIGEST,
    SOME_DIGESTS,
    TABLES,
    StoredSecret,
    ended_of,
    found_of,
    may_be_good,
)

_QUESTION: Final = f"SELECT {COLUMNS} FROM {TABLES} WHERE s.digest = ?"  # noqa: S608  put together from constants
_AHEAD: Final = f"SELECT {COLUMNS}, s.digest FROM {TABLES} WHERE s.id < ? ORDER BY s.id DESC LIMIT ?"  # noqa: S608
_CHANGES: Final = "SELECT revision, client_id, hash FROM audit_event WHERE revision >= ? ORDER BY revision LIMIT ?"
_LATEST: Final = """
    SELECT i.revision, e.hash FROM installation i LEFT JOIN audit_event e ON e.revision = i.revision
"""
_DIGESTS: Final = "SELECT digest FROM client_secret WHERE client_id = ?"
_NETWORKS: Final = "SELECT network FROM client_network WHERE client_id = ? ORDER BY position"
# Some 180 bytes each, 300 of an old secret: about half a gigabyte for a million clients.
_MAX_REMEMBERED: Final = 3_000_000
_MAX_AHEAD: Final = 2_000_000
_PIECE_AHEAD: Final = 200  # a millisecond or two, in which nobody is answered
_NOTHING_AHEAD: Final = 1.0
_AFTER_ALL: Final = 2**63 - 1
_MAX_CHANGES: Final = 1000
_WHOLE_FILE: Final = 2**31 - 2**16  # what SQLite maps at most: a page that is not mapped costs five times as much
_IN_USE: Final = (True, True, None)  # was used, enabled, no allow list

# A current secret, an old one with its end, or one whose client may not call from everywhere.
_Remembered = int | tuple[int, datetime] | StoredSecret


class SqliteLookup:
    """Reads a SQLite file on the event loop: about 14 microseconds, less than handing it to a thread.

    A good secret in use is remembered, no other; after a start they are read ahead, the newest first. Most of them,
    without an allow list, are remembered by their id and end alone. `PRAGMA data_version` tells that another
    connection, of whatever process, committed; then the audit is read from the revision that was seen last, and the
    secrets of each client that changed are forgotten. A commit without a change (a first use, a flush of counters) has
    no revision. So what is remembered is what the file holds at the moment of asking: a revoke by another process is
    seen by the next verification. Of the questions that arrived together the first asks for all of them.
    """

    def __init__(self, database: Database) -> None:
        """Open a connection of its own on the database's file."""
        self._adjust_clock = database.adjust_clock
        self._connection = sqlite3.connect(str(database.address.path), isolation_level=None, timeout=0.5)
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.execute(f"PRAGMA mmap_size = {_WHOLE_FILE}")
        self._version: int | None = None
        self._is_view_current = False
        self._revision: int
        self._hash: bytes | None
        self._remembered: dict[bytes, _Remembered]
        self._ahead: int | None  # what is read ahead next is older than this; None when there is no more
        self._forget()
        some = [digest for (digest,) in self._connection.execute(SOME_DIGESTS)]
        self._some_digests = itertools.cycle(some or [NOBODYS_DIGEST])

    async def find(self, client_id: str, digests: Sequence[bytes]) -> tuple[StoredSecret | None, datetime]:
        """Return the secret with one of these digests, and the machine's clock."""
        self.expire_view()
        try:
            return self.find_nowait(client_id, digests)
        finally:
            self.expire_view()

    def expire_view(self) -> None:
        """Let the next `find_nowait` look whether another connection changed the database."""
        self._is_view_current = False

    def find_nowait(self, client_id: str, digests: Sequence[bytes]) -> tuple[StoredSecret | None, datetime]:
        """Return the secret with one of these digests, and the machine's clock."""
        if not self._is_view_current:
            self._forget_what_changed()
            self._is_view_current = True
        for digest in digests:
            remembered = self._remembered.get(digest)
            if remembered is not None:
                return _recalled(remembered, client_id), self._now()
        return self._look_up(digests), self._now()

    async def read_ahead(self) -> float:
        """Remember some more secrets in use; return after how many seconds to go on.

        Raises:
            Unavailable: the database does not answer.
        """
        began = time.monotonic()
        try:
            self._forget_what_changed()
            if self._ahead is None:
                return _NOTHING_AHEAD
            rows = self._connection.execute(_AHEAD, (self._ahead, _PIECE_AHEAD)).fetchall()
        except sqlite3.Error as error:
            raise Unavailable from error
        for row in rows:
            if may_be_good(row) and not row[6]:
                self._remember(row[7], found_of(row, None))
        self._ahead = rows[-1][0] if rows and len(self._remembered) < _MAX_AHEAD else None
        return time.monotonic() - began  # half of the time is left to others

    def _look_up(self, digests: Sequence[bytes]) -> StoredSecret | None:
        row, own = None, NOBODYS_DIGEST
        for digest in digests:  # all of them: when the reading ends does not tell which key the secret is under
            if (here := self._read(digest)) is not None:
                row, own = here, digest
        if row is None:
            if (other := self._read(next(self._some_digests))) is not None:
                ended_of(other)
            return None
        if not may_be_good(row):
            self._read(NOBODYS_DIGEST)
            return ended_of(row)
        networks = [text for (text,) in self._connection.execute(_NETWORKS, (row[1],))] if row[6] else None
        found = found_of(row, networks)
        self._remember(own, found)
        return found

    def _remember(self, digest: bytes, found: StoredSecret) -> None:
        # Before its first use, each verification must look again. Whatever ends is forgotten, so room comes by itself.
        if not found.was_used or len(self._remembered) >= _MAX_REMEMBERED:
            return
        if found.allow_list is not None:
            self._remembered[digest] = found
        elif found.expires_at is not None:
            self._remembered[digest] = (found.secret_id, found.expires_at)
        else:
            self._remembered[digest] = found.secret_id

    def _now(self) -> datetime:
        return self._adjust_clock(datetime.now(UTC))

    def _forget_what_changed(self) -> None:
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        seen, *changes = self._connection.execute(_CHANGES, (self._revision, _MAX_CHANGES + 2)).fetchall() or [None]
        went_back = seen is None or seen[2] != self._hash  # a backup was restored: its revisions are others
        for revision, client_id, digest in changes:
            self._revision, self._hash = revision, digest
            went_back = went_back or client_id is None  # no client's change, but something's
            for (own,) in self._connection.execute(_DIGESTS, (client_id,)):
                self._remembered.pop(own, None)
        if went_back or len(changes) > _MAX_CHANGES:
            self._forget()
        self._version = version

    def _forget(self) -> None:
        self._revision, self._hash = self._connection.execute(_LATEST).fetchone()
        self._remembered = {}
        self._ahead = _AFTER_ALL

    def _read(self, digest: bytes) -> Any:  # noqa: ANN401  a row, or None
        return self._connection.execute(_QUESTION, (digest,)).fetchone()

    async def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _recalled(remembered: _Remembered, client_id: str) -> StoredSecret:
    """Return a secret in use, of an enabled client."""
    if isinstance(remembered, StoredSecret):
        return remembered
    if isinstance(remembered, int):
        return StoredSecret(remembered, client_id, SecretState.CURRENT, None, *_IN_USE)
    secret_id, expires_at = remembered
    return StoredSecret(secret_id, client_id, SecretState.RETAINED, expires_at, *_IN_USE)
