"""A node's membership of the cluster: it polls, follows the changes, and holds its lease.

The rules are in storage/node_lease.py and storage/cluster.py.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Sequence
from typing import Final

from gql_secrets import __version__
from gql_secrets.domain.errors import Unavailable
from gql_secrets.storage.change_log import ChangedClient, Position
from gql_secrets.storage.cluster import CHANNEL, FROM_DATABASE, FROM_MEMORY, SERVER
from gql_secrets.storage.errors import READ_ERRORS, log_rarely
from gql_secrets.storage.node_lease import LEASE_SECONDS, NodeLease
from gql_secrets.storage.postgres.connection import PooledConnection
from gql_secrets.storage.postgres.dialect import CLOCK, PostgresDialect
from gql_secrets.storage.postgres.pool import ConnectionPool
from gql_secrets.storage.secret_index.memory import CHANGES_ALL, ROWS, Followed, SecretMemory

_log: Final = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.25
# A node that reads the database for each verification is only seen by it.
_SEEN_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 0.5
# A distant server needs a dozen round trips to connect, and to join; no lease depends on how long that takes.
_CONNECT_SECONDS: Final = 2.0
_LEAVE_SECONDS: Final = 1.0
# Fewer connections than this are not enough to keep one for the polls.
_MIN_POOL: Final = 3
_BEFORE_ALL: Final = "UPDATE cluster SET server = {} WHERE server = ''".format(SERVER)  # noqa: S608, UP032  constants
# It waits for the changes in progress: those that did not see the row, its first poll has.
_JOIN: Final = f"""
    INSERT INTO cluster_member (id, version, serves_from, started_at, last_seen_at, applied_revision, poll,
        pepper_keys)
    SELECT $1, $2, $3, $4, {CLOCK}, $5, $6, $7 FROM (SELECT FROM installation WHERE id = 1 FOR SHARE) installation
    ON CONFLICT (id) DO UPDATE SET applied_revision = excluded.applied_revision, poll = excluded.poll
"""  # noqa: S608  constants
# Rows of dead nodes that no change ever waits for, and so removes.
_TIDY: Final = f"""
    DELETE FROM cluster_member WHERE serves_from = '{FROM_DATABASE}' AND last_seen_at < {CLOCK} - 60 * 1000000
"""  # noqa: S608  constants
_LEAVE: Final = "DELETE FROM cluster_member WHERE id = $1"
_LATEST: Final = f"""
    SELECT i.revision, e.hash, {CLOCK} FROM installation i LEFT JOIN audit_event e ON e.revision = i.revision
"""  # noqa: S608  constants
# A lease that is lost in a crash is safe, so its commit waits for no disk. A change that the database lost does not
# confirm the one that it made since under the same revision. Sessions, links, webhooks and pruning have events without
# a client, and change no secret.
_CHANGES_ALL: Final = ", ".join(f"'{action}'" for action in sorted(CHANGES_ALL))
_POLL: Final = f"""
    WITH own AS (
        UPDATE cluster_member SET last_seen_at = {CLOCK}, poll = $3, applied_revision = CASE
            WHEN (SELECT hash FROM audit_event WHERE revision = $2) IS NOT DISTINCT FROM $5 THEN $2 ELSE 0 END
        WHERE id = $1 RETURNING 1
    )
    SELECT (SELECT count(*) FROM own) AS rows, {CLOCK} AS now, i.revision AS latest, e.hash AS latest_hash,
        c.server <> {SERVER} AS is_new, set_config('synchronous_commit', 'off', true), since.*
    FROM installation i CROSS JOIN cluster c LEFT JOIN audit_event e ON e.revision = i.revision
    LEFT JOIN (
        SELECT revision, hash,
            CASE WHEN client_id IS NULL AND action NOT IN ({_CHANGES_ALL}) THEN '' ELSE client_id END AS client_id
        FROM audit_event WHERE revision >= $2 ORDER BY revision LIMIT $4
    ) since ON true
    ORDER BY since.revision
"""  # noqa: S608  constants
_KNOW_SERVER: Final = f"UPDATE cluster SET server = {SERVER}"  # noqa: S608  constants
_FAILURES: Final = (*READ_ERRORS, Unavailable)


class Membership:
    """Keeps the row, the memory and the lease of this node. Without a memory it only shows that the node is there."""

    def __init__(
        self, dialect: PostgresDialect, lease: NodeLease, memory: SecretMemory | None, key_ids: Sequence[str]
    ) -> None:
        """Prepare it; `run` joins, and tells other nodes the keys of this node's pepper."""
        self._pepper_keys = ",".join(key_ids)
        self.id = secrets.token_hex(8)
        self.lease = lease
        self.lag: int | None = None
        self._pool: ConnectionPool = dialect.pool
        self._is_pooled = dialect.is_pooled
        self._is_listening = False
        self._reported_reason = ""
        self._memory = memory
        self._serves_from = FROM_DATABASE if memory is None else FROM_MEMORY
        self._started_at: int | None = None
        self._connection: PooledConnection | None = None
        self._has_joined = False
        self._new_server_at: float | None = None
        self._awake = asyncio.Event()
        self._was_woken = False
        self._is_stopping = False

    @property
    def has_memory(self) -> bool:
        """Whether this node verifies from memory while it holds its lease."""
        return self._memory is not None

    def wake(self) -> None:
        """Poll now: something changed."""
        self._awake.set()

    async def run(self) -> None:
        """Keep the lease until `stop`; then give it back."""
        while not self._is_stopping:
            pause = await self._step()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._awake.wait()
        await self._leave()

    def stop(self) -> None:
        """Let `run` end; from now on nothing is verified from memory."""
        self._is_stopping = True
        self.lease.end()
        self.wake()

    async def _step(self) -> float:
        """Poll once; return how long to wait for the next time."""
        self._was_woken = self._awake.is_set()
        self._awake.clear()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                connection = await self._connected()
                if not self._has_joined:
                    await self._join(connection)
                    return 0
            async with asyncio.timeout(_ANSWER_SECONDS):
                polls_again = await self._poll(connection)
        except _FAILURES as error:
            # The lease ends when its time is over.
            log_rarely(_log, "poll_failed", error=type(error).__name__, detail=str(error))
            await self._drop_connection()
            return _POLL_SECONDS
        except Exception:  # noqa: BLE001  the node goes on without a lease
            self.lease.end()
            _log.exception("poll_failed")
            await self._drop_connection()
            return _SEEN_SECONDS
        finally:
            if not self._keeps_connection:
                await self._release()
        return 0 if polls_again else _SEEN_SECONDS if self._memory is None else _POLL_SECONDS

    async def _join(self, connection: PooledConnection) -> None:
        revision, last_hash, now = await connection.fetchrow(_LATEST)
        if self._memory is not None:
            if self._memory.position is None:
                self._memory.start_at(Position(revision, last_hash))
            revision = self._applied
        self._started_at = self._started_at or now
        await connection.execute(_BEFORE_ALL)
        await connection.execute(_TIDY)
        await connection.execute(
            _JOIN,
            self.id,
            __version__,
            self._serves_from,
            self._started_at,
            revision,
            _draw_number(),
            self._pepper_keys,
        )
        self._has_joined = True

    @property
    def _applied(self) -> int:
        return self._memory.position.revision if self._memory is not None and self._memory.position is not None else 0

    async def _poll(self, connection: PooledConnection) -> bool:
        """Follow what changed, then extend the lease; return whether to send the next poll immediately.

        It confirms what this one applied. Somebody may wait for that, unless all of it was made by this process, whose
        own changes wait for the other nodes alone.
        """
        applied, memory = self._applied, self._memory
        own = None if memory is None else memory.newest_own
        applied_hash = None if memory is None or memory.position is None else memory.position.hash
        sent = self.lease.read_clocks()
        rows = await connection.fetch(
            _POLL, self.id, applied, _draw_number(), 0 if memory is None else ROWS, applied_hash
        )
        first = rows[0]
        if not first["rows"]:
            self.lease.end()
            self._has_joined = False
            return True
        await self._note_server(connection, is_new=first["is_new"])
        if memory is None or self._is_stopping:
            return False
        self.lag = max(0, first["latest"] - applied)
        followed = memory.follow(
            Position(first["latest"], first["latest_hash"]),
            [ChangedClient(row["revision"], row["hash"], row["client_id"]) for row in rows if row["revision"]],
            own=own,
        )
        if followed is Followed.WENT_BACK:
            self.lease.doubt_database()
            return True
        self.lease.extend(sent, first["now"])
        return followed is Followed.OTHERS or (self._was_woken and self._applied != applied)

    async def _note_server(self, connection: PooledConnection, *, is_new: bool) -> None:
        """Let changes wait no longer for leases of another server, when those are over."""
        now = asyncio.get_running_loop().time()
        if not is_new:
            self._new_server_at = None
        elif self._new_server_at is None:
            self._new_server_at = now
        elif now >= self._new_server_at + LEASE_SECONDS:
            await connection.execute(_KNOW_SERVER)

    async def _connected(self) -> PooledConnection:
        if self._connection is None or self._connection.is_closed():
            await self._release()
            self._connection = await self._pool.acquire(for_verification=True)
            if self._may_listen():
                self._is_listening = True
                await self._connection.add_listener(CHANNEL, self._hear)
        return self._connection

    @property
    def _keeps_connection(self) -> bool:
        return self._memory is not None and self._pool.capacity >= _MIN_POOL

    def _may_listen(self) -> bool:
        """Return whether this node can hear of changes; log why not, if it would."""
        reason = ""
        if self._is_pooled:
            reason = "A connection pooler passes no notifications on."
        elif not self._keeps_connection:
            reason = f"Fewer than {_MIN_POOL} connections to the database."
        if self._memory is not None and reason not in ("", self._reported_reason):
            _log.info("changes_found_by_polls_only", extra={"reason": reason, "poll_seconds": _POLL_SECONDS})
        self._reported_reason = reason
        return self._memory is not None and not reason

    def _hear(self, _connection: object, _pid: int, _channel: str, sender: object) -> None:
        if sender != self.id:  # what it waits for is asked of the others
            self.wake()

    async def _release(self) -> None:
        connection, self._connection = self._connection, None
        was_listening, self._is_listening = self._is_listening, False
        if connection is not None:
            if was_listening:
                connection.terminate()
            await self._pool.release(connection)

    async def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
        await self._release()

    async def _leave(self) -> None:
        """Verify from memory no longer, then let no change wait for this node."""
        self.lease.end()
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                if self._has_joined:
                    connection = await self._connected()
                    await connection.execute(_LEAVE, self.id)
        except _FAILURES as error:
            _log.info("lease_not_given_back", extra={"reason": str(error) or type(error).__name__})
        finally:
            await self._drop_connection()


def _draw_number() -> int:
    return secrets.randbits(63)
