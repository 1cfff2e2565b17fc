"""A SQLite file: how much of it is mapped, and its preparation before it is opened."""

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Final

from gql_secrets.domain.errors import SetupError
from gql_secrets.storage.errors import is_busy, is_damage
from gql_secrets.storage.urgency import LOCK_SECONDS

# The most that SQLite maps into memory, in bytes. Reading a page that is not mapped takes five times as long.
WHOLE_FILE: Final = 2**31 - 2**16
_BETWEEN_TRIES: Final = 0.01  # seconds


def prepare_file(path: Path) -> None:
    """Make this file a SQLite database in WAL mode.

    This is done before Tortoise opens it, on a thread that would have to be closed after a failure.

    When several processes switch a new file at the same time, SQLite refuses some of them without waiting: the switch
    upgrades a lock, and the busy timeout does not apply to that.

    Raises:
        SetupError: the file is not a SQLite database, or cannot be opened.
    """
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.Error as error:
            if is_damage(error):
                raise SetupError(f"{path} is not a SQLite database, or is damaged: {error}.") from error
            if not is_busy(error) or time.monotonic() > until:
                raise SetupError(f"{path} cannot be opened as a database: {error}.") from error
            time.sleep(_BETWEEN_TRIES)
        else:
            return
