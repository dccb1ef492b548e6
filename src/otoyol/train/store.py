"""Checkpoints that are whole or not there: written aside, synced, renamed; each name holds the content's digest."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch

from otoyol.errors import OtoyolError

_NAME = re.compile(r"step-(\d{10})\.([0-9a-f]{32})\.ckpt\Z")
_CHUNK = 1 << 20


class Found(NamedTuple):
    """The newest sound checkpoint, and the names of newer ones that are damaged."""

    step: int
    content: dict[str, Any]
    damaged: tuple[str, ...]


class Store:
    """The checkpoints of one run in one folder, of which the newest ``keep`` stay."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def save(self, step: int, content: dict[str, Any]) -> Path:
        """Write plain data and tensors. Raises OtoyolError where the disk does not take it; older checkpoints stay."""
        temporary = None
        try:
            handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".writing-")
            with os.fdopen(handle, "wb") as file:
                digest = _Digesting(file)
                try:
                    torch.save(content, digest)  # type: ignore[arg-type]
                except RuntimeError:  # torch's words for what the file said
                    raise digest.error or OSError(0, "the checkpoint could not be written") from None
                file.flush()
                os.fsync(file.fileno())
            path = self.folder / f"step-{step:010d}.{digest.sha256.hexdigest()[:32]}.ckpt"
            Path(temporary).replace(path)
            sync_folder(self.folder)
        except BaseException as error:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink(missing_ok=True)
            if isinstance(error, OSError):
                kept = [place for place, _, _ in self._files()]
                tail = f"; the checkpoint of step {kept[0]} is kept, --resume goes on from there" if kept else ""
                raise OtoyolError(f"cannot write a checkpoint of step {step}: {error.strerror}{tail}") from None
            raise
        self._forget(path)
        return path

    def load(self) -> Found | None:
        """The newest checkpoint whose content is what its name says; None where there is none."""
        damaged: list[str] = []
        for step, digest, path in self._files():
            content = _sound(path, digest)
            if content is not None:
                return Found(step, content, tuple(damaged))
            damaged.append(path.name)
        if damaged:
            raise OtoyolError(f"checkpoints: all {len(damaged)} in {self.folder} are damaged")
        return None

    def newest(self) -> int:
        """The step of the newest checkpoint by its name, sound or not; -1 where there is none."""
        return max((step for step, _, _ in self._files()), default=-1)

    def _files(self) -> list[tuple[int, str, Path]]:
        """(step, digest, path), newest first."""
        paths = list(self.folder.iterdir()) if self.folder.is_dir() else []
        named = [(match, path) for path in paths if (match := _NAME.match(path.name))]
        return sorted(((int(match[1]), match[2], path) for match, path in named), reverse=True)

    def _forget(self, newest: Path) -> None:
        """Drop checkpoints beyond ``keep``, older ones of the newest's step, and what a killed writer has left."""
        files = self._files()
        step = next(place for place, _, path in files if path == newest)
        older = [path for place, _, path in files if place < step]
        again = [path for place, _, path in files if place >= step and path != newest]
        left = [path for path in self.folder.iterdir() if path.name.startswith(".writing-")]
        for path in (*older[self.keep - 1 :], *again, *left):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a loss of power, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class _Digesting:
    """A file that knows the digest of what went through it, and the error that torch hides."""

    def __init__(self, file: Any) -> None:
        self._file, self.sha256 = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            written: int = self._file.write(data)
        except OSError as error:
            self.error = error
            raise
        self.sha256.update(data)
        return written

    def flush(self) -> None:
        self._file.flush()


def _sound(path: Path, digest: str) -> dict[str, Any] | None:
    """The file's content where its bytes are those that were written."""
    try:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest()[:32] != digest:
                return None
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        return None
    except (UnpicklingError, RuntimeError) as error:  # sound bytes that no checkpoint of ours has
        raise OtoyolError(f"{path.name} holds more than tensors and plain data, and is not read") from error
    return content
