"""Pausing the changes of a database while the rest of it is copied, and ending that.

The pause is a mark in the installation's row, which every change locks and reads: a change that was made before the
mark is committed is in what is copied after it, and none is made later. Verification does not read it.

The mark of a copy in progress expires unless the copy keeps extending it, so a command that was killed leaves nothing
paused. The revision shows whether a change was made nevertheless, so that does not depend on any clock.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from gql_secrets.domain.access import Caller, Role, require_role
from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.changes_pause import ChangesPause, ChangesPaused, require_no_pause
from gql_secrets.domain.errors import BadRequest, Failure
from gql_secrets.service.changes import Change, Changes
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds, to_microseconds
from gql_secrets.storage.transaction import Transaction

# How long changes wait for a copy that does not go on.
PAUSE: Final = timedelta(seconds=15)
_SECONDS_BETWEEN: Final = 3.0
_READ: Final = "SELECT changes_pause, pause_id FROM installation"
_READ_UNTIL: Final = "SELECT changes_pause, paused_until FROM installation"
_BEGIN: Final = "UPDATE installation SET changes_pause = 'COPYING', pause_id = ?, paused_until = ?"
_MOVE_END: Final = """
    UPDATE installation SET changes_pause = ?, paused_until = ?
    WHERE changes_pause = 'COPYING' AND pause_id = ? AND revision = ?
"""
_END: Final = "UPDATE installation SET changes_pause = 'NONE', pause_id = NULL, paused_until = NULL"
_SET: Final = "UPDATE installation SET changes_pause = ? WHERE pause_id = ?"


class Pause:
    """The pause of one copy."""

    def __init__(self, changes: Changes, by: Caller, pause_id: str, revision: int) -> None:
        """Continue a pause that began with this revision."""
        self._changes = changes
        self._by = by
        self.id = pause_id
        self._revision = revision

    async def keep(self) -> None:
        """Extend the pause until this is cancelled. A write that fails is tried again; the copy checks in the end."""
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN)
            with contextlib.suppress(Failure):
                await self._move_end(ChangesPause.COPYING)

    async def complete(self) -> None:
        """Keep the pause until it is ended, since the copy has everything.

        Raises:
            Failure: a change was made, which the copy does not have, or the pause was ended.
        """
        if not await self._move_end(ChangesPause.COPIED):
            raise Failure("The pause of changes ended before the copy was complete, so nothing was copied. Copy again.")

    async def abandon(self) -> None:
        """End the pause if it has not ended: the database goes on as if there had been no copy."""
        await _end(self._changes, self._by, only=self.id)

    async def _move_end(self, to: ChangesPause) -> bool:
        async def work(tx: Transaction) -> bool:
            until = to_microseconds(await tx.now() + PAUSE) if to is ChangesPause.COPYING else None
            return bool(await tx.execute(_MOVE_END, to.value, until, self.id, self._revision))

        return await self._changes.database.run_tx(work)


@contextlib.asynccontextmanager
async def paused(changes: Changes, by: Caller) -> AsyncIterator[Pause]:
    """Pause changes for a block, and end that if it fails.

    Raises:
        ChangesPaused: they are paused for another copy.
        RestoreNotAccepted: the database went back in time, and that has to be accepted first.
    """
    require_role(by, Role.ADMIN)
    pause_id = secrets.token_hex(16)

    async def work(change: Change) -> int:
        await change.record(AuditAction.CHANGES_PAUSED)
        await change.tx.execute(_BEGIN, pause_id, to_microseconds(change.now + PAUSE))
        return change.last_revision

    pause = Pause(changes, by, pause_id, await changes.change_installation(by, work))
    keeping = asyncio.create_task(pause.keep())
    try:
        yield pause
    except BaseException:
        keeping.cancel()
        with contextlib.suppress(Failure):  # then it ends on its own
            await pause.abandon()
        raise
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


async def read_pause(database: Database) -> tuple[ChangesPause, str | None]:
    """Return whether changes are paused, and for which copy.

    Raises:
        Unavailable: the database does not answer.
    """
    [[pause, pause_id]] = await database.fetch_rows(_READ)
    return ChangesPause(pause), pause_id


async def are_changes_paused(database: Database) -> bool:
    """Return whether the database accepts no changes now.

    Raises:
        Unavailable: the database does not answer.
    """
    [[pause, until]] = await database.fetch_rows(_READ_UNTIL)
    if pause == ChangesPause.NONE:
        return False
    try:
        require_no_pause(pause, None if until is None else from_microseconds(until), await database.now())
    except ChangesPaused:
        return True
    return False


async def set_pause(database: Database, pause: ChangesPause, pause_id: str) -> None:
    """Change the mark of a copy.

    Raises:
        Unavailable: the database does not answer, or cannot write.
    """
    await database.run_tx(lambda tx: tx.execute(_SET, pause.value, pause_id))


async def resume_changes(changes: Changes, *, by: Caller, after_move: bool = False) -> ChangesPause:
    """End the pause of a database, and return what it was.

    Args:
        changes: the database.
        by: who ends it.
        after_move: accept that this is the old database, and that the new one has changes which this one lacks.

    Raises:
        BadRequest: changes are not paused, or this is the old database and `after_move` is not given.
        Unavailable: the database does not answer.
    """
    require_role(by, Role.ADMIN)
    return await _end(changes, by, after_move=after_move)


async def _end(changes: Changes, by: Caller, *, only: str | None = None, after_move: bool = False) -> ChangesPause:
    async def work(change: Change) -> ChangesPause:
        installation = change.installation
        pause = ChangesPause(installation.changes_pause)
        if only is not None and installation.pause_id != only:
            return ChangesPause.NONE
        if pause is ChangesPause.NONE:
            raise BadRequest("Changes are not paused. There is nothing to resume.")
        if pause is ChangesPause.MOVED and not after_move:
            raise BadRequest(
                "This database was moved to another one, which may have changes that this one lacks: a secret that was "
                "revoked there is valid here. To use it nevertheless, and never the other one again, pass --after-move."
            )
        installation.changes_pause = ChangesPause.NONE.value
        await change.record(AuditAction.CHANGES_RESUMED)
        await change.tx.execute(_END)
        return pause

    return await changes.change_installation(by, work)
