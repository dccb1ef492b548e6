"""Two processes under torchrun: the same training as one process, and the same again after one of them was killed."""

from __future__ import annotations

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from otoyol.data import load
from otoyol.spec import Input
from otoyol.train import fit
from otoyol.train.after import evaluate
from otoyol.train.classification import ClassificationConfig
from otoyol.train.engine import _cause
from otoyol.train.folder import load_run
from otoyol.train.order import keys, micro_batches

STEPS = 120
CONFIG: dict[str, Any] = {
    "task": "classification",
    "spec": "custom@input=1x8x8,stem=cifar,stem.widths=8,block=basic-v2,depths=1-1,widths=8-16,strides=1-2,head=10,"
    "norm=group,norm.groups=4",
    "data": {"source": "digits", "cache": True},
    "augment": {"affine": {"degrees": 12.0, "translate": 0.1}},
    "recipe": {
        "steps": STEPS, "batch": 15, "optimiser": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
        "precision": "64-true", "ema": {"decay": 0.9},
    },
    # 360 images are 180 a process, 26 batches of 7 with 5 in the last
    "run": {"log_every": 1, "evaluate_every": 60, "evaluation_batch": 7, "tensorboard": False, "threads": 1,
            "checkpoints": {"every_steps": 10}},
}  # fmt: skip


def torchrun(config: Path, out: Path, *options: str, restarts: int = 0) -> subprocess.Popen[str]:
    """Two processes on this machine; ``--resume`` starts afresh where there is nothing to resume."""
    return started("-m", "otoyol", "train", str(config), "--out", str(out), *options, restarts=restarts)


def started(*what: str, restarts: int = 0) -> subprocess.Popen[str]:
    """A program in two processes on this machine."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
               "--max-restarts", str(restarts), "--monitor-interval", "0.1", *what]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def finished(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    return said


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ranks") / "tiny.yaml"
    path.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def two(config: Path) -> Path:
    """What two processes make of it, undisturbed."""
    folder = config.parent / "two"
    said = finished(torchrun(config, folder))
    assert "2 processes" in said
    assert said.count("Everything is in") == 1, "one process speaks"
    return folder


def test_two_processes_train_as_one_does(config: Path, two: Path) -> None:
    one = config.parent / "one"
    fit(ClassificationConfig(**CONFIG), one)
    alone, together = rows(one), rows(two)
    assert len(alone) == len(together) == STEPS
    for mine, theirs in zip(alone, together, strict=True):
        assert float(theirs["loss"]) == pytest.approx(float(mine["loss"]), rel=1e-9)
    for name in ("val_accuracy", "val_top5", "val_loss"):  # exact over uneven last batches: counts, not means of means
        assert float(together[-1][name]) == pytest.approx(float(alone[-1][name]), rel=1e-9)
    mine, theirs = (load_file(folder / "last.safetensors") for folder in (one, two))
    for name, value in mine.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-7, atol=1e-9)


def test_both_processes_judge_by_the_statistics_that_are_saved(config: Path) -> None:
    """Batch norms see another half of each batch in either process, so their running statistics part there."""
    spec = CONFIG["spec"].partition(",norm=")[0]
    recipe = {**CONFIG["recipe"], "steps": 4, "ema": None}
    path, folder = config.with_name("batch-norm.yaml"), config.parent / "batch-norm"
    path.write_text(yaml.safe_dump({**CONFIG, "spec": spec, "recipe": recipe}), encoding="utf-8")
    finished(torchrun(path, folder))
    together, alone = rows(folder)[-1], evaluate(load_run(folder, "last"))["metrics"]
    assert alone["loss"] > 1  # far from learned: other statistics give another loss
    for name, value in alone.items():
        assert float(together[f"val_{name}"]) == pytest.approx(value, rel=1e-9), name


def test_a_process_that_is_gone_is_told_from_other_errors() -> None:
    closed = RuntimeError("[…/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    assert (_cause(closed, 2), _cause(closed, 1)) == ("a process of this run is gone", "")
    assert _cause(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), 2) == ""


def test_a_killed_process_is_restarted_and_ends_with_the_same_bits(config: Path, two: Path) -> None:
    folder = config.parent / "killed"
    process = torchrun(config, folder, "--resume", restarts=1)
    until = time.monotonic() + 120
    while not list((folder / "checkpoints").glob("step-*.ckpt")):
        assert process.poll() is None and time.monotonic() < until, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(max(children(process.pid)), signal.SIGKILL)
    said = finished(process)
    assert "Going on after step" in said, said
    # The one that was left alive says that the other is gone, unless torchrun's SIGTERM comes before it notices.
    # torchrun gives fresh processes a rendezvous of their own; what they train is a matter of steps alone
    before, after = (load_file(at / "last.safetensors") for at in (two, folder))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    same = [name for name in rows(two)[0] if name not in ("seconds", "images_per_second")]
    assert [[row[n] for n in same] for row in rows(folder)] == [[row[n] for n in same] for row in rows(two)]


def test_a_signal_to_one_process_makes_both_save_and_leave(config: Path, two: Path) -> None:
    changed = {**CONFIG, "run": {**CONFIG["run"], "checkpoints": {"every_seconds": None}, "evaluate_every": 60}}
    path, folder = config.with_name("told.yaml"), config.parent / "told"
    path.write_text(yaml.safe_dump(changed), encoding="utf-8")
    process = torchrun(path, folder)
    until = time.monotonic() + 120
    while not (folder / "metrics.csv").exists() or len(rows(folder)) < 5:
        assert process.poll() is None and time.monotonic() < until, "it ended before it could be told"
        time.sleep(0.01)
    os.kill(max(children(process.pid)), signal.SIGTERM)  # the second process, not the one that saves
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0 and "src/otoyol" not in said, said  # no traceback of ours
    assert said.count("SIGTERM: saved after step") == 1, said
    (saved,) = (folder / "checkpoints").glob("step-*.ckpt")  # evaluations save at steps 60 and 120 alone
    step = int(saved.name[5:15])
    assert 5 <= step < 60 and f"saved after step {step};" in said
    assert f"Going on after step {step}" in finished(torchrun(path, folder, "--resume"))
    before, after = (load_file(at / "last.safetensors") for at in (two, folder))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_processes_judge_as_one_does(two: Path, tmp_path: Path) -> None:
    said = finished(started("-m", "otoyol", "evaluate", str(two), "--json", "--out", str(tmp_path / "judged")))
    together, alone = json.loads(said[said.index("{") : said.rindex("}") + 1]), evaluate(load_run(two))
    assert said.count('"weights"') == 1, "one process speaks"
    assert together["samples"] == 360 and sum(of["samples"] for of in together["classes"]) == 360
    for name, value in alone["metrics"].items():
        assert together["metrics"][name] == pytest.approx(value, rel=1e-9), name
    assert (tmp_path / "judged" / "confusion.png").exists()


def test_what_any_process_leaves_out_is_named(tmp_path: Path) -> None:
    """One image that the second process reads in the first step, one that it judges; rank 0 reads neither."""
    for split, kind, number in itertools.product(("train", "test"), range(3), range(8)):
        path = tmp_path / "images" / split / f"k{kind}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 40 * kind + number).save(path)
    learnt, judged = (load(str(tmp_path / "images"), Input(channels=1, height=8, width=8), split).names
                      for split in ("train", "test"))  # fmt: skip
    (second,) = micro_batches(0, 6, 1, world=2, rank=1)
    broken = [learnt[keys(second, len(learnt), seed=0)[0].sample], judged[-1]]
    for name in broken:
        Path(name).write_bytes(b"no image")
    changed = {**CONFIG, "data": {"source": str(tmp_path / "images")}, "augment": {},
               "recipe": {**CONFIG["recipe"], "steps": 1, "batch": 6},
               "run": {**CONFIG["run"], "unreadable": "skip"}}  # fmt: skip
    (path := tmp_path / "broken.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    finished(torchrun(path, tmp_path / "run"))
    result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert result["left_out"] == broken
    assert sum(of["samples"] for of in result["classes"]) == 23 and result["validation"] == 24


def test_a_kill_amid_an_evaluation_finds_its_step_saved(config: Path, two: Path, tmp_path: Path) -> None:
    """What a SIGTERM comes to that is not waited for: ranks cannot leave amid an evaluation."""
    changed = {**CONFIG, "run": {**CONFIG["run"], "checkpoints": {"every_seconds": None}}}
    (path := tmp_path / "tiny.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    (script := tmp_path / "killed.py").write_text(
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from otoyol.train import engine, fit, read_config\n"
        "engine.judge = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "fit(read_config(sys.argv[1]), Path(sys.argv[2]))\n",
        encoding="utf-8",
    )
    folder = tmp_path / "run"
    process = started(str(script), str(path), str(folder))
    process.communicate(timeout=120)
    assert process.returncode != 0
    (saved,) = (folder / "checkpoints").glob("step-*.ckpt")
    assert int(saved.name[5:15]) == CONFIG["run"]["evaluate_every"]
    assert f"Going on after step {int(saved.name[5:15])}" in finished(torchrun(path, folder, "--resume"))
    before, after = (load_file(at / "last.safetensors") for at in (two, folder))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    same = [name for name in rows(two)[0] if name not in ("seconds", "images_per_second")]
    assert [[row[n] for n in same] for row in rows(folder)] == [[row[n] for n in same] for row in rows(two)]


def test_a_first_process_without_the_run_s_folder_does_not_begin_anew(config: Path, tmp_path: Path) -> None:
    """As after an elastic restart that has put rank 0 on another machine: only the second one's folder has the run."""
    (tmp_path / "of-1" / "checkpoints").mkdir(parents=True)
    (tmp_path / "of-1" / "checkpoints" / f"step-{40:010d}.{'0' * 32}.ckpt").touch()
    (script := tmp_path / "apart.py").write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from otoyol.train import fit, read_config\n"
        "fit(read_config(sys.argv[1]), Path(sys.argv[2] + os.environ['RANK']), resume=True)\n",
        encoding="utf-8",
    )
    process = started(str(script), str(config), str(tmp_path / "of-"))
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "rank 1 sees one of step 40 in " in said and "rank 0 none; the machines of a run must share" in said
    assert not (tmp_path / "of-0").exists()
