"""The lookup of verification on SQLite."""

import itertools
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Final, Self

from gql_secrets.domain.audit import FIRST_HASH
from gql_secrets.domain.errors import PepperKeyMissing, Unavailable
from gql_secrets.domain.journal import ClientUncertain, JournaledChange, UncertainClients
from gql_secrets.storage.change_log import SINCE, ChangedClient, Position, Rewound, compare
from gql_secrets.storage.database import Database
from gql_secrets.storage.errors import translate_read
from gql_secrets.storage.secret_index.cache import SecretCache
from gql_secrets.storage.secret_index.lookup import DECOY_DIGESTS, NO_DIGEST
from gql_secrets.storage.secret_index.missing_key import missing_key
from gql_secrets.storage.secret_index.stored_secret import TABLES, SecretRow, StoredSecret, columns
from gql_secrets.storage.sqlite.file import WHOLE_FILE

_COLUMNS: Final = columns("group_concat(f.feature)")
_AHEAD: Final = f"SELECT s.digest, {_COLUMNS} FROM {TABLES} WHERE s.id < ? ORDER BY s.id DESC LIMIT ?"  # noqa: S608
_NETWORKS: Final = "SELECT network FROM client_network WHERE client_id = ? ORDER BY position"
_MAX_AHEAD: Final = 2_000_000
_PIECE_AHEAD: Final = 200  # a millisecond or two, during which no request is answered
_NOTHING_AHEAD: Final = 1.0
_AFTER_ALL: Final = 2**63 - 1
_MAX_CHANGES: Final = 1000
_STATE: Final = """
    SELECT i.revision, e.hash, i.uncertain_clients
    FROM installation i LEFT JOIN audit_event e ON e.revision = i.revision
"""
_LOST: Final = "SELECT DISTINCT client_id FROM lost_change WHERE NOT accepted"
_BUSY_SECONDS: Final = 0.5


@cache
def _query(digests: int) -> str:
    marks = ", ".join("?" * digests)
    return f"SELECT s.digest, {_COLUMNS} FROM {TABLES} WHERE s.digest IN ({marks})"  # noqa: S608  put together from constants


class SqliteLookup:
    """Reads a SQLite file on the event loop: about 14 microseconds, less than handing it to a thread.

    Only valid secrets in use are kept in memory; after a start they are read ahead, the newest first.
    `PRAGMA data_version` shows that another connection, of any process, has committed. Then the change log is read from
    the position that was seen last, and the secrets of each client that changed are forgotten. A commit without a
    change (a first use, a flush of counts) has no revision. So the memory agrees with the file at the time of each
    request: a revoke by another process is seen by the next verification.
    """

    def __init__(self, database: Database, key_ids: Sequence[str]) -> None:
        """Open a separate connection to the database's file; `key_ids` are the keys of the pepper."""
        self._adjust_clock = database.adjust_clock
        self._connection = sqlite3.connect(str(database.address.path), isolation_level=None, timeout=_BUSY_SECONDS)
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.execute(f"PRAGMA mmap_size = {WHOLE_FILE}")
        self._missing_key = f"SELECT {missing_key(key_ids)}"
        self._cache = SecretCache()
        self._is_expired = True
        self._version: int | None = None
        # Clients that the database may be wrong about: their ids, or None for all of them.
        self._uncertain: frozenset[str] | None = frozenset()
        self._position: Position
        self._ahead: int | None  # the next piece that is read ahead is older than this; None at the end
        self._forget_all()
        decoys = [digest for (digest,) in self._connection.execute(DECOY_DIGESTS)]
        self._decoys = itertools.cycle(decoys or [NO_DIGEST])

    @classmethod
    async def open(cls, database: Database, key_ids: Sequence[str]) -> Self:
        """Open it on the event loop, where it is used."""
        return cls(database, key_ids)

    async def find(
        self,
        client_id: str,
        digests: Sequence[bytes],
        *,
        deadline: float | None = None,  # noqa: ARG002  it awaits nothing
    ) -> tuple[StoredSecret | None, datetime]:
        """Return the secret with one of these digests as it is now, and the machine's clock."""
        self.expire_view()
        try:
            return self.find_nowait(client_id, digests)
        finally:
            self.expire_view()

    def find_nowait(self, client_id: str, digests: Sequence[bytes]) -> tuple[StoredSecret | None, datetime]:
        """Return the secret with one of these digests as the view has it, and the machine's clock."""
        try:
            if self._is_expired:
                self._forget_what_changed()
                self._is_expired = False
            if self._uncertain is None or client_id in self._uncertain:
                raise ClientUncertain
            for digest in digests:
                secret = self._cache.find(client_id, digest)
                if secret is not None:
                    return secret, self._now()
            return self._look_up(digests), self._now()
        except sqlite3.Error as error:
            raise translate_read(error) from error

    def is_current(self) -> bool:
        """Return True: a view is as new as the requests that are answered from it."""
        return True

    def expire_view(self) -> None:
        """Let the next verification look at the file again."""
        self._is_expired = True

    def forget_own(self, changes: Sequence[JournaledChange]) -> None:
        """Forget the clients that a commit of this process changed, if it came right after what the view has seen.

        Then the view need not read them in the change log. Where anything came in between, it does.
        """
        revision, last_hash = self._position
        client_ids = [change.client_id for change in changes if change.client_id is not None]
        follows = changes[0].revision == revision + 1 and changes[0].previous == (last_hash or FIRST_HASH)
        if follows and len(client_ids) == len(changes):
            self._position = Position(changes[-1].revision, changes[-1].hash)
            self._cache.forget_clients(client_ids)

    def forget_client(self, client_id: str) -> None:
        """Read the secrets of this client from the file again."""
        self._cache.forget_client(client_id)

    async def read_ahead(self) -> float:
        """Remember some more secrets in use; return after how many seconds to continue."""
        began = time.monotonic()
        try:
            self._forget_what_changed()
            if self._ahead is None:
                return _NOTHING_AHEAD
            rows = self._connection.execute(_AHEAD, (self._ahead, _PIECE_AHEAD)).fetchall()
        except sqlite3.Error as error:
            raise translate_read(error) from error
        oldest = None
        for digest, *values in rows:
            row = SecretRow._make(values)
            oldest = row.secret_id
            if row.may_be_valid and not row.is_restricted:
                self._cache.remember(digest, StoredSecret.of(row, None, digest))
        self._ahead = oldest if len(self._cache) < _MAX_AHEAD else None
        return time.monotonic() - began  # half of the time is left to others

    def _look_up(self, digests: Sequence[bytes]) -> StoredSecret | None:
        row, own = self._read(*digests)
        if row is None:
            if (decoy := self._read(next(self._decoys))[0]) is not None:
                StoredSecret.refused(decoy)
            if (key_id := self._read_missing_key()) is not None:
                raise PepperKeyMissing(key_id)
            return None
        if not row.may_be_valid:
            self._read(NO_DIGEST)
            self._read_missing_key()
            return StoredSecret.refused(row)
        secret = StoredSecret.of(row, self._networks_of(row.client_id) if row.is_restricted else None, own)
        self._cache.remember(own, secret)
        return secret

    def _read_missing_key(self) -> str | None:
        [key_id] = self._connection.execute(self._missing_key).fetchone()
        return None if key_id is None else str(key_id)

    def _networks_of(self, client_id: str) -> list[str]:
        return [network for (network,) in self._connection.execute(_NETWORKS, (client_id,))]

    def _now(self) -> datetime:
        return self._adjust_clock(datetime.now(UTC))

    def _forget_what_changed(self) -> None:
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        latest, mark = self._read_state()
        self._uncertain = self._uncertain_clients(mark)
        if latest != self._position:
            self._forget_what_came(latest)
        self._version = version

    def _forget_what_came(self, latest: Position) -> None:
        rows = self._connection.execute(SINCE, (self._position.revision, _MAX_CHANGES + 2)).fetchall()
        answer = compare(self._position, latest, [ChangedClient._make(row) for row in rows], _MAX_CHANGES)
        if isinstance(answer, Rewound) or answer.has_more or any(change.client_id is None for change in answer.changes):
            self._forget_all()
        else:
            self._position = answer.position
            self._cache.forget_clients(change.client_id for change in answer.changes if change.client_id is not None)

    def _read_state(self) -> tuple[Position, str]:
        row = self._connection.execute(_STATE).fetchone()
        if row is None:
            raise Unavailable("The database has no installation.")
        revision, last_hash, mark = row
        return Position(revision, last_hash), mark

    def _uncertain_clients(self, mark: str) -> frozenset[str] | None:
        if mark == UncertainClients.NONE:
            return frozenset()
        if mark == UncertainClients.ALL:
            return None
        return frozenset(client_id for (client_id,) in self._connection.execute(_LOST) if client_id is not None)

    def _forget_all(self) -> None:
        self._position, _ = self._read_state()
        self._cache.clear()
        self._ahead = _AFTER_ALL

    def _read(self, *digests: bytes) -> tuple[SecretRow | None, bytes]:
        """Return the row with one of these digests, and which.

        One statement reads all of them, so that a secret is found while it is moved from one key to another. The time
        must not reveal which key the secret was digested with.
        """
        rows = self._connection.execute(_query(len(digests)), digests).fetchall()
        return (SecretRow._make(rows[0][1:]), rows[0][0]) if rows else (None, NO_DIGEST)

    async def close(self) -> None:
        """Close the connection."""
        self._connection.close()
