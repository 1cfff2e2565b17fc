"""How many processors this process may use."""

import os
from pathlib import Path
from typing import Final

# The share of processor time that a container may use: "200000 100000" is two processors, "max 100000" all of them.
_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Return the number of processors, or fewer where the system or a container's quota allows fewer; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text("ascii").split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or no quota
        return cores
