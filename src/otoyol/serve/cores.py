"""Cores to share among runs and decoders: in a container fewer than the process may be scheduled on."""

from __future__ import annotations

import math
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # a container's own control group, version 2


def quota(text: str) -> float:
    """Cores that ``cpu.max`` allows: microseconds of each period, or ``max``. Infinite where it limits nothing, or says
    what we do not know."""
    match text.split():
        case [allowed, period] if allowed.isdecimal() and period.isdecimal() and int(allowed) and int(period):
            return int(allowed) / int(period)
    return math.inf


def usable_cores(scheduled: int, cpu_max: Path = CPU_MAX) -> int:
    """``scheduled``, the cores that this process may be scheduled on, or the whole ones of its quota, at least 1. With
    more threads than the quota keeps busy, all of them stand still together until the next period."""
    try:
        most = quota(cpu_max.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError):  # no control groups, or those of version 1
        most = math.inf
    return max(1, math.floor(min(scheduled, most)))
