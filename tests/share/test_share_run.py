"""A training run's folder shared: its best weights, classes, normalisation and figures."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load_file

import otoyol
from otoyol.share import pack, read_folder
from otoyol.share.source import from_run, is_run
from otoyol.train.files import config_of
from otoyol.train.run import fit

CONFIG = {
    "spec": "custom@block=basic,depths=1,widths=8,stem=cifar,input=1x8x8,head=10",
    "data": {"source": "digits", "mean": [0.3], "std": [0.38]},
    "recipe": {"steps": 3, "batch": 32},
    "run": {"tensorboard": False},
}


def test_a_run_is_shared_with_what_it_measured(tmp_path):
    run, out = tmp_path / "run", tmp_path / "shared"
    fit(config_of(CONFIG), run)
    assert is_run(run) and is_run(run / "best.safetensors") and not is_run(tmp_path)
    result = json.loads((run / "result.json").read_text())
    result["metrics"]["accuracy"] = 0.0625  # after the best
    (run / "result.json").write_text(json.dumps(result))
    pack(from_run(run), out, onnx=False)
    about = read_folder(out).about
    assert (about.task, about.classes) == ("classification", tuple("0123456789"))
    assert (about.mean, about.std, about.crop_share) == ((0.3,), (0.38,), 1.0)
    assert about.metrics == result["best"]["metrics"]
    assert about.source == "otoyol train on digits, best weights"
    weights = load_file(run / "best.safetensors")
    shared = otoyol.load(out).state_dict()
    assert shared.keys() == weights.keys() and all(torch.equal(shared[key], weights[key]) for key in shared)
    card = (out / "README.md").read_text()
    best, end = result["best"]["metrics"]["accuracy"], result["metrics"]["accuracy"]
    assert "10 classes (0, 1, 2" in card and f"| accuracy | {best:.6g} | {end:.6g} |" in card
    assert f"best weights, of step {result['best']['step']} of {result['steps']}, not the last" in card
    assert "en yüksek accuracy değeri" in card and "son ağırlıklar |" in card
    assert "steps 3" in card and str(tmp_path) not in card + (out / "config.json").read_text()
    last = from_run(run / "last.safetensors")
    pack(last, tmp_path / "last", onnx=False)
    card = (tmp_path / "last" / "README.md").read_text()
    assert f"| accuracy | {end:.6g} |\n" in card and "best weights" not in card and "chosen" not in card
    assert last.about.metrics == result["metrics"] and last.about.source.endswith("last weights")
