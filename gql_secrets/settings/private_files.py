"""Files that only their owner may change: those of the data directory, and those that settings name."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from gql_secrets.domain.errors import SetupError


def require_private(directory: Path, *, files: Iterable[str]) -> None:
    """Pass if the directory and these files in it belong to this user, and nobody else may change them.

    The directory itself may be a symbolic link, as service managers make them. A file in it may not: a
    link decides which file is read and written.

    Raises:
        SetupError: the check failed; the text has the command that repairs it.
    """
    if os.name != "posix":
        return
    _require_owner(directory, directory.stat())
    for path in (directory / name for name in files):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(status.st_mode):
            raise SetupError(
                f"{path} is a symbolic link, and links in the data directory are not followed. Move the file itself "
                "there, or set GQL_SECRETS_DATA_DIR to the directory that it is in."
            )
        _require_owner(path, status)


def open_unlinked(path: str, flags: int) -> int:
    """Open a file that is not a symbolic link, readable by its owner only if it is new: an `opener` for `open`."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def read_file_of(variable: str, path: Path) -> str:
    """Return the text of the file that a setting names.

    Such a file may be a symbolic link and readable by others, as container platforms mount secrets, but nobody else
    may change it.

    Raises:
        SetupError: it cannot be read, or other users can change it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SetupError(f"Cannot read the file of {variable}, {path}: {why}.") from error
    if os.name == "posix" and mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SetupError(f"Other users can change {path}. Run: chmod go-w {path}")
    return text


def _require_owner(path: Path, status: os.stat_result) -> None:
    user = os.geteuid()
    if status.st_uid != user:
        raise SetupError(
            f"{path} belongs to another user (id {status.st_uid}), and this process runs as user id {user}. Run this "
            f"command as that user, or run: chown {user} {path}"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SetupError(f"Other users can change {path}. Run: chmod go-w {path}")
