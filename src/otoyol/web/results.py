"""Runs on disk for the page to list and read: never written to, nothing outside of their folder, nothing large.

What a file holds is not looked at here: the page reads it, whether it comes from here or is dropped on it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

from otoyol.errors import SpecError

KINDS = ("probe.json", "result.json", "metrics.csv")  # of otoyol probe, and of otoyol train
MAX_BYTES = 8 << 20
MAX_LISTED = 200
MAX_VISITED = 5_000  # entries of folders looked at for one listing
MAX_LEVELS = 4


class Listing(NamedTuple):
    """``files``: name (the path below the folder, with /), bytes, seconds since 1970 of the last change; newest first.
    ``more``: there is more than was looked at or is listed."""

    files: tuple[dict[str, Any], ...]
    more: bool


def listing(root: Path) -> Listing:
    """The files of :data:`KINDS` below ``root``. Links are not followed, and what cannot be read is left out."""
    found: list[dict[str, Any]] = []
    folders: list[tuple[Path, str, int]] = [(root, "", 0)]
    visited = 0
    while folders and visited < MAX_VISITED:
        folder, prefix, level = folders.pop(0)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    visited += 1
                    if visited > MAX_VISITED:
                        break
                    if entry.is_dir(follow_symlinks=False) and level + 1 < MAX_LEVELS:
                        folders.append((Path(entry.path), f"{prefix}{entry.name}/", level + 1))
                    elif entry.name in KINDS and entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        found.append(
                            {"name": prefix + entry.name, "bytes": status.st_size, "changed": int(status.st_mtime)}
                        )
        except OSError:
            continue
    found = [file for file in found if file["name"].isprintable()]
    found.sort(key=lambda file: (-file["changed"], file["name"]))
    return Listing(tuple(found[:MAX_LISTED]), visited > MAX_VISITED or bool(folders) or len(found) > MAX_LISTED)


def read(root: Path, name: str) -> bytes:
    """A file of the listing. Raises SpecError where the name is none of a listing's, and where the file is a link, is
    no longer there, or is larger than :data:`MAX_BYTES`."""
    parts = name.split("/")
    plain = all(part not in ("", ".", "..") and part.isprintable() and "\\" not in part for part in parts)
    if not plain or parts[-1] not in KINDS or len(parts) > MAX_LEVELS or len(name) > 1_024:
        raise SpecError("name", name, f"a name of the listing, which ends in {', '.join(KINDS)}")
    path = root
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise SpecError("name", name, "a file that is no link and in no linked folder")
    try:
        # Without blocking: a pipe of that name would otherwise hold the thread until someone writes to it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SpecError("name", name, "a file")
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError("name", name, f"a readable file ({error.strerror})") from None
    if len(data) > MAX_BYTES:
        raise SpecError("name", name, f"a file of at most {MAX_BYTES} bytes")
    return data


def check_folder(root: Path) -> Path:
    """The folder that ``otoyol studio --runs`` names. Raises SpecError where it is none."""
    if not root.is_dir():
        raise SpecError("runs", str(root), "a folder")
    return root.resolve()
