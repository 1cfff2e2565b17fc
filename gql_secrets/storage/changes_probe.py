"""Whether changes are possible now: asked by health and metrics, at most once at a time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from tortoise.transactions import in_transaction

from gql_secrets.domain.errors import Conflict, Unavailable
from gql_secrets.storage.dialect import Dialect
from gql_secrets.storage.errors import translated

_PROBE_SECONDS: Final = 0.3


class ChangesProbe:
    """Begins and commits a transaction that changes nothing."""

    def __init__(self, dialect: Dialect, start: Callable[[Coroutine[Any, Any, str]], asyncio.Task[str]]) -> None:
        """Ask this database; `start` runs a coroutine where its connections are known."""
        self._dialect = dialect
        self._start = start
        self._probe: asyncio.Task[str] | None = None

    async def state(self) -> str:
        """Return "ok", "waiting" for a lock, or "unavailable"."""
        probe = self._probe
        if probe is None or probe.done():
            probe = self._probe = self._start(self._begin_and_commit())
        # Another question may begin the next probe while this one waits.
        done, _ = await asyncio.wait([probe], timeout=_PROBE_SECONDS)
        return probe.result() if done else "waiting"

    async def _begin_and_commit(self) -> str:
        try:
            with translated():
                self._dialect.require_room()
                async with in_transaction(self._dialect.writer):
                    pass
        except Conflict:
            return "waiting"
        except Unavailable:
            return "unavailable"
        return "ok"
