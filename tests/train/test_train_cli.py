"""otoyol train, evaluate and predict as a user types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from _tiny_run import SPEC
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import otoyol
from otoyol.cli.main import run
from otoyol.data import load
from otoyol.errors import OtoyolError, SpecError, WeightsError
from otoyol.spec import Input
from otoyol.train import load_run
from otoyol.train.after import evaluate, predict

CONFIG = {
    "spec": SPEC,
    "freeze": ["stem"],
    "recipe": {"steps": 30, "batch": 32, "optimiser": {"name": "adamw", "lr": 0.02}, "ema": {"decay": 0.9}},
    "run": {"log_every": 10, "evaluate_every": 15, "evaluation_batch": 100},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    assert run(["train", str(folder / "tiny.yaml"), "--set", "run.seed=4", "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_what_a_run_leaves(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names >= {"config.yaml", "spec.yaml", "versions.json", "metrics.csv", "curves.png", "confusion.png",
                     "precision_recall.png", "predictions.png",
                     "result.json", "last.safetensors", "best.safetensors", "checkpoints", "tensorboard"}  # fmt: skip
    assert yaml.safe_load((trained / "config.yaml").read_text())["run"]["seed"] == 4
    assert otoyol.load(trained / "spec.yaml").input.height == 8
    result = json.loads((trained / "result.json").read_text())
    assert (result["steps"], result["samples"], result["validation"], result["frozen"]) == (30, 1437, 360, ["stem"])
    assert sum(of["samples"] for of in result["classes"]) == 360
    assert list((trained / "tensorboard").iterdir())
    with Image.open(trained / "confusion.png") as picture:
        assert min(picture.size) > 300


def test_freezing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    short = ["--set", "recipe.steps=1", "--set", "run.tensorboard=false", "--out", str(tmp_path / "run")]
    assert run(["train", str(tmp_path / "tiny.yaml"), *short, "--lang", "tr"]) == 0
    told = capsys.readouterr()
    assert "Dondurulan: stem" in told.err and "1. adım" in told.out
    assert run(["train", str(tmp_path / "tiny.yaml"), *short]) == 2
    assert "--resume goes on with this one" in capsys.readouterr().err
    assert run(["train", "--resume", "--out", str(tmp_path / "run"), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["steps"] == 1 and told.err == ""
    assert run(["train", "--resume", "--out", str(tmp_path / "run"), "--set", "run.seed=1"]) == 2
    assert "run.seed: got 1; allowed: 0, which the run began with" in capsys.readouterr().err
    assert run(["train", "--resume", "--out", str(tmp_path / "run"), "--set", "run.unreadable=skip"]) == 0
    assert run(["train", "--resume", "--out", str(tmp_path / "run"), "--print-config"]) == 0  # it stays changed
    assert "unreadable: skip" in capsys.readouterr().out


def test_the_configuration_is_printed_and_nothing_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    out = tmp_path / "run"
    assert (
        run(["train", str(tmp_path / "tiny.yaml"), "--print-config", "--set", "recipe.clip=1.5", "--out", str(out)])
        == 0
    )
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["recipe"]["clip"] == 1.5 and printed["run"]["checkpoints"]["keep"] == 2 and not out.exists()


def test_evaluating_says_what_training_said(trained: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    result = json.loads((trained / "result.json").read_text())
    assert run(["evaluate", str(trained), "--json", "--out", str(tmp_path / "judged")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"] == result["metrics"] and found["classes"] == result["classes"]
    assert (tmp_path / "judged" / "confusion.png").exists()
    assert run(["evaluate", str(trained / "best.safetensors")]) == 0
    assert f"{result['best']['metrics']['accuracy']:.4f}" in capsys.readouterr().out
    (alone := tmp_path / "alone.safetensors").write_bytes((trained / "last.safetensors").read_bytes())
    assert evaluate(load_run(alone))["metrics"] == result["metrics"]  # the file is enough


def test_a_run_of_a_gpu_is_judged_on_a_cpu(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file as a machine with a hundred GPUs has left it, in a precision that only they have."""
    with safe_open(trained / "last.safetensors", "pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    told = json.loads(metadata["otoyol.run"])
    told["config"]["run"]["device"], told["config"]["recipe"]["precision"] = "cuda:99", "16-mixed"
    save_file(tensors, there := tmp_path / "there.safetensors", {**metadata, "otoyol.run": json.dumps(told)})
    assert run(["evaluate", str(there)]) == 2
    assert "run.device: got cuda:99" in capsys.readouterr().err
    assert run(["evaluate", str(there), "--device", "cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"] == json.loads((trained / "result.json").read_text())["metrics"]
    Image.new("L", (8, 8), 90).save(tmp_path / "a.png")
    assert run(["predict", str(there), str(tmp_path / "a.png")]) == 2
    assert run(["predict", str(there), str(tmp_path / "a.png"), "--device", "cpu"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1


@pytest.mark.parametrize(("split", "samples"), [("train", 1437), ("test", 360), ("held-out", 288)])
def test_another_split_is_judged(split: str, samples: int, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(trained), "--split", split, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    opened = load_run(trained)
    images = load("digits", Input(channels=1, height=8, width=8), "test" if split == "test" else "train")
    chosen = range(0, len(images), 5 if split == "held-out" else 1)
    with torch.no_grad():
        right = sum(int(opened.model(images[index][0][None]).argmax()) == images.labels[index] for index in chosen)
    assert found["samples"] == samples and found["metrics"]["accuracy"] == right / samples
    assert run(["evaluate", str(trained), "--split", "tset"]) == 2
    assert "data.judge: got tset; allowed: test, held-out or train" in capsys.readouterr().err


def test_accuracy_is_counted_by_hand(trained: Path) -> None:
    opened = load_run(trained)
    images = load("digits", Input(channels=1, height=8, width=8), "test")
    with torch.no_grad():
        right = sum(int(opened.model(images[index][0][None]).argmax()) == images.labels[index] for index in range(360))
    assert evaluate(opened)["metrics"]["accuracy"] == right / 360


def test_other_data_must_have_the_same_classes(trained: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for kind in range(10):
            (tmp_path / split / str(kind)).mkdir(parents=True)
            Image.new("L", (8, 8), 20 * kind).save(tmp_path / split / str(kind) / "a.png")
    assert evaluate(load_run(trained, data=str(tmp_path)))["samples"] == 10
    (tmp_path / "test" / "3" / "a.png").write_bytes(b"no image")
    with pytest.raises(OtoyolError, match=r"cannot read .*a\.png"):
        evaluate(load_run(trained, data=str(tmp_path)))
    found = evaluate(load_run(trained, data=str(tmp_path)), skip=True)
    assert found["samples"] == 9 and len(found["left_out"]) == 1
    for split in ("train", "test"):
        shutil.rmtree(tmp_path / split / "3")
    with pytest.raises(SpecError, match="the classes of the run"):
        evaluate(load_run(trained, data=str(tmp_path)))


def test_predicting(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = load("digits", Input(channels=1, height=8, width=8), "test")
    (tmp_path / "images").mkdir()
    for index in range(3):
        Image.fromarray(images.pixels(index)[0].numpy()).save(tmp_path / "images" / f"{index}.png")
    out = tmp_path / "seen"
    assert run(["predict", str(trained), str(tmp_path / "images"), "--out", str(out)]) == 0
    found = json.loads((out / "predictions.json").read_text())
    opened = load_run(trained)
    with torch.no_grad():
        scores = opened.model(torch.stack([images[index][0] for index in range(3)])).softmax(1)
    for row, score in zip(found, scores, strict=True):
        assert row["label"] == images.classes[int(score.argmax())]
        assert row["score"] == pytest.approx(float(score.max()), abs=1e-5) and len(row["top"]) == 5
    assert sorted(path.name for path in out.glob("*.png")) == ["0000-0.png", "0001-1.png", "0002-2.png"]
    (tmp_path / "images" / "1.png").write_bytes(b"no image")
    assert run(["predict", str(trained), str(tmp_path / "images")]) == 2
    assert "1.png" in capsys.readouterr().err
    left: list[str] = []
    assert len(predict(opened, [tmp_path / "images"], left_out=left)) == 2 and len(left) == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["train"], "a configuration file, or --resume"),
        (["train", "--resume", "--out", "nowhere"], "a run's folder"),
        (["train", "none.yaml"], "readable file"),
        (["evaluate", "nowhere"], "no such file"),
        (["predict", "nowhere"], "at least one image"),
    ],
)
def test_commands_that_cannot_be(command: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command) == 2
    assert words in capsys.readouterr().err


def test_files_that_are_no_trained_weights(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for damage in (b"", b"nothing at all", (trained / "last.safetensors").read_bytes()[:500]):
        path.write_bytes(damage)
        with pytest.raises(WeightsError, match="no sound safetensors"):
            load_run(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="not written by `otoyol train`"):
        load_run(path)


def test_weights_to_start_from(trained: Path, tmp_path: Path) -> None:
    fields: dict[str, Any] = {**CONFIG, "freeze": [], "weights": {"file": str(trained / "last.safetensors")}}
    from otoyol.train.files import config_of

    started = config_of(fields).open().build().model.state_dict()
    theirs = load_file(trained / "last.safetensors")
    assert started.keys() == theirs.keys() and all(torch.equal(started[name], theirs[name]) for name in theirs)
    fresh = config_of({**fields, "weights": {**fields["weights"], "fresh": ["head"]}}).open().build().model.state_dict()
    assert {name for name in fresh if not torch.equal(fresh[name], theirs[name])} == {"head.fc.weight", "head.fc.bias"}


def test_a_run_goes_on_without_the_file_that_it_started_from(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its checkpoint holds every weight."""
    first = tmp_path / "first.safetensors"
    first.write_bytes((trained / "last.safetensors").read_bytes())
    fields = {**CONFIG, "weights": {"file": str(first)}, "recipe": {**CONFIG["recipe"], "steps": 1}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(fields))
    out = tmp_path / "run"
    assert run(["train", str(tmp_path / "tiny.yaml"), "--out", str(out)]) == 0
    ended = load_file(out / "last.safetensors")
    first.unlink()
    (out / "last.safetensors").unlink()
    assert run(["train", "--resume", "--out", str(out)]) == 0, capsys.readouterr().err
    again = load_file(out / "last.safetensors")
    assert all(torch.equal(value, again[name]) for name, value in ended.items())


def test_a_device_without_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apple's GPUs have none, and figures are summed up in it."""
    from otoyol.train.machine import find_device

    def empty(*_: Any, dtype: torch.dtype = torch.float32, **__: Any) -> None:
        if dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    monkeypatch.setattr(torch, "empty", empty)
    with pytest.raises(SpecError, match=r"run\.device: got mps.*float64"):
        find_device("mps")


def test_fewer_than_no_reading_processes(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(trained), "--workers", "-1"]) == 2
    assert "workers: got -1; allowed: a whole number from 0" in capsys.readouterr().err
