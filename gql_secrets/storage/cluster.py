"""The nodes on one database, and the fence: a change is acknowledged when it is effective on every one of them.

A node that verifies from memory has a row in `cluster_member`, with the revision of the last change that it applied.
After its commit a change waits (`Fence.wait`) until every such row has its revision, or until `LEASE_SECONDS` have
passed: a lease that does not have the change was given by a poll sent before the commit, so it is over by then. These
must hold (tests/model tries every order of the steps, with and without each of them):

- Revisions become visible in the order of the commits: the installation's row is locked until the commit.
- A node's row is committed before the poll that gives it a lease is sent. A poll that finds no row gives no lease.
- A change that sees no other node while it holds its locks, on a known server, waits for none: a node that joins waits
  for the installation's lock, so its first poll has every change that did not see it.
- The wait is measured by the clock of the process that waits, never by a column: a poll whose snapshot is older than
  its own commit would extend such a lease without being seen. No machine's wall clock matters, the database's included.
- The process that made a change does not wait for its own node: when the commit is answered, the node forgets what was
  changed, and from then on remembers no row that was read before it (`SecretMemory.forget_own`). A change that it only
  finds made, be it its own one whose commit was not answered, has to be confirmed by its node as by any other.
- A row is deleted only by its node, after that stopped verifying from memory, or when its `poll` has not changed for
  `LEASE_SECONDS`. So only the first change waits for a node that died.
- A server that was promoted, or that recovered, may have lost rows. `cluster.server` names the one on which the leases
  were given. On any other a change waits for `LEASE_SECONDS`, until a process has known it for that long.

A node that reads the database for each verification, as nodes of earlier versions do, needs no row: the commit is
effective on it. On SQLite the commit is effective everywhere.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.effects import EFFECTIVE, Effect
from gql_secrets.domain.errors import BadRequest, Failure, SetupError, Unavailable
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds
from gql_secrets.storage.node_lease import LEASE_SECONDS
from gql_secrets.storage.transaction import Transaction

_log: Final = logging.getLogger(__name__)
# Listening nodes poll when they are notified on it; the payload is the node that does not need to.
CHANNEL: Final = "gql_secrets_changes"
FROM_MEMORY: Final = "memory"
FROM_DATABASE: Final = "database"
# A server by its start and its timeline, which a promotion changes.
SERVER: Final = """
    floor(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text || '/' ||
    substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
"""
_MAX_WAIT_SECONDS: Final = 5.0
_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.04
_AFTER_FAILURE: Final = 0.25
_UNCONFIRMED: Final = f"""
    SELECT c.server <> '' AND c.server <> {SERVER} AS is_new, m.id, m.poll
    FROM cluster c LEFT JOIN cluster_member m ON m.serves_from = '{FROM_MEMORY}'
        AND m.applied_revision < CASE m.id WHEN ? THEN CAST(? AS bigint) ELSE CAST(? AS bigint) END
"""  # noqa: S608  constants
# A change reads it after its locks: the nodes that verify from memory, or '*' where a server may have lost some.
FOLLOWERS: Final = f"""
    SELECT CASE WHEN c.server <> '' AND c.server <> {SERVER} THEN '*' ELSE (
        SELECT string_agg(m.id, ',') FROM cluster_member m WHERE m.serves_from = '{FROM_MEMORY}'
    ) END FROM cluster c
"""  # noqa: S608  constants
_NOTIFY: Final = f"SELECT pg_notify('{CHANNEL}', ?)"
_KNOW_SERVER: Final = f"UPDATE cluster SET server = {SERVER}"  # noqa: S608  constants
_REMOVE: Final = "DELETE FROM cluster_member WHERE id = ? AND poll = ?"
_SEEN_WITHIN_SECONDS: Final = 15
_KEYS_OF_NODES: Final = f"""
    SELECT version, pepper_keys FROM cluster_member
    WHERE last_seen_at > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - {_SEEN_WITHIN_SECONDS} * 1000000
"""  # noqa: S608  constants
_MEMBERS: Final = """
    SELECT m.id, m.version, m.serves_from, m.started_at, m.last_seen_at, m.applied_revision, i.revision
    FROM cluster_member m CROSS JOIN installation i ORDER BY m.started_at, m.id
"""
_TOO_SLOW: Final = f"Not every node confirmed the change within {_MAX_WAIT_SECONDS:.0f} seconds."
_LOST: Final = (
    "The database stopped answering after the change was committed, so it is not confirmed that every node follows it."
)


async def require_first_key_everywhere(database: Database, pepper: Pepper) -> None:
    """Pass if every running node has the key that this process would digest new secrets with.

    Raises:
        SetupError: one lacks it, and would not find these secrets.
        Unavailable: the database does not answer.
    """
    if database.dialect.name == "sqlite":
        return  # on one machine, where every process reads the same pepper
    for version, keys in await database.fetch_rows(_KEYS_OF_NODES):
        if keys and pepper.first.key_id not in keys.split(","):
            raise SetupError(
                f"A running node (version {version}) lacks the pepper key {pepper.first.key_id}, so it would find no "
                "secret of this one. Put that key after the others, restart every node, and only then put it in front "
                "(docs/operations.md, Changing the pepper). A node that was killed counts as running for "
                f"{_SEEN_WITHIN_SECONDS} seconds."
            )


async def require_same_first_key(database: Database, pepper: Pepper) -> None:
    """Pass if every running node digests new secrets with the first key of this process.

    Raises:
        BadRequest: one uses another key, or does not say which.
        Unavailable: the database does not answer.
    """
    if database.dialect.name == "sqlite":
        return  # on one machine, where every process reads the same pepper
    for version, keys in await database.fetch_rows(_KEYS_OF_NODES):
        first = (keys or "").split(",")[0]
        if first != pepper.first.key_id:
            uses = f"digests new secrets with the pepper key {first}" if first else "does not say which keys it has"
            raise BadRequest(
                f"A running node (version {version}) {uses}. Put {pepper.first.key_id} in front on every node, restart "
                "them, and then migrate (docs/operations.md, Changing the pepper). A node that was killed counts as "
                f"running for {_SEEN_WITHIN_SECONDS} seconds."
            )


async def count_running_nodes(database: Database) -> int:
    """Return how many nodes run on a PostgreSQL database; 0 for SQLite, which does not know.

    Raises:
        Unavailable: the database does not answer.
    """
    return 0 if database.dialect.name == "sqlite" else len(await database.fetch_rows(_KEYS_OF_NODES))


class Member(NamedTuple):
    """A node that joined. `lag` counts the changes that it has not applied; None where it needs to apply none."""

    id: str
    version: str
    serves_from: str
    started_at: datetime
    last_seen_at: datetime
    lag: int | None


async def read_members(database: Database) -> list[Member]:
    """Return the nodes that joined and did not leave, the one that started first first.

    Raises:
        Unavailable: the database does not answer.
    """
    return [
        Member(
            node,
            version,
            serves_from,
            from_microseconds(started_at),
            from_microseconds(last_seen_at),
            max(0, revision - applied) if serves_from == FROM_MEMORY else None,
        )
        for node, version, serves_from, started_at, last_seen_at, applied, revision in await database.fetch_rows(
            _MEMBERS
        )
    ]


class Awaited(NamedTuple):
    """What has to be effective on every node.

    Attributes:
        made: the newest revision that this process made, and whose commit was answered; 0 if it made none.
        found: the newest revision that it found made, perhaps by another process; 0 if it need not wait for one.
    """

    made: int = 0
    found: int = 0


# Waits until this is effective on every node, or answers for a wait that comes later.
Confirm = Callable[[Awaited], Awaitable[Effect]]


class OwnNode(Protocol):
    """The node of this process, which verifies from memory and forgets what this process changes."""

    id: str

    def wake(self) -> None:
        """Let it poll now."""


class Fence:
    """Waits until a committed change is effective on every node."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.own_node: OwnNode | None = None

    def is_needed_for(self, followers: Sequence[str]) -> bool:
        """Return whether a change that saw these nodes, while it held its locks, has to wait for one of them."""
        return any(self.own_node is None or node != self.own_node.id for node in followers)

    async def wait(self, awaited: Awaited) -> Effect:
        """Return whether this is effective on every node.

        It never raises: the change was made, and its answer must not be lost.
        """
        if self._database.dialect.name == "sqlite":
            return EFFECTIVE
        failure = _TOO_SLOW
        wait = _Wait(self._database, awaited, self.own_node)
        try:
            async with asyncio.timeout(_MAX_WAIT_SECONDS):
                while True:
                    try:
                        await wait.finish()
                    except Unavailable:
                        failure = _LOST
                        await asyncio.sleep(_AFTER_FAILURE)
                    else:
                        return EFFECTIVE
        except TimeoutError:
            _log.warning("effect_not_confirmed", extra={"revision": max(awaited), "reason": failure})
        except Exception:  # noqa: BLE001  the change was made
            failure = _LOST
            _log.exception("effect_not_confirmed", extra={"revision": max(awaited)})
        return Effect(everywhere=False, reason=failure)


class OneWait:
    """One wait, at the end, for several changes of one request."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self._newest = Awaited()

    async def confirm_later(self, awaited: Awaited) -> Effect:
        """Return what is to be confirmed by `finish`."""
        self._newest = Awaited(max(self._newest.made, awaited.made), max(self._newest.found, awaited.found))
        return EFFECTIVE

    async def finish(self) -> Effect:
        """Return whether all these changes are effective on every node. It never raises.

        A node that follows the newest one follows all before it.
        """
        return await self._fence.wait(self._newest) if any(self._newest) else EFFECTIVE


class _Wait:
    """One wait. The leases that do not have the change are over a lease after it was first read who has it."""

    def __init__(self, database: Database, awaited: Awaited, own_node: OwnNode | None) -> None:
        self._database = database
        self._own_node = own_node
        # The revisions that the row of the own node, and those of the others, must have.
        self._bounds = ("" if own_node is None else own_node.id, awaited.found, max(awaited))
        self._first_read_at: float | None = None
        self._new_server_at: float | None = None
        # The polls of the members that have not confirmed the change, and since when they are the same.
        self._polls: dict[str, tuple[int, float]] = {}

    async def finish(self) -> None:
        """Return when the change is effective on every node.

        Raises:
            Unavailable: the database does not answer; call it again.
        """
        now = asyncio.get_running_loop().time
        pause = _FIRST_PAUSE
        while await self._is_unconfirmed(now):
            if self._first_read_at is None:
                self._first_read_at = now()
                await self._ask_for_polls()
            left = self._first_read_at + LEASE_SECONDS - now()
            if left <= 0:
                await self._forget_dead(now())
                return
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _is_unconfirmed(self, now: Callable[[], float]) -> bool:
        rows = await self._database.fetch_quickly(_UNCONFIRMED, self._bounds)
        at = now()
        is_new = any(row[0] for row in rows)
        self._new_server_at = (self._new_server_at or at) if is_new else None
        unconfirmed = {node: poll for _, node, poll in rows if node is not None}
        self._polls = {
            node: known if (known := self._polls.get(node)) and known[0] == poll else (poll, at)
            for node, poll in unconfirmed.items()
        }
        return is_new or bool(unconfirmed)

    async def _ask_for_polls(self) -> None:
        """Let the nodes that have not confirmed the change poll now."""
        own_id, *_ = self._bounds
        if self._own_node is not None and own_id in self._polls:
            self._own_node.wake()
        if any(node != own_id for node in self._polls):
            await self._database.fetch_rows(_NOTIFY, (own_id,))

    async def _forget_dead(self, now: float) -> None:
        """Let the next change not wait for what this one waited for."""
        silent = [(node, poll) for node, (poll, since) in self._polls.items() if now >= since + LEASE_SECONDS]
        is_known = self._new_server_at is not None and now >= self._new_server_at + LEASE_SECONDS

        async def work(tx: Transaction) -> None:
            for node, poll in silent:
                await tx.execute(_REMOVE, node, poll)
            if is_known:
                await tx.execute(_KNOW_SERVER)

        if silent or is_known:
            try:
                await self._database.run_tx(work)
            except Failure as failure:
                _log.info("dead_nodes_not_removed", extra={"reason": str(failure)})
            else:
                _log.warning("dead_nodes_removed", extra={"nodes": [node for node, _ in silent]})
