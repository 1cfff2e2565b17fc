"""A part of a processor for a process of its own, by the kernel's control groups."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
# Short, so that a process which has used its share waits for some milliseconds, not for a tenth of a second.
_PERIOD_US = 10_000
_SECONDS_TO_EMPTY = 10


class NoControlGroups(Exception):  # noqa: N818  what there is not
    """This process may not make control groups of processors."""


@contextlib.contextmanager
def limited(pid: int, share: float) -> Iterator[None]:
    """Let a process use at most this share of one processor until the end of the block, or its own.

    Raises:
        NoControlGroups: the controller of processors is not mounted, or not writable.
    """
    group = _controller() / f"gql-secrets-{os.getpid()}-{pid}"
    try:
        group.mkdir()
    except OSError as error:
        raise NoControlGroups(f"No control group can be made in {group.parent}: {error.strerror}.") from error
    try:
        try:
            _limit(group, round(share * _PERIOD_US))
            (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            raise NoControlGroups(f"{group} cannot be used: {error.strerror}.") from error
        yield
    finally:
        _remove(group)


def _controller() -> Path:
    """Return the folder of the groups: of the first version where it is mounted, of the second otherwise."""
    own = _ROOT / "cpu"
    return own if own.is_dir() else _ROOT


def _limit(group: Path, quota_us: int) -> None:
    if group.parent != _ROOT:
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota_us))
        return
    with contextlib.suppress(OSError):  # it is on already, or writing the limit says that it is not
        (_ROOT / "cgroup.subtree_control").write_text("+cpu")
    (group / "cpu.max").write_text(f"{quota_us} {_PERIOD_US}")


def _remove(group: Path) -> None:
    """Move what is left in a group back to all others, and remove it."""
    deadline = time.monotonic() + _SECONDS_TO_EMPTY
    while True:
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):  # it has just ended
                (group.parent / "cgroup.procs").write_text(pid)
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
