"""The journal of a node: the last changes that it made or followed, in a file outside the database.

A database that was restored, or a replica that was promoted without the last changes, does not know what it lost. The
journal does. Each line is a change with a MAC under a key derived from the pepper, which covers the installation too:
nobody without the pepper can add a line, and the lines of another installation are not its own.

A line is written before its change is answered, with one `write` and without `fsync`: it survives the end of the
process, and a change does not wait for the disk twice. If the machine itself loses power, the last lines may be lost.
Then an older database is noticed less well; nothing else depends on them.

All processes with the same data directory append to one file, where each write is whole. It is shortened by a new file
that takes its name; a process that wrote to the old one after that notices, and writes again.
"""

import contextlib
import hashlib
import hmac
import logging
import os
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.journal import JournaledChange
from gql_secrets.storage.errors import log_rarely

_log: Final = logging.getLogger(__name__)
# How many changes a journal keeps.
MAX_CHANGES: Final = 10_000
# How many of the last changes a start looks at. Processes may write a few of them out of order.
TAIL: Final = 256
_MAX_LINE: Final = 450
_MAC_CHARACTERS: Final = 32


class Journal:
    """The journal of one installation in one data directory. Where it cannot be written, it is in memory only."""

    def __init__(self, directory: Path, pepper: Pepper, installation: bytes, *, max_changes: int = MAX_CHANGES) -> None:
        """Prepare it; the file is created by the first change.

        Args:
            directory: the data directory.
            pepper: its first key signs, all of them verify.
            installation: what tells the installation from others.
            max_changes: how many changes are kept.
        """
        name = hashlib.sha256(installation).hexdigest()[:16]
        self.path = directory / f"journal-{name}.log"
        self._installation = installation
        # A copy of one costs less than `hmac.digest`, which hashes the key each time.
        self._macs = [hmac.new(key.subkey("journal"), self._installation, "sha256") for key in pepper.keys]
        self._max_changes = max_changes
        self._file: int | None = None
        self._path = str(self.path)
        # What tells the open file from one that took its name since.
        self._identity: tuple[int, int] | None = None
        # The lines that could not be written yet; where the file cannot be written at all, this is the journal.
        self._unwritten: deque[bytes] = deque(maxlen=max_changes)

    def append(self, changes: Sequence[JournaledChange]) -> None:
        """Write changes down; what cannot be written now is kept in memory and written later."""
        # Each line is made once: where the file cannot be written, all of them are tried with each change.
        self._unwritten.extend(map(self._line_of, changes))
        if not self._unwritten:
            return
        try:
            self._write(self._unwritten)
        except OSError as error:
            log_rarely(_log, "journal_not_written", path=str(self.path), reason=error.strerror)
            self.close()
        else:
            self._unwritten.clear()

    def try_to_write(self) -> bool:
        """Return whether the file can be written."""
        try:
            self._write(())
        except OSError:
            return False
        return not self._unwritten

    def _write(self, lines: Iterable[bytes]) -> None:
        while True:
            opened = self._file is None
            if self._file is None:
                self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
                self._identity = _identity_of(os.fstat(self._file))
            # The last line of another process may have been written only in part.
            text = b"\n".join((*lines, b""))
            view = memoryview(b"\n" + text if opened else text)
            while view:
                view = view[os.write(self._file, view) :]
            if self._is_current():
                return
            self.close()  # another process shortened it: this went to the file that was replaced

    def _is_current(self) -> bool:
        try:
            return _identity_of(os.stat(self._path)) == self._identity  # noqa: PTH116  the pair of fstat
        except FileNotFoundError:
            return False

    def read(self) -> list[JournaledChange]:
        """Return the changes, the oldest first; a line that was damaged or is not of this installation is left out."""
        return self._changes_of([*self._lines(), *self._unwritten])

    def read_tail(self) -> list[JournaledChange]:
        """Return the last changes."""
        written = self._lines(from_end=TAIL * _MAX_LINE)[-TAIL:]
        return self._changes_of([*written, *list(self._unwritten)[-TAIL:]])

    def shorten(self) -> None:
        """Leave the last changes in the file, if it is long. It may run in another thread.

        Raises:
            OSError: the file cannot be read or written.
        """
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as old:
            if os.fstat(old.fileno()).st_size < 2 * _MAX_LINE * self._max_changes or not _lock(old.fileno()):
                return
            lines = list(dict.fromkeys(old.read().splitlines(keepends=True)))
            part = self.path.with_suffix(f".{os.getpid()}")
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            with os.fdopen(os.open(part, flags, 0o600), "wb") as new:
                new.write(b"".join(lines[-self._max_changes :]))
                new.flush()
                part.replace(self.path)
                # What was appended to the old file since it was read. From now on, writers see that it was replaced.
                new.write(old.read())

    def _lines(self, from_end: int | None = None) -> list[bytes]:
        try:
            with self.path.open("rb") as file:
                if from_end is not None:
                    file.seek(max(0, os.fstat(file.fileno()).st_size - from_end))
                return file.read().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            log_rarely(_log, "journal_not_read", path=str(self.path), reason=error.strerror)
            return []

    def _changes_of(self, lines: Iterable[bytes]) -> list[JournaledChange]:
        # Several processes may have written the same change.
        return [change for line in dict.fromkeys(lines) if (change := self._change_of(line))]

    def _change_of(self, line: bytes) -> JournaledChange | None:
        mac, _, text = line.partition(b" ")
        if not any(hmac.compare_digest(mac, _mac_of(text, begun)) for begun in self._macs):
            return None
        try:
            return JournaledChange.of_json(text)
        except ValueError:  # a later version's
            return None

    def _line_of(self, change: JournaledChange) -> bytes:
        text = change.to_json().encode()
        return _mac_of(text, self._macs[0]) + b" " + text

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _identity_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _mac_of(text: bytes, begun: hmac.HMAC) -> bytes:
    """Return the MAC of a line, which begins with the installation."""
    mac = begun.copy()
    mac.update(text)
    return mac.hexdigest()[:_MAC_CHARACTERS].encode()


def _lock(file: int) -> bool:
    """Return whether no other process shortens this file now; the lock ends with the file."""
    if sys.platform == "win32":
        return True  # one process only
    import fcntl  # noqa: PLC0415  no such module on Windows

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
