"""What goes wrong in long trainings: each is a clear error or a recorded skip, and nothing is lost."""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from _tiny_run import SPEC, Outcome, config, opened, quickened, rows, train
from PIL import Image

from otoyol.errors import OtoyolError, SpecError, TrainingError
from otoyol.train import fit, store
from otoyol.train.classification import Classification, ClassificationConfig, check_labels
from otoyol.train.confusion import Confusion
from otoyol.train.engine import Told, Trainer
from otoyol.train.log import read_log
from otoyol.train.run import prepare
from otoyol.train.seeds import own_chance
from otoyol.train.signals import Stop
from otoyol.train.task import Loss


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quickened(monkeypatch.setattr)


def poison(monkeypatch: pytest.MonkeyPatch, at: range, value: float = math.nan) -> None:
    """The loss of the forward passes ``at`` (from 0) is ``value``, and so are the running statistics after them."""
    real, passes = Classification.loss, iter(range(1000))

    def loss(self: Classification, model: Any, batch: Any) -> Loss:
        found = real(self, model, batch)
        if next(passes) not in at:
            return found
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.data.fill_(value)
        return Loss(found.total * value, found.parts)

    monkeypatch.setattr(Classification, "loss", loss)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_and_names_the_step(
    value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, whole = config(), train(config(), tmp_path / "whole")
    with monkeypatch.context() as patched:
        poison(patched, range(3, 4), value)
        with pytest.raises(TrainingError, match=rf"the loss is {value} at step 4; .*the checkpoint of step 3 is kept"):
            train(chosen, tmp_path / "run")
    assert train(chosen, tmp_path / "run", resume=True).differences(whole) == []


def test_a_run_that_a_loss_has_stopped_goes_on_without_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skipping = config(run__on_nan="skip")
    for folder, first in (("whole", 3), ("run", 3), ("run", 0)):  # forward passes: the resumed run begins at step 4
        with monkeypatch.context() as patched:
            poison(patched, range(first, first + 1))
            if folder == "whole":
                whole = train(skipping, tmp_path / folder)
            elif first:
                with pytest.raises(TrainingError, match=r"--resume --set run\.on_nan=skip passes over such steps"):
                    train(config(), tmp_path / folder)
            else:
                assert train(skipping, tmp_path / folder, resume=True).differences(whole) == []
    assert whole.plain[3] == [4]


def test_a_loss_that_is_not_finite_is_skipped_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = config(run__on_nan="skip", recipe__accumulate=2)
    poison(monkeypatch, range(3, 4))  # the second pass of step 2
    found = train(chosen, tmp_path)
    assert found.plain[3] == [2] and found.plain[4] == 4  # four updates in five steps
    assert all(bool(value.isfinite().all()) for value in found.tensors.values())
    assert all(math.isfinite(float(row["loss"])) for row in rows(tmp_path))


def poison_gradient(monkeypatch: pytest.MonkeyPatch, at: range, value: float) -> None:
    """The loss of the forward passes ``at`` (from 0) is finite, and the gradient that follows from it is not."""
    real, passes = Classification.loss, iter(range(1000))

    def loss(self: Classification, model: Any, batch: Any) -> Loss:
        found = real(self, model, batch)
        if next(passes) in at:
            found.total.register_hook(lambda gradient: gradient * value)
        return found

    monkeypatch.setattr(Classification, "loss", loss)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_gradient_that_is_not_finite_is_skipped_as_a_loss_is(
    value: float, clip: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step changes nothing: the run ends as one whose loss was at fault in the same step."""
    chosen = config(run__on_nan="skip", recipe__clip=clip)
    found = []
    for folder, how in (("loss", poison), ("gradient", poison_gradient)):
        with monkeypatch.context() as patched:
            how(patched, range(3, 4), value)
            found.append(train(chosen, tmp_path / folder))
    of_loss, of_gradient = found
    assert of_gradient.plain[3] == [4] and of_gradient.plain[4] == 4  # four updates in five steps
    assert all(bool(tensor.isfinite().all()) for tensor in of_gradient.tensors.values())
    assert of_gradient.differences(of_loss) == []


def test_gradients_that_are_never_finite_end_the_skipping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison_gradient(monkeypatch, range(1, 100), math.inf)
    with pytest.raises(TrainingError, match=r"the norm of the gradient is (inf|nan) at 20 steps in a row, up to 21"):
        train(config(run__on_nan="skip", recipe__steps=60), tmp_path)


def test_skipping_ends_where_it_is_no_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, range(1, 100))
    with pytest.raises(TrainingError, match="at 20 steps in a row, up to 21"):
        train(config(run__on_nan="skip", recipe__steps=60), tmp_path)


def test_weights_that_are_not_finite_are_not_saved_over_good_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, steps = torch.optim.SGD.step, iter(range(1, 100))

    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = real(self, *args, **kwargs)
        if next(steps) == 4:
            self.param_groups[0]["params"][0].data.fill_(math.inf)
        return found

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    with pytest.raises(TrainingError, match=r"not finite after step 4; the checkpoint of step 3 is kept"):
        train(config(), tmp_path)
    found = store.Store(tmp_path / "checkpoints", 2).load()
    assert found is not None and found.step == 3


def test_figures_are_computed_once_an_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = Confusion.compute, []
    monkeypatch.setattr(Confusion, "compute", lambda self: calls.append(1) or real(self))
    train(config(), tmp_path)  # evaluates after steps 3 and 5
    assert len(calls) == 2


def folder_of(tmp_path: Path, classes: int = 3, images: int = 8) -> Path:
    for split in ("train", "test"):
        for kind in range(classes):
            (tmp_path / split / f"k{kind}").mkdir(parents=True)
            for number in range(images):
                colour = 40 * kind + number + (100 if split == "test" else 0)
                Image.new("L", (8, 8), colour).save(tmp_path / split / f"k{kind}" / f"{number}.png")
    return tmp_path


def on_folder(path: Path, **changes: Any) -> ClassificationConfig:
    return config(data={"source": str(path)}, spec=SPEC, recipe__batch=6, **changes)


def go(chosen: ClassificationConfig, folder: Path, **how: Any) -> Trainer:
    """fit() without pictures, on the data that the configuration names."""
    with own_chance():
        trainer, content = prepare(chosen, folder, Stop(), **how)
        trainer.train(content)
    return trainer


def test_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "images")
    for broken in ("train/k1/3.png", "test/k2/0.png"):
        (path / broken).write_bytes((path / broken).read_bytes()[:40])
    with pytest.raises(OtoyolError, match=r"image: cannot read .*3\.png"):
        go(on_folder(path), tmp_path / "stopped")
    found = fit(on_folder(path, run__unreadable="skip"), tmp_path / "skipped").result
    assert sorted(Path(name).name for name in found["left_out"]) == ["0.png", "3.png"]
    assert sum(of["samples"] for of in found["classes"]) == 23 and found["validation"] == 24


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("broken", ["train/k1/3.png", "test/k2/0.png"])
def test_a_run_that_an_image_has_stopped_goes_on_without_it(accumulate: int, broken: str, tmp_path: Path) -> None:
    """It loses no step, and ends as a run that was to skip from the start. 24 images are an epoch of 4 steps."""
    path = folder_of(tmp_path / "images")
    (path / broken).write_bytes((path / broken).read_bytes()[:40])
    how = {"recipe__accumulate": accumulate, "run__evaluate_every": 2, "run__checkpoints": {"every_seconds": None}}
    skipping = on_folder(path, run__unreadable="skip", **how)
    whole = go(skipping, tmp_path / "whole")
    told_steps = [0]
    with pytest.raises(OtoyolError) as stopped:
        go(on_folder(path, **how), tmp_path / "run", tell=lambda told: told_steps.append(getattr(told, "step", 0)))
    done = max(told_steps)
    assert re.search(rf"cannot read .*{broken}.*checkpoint of step {done} is kept; --resume --set run\.unreadable=skip",
                     str(stopped.value))  # fmt: skip
    resumed = go(skipping, tmp_path / "run", resume=True)
    assert Outcome(resumed).differences(Outcome(whole)) == [] and resumed.state.left_out == [str(path / broken)]


@pytest.mark.parametrize("harm", ["shrinks", "grows", "changes"])
def test_data_that_changes_between_runs(harm: str, tmp_path: Path) -> None:
    path = folder_of(tmp_path / "images")

    def tell(event: Any) -> None:
        if isinstance(event, Told) and event.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(on_folder(path), tmp_path / "run", tell=tell)
    if harm == "shrinks":
        (path / "train" / "k0" / "0.png").unlink()
    elif harm == "grows":
        shutil.copy(path / "train" / "k0" / "0.png", path / "train" / "k0" / "new.png")
    else:
        Image.new("L", (60, 60), 7).save(path / "train" / "k0" / "0.png")
    with pytest.raises(OtoyolError, match="the train data is not what the run began with"):
        go(on_folder(path), tmp_path / "run", resume=True)


def test_a_run_goes_on_where_its_data_was_moved(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "images")
    before = go(on_folder(path), tmp_path / "run")
    moved = path.rename(tmp_path / "moved")
    after = go(on_folder(moved), tmp_path / "run", resume=True)
    assert after.state.metrics == before.state.metrics and after.state.step == 5


def test_a_class_without_images(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "images")
    (path / "train" / "empty").mkdir()
    with pytest.raises(OtoyolError, match="empty has no image"):
        go(on_folder(path), tmp_path / "run")


def test_labels_that_are_no_class() -> None:
    train_images, judges = opened(config())._images
    check_labels(train_images, judges)
    wrong = train_images.take(range(4))
    wrong.labels = (0, 1, 10, 2)
    with pytest.raises(OtoyolError, match=r"digits\[2\] has the label 10; there are 10 classes"):
        check_labels(train_images, wrong)
    with pytest.raises(OtoyolError, match="the class 4 has no image to train on"):
        check_labels(train_images.take(range(4)), judges)


def test_a_head_without_a_pool_cannot_classify(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"spec\.head\.pool"):
        go(config(spec=SPEC + ",head.pool=none", data={"source": "digits"}), tmp_path / "run")


def test_a_metrics_file_that_was_changed(tmp_path: Path) -> None:
    train(config(), tmp_path)
    (tmp_path / "metrics.csv").write_text("step\n")
    with pytest.raises(OtoyolError, match="shorter than when the checkpoint was written"):
        train(config(), tmp_path, resume=True)


def test_a_folder_that_another_process_trains_in(tmp_path: Path) -> None:
    """That one is killed: what it held is free at once, though it had readers of its own."""
    code = "import os, sys, time; from pathlib import Path; from otoyol.train.folder import open_folder\n"
    code += "open_folder(Path(sys.argv[1]), True)\nif os.fork():\n    print('open', flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "open\n"
        reader = int(subprocess.check_output(["ps", "-o", "pid=", "--ppid", str(other.pid)], text=True))
        try:
            with pytest.raises(OtoyolError, match=rf"another process \({other.pid}\) trains here"):
                train(config(), tmp_path, resume=True)
            assert not (tmp_path / "metrics.csv").exists()
            os.kill(other.pid, signal.SIGKILL)
            other.wait()
            train(config(), tmp_path, resume=True)
        finally:
            os.kill(reader, signal.SIGKILL)


def test_a_run_that_is_over_lets_others_train(tmp_path: Path) -> None:
    fit(config(), tmp_path, task=opened(config()))
    code = "import sys; from pathlib import Path; from otoyol.train.folder import open_folder\n"
    code += "open_folder(Path(sys.argv[1]), True)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


@pytest.mark.parametrize("line", ["3,0.5", "3,0.5,1,2", "3,high,1", '3,"0.5'])
def test_a_log_with_a_line_that_no_run_writes(line: str, tmp_path: Path) -> None:
    (path := tmp_path / "metrics.csv").write_text(f"step,loss,lr\n1,0.75,\n{line}\n")
    with pytest.raises(OtoyolError, match=r"metrics\.csv has no row of figures in line 3"):
        read_log(path)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"freeze": ["nope"]}, "freeze"), ({"weights": {"file": "nowhere.safetensors"}}, "nowhere"),
     ({"run__memory": "lean", "run__device": "cuda:99"}, "run.device"),
     ({"recipe__optimiser": {"lr": 0.1, "nesterov": True}}, "recipe.optimiser")],
)  # fmt: skip
def test_a_start_that_is_refused_leaves_no_folder(change: dict[str, Any], field: str, tmp_path: Path) -> None:
    with pytest.raises(OtoyolError, match=field):
        train(config(**change), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_reading_process_that_dies_during_a_step_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's handler raises wherever the main process happens to be."""
    real = Classification.loss

    def loss(self: Classification, model: Any, batch: Any) -> Loss:
        if model.training and next(passes) == 3:
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
        return real(self, model, batch)

    passes = iter(range(1000))
    monkeypatch.setattr(Classification, "loss", loss)
    with pytest.raises(TrainingError, match=r"process died.*pid 7.* at step 4; .*the checkpoint of step \d is kept"):
        train(config(), tmp_path / "run")
