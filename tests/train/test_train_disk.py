"""A disk that fills, at any place: a sentence, what is kept, and a run that goes on when there is room."""

from __future__ import annotations

import errno
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from _tiny_run import config, quickened, train

from otoyol.errors import OtoyolError
from otoyol.train import run as fitting
from otoyol.train import store
from otoyol.train.log import Log, read_log


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quickened(monkeypatch.setattr)


@pytest.mark.parametrize("room", [0, 3_000, 20_000])
def test_a_disk_that_fills_amid_a_checkpoint(room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, whole = config(), train(config(), tmp_path / "whole")
    saves, left = [0], [room]
    real_save, real_write = store.Store.save, store._Digesting.write

    def save(self: Any, step: int, content: Any) -> Path:
        saves[0] += 1
        return real_save(self, step, content)

    def write(self: Any, data: Any) -> int:
        if saves[0] == 3:
            if left[0] < len(data):
                self.error = OSError(errno.ENOSPC, "No space left on device")
                raise self.error
            left[0] -= len(data)
        return real_write(self, data)

    with monkeypatch.context() as patched:
        patched.setattr(store.Store, "save", save)
        patched.setattr(store._Digesting, "write", write)
        with pytest.raises(OtoyolError, match=r"step 4: No space left on device; the checkpoint of step 3 is kept"):
            train(chosen, tmp_path / "run")
    names = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert sorted(name[:15] for name in names) == ["step-0000000002", "step-0000000003"]  # nothing half-written
    assert train(chosen, tmp_path / "run", resume=True).differences(whole) == []


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """The system itself refuses to write beyond so many bytes of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_rows_that_find_no_room(tmp_path: Path) -> None:
    log = Log(tmp_path, ("step", "loss"))
    log.row({"step": 1, "loss": 0.5})
    with no_file_beyond(log.size + 3), pytest.raises(OtoyolError, match=r"metrics\.csv: File too large"):
        log.row({"step": 2, "loss": 0.25})


def test_a_run_whose_row_finds_no_room_says_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row stays in the file's buffer, and closing the file tries to write it once more."""
    chosen, whole = config(), train(config(), tmp_path / "whole")
    real, limits = Log.row, resource.getrlimit(resource.RLIMIT_FSIZE)

    def row(self: Log, figures: Any) -> None:
        if figures["step"] == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size + 3, limits[1]))
        real(self, figures)

    try:
        with monkeypatch.context() as patched:
            patched.setattr(Log, "row", row)
            with pytest.raises(OtoyolError, match=r"metrics\.csv: File too large; the checkpoint of step 3 is kept"):
                train(chosen, tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert train(chosen, tmp_path / "run", resume=True).differences(whole) == []


def test_best_weights_that_find_no_room_say_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, whole = config(), train(config(), tmp_path / "whole")

    def full(*_: Any) -> None:
        raise OtoyolError("cannot write best.safetensors: No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(fitting, "save_weights", full)
        with pytest.raises(OtoyolError, match=r"best\.safetensors: No space .*; the checkpoint of step 2 is kept"):
            train(chosen, tmp_path / "run")
    assert train(chosen, tmp_path / "run", resume=True).differences(whole) == []


def test_tensorboard_that_finds_no_room_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    escaped: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", hook := lambda args: escaped.append(str(args.exc_value)))
    log = Log(tmp_path, ("step", "loss"), tensorboard=True)
    (events,) = (tmp_path / "tensorboard").iterdir()
    with no_file_beyond(events.stat().st_size + 100):  # room for rows of metrics.csv, which is the smaller
        for step in range(1, 4):
            for _ in range(3):
                log._board.tell(step, {"loss": 0.5})  # type: ignore[union-attr]
            log.row({"step": step, "loss": 0.5})
            log.sync()
    log.close()
    (warning,) = recwarn
    assert str(warning.message).startswith(f"cannot write {tmp_path / 'tensorboard'}: File too large; the run goes on")
    assert escaped == [] and threading.excepthook is hook
    assert read_log(tmp_path / "metrics.csv")[-1] == {"step": 3, "loss": 0.5}


def test_a_folder_that_cannot_take_tensorboard_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file")
    with pytest.warns(RuntimeWarning, match="goes on without TensorBoard"):
        log = Log(tmp_path, ("step", "loss"), tensorboard=True)
    log.row({"step": 1, "loss": 0.5})
    log.close()


def test_a_run_that_finds_no_room_goes_on_when_there_is(tmp_path: Path) -> None:
    chosen, whole = config(), train(config(), tmp_path / "whole")
    with no_file_beyond(3000), pytest.raises(OtoyolError, match="checkpoint of step 2: File too large"):
        train(chosen, tmp_path / "run")
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    assert train(chosen, tmp_path / "run", resume=True).differences(whole) == []
