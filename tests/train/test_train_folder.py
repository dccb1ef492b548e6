"""What a run writes down about where it runs, and how files get to the disk."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from _tiny_run import config, opened, quickened, train

from otoyol.errors import OtoyolError, SpecError
from otoyol.spec.files import write_text
from otoyol.train import fit
from otoyol.train import run as fitting
from otoyol.train.config import Run
from otoyol.train.folder import versions
from otoyol.train.machine import settings
from otoyol.train.progress import Told
from otoyol.train.run import Start, _changes, finished, prepare
from otoyol.train.seeds import own_chance
from otoyol.train.signals import Stop

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def test_other_ranks_are_a_change_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = versions()
    assert alone["ranks"] == 1
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    assert _changes(alone, versions()) == ("ranks 1 → 4",)
    before = {name: value for name, value in alone.items() if name != "ranks"}  # as an earlier release wrote it
    assert _changes(before, versions()) == ()


def test_a_checkpoint_of_an_earlier_release_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that names no ranks: it is loaded, to the same bits, and nothing is said to have changed."""
    quickened(monkeypatch.setattr)
    chosen, whole = config(), train(config(), tmp_path / "whole")

    def leave(event: Any) -> None:
        if isinstance(event, Told) and event.step == 4:
            raise KeyboardInterrupt

    known = {name: value for name, value in fitting.versions().items() if name != "ranks"}
    with monkeypatch.context() as patched:
        patched.setattr(fitting, "versions", lambda: known)
        with own_chance():
            trainer, content = prepare(chosen, tmp_path / "run", Stop(), tell=leave, task=opened(chosen))
            with pytest.raises(KeyboardInterrupt):
                trainer.train(content)
    started: list[Any] = []
    with own_chance():
        trainer, content = prepare(
            chosen, tmp_path / "run", Stop(), resume=True, tell=started.append, task=opened(chosen)
        )
    assert content is not None and isinstance(started[0], Start) and started[0].changed == ()
    assert train(chosen, tmp_path / "run", resume=True).differences(whole) == []


def test_a_file_is_on_the_disk_before_it_takes_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text("before")
    done: list[tuple[str, int]] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(("sync", os.fstat(handle).st_size)) or fsync(handle))
    monkeypatch.setattr(Path, "replace", lambda self, to: done.append(("name", 0)) or replace(self, to))
    write_text(tmp_path / "a.json", "after")
    assert done == [("sync", 5), ("name", 0)] and (tmp_path / "a.json").read_text() == "after"


@pytest.mark.parametrize(
    ("deterministic", "user_s", "expected"),
    [(True, None, ":4096:8"), (True, ":16:8", ":16:8"), (False, None, None)],
)
def test_cublas_is_told_to_be_deterministic(
    deterministic: bool, user_s: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CUBLAS, user_s or "")
    if user_s is None:
        monkeypatch.delenv(CUBLAS)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with settings(Run(deterministic=deterministic)):
        assert os.environ.get(CUBLAS) == expected


STEP = """
import resource, sys, torch
from otoyol.train.config import Run
from otoyol.train.machine import settings
with settings(Run()):
    for repeat in range(6):
        held = [torch.ones(6 << 20) for _ in range(8)]  # 192 MiB, freed together as at a step's end
        del held
        if repeat == 0:
            began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - began)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another library gives memory back in its own way")
def test_freed_memory_is_there_for_the_next_step() -> None:
    """Else each of five steps would fault in its 48 Ki pages anew."""
    done = subprocess.run([sys.executable, "-c", STEP], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 25_000


def test_a_finished_run_is_known_by_its_configuration_and_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quickened(monkeypatch.setattr)
    chosen = config(recipe__steps=2)
    assert not finished(chosen, tmp_path / "run")
    fit(chosen, tmp_path / "run")
    assert finished(chosen, tmp_path / "run")
    assert finished(config(recipe__steps=2, run__workers=1), tmp_path / "run")
    with pytest.raises(SpecError, match=r"recipe\.batch: got 9; allowed: 8, which the run began with"):
        finished(config(recipe__steps=2, recipe__batch=9), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 2
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(OtoyolError, match="has none to tell what its result"):
        finished(chosen, tmp_path / "run")
