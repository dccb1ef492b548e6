"""metrics.csv and TensorBoard's events, continued on resumption without a row twice."""

from __future__ import annotations

import csv
import io
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from otoyol.errors import MissingExtraError, OtoyolError


class Log:
    """Rows of figures by step. ``size`` is what a checkpoint keeps: the bytes of metrics.csv at that moment; a log
    that is opened with it forgets what was written after. A cell without a figure is empty."""

    def __init__(
        self, folder: Path, columns: Sequence[str], size: int = 0, *, step: int = 0, tensorboard: bool = False
    ):
        self.columns = tuple(columns)
        self.path = folder / "metrics.csv"
        try:
            self._file: BinaryIO = self.path.open("r+b" if size else "wb")
            if size > self.path.stat().st_size:
                raise OtoyolError(f"{self.path} is shorter than when the checkpoint was written; it was changed since")
            self._file.truncate(size)
            self._file.seek(size)
            if not size:
                self._write(self.columns)
        except OSError as error:
            raise OtoyolError(f"cannot write {self.path}: {error.strerror}") from None
        self._board = Board(folder / "tensorboard", step) if tensorboard else None

    @property
    def size(self) -> int:
        return self._file.tell()

    def row(self, figures: Mapping[str, float | int | None]) -> None:
        """One row, at once on its way to the disk. Raises OtoyolError where the disk is full."""
        cells = [figures.get(name) for name in self.columns]
        self._write(["" if value is None else value if isinstance(value, int) else repr(value) for value in cells])
        if self._board is not None:
            step = int(figures["step"] or 0)
            told = {name: value for name in self.columns[1:] if (value := figures.get(name)) is not None}
            self._board.tell(step, told)

    def sync(self) -> None:
        """Have the rows on the disk before a checkpoint says that they are."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OtoyolError(f"cannot write {self.path}: {error.strerror}") from None
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        with suppress(OSError):  # a row that found no room is tried again here, and its error was told
            self._file.close()
        if self._board is not None:
            self._board.close()

    def _write(self, cells: Sequence[Any]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        try:
            self._file.write(text.getvalue().encode())
            self._file.flush()
        except OSError as error:
            raise OtoyolError(f"cannot write {self.path}: {error.strerror}") from None


def read_log(path: Path) -> list[dict[str, float | None]]:
    """The rows of a metrics.csv. Raises OtoyolError naming the line where it is not what a run writes."""
    found: list[dict[str, float | None]] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            columns, *lines = csv.reader(file)
        for cells in lines:
            found.append({name: float(cell) if cell else None for name, cell in zip(columns, cells, strict=True)})
    except OSError as error:
        raise OtoyolError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, csv.Error):
        raise OtoyolError(
            f"{path} has no row of figures in line {len(found) + 2}; it was changed by something else than the run"
        ) from None
    return found


class Board:
    """TensorBoard's events. They are a copy of metrics.csv: where the disk does not take them there is one warning,
    and the run goes on without them. Raises MissingExtraError without tensorboard."""

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError:
            raise MissingExtraError("tensorboard", "train") from None
        self.folder = folder
        self._writer: Any = None
        self._hook = threading.excepthook
        threading.excepthook = self._hush
        with self._guarded():
            self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def tell(self, step: int, figures: Mapping[str, float | int]) -> None:
        """The figures of one step, soon on their way to the disk."""
        if self._writer is not None:
            with self._guarded():
                for name, value in figures.items():
                    self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        if self._writer is not None:
            with self._guarded():
                self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            with self._guarded():
                self._writer.close()
        threading.excepthook = self._hook

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._writer = None
            warnings.warn(
                f"cannot write {self.folder}: {error.strerror or error}; the run goes on without TensorBoard",
                RuntimeWarning, stacklevel=4,
            )  # fmt: skip

    def _hush(self, args: threading.ExceptHookArgs) -> None:
        """The writer's thread hands its error on to whoever writes next, and need not print it too."""
        if type(args.thread).__module__.startswith("tensorboard") and issubclass(args.exc_type, OSError):
            return
        self._hook(args)
