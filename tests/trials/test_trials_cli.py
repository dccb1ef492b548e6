"""otoyol trials on the digits: a real training of tiny nets, and what the command refuses."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import otoyol.train
from otoyol.cli.main import run
from otoyol.data import load
from otoyol.errors import OtoyolError, SpecError
from otoyol.spec import Input
from otoyol.train import ShortTraining
from otoyol.trials import Halving, Median, parse_prune, read_front

TINY = "cifar_resnet20@input=3x8x8,stem.widths=4,depths=1-1-1,shortcut=B,widths="
DESIGNS = [TINY + "8-8-8", TINY + "8-16-16"]
STEPS = ["--steps", "12", "--reports", "2", "--judged", "100"]


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    rows = [{"spec": spec, "macs": 1000 * place, "train_bytes": 2048.0} for place, spec in enumerate(DESIGNS, 1)]
    rows[1]["latency"] = {"ort": {"ms": 1.25, "low_ms": 1.0, "high_ms": 1.5, "warnings": []}}
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        path = Path(folder) / "front.json"
        path.write_text(json.dumps({"seen": 9, "designs": [*rows, rows[0]]}))
        yield path


def test_a_front_is_trained_and_running_again_trains_nothing(
    front: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["trials", str(front), *STEPS, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["finished"] and told["study"] == "front" and told["storage"].endswith("/front.db")
    assert [(d["design"], d["state"], d["steps"], d["macs"]) for d in told["designs"]] == [
        (DESIGNS[0], "complete", 12, 1000), (DESIGNS[1], "complete", 12, 2000),
    ]  # fmt: skip
    for design in told["designs"]:  # 100 held-out images: accuracies are whole percents, above chance on digits
        assert round(100 * design["accuracy"], 9) % 1 == 0 and 0.1 < design["accuracy"] <= 1
        again = list(ShortTraining("digits", 12, reports=2, judged=100)(design["design"]))
        assert [step for step, _ in again] == [6, 12] and again[-1][1] == design["accuracy"]

    monkeypatch.setattr(otoyol.train, "train_steps", None)
    assert run(["trials", str(front), *STEPS, "--lang", "tr"]) == 0
    page = capsys.readouterr().out.splitlines()
    assert page[0].startswith("2 tasarımdan 2 tanesi bitti.")
    page = page[page.index("") :]  # the sentence takes as many lines as the front's path is long
    assert page[1].split()[:3] == ["doğruluk", "adım", "durum"] and "gecikme (ms) ort" in page[1]
    best = max(told["designs"], key=lambda design: design["accuracy"])
    assert page[2].split()[1:3] == ["12", "tamam"] and page[2].endswith(best["design"])
    assert {line.split()[-2] for line in page[2:4]} == {"–", "1,25"}


def test_other_settings_need_another_study(front: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trials", str(front), *STEPS, "--trials", "1"]) == 0
    assert "1 of 2 designs ended" in capsys.readouterr().out
    assert run(["trials", str(front), *STEPS, "--seed", "1"]) == 2
    assert "made with seed 0, this is 1" in capsys.readouterr().err
    assert run(["trials", str(front), *STEPS, "--seed", "1", "--study", "second", "--trials", "1"]) == 0


def test_a_learning_rate_that_breaks_the_loss_fails_the_trial(front: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trials", str(front), *STEPS, "--lr", "1e30", "--batch", "16"]) == 1
    out = capsys.readouterr().out
    assert "2 of 2 designs ended" in out and out.count("the loss is") == 2 and "failed" in out


def test_an_unreadable_image_stops_or_is_left_out_and_named(
    front: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("cat", "dog"):
        (tmp_path / "pets" / kind).mkdir(parents=True)
        for index in range(10):
            Image.new("L", (8, 8), 25 * index).save(tmp_path / "pets" / kind / f"{index}.png")
    files = load(str(tmp_path / "pets"), Input(channels=3, height=8, width=8), "train").names
    Path(files[1]).write_text("broken")  # the first is held out, the second trains
    line = ["trials", str(front), "--data", str(tmp_path / "pets"), "--steps", "6", "--reports", "1", "--batch", "4"]
    assert run(line) == 2
    assert files[1] in capsys.readouterr().err
    assert run([*line, "--on-error", "skip", "--study", "second"]) == 0
    told = capsys.readouterr()
    assert told.err == f"otoyol: left out, since it cannot be read: {files[1]}\n" and "2 of 2 designs" in told.out
    Image.new("L", (8, 8)).save(files[1])
    assert run(line) == 0 and "2 of 2 designs" in capsys.readouterr().out


def reported(database: Path) -> bool:
    """Whether some trial has told an accuracy."""
    if not database.exists():
        return False
    with contextlib.closing(sqlite3.connect(database)) as connection, contextlib.suppress(sqlite3.OperationalError):
        return connection.execute("SELECT COUNT(*) FROM trial_intermediate_values").fetchone()[0] > 0
    return False


def test_ctrl_c_leaves_with_130_and_what_is_done(front: Path) -> None:
    line = [sys.executable, "-m", "otoyol", "trials", str(front), "--steps", "100000", "--reports", "1000", "--json"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    database, deadline = front.with_name("front.db"), time.monotonic() + 120
    while not reported(database):  # amid the training; Python that is still importing dies of the signal itself
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    told: dict[str, Any] = json.loads(out)
    assert not told["finished"] and {design["state"] for design in told["designs"]} <= {"open", "waiting"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--storage", "here"], "sqlite:///FILE or postgresql://USER@HOST/DATABASE"),
        (
            ["--storage", "postgresql://ali:gizli@127.0.0.1:1/x"],
            "cannot use postgresql+psycopg://ali:***@127.0.0.1:1/x",
        ),
        (["--data", "nowhere"], "a folder of images by class"),
        (["--prune", "always"], "none, median or halving"),
        (["--prune", "median:patience=3"], "startup_trials"),
        (["--prune", "halving:reduction_factor=1"], "reduction_factor (a whole number from 2)"),
        (["--steps", "0"], "steps"),
        (["--trials", "0"], "limit"),
        (["--seed", "-1"], "0 or more"),
        (["--lr", "0"], "above 0"),
        (["--batch", "2000"], "the number of images for training"),
        (["--device", "abacus"], "a device that torch has here"),
    ],
)
def test_one_sentence_and_status_2(
    front: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert run(["trials", str(front), *words]) == 2
    told = capsys.readouterr()
    assert sentence in told.err and told.err.count("\n") == 1 and "gizli" not in told.err and not told.out


def test_without_optuna_it_says_what_to_install(front: Path) -> None:
    code = "import sys; sys.modules['optuna'] = None\nfrom otoyol.cli.main import run\n"
    code += f"sys.exit(run(['trials', {str(front)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        2, "otoyol: optuna is not installed; install it with: pip install 'otoyol[trials]'\n",
    )  # fmt: skip


def test_the_module_that_talks_to_optuna_loads_no_torch() -> None:
    code = "import sys, otoyol.trials; print('torch' in sys.modules, 'optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False True\n"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"designs": []}', '{"designs": [1]}', '{"designs": [{"macs": 1}]}', "[" * 9000,
             '{"designs": [{"spec": "resnet51"}]}', '{"designs": [{"spec": 5}]}'],
)  # fmt: skip
def test_what_is_no_front_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "front.json").write_text(text)
    with pytest.raises(SpecError):
        read_front(tmp_path / "front.json")
    with pytest.raises(OtoyolError, match="readable file"):
        read_front(tmp_path / "absent.json")


def test_pruning_rules_as_text() -> None:
    assert parse_prune("none") is None
    assert parse_prune("median") == Median(startup_trials=5, warmup_steps=0, min_trials=1)
    assert parse_prune("halving:min_resource=50,reduction_factor=3") == Halving(50, 3, 0)
