"""A run that dies at any moment goes on to the bits of a run that never did."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from _tiny_run import (
    Killed,
    Killer,
    Outcome,
    config,
    kill_points,
    killing,
    opened,
    quickened,
    rows,
    train,
)
from safetensors.torch import load_file

from otoyol.errors import OtoyolError, SpecError
from otoyol.train import fit
from otoyol.train.classification import ClassificationConfig
from otoyol.train.engine import Stopped, Told
from otoyol.train.signals import Stop
from otoyol.train.store import Store

KILLS = 80  # of each configuration; benchmarks/kills.py does a thousand, and more of kill -9 itself
RUNS: dict[str, Callable[[], ClassificationConfig]] = {
    "sgd": config,
    "accumulated": lambda: config(recipe__accumulate=3, recipe__clip=0.5, recipe__schedule={"name": "onecycle"}),
    "adamw": lambda: config(recipe__optimiser={"name": "adamw", "lr": 0.01}, recipe__ema=None, run__memory="lean"),
    "bfloat16": lambda: config(recipe__precision="bf16-mixed", run__channels_last=True, run__memory="sqrt"),
}


@pytest.mark.parametrize("name", RUNS)
def test_kills_at_random_moments_change_no_bit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = RUNS[name]()
    quickened(monkeypatch.setattr)
    whole, counter = train(chosen, tmp_path / "whole"), Killer()
    with monkeypatch.context() as patched, killing(counter, patched.setattr):
        assert train(chosen, tmp_path / "counted").differences(whole) == []
    died = 0
    for deaths in kill_points(counter.count, KILLS, seed=len(name)):
        folder = tmp_path / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        for at in deaths:
            with monkeypatch.context() as patched, killing(Killer(at), patched.setattr):
                try:
                    train(chosen, folder, resume=True)
                except Killed:
                    died += 1
        assert train(chosen, folder, resume=True).differences(whole) == [], deaths
    assert died >= KILLS


def test_kill_9_at_random_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real ones, of forked processes: nothing is cleaned up, whatever the process was about."""
    chosen = config(recipe__steps=9)
    quickened(monkeypatch.setattr)
    began = time.monotonic()
    whole = train(chosen, tmp_path / "whole")
    took, chance, died = time.monotonic() - began, random.Random(5), 0
    for number in range(12):
        folder = tmp_path / str(number)
        child = os.fork()
        if child == 0:
            try:
                train(chosen, folder, resume=True)
            finally:
                os._exit(0)
        time.sleep(chance.uniform(0, 1.2 * took))
        os.kill(child, signal.SIGKILL)
        died += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        assert train(chosen, folder, resume=True).differences(whole) == []
    assert died >= 3


def test_kill_9_of_the_command(tmp_path: Path) -> None:
    """With reading processes, from a file, the whole way to result.json."""
    text = config(recipe__steps=60, run__workers=1, run__checkpoints={"every_steps": 5}).model_dump_json()
    file = tmp_path / "tiny.json"
    file.write_text(text)
    command = [sys.executable, "-m", "otoyol", "train", str(file), "--out"]
    killed = tmp_path / "killed"
    process = subprocess.Popen([*command, str(killed)], stderr=subprocess.DEVNULL)
    while not any(killed.glob("checkpoints/step-*")) and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    chosen = ClassificationConfig.model_validate_json(text)
    assert fit(chosen, killed, resume=True).status == 0
    fit(chosen, tmp_path / "whole")
    for name in ("last", "best"):
        ours, theirs = (load_file(folder / f"{name}.safetensors") for folder in (killed, tmp_path / "whole"))
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert rows(killed) == rows(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("at", [1, 3])
def test_a_signal_saves_first(number: signal.Signals, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quickened(monkeypatch.setattr)
    chosen = config(run__checkpoints={"every_seconds": None})
    task = opened(chosen)

    def tell(event: Any) -> None:
        if isinstance(event, Told) and event.step == at and event.metrics is None:
            os.kill(os.getpid(), number)

    handlers = [signal.getsignal(of) for of in (signal.SIGTERM, signal.SIGINT)]
    left = fit(chosen, tmp_path / "stopped", tell=tell, task=task)
    assert (left.result, left.status, left.saved) == (None, 128 + number, at)
    assert [signal.getsignal(of) for of in (signal.SIGTERM, signal.SIGINT)] == handlers
    whole = train(chosen, tmp_path / "whole")
    assert train(chosen, tmp_path / "stopped", resume=True).differences(whole) == []


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quickened(monkeypatch.setattr)
    chosen = config()

    def tell(event: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(chosen, tmp_path, tell=tell, task=opened(chosen))


def test_a_signal_amid_an_evaluation_repeats_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quickened(monkeypatch.setattr)
    chosen = config()
    task, stop = opened(chosen), Stop()
    real = task.metric

    def metric() -> Any:
        stop.signal = signal.SIGTERM
        return real()

    monkeypatch.setattr(task, "metric", metric)
    with pytest.raises(Stopped) as left:
        train(chosen, tmp_path / "stopped", stop=stop)
    assert left.value.saved == 3 and [row["step"] for row in rows(tmp_path / "stopped")] == ["2"]
    monkeypatch.undo()
    quickened(monkeypatch.setattr)
    whole = train(chosen, tmp_path / "whole")
    assert train(chosen, tmp_path / "stopped", resume=True).differences(whole) == []


@pytest.mark.parametrize("harm", ["truncated", "flipped", "emptied"])
def test_a_damaged_checkpoint_is_told_from_a_sound_one(
    harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickened(monkeypatch.setattr)
    chosen = config()
    whole = train(chosen, tmp_path / "run")
    newest, before = sorted((tmp_path / "run" / "checkpoints").glob("step-*"), reverse=True)
    data = newest.read_bytes()
    harmed = {"truncated": data[: len(data) // 2], "flipped": data[:900] + bytes([data[900] ^ 1]) + data[901:]}
    newest.write_bytes(harmed.get(harm, b""))
    found = Store(tmp_path / "run" / "checkpoints", 2).load()
    assert found is not None and (found.step, found.damaged) == (4, (newest.name,))
    assert train(chosen, tmp_path / "run", resume=True).differences(whole) == []
    for path in (tmp_path / "run" / "checkpoints").glob("step-*"):
        path.write_bytes(b"nothing")
    with pytest.raises(OtoyolError, match=r"all 2 in .* are damaged"):
        train(chosen, tmp_path / "run", resume=True)
    assert before.name.startswith("step-0000000004")


def test_a_checkpoint_with_code_in_it_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "owned"),)

    store = Store(tmp_path, 2)
    store.save(3, {"evil": Evil()})
    with pytest.raises(OtoyolError, match="more than tensors"):
        store.load()
    assert not (tmp_path / "owned").exists()


def test_checkpoints_beyond_those_to_keep_go(tmp_path: Path) -> None:
    store = Store(tmp_path, 3)
    (tmp_path / ".writing-left-by-a-kill").touch()
    for step in (1, 2, 3, 4, 5, 5):
        store.save(step, {"step": step})
    assert [path.name[:15] for path in sorted(tmp_path.iterdir())] == [f"step-{step:010d}" for step in (3, 4, 5)]
    found = store.load()
    assert found is not None and found.content == {"step": 5}


def test_a_run_that_is_done_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quickened(monkeypatch.setattr)
    whole = train(config(), tmp_path)
    before = (tmp_path / "metrics.csv").read_bytes()
    assert train(config(), tmp_path, resume=True).differences(whole) == []
    assert (tmp_path / "metrics.csv").read_bytes() == before


def test_another_run_in_the_same_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quickened(monkeypatch.setattr)
    train(config(), tmp_path)
    with pytest.raises(SpecError, match="--resume goes on"):
        train(config(), tmp_path)
    with pytest.raises(SpecError, match=r"recipe\.batch: got 9; allowed: 8, which the run began with"):
        train(config(recipe__batch=9), tmp_path, resume=True)
    free = config(run__workers=1, run__checkpoints={"every_steps": 1})
    assert isinstance(train(free, tmp_path, resume=True), Outcome)


def test_the_caller_s_randomness_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quickened(monkeypatch.setattr)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    train(config(), tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
