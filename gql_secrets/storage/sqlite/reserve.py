"""Room on the disk that is kept for endings: a revoke must not be refused because the disk is full.

The reserve is a file next to the database, with blocks of its own. An ending that finds the disk full empties it, and
most of its room goes to the write-ahead log immediately, before another program takes it. From then on only endings are
written, until there is room for a reserve again. The file is empty then, so every process on the database knows.
"""

import contextlib
import errno
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gql_secrets.domain.errors import Unavailable

_log: Final = logging.getLogger(__name__)
RESERVE_BYTES: Final = 4 * 1024 * 1024
# The rest is for the database and the index of the log.
_LOG_BYTES: Final = 3 * 1024 * 1024
_OPENING_BYTES: Final = 512 * 1024
# A quota that is reached, or a limit of the process, is an error of the write; a full disk has its own name.
_OUT_OF_ROOM: Final = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMOPEN", "SQLITE_IOERR_SHMSIZE")
# macOS and Windows lack this call, so they have no reserve.
_CAN_ALLOCATE: Final = hasattr(os, "posix_fallocate")
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Reserve:
    """The reserve of one database file."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self.path = database.with_name(f"{database.name}-reserve")
        self._name = str(self.path)
        self._log_path = database.with_name(f"{database.name}-wal")

    def is_used(self) -> bool:
        """Return whether an ending has used it, and there was no room for it since."""
        return self._size() == 0

    def _size(self) -> int | None:
        if not _CAN_ALLOCATE:
            return None
        try:
            return os.stat(self._name).st_size  # noqa: PTH116  each change asks, and this takes half as long
        except OSError:  # there never was room for it, or it cannot be made here
            return None

    def prepare(self) -> None:
        """Make it as the database is opened, where it is not whole."""
        if _CAN_ALLOCATE and (self._size() or 0) < RESERVE_BYTES and not self.make():
            _log.warning("no_room_for_reserve", extra={"path": str(self.path)})

    def make(self) -> bool:
        """Allocate it, if the disk has room for it and as much again; return whether it is there."""
        try:
            disk = os.statvfs(self._database.parent)
            if disk.f_bavail * disk.f_frsize < 2 * RESERVE_BYTES:
                return False
            self._allocate()
        except OSError as error:
            _log.warning("reserve_not_made", extra={"path": str(self.path), "detail": str(error)})
            return False
        return True

    def require_unused(self) -> None:
        """Pass unless an ending used it and there is still no room.

        Raises:
            Unavailable: what room is left is for endings.
        """
        if self.is_used():
            if not self.make() and self.is_used():
                raise Unavailable("The disk is full: nothing was changed.")
            _log.warning("reserve_restored", extra={"path": str(self.path)})

    def helps(self, error: BaseException) -> bool:
        """Return whether a write that failed like this may succeed with the reserve."""
        cause = error.args[0] if error.args and isinstance(error.args[0], sqlite3.Error) else error
        return getattr(cause, "sqlite_errorname", "") in _OUT_OF_ROOM and self._size() is not None

    def use(self) -> None:
        """Give its room away, most of it to the write-ahead log. Only the process with the write lock may."""
        if not self.is_used():
            _log.error("disk_full", extra={"path": str(self._database), "detail": "the reserve is used for endings"})
        self.release()
        with contextlib.suppress(OSError), _opened(self._log_path, os.O_WRONLY) as log:
            # SQLite reads a log up to the first frame that is not valid, and zeros are not.
            os.posix_fallocate(log, 0, os.fstat(log).st_size + _LOG_BYTES)

    def lend(self) -> None:
        """Give a part of it away, so that the database can be opened."""
        with contextlib.suppress(OSError):
            os.truncate(self.path, max(0, (self._size() or 0) - _OPENING_BYTES))

    def release(self) -> None:
        """Give its room away."""
        with contextlib.suppress(OSError):
            os.truncate(self.path, 0)

    def _allocate(self) -> None:
        owner, was_used = self._database.stat(), self.is_used()
        with _opened(self.path, os.O_WRONLY | os.O_CREAT, owner.st_mode & 0o666) as file:
            if os.geteuid() == 0:  # the server, which runs as another user, must be able to empty it
                os.fchown(file, owner.st_uid, owner.st_gid)
            try:
                os.posix_fallocate(file, 0, RESERVE_BYTES)
            except OSError as error:
                os.ftruncate(file, 0)
                if not was_used or error.errno not in _FULL:
                    self.path.unlink()
                raise


@contextlib.contextmanager
def _opened(path: Path, flags: int, mode: int = 0o600) -> Iterator[int]:
    file = os.open(path, flags, mode)
    try:
        yield file
    finally:
        os.close(file)
