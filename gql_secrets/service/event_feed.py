"""What happens to clients, told to whoever listens: after the commit, in the order of revisions, whoever did it.

One feed a process asks the database what came after the revision it knows, so a change by another process is told
like one of our own. It asks only while somebody listens. Before it tells anything it judges its listeners again: a
stream ends when its session, credential or role does, and so do streams to which nothing happens.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Final, Self

from tortoise.backends.base.client import BaseDBAsyncClient

from gql_secrets.domain.access import Caller, Role, require_role
from gql_secrets.domain.audit import AuditEntry
from gql_secrets.domain.errors import Failure, StreamEnded, Unavailable
from gql_secrets.domain.events import ClientEvent, ClientEventKind, events_of
from gql_secrets.service.audit_log import entry_of
from gql_secrets.service.caller_check import CallerSnapshot
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds, to_microseconds
from gql_secrets.storage.models import AuditEvent

_log: Final = logging.getLogger(__name__)

MAX_WAITING: Final = 1_000
_MAX_STREAMS: Final = 1_000
_SECONDS: Final = 0.2
# Twice a second: a stream has ended within a second of its caller's right.
_SECONDS_BETWEEN_JUDGEMENTS: Final = 0.4
_SECONDS_AFTER_TROUBLE: Final = 1.0
_PAGE: Final = 500
# A use is committed after its instant was read, at most so much later; of what was told within it the ids are kept.
_LOOK_BACK: Final = timedelta(seconds=15)
_STEP: Final = timedelta(seconds=1)

_OVERRUN: Final = "Too much happened at once, or you read too slowly. Read what is there, and subscribe again."


class ClientEvents:
    """One listener's events. Ends by a Failure that says why; close it when nobody reads any more."""

    def __init__(self, feed: "Feed", client_id: str | None, caller: Caller, least: Role, after_revision: int) -> None:
        self.caller = caller
        self.least = least
        self._feed = feed
        self._client_id = client_id
        self._after_revision = after_revision
        self._waiting: deque[ClientEvent] = deque()
        self._news = asyncio.Event()
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
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    async def aclose(self) -> None:
        """Listen no more."""
        self._closed = True
        self._waiting.clear()
        self._news.set()
        self._feed.forget(self)

    def offer(self, event: ClientEvent) -> None:
        """Add an event, if it is one that this listener asked for."""
        if self._client_id is not None and event.client_id != self._client_id:
            return
        if event.revision is not None and event.revision <= self._after_revision:
            return
        if len(self._waiting) >= MAX_WAITING:
            self.end(StreamEnded(_OVERRUN))
            return
        self._waiting.append(event)
        self._news.set()

    def end(self, failure: Failure) -> None:
        """End with a failure; what was not read yet is dropped."""
        self._failure = self._failure or failure
        self._waiting.clear()
        self._news.set()
        self._feed.forget(self)


class Feed:
    """Tells every listener of one process what happens to clients."""

    def __init__(
        self, database: Database, *, expire_due_secrets: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """Make it for one open database.

        Args:
            database: where changes are remembered.
            expire_due_secrets: writes down that secrets' times are over, so that listeners hear of it at once.
        """
        self._database = database
        self._expire_due_secrets = expire_due_secrets
        self._streams: set[ClientEvents] = set()
        self._task: asyncio.Task[None] | None = None
        self._one_poll = asyncio.Lock()
        self._cursor = _Cursor(database)
        self._untold: list[ClientEvent] = []
        self._judged_at = 0.0

    async def subscribe(self, client_id: str | None, *, by: Caller, least: Role = Role.VIEWER) -> ClientEvents:
        """Listen to one client, or to all: to every change after this call, and every use.

        Raises:
            Unauthenticated, Forbidden: the caller may not.
            Unavailable: the database does not answer, or too many listen already.
        """
        require_role(by, least)
        if len(self._streams) >= _MAX_STREAMS:
            raise Unavailable("Too many streams are open. Try again later.")
        async with self._one_poll:
            if not self._streams:
                self._untold.clear()
                await self._cursor.begin()
            revision = await self._cursor.newest_revision()
            stream = ClientEvents(self, client_id, by, least, revision)
            self._streams.add(stream)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_polling())
        return stream

    def forget(self, stream: ClientEvents) -> None:
        """Tell this one nothing more."""
        self._streams.discard(stream)

    async def poll(self) -> None:
        """Judge the listeners, and tell them what is new.

        Raises:
            Unavailable: the database does not answer; nothing is lost.
            StreamEnded: the database went back in time.
        """
        async with self._one_poll:
            loop = asyncio.get_running_loop()
            is_due = loop.time() - self._judged_at >= _SECONDS_BETWEEN_JUDGEMENTS
            if is_due and self._expire_due_secrets is not None:
                await self._expire_due_secrets()
            has_more = True
            while has_more and self._streams:
                events, has_more = await self._cursor.read()
                self._untold += events
                if self._untold or is_due:
                    await self._judge()
                    self._judged_at, is_due = loop.time(), False
                for event in self._untold:
                    for stream in list(self._streams):
                        stream.offer(event)
                self._untold.clear()

    async def close(self) -> None:
        """End every stream."""
        for stream in list(self._streams):
            stream.end(StreamEnded("The server stops. Subscribe again."))
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep_polling(self) -> None:
        pause = _SECONDS
        while self._streams:
            try:
                await self.poll()
                pause = _SECONDS
            except StreamEnded as failure:
                self._end_all(failure)
            except Unavailable:
                # The listeners stay: nothing happens to clients while the database is away.
                pause = _SECONDS_AFTER_TROUBLE
            except Exception:  # noqa: BLE001  the last door before the listeners
                _log.exception("streams of events end")
                self._end_all(StreamEnded("Unexpected error. Subscribe again."))
            await asyncio.sleep(pause)

    def _end_all(self, failure: Failure) -> None:
        for stream in list(self._streams):
            stream.end(failure)

    async def _judge(self) -> None:
        streams = list(self._streams)
        now = await self._database.now()
        snapshot = await self._database.read(
            lambda connection: CallerSnapshot.read(connection, [stream.caller for stream in streams], now)
        )
        for stream in streams:
            try:
                stream.caller = snapshot.evaluate(stream.caller)
                require_role(stream.caller, stream.least)
            except Failure as failure:
                stream.end(failure)


class _Cursor:
    """How far a feed has read: the revision, and the uses of the last seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._data_version: int | None = None
        self._revision = 0
        self._now: datetime | None = None
        self._first_uses: dict[int, datetime] = {}
        self._refusals: dict[int, datetime] = {}

    async def begin(self) -> None:
        """Begin at what is there now."""
        self._data_version = self._now = None
        self._revision = await self.newest_revision()
        await self.read()

    async def newest_revision(self) -> int:
        """Return the installation's revision."""
        return int((await self._database.fetch("SELECT revision FROM installation"))[0]["revision"])

    async def read(self) -> tuple[list[ClientEvent], bool]:
        """Return what happened since the last time, and whether there is more of it.

        Raises:
            StreamEnded: the database went back in time: a backup was restored.
            Unavailable: it does not answer.
        """
        version = None
        if self._database.is_sqlite:
            # Tells that another connection committed, of this process or another; costs next to nothing.
            version = (await self._database.fetch("PRAGMA data_version"))[0]["data_version"]
            if version == self._data_version:
                return [], False
        newest = await self.newest_revision()
        if newest < self._revision:
            self._revision = newest
            raise StreamEnded("The database went back in time. Read what is there, and subscribe again.")
        entries = await self._entries() if newest > self._revision else []
        if len(entries) == _PAGE:
            self._revision = entries[-1].revision
            return [event for entry in entries for event in events_of(entry)], True
        uses = await self._uses()
        # Only now, when nothing can fail any more: what is not told will be read again.
        if entries:
            self._revision = entries[-1].revision
        self._data_version = version
        return [*(event for entry in entries for event in events_of(entry)), *uses], False

    async def _entries(self) -> list[AuditEntry]:
        async def read(connection: BaseDBAsyncClient) -> list[AuditEvent]:
            later = (
                AuditEvent.filter(revision__gt=self._revision).using_db(connection).prefetch_related("ended_secrets")
            )
            return await later.order_by("revision").limit(_PAGE)

        rows = await self._database.read(read)
        return [entry_of(row) for row in rows]

    async def _uses(self) -> list[ClientEvent]:
        now = await self._database.now()
        since = now - _LOOK_BACK
        first_uses = await self._instants("first_used_at", since)
        refusals = await self._instants("last_refused_at", since)
        # A clock that was set back would tell once more what was told long ago.
        is_known = self._now is not None and now >= self._now - _STEP
        self._now = now
        events = [
            *_news(ClientEventKind.FIRST_USED, first_uses, self._first_uses),
            *_news(ClientEventKind.REFUSED_ATTEMPT, refusals, self._refusals),
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


def _news(
    kind: ClientEventKind, found: list[tuple[int, str, datetime]], known: dict[int, datetime]
) -> Iterator[ClientEvent]:
    for secret_id, client_id, at in found:
        if known.get(secret_id) != at:
            yield ClientEvent(kind, at, client_id, secret_id=secret_id)
