"""The events of clients, delivered to subscribers: after the commit, in the order of revisions, for every actor.

Each process has one feed. It asks the change log what came after the position it knows, so a change by another process
is delivered like one of our own. It asks only while there are subscribers. Before it delivers anything it authorizes
the subscribers again: a stream ends when its session, credential or role does, even if nothing happens to clients.
"""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, Self

from gql_secrets.domain.access import Caller, Role, require_role
from gql_secrets.domain.credentials import is_client_id
from gql_secrets.domain.errors import BadRequest, Failure, ResyncRequired, StreamEnded, Unavailable
from gql_secrets.domain.events import ClientEvent, ClientEventKind, events_of
from gql_secrets.service.audit_events import entry_of
from gql_secrets.service.caller_check import CallerSnapshot
from gql_secrets.storage.change_log import ChangeLog, Changes, Position, Rewound
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds, to_microseconds
from gql_secrets.storage.models import AuditEvent

_log: Final = logging.getLogger(__name__)

MAX_WAITING: Final = 1_000
# The most events that a stream which resumes repeats.
MAX_REPLAYED: Final = 1_000
# Beyond it the caller with the most streams gives way, so that no caller keeps others out.
MAX_STREAMS: Final = 1_000
_POLL_SECONDS: Final = 0.2
# So that a stream ends within a second after its caller lost access.
_SECONDS_BETWEEN_CHECKS: Final = 0.4
# Beyond it, an expiry waits for a lock. Its event is delivered when it is written.
_SECONDS_TO_EXPIRE: Final = 0.2
_SECONDS_AFTER_FAILURE: Final = 1.0
_PAGE: Final = 500
# A first use is committed at most this long after its instant was read; a refused attempt is counted for up to 60 s,
# the longest GQL_SECRETS_USAGE_FLUSH, before that. Those delivered within this time are remembered.
_FIRST_USE_WINDOW: Final = timedelta(seconds=15)
_REFUSAL_WINDOW: Final = timedelta(seconds=75)
_STEP: Final = timedelta(seconds=1)

_OVERRUN: Final = "Events were dropped because they were not read in time. Read the current state and subscribe again."
_REWOUND: Final = "The database went back in time. Read the current state and subscribe again."
_STOPPING: Final = "The server is shutting down. Subscribe again."
_UNEXPECTED: Final = "Unexpected error. Subscribe again."
_TOO_MANY_STREAMS: Final = "Too many streams are open. Try again later."


class ClientEvents:
    """One subscriber's events. Ends by raising a Failure that says why; close it when it is no longer read."""

    def __init__(self, feed: "Feed", client_id: str | None, caller: Caller, after_revision: int) -> None:
        self.caller = caller
        self._feed = feed
        self._client_id = client_id
        self._after_revision = after_revision
        self._waiting: deque[ClientEvent] = deque()
        self._replayed: deque[ClientEvent] = deque()
        self._arrived = asyncio.Event()
        self._failure: Failure | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ClientEvent:
        """Return the next event.

        Raises:
            Unauthenticated: the caller's secret or session ended.
            Forbidden: the caller lost its role.
            StreamEnded: events were missed.
        """
        if self._replayed and self._failure is None:
            return self._replayed.popleft()
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            if self._closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    async def aclose(self) -> None:
        """End the subscription."""
        self._closed = True
        self._replayed.clear()
        self._waiting.clear()
        self._arrived.set()
        self._feed.remove(self)

    def replay(self, events: Iterable[ClientEvent]) -> None:
        """Deliver these events, which are older than all others, first."""
        self._replayed.extend(events)

    def offer(self, event: ClientEvent) -> None:
        """Add an event, if it is one that this subscriber asked for."""
        if self._client_id is not None and event.client_id != self._client_id:
            return
        if event.revision is not None and event.revision <= self._after_revision:
            return
        if len(self._waiting) >= MAX_WAITING:
            self.end(StreamEnded(_OVERRUN))
            return
        self._waiting.append(event)
        self._arrived.set()

    def end(self, failure: Failure) -> None:
        """End with a failure; events that were not read yet are dropped."""
        self._failure = self._failure or failure
        self._waiting.clear()
        self._arrived.set()
        self._feed.remove(self)


class Feed:
    """Delivers the events of clients to every subscriber of one process."""

    def __init__(
        self, database: Database, *, expire_due_secrets: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """Follow one open database.

        Args:
            database: the database.
            expire_due_secrets: writes EXPIRED to secrets that have expired, so that this is delivered immediately.
        """
        self._database = database
        self._expire_due_secrets = expire_due_secrets
        self._streams: dict[ClientEvents, None] = {}  # the oldest first
        self._task: asyncio.Task[None] | None = None
        self._expiring: asyncio.Future[object] | None = None
        self._poll_lock = asyncio.Lock()
        self._cursor = _Cursor(database)
        self._undelivered: list[ClientEvent] = []
        self._checked_at = 0.0

    def __len__(self) -> int:
        return len(self._streams)

    async def subscribe(self, client_id: str | None, *, by: Caller, after: int | None = None) -> ClientEvents:
        """Subscribe to one client, or to all: to every change after this call, and every use.

        Args:
            client_id: the client; None for all.
            by: the subscriber.
            after: the revision of the last change that the subscriber knows: the changes after it come first. If they
                cannot be replayed, the stream ends immediately with ResyncRequired.

        Raises:
            Unauthenticated, Forbidden: the caller may not subscribe.
            BadRequest: no client can have this client id.
            Unavailable: the database does not answer, or there are too many streams.
        """
        require_role(by, Role.VIEWER)
        if client_id is not None and not is_client_id(client_id):
            raise BadRequest(
                "Not a client id: 1 to 128 visible ASCII characters without : , \" ' ` or \\.", argument="client_id"
            )
        async with self._poll_lock:
            if not self._streams:
                self._undelivered.clear()
                await self._cursor.begin()
            newest = await self._cursor.latest()
            if len(self._streams) >= MAX_STREAMS:
                self._stream_that_gives_way(by).end(Unavailable(_TOO_MANY_STREAMS))
            stream = ClientEvents(self, client_id, by, newest.revision)
            self._streams[stream] = None
        if after is not None:
            await self._replay(stream, client_id, after, newest)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_polling())
        return stream

    async def _replay(self, stream: ClientEvents, client_id: str | None, after: int, newest: Position) -> None:
        try:
            missed = await self._cursor.replay(after, newest, client_id)
        except ResyncRequired as required:
            stream.end(required)
        except BaseException:
            await stream.aclose()
            raise
        else:
            stream.replay(missed)

    def remove(self, stream: ClientEvents) -> None:
        """Remove a stream that ended."""
        self._streams.pop(stream, None)

    def _stream_that_gives_way(self, newcomer: Caller) -> ClientEvents:
        """Return the oldest stream of the caller with the most; of the newcomer's own, where it has as many.

        Raises:
            Unavailable: no caller has more than one.
        """
        counts = Counter(stream.caller.actor for stream in self._streams)
        counts[newcomer.actor] += 1
        largest = max(counts, key=lambda actor: (counts[actor], actor == newcomer.actor))
        if counts[largest] == 1:
            raise Unavailable(_TOO_MANY_STREAMS)
        return next(stream for stream in self._streams if stream.caller.actor == largest)

    async def poll(self) -> None:
        """Authorize the subscribers, and deliver what is new.

        Raises:
            Unavailable: the database does not answer; nothing is lost.
            StreamEnded: the database went back in time.
        """
        async with self._poll_lock:
            loop = asyncio.get_running_loop()
            is_due = loop.time() - self._checked_at >= _SECONDS_BETWEEN_CHECKS
            if is_due:
                await self._expire()
            has_more = True
            while has_more and self._streams:
                events, has_more = await self._cursor.read()
                self._undelivered += events
                if self._undelivered or is_due:
                    await self._authorize()
                    self._checked_at, is_due = loop.time(), False
                for event in self._undelivered:
                    for stream in list(self._streams):
                        stream.offer(event)
                self._undelivered.clear()

    async def close(self) -> None:
        """End every stream."""
        for stream in list(self._streams):
            stream.end(StreamEnded(_STOPPING))
        running = [task for task in (self._task, self._expiring) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _expire(self) -> None:
        """Let EXPIRED be written. No stream waits for a lock of that, or fails because it cannot be written."""
        if self._expire_due_secrets is None:
            return
        self._expiring = expiring = self._expiring or asyncio.ensure_future(self._expire_due_secrets())
        await asyncio.wait([expiring], timeout=_SECONDS_TO_EXPIRE)
        if expiring.done():
            self._expiring = None
            with contextlib.suppress(Failure):
                expiring.result()

    async def _keep_polling(self) -> None:
        pause = _POLL_SECONDS
        while self._streams:
            try:
                await self.poll()
                pause = _POLL_SECONDS
            except StreamEnded as failure:
                self._end_all(failure)
            except Unavailable:
                # The streams stay open: nothing happens to clients while the database is unavailable.
                pause = _SECONDS_AFTER_FAILURE
            except Exception:  # noqa: BLE001  subscribers must get an end with a reason
                _log.exception("event_streams_failed")
                self._end_all(StreamEnded(_UNEXPECTED))
            await asyncio.sleep(pause)

    def _end_all(self, failure: Failure) -> None:
        for stream in list(self._streams):
            stream.end(failure)

    async def _authorize(self) -> None:
        streams = list(self._streams)
        now = await self._database.now()
        snapshot = await CallerSnapshot.read(self._database, [stream.caller for stream in streams], now)
        for stream in streams:
            try:
                stream.caller = snapshot.evaluate(stream.caller)
                require_role(stream.caller, Role.VIEWER)
            except Failure as failure:
                stream.end(failure)


class _Cursor:
    """How far a feed has read: its position in the change log, and the latest uses."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._log = ChangeLog(database)
        self._commit_mark: object | None = None
        self._position = Position(0, None)
        self._now: datetime | None = None
        self._first_uses: dict[int, datetime] = {}
        self._refusals: dict[int, datetime] = {}

    async def begin(self) -> None:
        """Begin at the newest change."""
        self._commit_mark = self._now = None
        self._position = await self.latest()
        await self.read()

    async def latest(self) -> Position:
        """Return the position of the newest change."""
        return await self._log.latest()

    async def replay(self, after: int, newest: Position, client_id: str | None) -> list[ClientEvent]:
        """Return what happened after a revision, up to a position.

        Raises:
            ResyncRequired: there were too many changes, or they are no longer in the log.
            Unavailable: the database does not answer.
        """
        answer = await self._log.between(after, newest, MAX_REPLAYED, client_id=client_id)
        events = _events_of(answer) if isinstance(answer, Changes) and not answer.has_more else None
        if events is None or len(events) > MAX_REPLAYED:
            raise ResyncRequired
        return events

    async def read(self) -> tuple[list[ClientEvent], bool]:
        """Return what happened since the last call, and whether there is more.

        Raises:
            StreamEnded: the database went back in time: a backup was restored.
            Unavailable: it does not answer.
        """
        # Where the database has such a mark, nothing else is read while nothing is committed.
        mark = await self._database.read(self._database.dialect.read_commit_mark)
        if mark is not None and mark == self._commit_mark:
            return [], False
        answer = await self._log.after(self._position, _PAGE)
        if isinstance(answer, Rewound):
            self._position = await self.latest()
            raise StreamEnded(_REWOUND)
        events = _events_of(answer)
        uses = [] if answer.has_more else await self._uses()
        # Only now, when nothing can fail: what was not returned will be read again.
        self._position = answer.position
        if not answer.has_more:
            self._commit_mark = mark
        return [*events, *uses], answer.has_more

    async def _uses(self) -> list[ClientEvent]:
        now = await self._database.now()
        first_uses = await self._instants("first_used_at", now - _FIRST_USE_WINDOW)
        refusals = await self._instants("last_refused_at", now - _REFUSAL_WINDOW)
        # After the clock was set back, uses of long ago would be delivered again.
        is_known = self._now is not None and now >= self._now - _STEP
        self._now = now
        events = [
            *_new_uses(ClientEventKind.FIRST_USED, first_uses, self._first_uses),
            *_new_uses(ClientEventKind.REFUSED_ATTEMPT, refusals, self._refusals),
        ]
        self._first_uses = {secret_id: at for secret_id, _, at in first_uses}
        self._refusals = {secret_id: at for secret_id, _, at in refusals}
        return events if is_known else []

    async def _instants(self, column: str, since: datetime) -> list[tuple[int, str, datetime]]:
        rows = await self._database.fetch(
            f"SELECT id, client_id, {column} AS at FROM client_secret WHERE {column} > ? ORDER BY {column}, id",  # noqa: S608  names of ours
            [to_microseconds(since)],
        )
        return [(row["id"], row["client_id"], from_microseconds(row["at"])) for row in rows]


def _events_of(answer: Changes[AuditEvent]) -> list[ClientEvent]:
    return [event for row in answer.changes for event in events_of(entry_of(row))]


def _new_uses(
    kind: ClientEventKind, found: list[tuple[int, str, datetime]], known: dict[int, datetime]
) -> Iterator[ClientEvent]:
    for secret_id, client_id, at in found:
        if known.get(secret_id) != at:
            yield ClientEvent(kind, at, client_id, secret_id=secret_id)
