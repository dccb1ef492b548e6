"""A folder that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from otoyol.errors import OtoyolError, SpecError


def check_free(path: Path, names: Collection[str], force: bool) -> None:
    """Raises OtoyolError where the folder cannot be made: it exists (with ``force``: it holds what is not ours to
    replace, files other than ``names``), or its parent cannot be written."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise SpecError("out", str(path), "a folder that does not exist yet")
    if path.is_dir():
        if not force:
            raise SpecError("out", str(path), "a folder that does not exist yet, or --force to replace it")
        if strange := sorted(entry.name for entry in path.iterdir() if entry.name not in names):
            raise SpecError("out", str(path), f"a folder of `otoyol design` to replace; this one holds {strange[0]}")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise OtoyolError(f"cannot write {path}: {parent} is no folder")
    if not os.access(parent, os.W_OK):
        raise OtoyolError(f"cannot write {path}: permission denied")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder beside ``path`` to write into; it takes the place of ``path`` at the end, and is gone after an error or
    an interruption. Raises OtoyolError where it cannot be written."""
    path = path.absolute()
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise OtoyolError(f"cannot write {path}: {error.strerror}") from None
    try:
        yield temporary
        temporary.chmod(0o755)
        _replace(path, temporary)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise OtoyolError(f"cannot write {path}: {error.strerror}") from None
        raise


def _replace(path: Path, made: Path) -> None:
    """Put ``made`` where ``path`` is; what stood there goes only afterwards, and comes back where that fails."""
    if not path.exists():
        made.replace(path)
        return
    old = made.with_name(made.name + ".old")
    path.replace(old)
    try:
        made.replace(path)
    except BaseException:
        old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
