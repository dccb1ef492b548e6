"""Memory moved into huge pages, by the kernel's own count of them; regions by hand."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
from pathlib import Path

import pytest

from otoyol.cli.main import run as command
from otoyol.deploy import huge_pages

MIB = 1 << 20


def huge_bytes(memory: mmap.mmap) -> int:
    """Of the region that holds the memory's middle, as /proc/self/smaps tells."""
    place = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + len(memory) // 2
    inside = False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if region := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(region[1], 16) <= place < int(region[2], 16)
        elif inside and line.startswith("AnonHugePages:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no region holds the memory")


@pytest.mark.skipif(bool(huge_pages.obstacle()), reason="no huge pages to ask for")
def test_what_is_allocated_inside_lies_in_huge_pages_with_its_contents() -> None:
    if tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) < (6, 1):
        pytest.skip("this kernel moves memory later, by itself")
    if "[always]" in (huge_pages.SYSTEM / "enabled").read_text(encoding="ascii"):
        pytest.skip("everything lies in huge pages here")
    count = bytes(range(256)) * (MIB // 8)
    with huge_pages.huge_pages():
        inside = mmap.mmap(-1, len(count), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        inside[:] = count
        assert huge_bytes(inside) == 0
    assert huge_bytes(inside) >= 28 * MIB  # all but the ends, which share their pages with others' memory
    assert inside[:] == count


@pytest.mark.parametrize(
    ("now", "before", "new"),
    [
        ([(10, 20)], [], [(10, 20)]),
        ([(10, 20)], [(10, 20)], []),
        ([(10, 40)], [(20, 30)], [(10, 20), (30, 40)]),
        ([(10, 20), (20, 25), (30, 40)], [(5, 12), (35, 50)], [(12, 20), (20, 25), (30, 35)]),
        ([(10, 30)], [(0, 10), (30, 40)], [(10, 30)]),
    ],
)
def test_only_what_was_added_is_moved(now: list, before: list, new: list) -> None:
    assert huge_pages.added(now, before) == new


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "this system has no transparent huge pages"),
        ({"enabled": "always madvise [never]\n", "hpage_pmd_size": "2097152\n"}, "huge pages are turned off"),
        ({"enabled": "always [madvise] never\n", "hpage_pmd_size": "2097152\n"}, ""),
    ],
)
def test_a_system_without_them_says_so(
    files: dict[str, str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classifier, capsys
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(huge_pages, "SYSTEM", tmp_path)
    assert huge_pages.obstacle().startswith(reason) and bool(huge_pages.obstacle()) == bool(reason)
    if reason:
        engines = "ort,ort-hugepages"
        words = ["bench", str(classifier.exported.path), "--engines", engines, "--batches", "1", "--seconds", "0.01"]
        assert command([*words, "--lang", "en"]) == 0
        assert reason in capsys.readouterr().out
