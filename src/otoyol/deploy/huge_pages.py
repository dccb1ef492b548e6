"""Huge pages under an engine's memory, on Linux.

A network's weights and activations lie in tens of thousands of pages of 4 KiB, and each run walks through all of them.
Where the system leaves huge pages to who asks for them ("madvise", most distributions' default), neither engine asks.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SYSTEM = Path("/sys/kernel/mm/transparent_hugepage")
MAPS = Path("/proc/self/maps")
ANONYMOUS = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0 +(?:\[heap\])?\n")
# linux/mman.h: ask for huge pages from now on; and move what is there into them now (Linux 6.1 and later).
HUGE_PAGE, COLLAPSE = 14, 25
Region = tuple[int, int]  # first byte, and the first one after it


def obstacle() -> str:
    """Why there are none to ask for; empty where there are."""
    try:
        enabled = (SYSTEM / "enabled").read_text(encoding="ascii")
        _page_bytes()
    except (OSError, ValueError):
        return "this system has no transparent huge pages"
    return "huge pages are turned off on this system" if "[never]" in enabled else ""


@contextmanager
def huge_pages() -> Iterator[None]:
    """What the process maps inside, in any thread, lies in huge pages afterwards, as far as there are enough; what its
    allocator had mapped before and gives out again does not.

    It takes a tenth of a second or more, as all of it is moved. The contents do not change.
    """
    before = _regions()
    yield
    size = _page_bytes()
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for first, end in added(_regions(), before):
        start, stop = -(-first // size) * size, end // size * size
        if start < stop and advise(start, stop - start, HUGE_PAGE) == 0:
            advise(start, stop - start, COLLAPSE)


def added(now: list[Region], before: list[Region]) -> list[Region]:
    """The parts of ``now`` that were in no region ``before``. Both in the order of addresses, without overlap."""
    new = []
    for start, stop in now:
        for first, end in before:
            if first < stop and start < end:
                if start < first:
                    new.append((start, first))
                start = end
        if start < stop:
            new.append((start, stop))
    return new


def _regions() -> list[Region]:
    """This process's writable memory without a file, as far as its allocators have asked for it."""
    text = MAPS.read_text(encoding="utf-8", errors="replace")  # files' paths are in any encoding
    return [(int(first, 16), int(end, 16)) for first, end in ANONYMOUS.findall(text)]


def _page_bytes() -> int:
    return int((SYSTEM / "hpage_pmd_size").read_text(encoding="ascii"))
