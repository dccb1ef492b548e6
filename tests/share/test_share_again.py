"""A folder that was shared is a source like a run: exported or shared again it loses nothing of what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import otoyol
from otoyol.cli.main import run
from otoyol.deploy import Artifact, load_engine
from otoyol.nn import build
from otoyol.share import pack, read_folder
from otoyol.share.folder import About
from otoyol.share.pack import Network
from otoyol.share.source import from_weights, is_folder
from otoyol.spec.files import json_text

DESIGN = "custom@depths=1-1,widths=8-16,strides=1-2,stem=cifar,input={},head=3"
TINY = DESIGN.format("3x16x16")
NAMES, MEAN, STD = ("a", "b", "c"), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
ABOUT = About(task="classification", classes=NAMES, mean=MEAN, std=STD, crop_share=0.875, source="a test, best weights",
              metrics={"accuracy": 0.75})  # fmt: skip
INSIDE = pytest.mark.parametrize("inside", ["", "model.safetensors"])


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(2)
    model = build(TINY).eval()
    return Network(model, model.spec, ABOUT)


@pytest.fixture
def folder(network: Network, tmp_path: Path) -> Path:
    pack(network, tmp_path / "first", onnx=False)
    return tmp_path / "first"


@INSIDE
def test_it_is_exported_with_what_it_says(inside: str, network: Network, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    assert run(["export", str(folder / inside), "--out", str(out), "--uint8"]) == 0
    said = Artifact(out).metadata
    assert (said.classes, said.mean, said.std, said.crop_share) == (NAMES, MEAN, STD, 0.875)
    assert said.source == ABOUT.source
    x = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    image = (torch.from_numpy(x).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.no_grad():
        np.testing.assert_allclose(
            load_engine("ort", Artifact(out), 1, 1).run(x)[0], network.model(image), rtol=1e-4, atol=1e-5
        )


@INSIDE
def test_it_is_shared_again_with_what_it_says(inside: str, network: Network, folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert run(["share", str(folder / inside), "--out", str(again), "--no-onnx"]) == 0
    assert read_folder(again).about == ABOUT and read_folder(again).spec == network.spec
    weights = network.model.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in load_file(again / "model.safetensors").items())
    card = (again / "README.md").read_text()
    assert "3 classes (a, b, c)" in card and "| accuracy | 0.75 |" in card
    assert "a folder shared before, whose card says how its weights were chosen" in card


def test_its_weights_bring_it_along_with_its_design(folder: Path, tmp_path: Path) -> None:
    words = ["share", TINY, "--weights", str(folder / "model.safetensors"), "--no-onnx"]
    assert run([*words, "--out", str(tmp_path / "again")]) == 0
    assert read_folder(tmp_path / "again").about == ABOUT
    larger = from_weights(otoyol.parse(DESIGN.format("3x24x24")), folder / "model.safetensors").about
    assert (larger.classes, larger.mean, larger.std, larger.crop_share) == (NAMES, MEAN, STD, 0.875)
    assert larger.metrics == {} and larger.source == "otoyol: model.safetensors"  # it was judged at another size
    (folder / "model.safetensors").rename(tmp_path / "model.safetensors")  # by themselves they say nothing
    alone = from_weights(None, tmp_path / "model.safetensors").about
    assert alone.classes == () and alone.mean != MEAN and alone.crop_share == 1.0


def test_what_contradicts_it_or_is_damaged_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_folder(folder) and not is_folder(tmp_path)
    weights = folder / "model.safetensors"
    for words, told in (
        (["export", str(folder), "--spec", "resnet18"], "--spec"),
        (["share", str(folder), "--weights", str(weights)], "weights"),
        (["share", str(weights), "--weights", str(weights)], "weights"),
        (["share", str(weights), "--from", "timm"], "from: got timm"),
        (["share", "resnet18", "--from", "torchvision"], "from: got torchvision"),
        (["export", str(tmp_path)], "otoyol share"),
    ):
        out = tmp_path / ("x.onnx" if words[0] == "export" else "x")
        assert run([*words, "--out", str(out)]) == 2
        assert told in capsys.readouterr().err and not out.exists()
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    for source in (folder, weights):
        assert run(["export", str(source), "--out", str(tmp_path / "x.onnx")]) != 0
        assert "changed or is damaged" in capsys.readouterr().err and not (tmp_path / "x.onnx").exists()


def test_a_detectors_folder_is_a_source_too(tmp_path: Path) -> None:
    from otoyol.detect import Detector, build_detector

    torch.manual_seed(1)
    choices = Detector(kind="fcos", taps=("C2", "C3"), extra="none", channels=16, head_norm=None, head_convs=1,
                       min_size=64, max_size=64, score=0.02)  # fmt: skip
    spec = otoyol.parse("custom@depths=1-1,widths=8-8,input=3x32x32,head=0")
    model = build_detector(spec, choices, classes=2).eval()
    with torch.no_grad():
        for weight in model.head.parameters():
            if weight.dim() > 1:  # as initialised, scores differ by nothing
                torch.nn.init.normal_(weight, 0, 0.1)
    about = About(task="detection", classes=("cat", "dog"), mean=choices.mean, std=choices.std, source="a test",
                  detector=choices.model_dump(mode="json"))  # fmt: skip
    pack(Network(model, spec, about), tmp_path / "first", onnx=False)
    assert run(["share", str(tmp_path / "first"), "--out", str(tmp_path / "again"), "--no-onnx"]) == 0
    assert read_folder(tmp_path / "again").about == about
    assert run(["export", str(tmp_path / "again"), "--out", str(tmp_path / "model.onnx")]) == 0
    said = Artifact(tmp_path / "model.onnx").metadata
    assert (said.classes, said.source) == (("background", "cat", "dog"), "a test")
    assert (said.mean, said.std, said.detector) == (about.mean, about.std, json_text(about.detector))
