"""What Linux says of processes: whether they run, their children, their processor time, their memory."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
# Fields of /proc/…/stat after the name, which may have blanks.
_STATE, _PARENT, _OWN_TIMES, _TIMES_WITH_ENDED_CHILDREN = 0, 1, slice(11, 13), slice(11, 15)


def is_running(pid: int) -> bool:
    """Whether there is such a process; one that ended and that nobody waited for is not running."""
    try:
        return _fields_of(pid)[_STATE] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def children_of(pid: int) -> list[int]:
    return [child for child, fields in _all_processes() if int(fields[_PARENT]) == pid]


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process alone."""
    return sum(map(int, _fields_of(pid)[_OWN_TIMES])) / _TICKS


def cpu_seconds_of_tree(pid: int) -> float:
    """Return the processor time of a process, its descendants, and those of them that have ended."""
    times: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for process, fields in _all_processes():
        times[process] = sum(map(int, fields[_TIMES_WITH_ENDED_CHILDREN]))
        children.setdefault(int(fields[_PARENT]), []).append(process)
    total, left = 0, [pid]
    while left:
        process = left.pop()
        total += times.get(process, 0)
        left += children.get(process, [])
    return total / _TICKS


def idle_seconds() -> float:
    """Return for how long all processors of the machine were idle, each counted for itself."""
    return int(Path("/proc/stat").read_text().split()[4]) / _TICKS


def own_memory(pid: int) -> int:
    """Return the bytes that are the process's own: not the pages of the files that it maps."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def _all_processes() -> Iterator[tuple[int, list[str]]]:
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            yield int(directory.name), _fields_of(int(directory.name))


def _fields_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
