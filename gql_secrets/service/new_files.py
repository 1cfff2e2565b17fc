"""Files that get their name only once they are whole and on the disk."""

import os
from pathlib import Path


def give_name(part: Path, path: Path) -> None:
    """Give a whole file its name, and sync the name to the disk. The name that it was written under may stay.

    A file that has the name already is never replaced, even if it appeared a moment ago. Where the file system has no
    hard links, one that appears at the very moment of the renaming is.

    Raises:
        FileExistsError: there is a file of that name.
        OSError: the name cannot be written.
    """
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError from None
        part.rename(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Sync a file, or the names in a directory, to the disk."""
    if os.name == "posix":
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
