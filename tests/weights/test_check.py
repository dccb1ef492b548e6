"""check.against: agreement is shown, disagreement is found, bad peers and images are refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from _weights_peers import named
from PIL import Image

from otoyol import OtoyolError
from otoyol.check import against
from otoyol.check.image import photograph
from otoyol.check.peers import peer_names
from otoyol.nn import build
from otoyol.spec import Input
from otoyol.weights import load

SMALL = "input=3x48x64"


def figure(result: Any, name: str) -> Any:
    return next(figure for figure in result.figures if figure.name == name)


@pytest.mark.parametrize(
    ("design", "other", "dtype"),
    [
        (f"resnet18@{SMALL}", "torchvision:resnet18", "float32"),
        (f"resnet18@{SMALL}", "torchvision:resnet18", "float64"),
        (f"ecaresnet26t@{SMALL}", "timm:ecaresnet26t", "float32"),
        (f"resnetv2_18d@{SMALL}", "timm:resnetv2_18d", "float32"),
        (f"resnetv2_18@{SMALL},taps=raw,head=7", "timm:resnetv2_18", "float64"),
        ("resnet18d@input=1x48x64", "timm:resnet18d", "float32"),
    ],
)
def test_agreement(design: str, other: str, dtype: str) -> None:
    result = against(design, other, dtype=dtype)
    assert result.ok and "equals" in result.verdict
    names = [figure.name for figure in result.figures]
    assert names == ["params", "macs", *(f"C{i} eval" for i in range(1, 6)), "output eval", "output train",
                     "running_mean train", "running_var train"]  # fmt: skip
    assert all(figure.bound in (0.0, 1e-5 if dtype == "float32" else 1e-12) for figure in result.figures)
    assert result.image == "china.jpg"
    assert json.loads(json.dumps(result.to_mapping()))["ok"] is True


def test_the_published_figures() -> None:
    """11,689,512 parameters (torchvision's weights entry) on the full-size photograph."""
    result = against("resnet18", "torchvision:resnet18")
    assert result.ok and figure(result, "params").theirs == 11_689_512
    assert round(figure(result, "macs").theirs / 1e9, 3) == 1.814  # torchvision's _ops of ResNet18_Weights


def test_another_network_is_a_finding() -> None:
    result = against(f"resnet34@{SMALL}", "torchvision:resnet18")
    assert not result.ok and "this looks like resnet18" in result.problem
    assert figure(result, "params").error > 0
    assert result.verdict.startswith(f"resnet34@{SMALL} is not torchvision:resnet18: ")


def test_another_meaning_is_a_finding() -> None:
    result = against("resnetv1_50", "torchvision:resnet50")
    assert not result.ok and "stride_at: conv1 here, conv2 in the checkpoint" in result.problem


def test_a_living_peer_and_a_built_model() -> None:
    theirs = named("timm", "resnet18", output_stride=8)
    ours = build(f"resnet18@{SMALL}", output_stride=8)
    before = copy.deepcopy(ours.state_dict())
    result = against(ours, theirs)
    assert result.ok and result.peer == "timm's ResNet"
    assert all(torch.equal(before[key], value) for key, value in ours.state_dict().items())
    assert not against(build(f"resnet18@{SMALL}"), theirs).ok


def test_feature_extractors_are_compared_by_their_taps() -> None:
    result = against(build(f"resnet18@{SMALL}", features_only=True), "timm:resnet18")
    assert result.ok and [f.name for f in result.figures][1:6] == [f"C{i} eval" for i in range(1, 6)]


def test_a_broken_network_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics changed after loading must show in the outputs, from their stage on."""
    import otoyol.check.compare as module

    def loads_wrongly(model: Any, *rest: Any, **options: Any) -> Any:
        done = load(model, *rest, **options)
        with torch.no_grad():
            model.stages[2][0].branch.norm1.running_mean -= 0.5
        return done

    monkeypatch.setattr(module, "load", loads_wrongly)
    result = against(f"resnet18@{SMALL}", "torchvision:resnet18")
    assert not result.ok and "differs from torchvision:resnet18 in" in result.verdict
    assert figure(result, "C3 eval").ok and not figure(result, "C4 eval").ok and not figure(result, "output eval").ok


def test_numbers_that_blow_up_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    import otoyol.check.compare as module

    def loads_nan(model: Any, *rest: Any, **options: Any) -> Any:
        done = load(model, *rest, **options)
        with torch.no_grad():
            model.head.fc.bias[0] = float("nan")
        return done

    monkeypatch.setattr(module, "load", loads_nan)
    result = against(f"resnet18@{SMALL}", "torchvision:resnet18")
    assert not result.ok and not figure(result, "output eval").ok and figure(result, "C5 eval").ok
    assert json.loads(json.dumps(result.to_mapping(), allow_nan=False))["ok"] is False


def test_random_layers_leave_training_mode_out() -> None:
    result = against(f"resnet18@{SMALL},drop_path=0.1,head.dropout=0.2", "torchvision:resnet18")
    assert result.ok and "drop_path and head.dropout" in result.notes[0]
    assert "output train" not in [figure.name for figure in result.figures]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ("torchvision:resnet51", "a residual network of torchvision such as resnet"),
        ("torchvision:vgg16", "a residual network of torchvision"),
        ("torchvision:fcn_resnet50", "a residual network of torchvision"),
        ("timm:vit_base_patch16_224", "a residual network of timm"),
        ("timm:resnetv2_51", "such as resnetv2_50"),
        ("keras:resnet50", "allowed: torchvision:<name> or timm:<name>"),
        ("resnet50", "allowed: torchvision:<name> or timm:<name>"),
        ("", "allowed: torchvision:<name> or timm:<name>"),
    ],
)
def test_unknown_peers(other: str, told: str) -> None:
    with pytest.raises(OtoyolError, match=told):
        against(f"resnet18@{SMALL}", other)


def test_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(OtoyolError, match=r"timm is not installed; install it with: pip install 'otoyol\[timm\]'"):
        against(f"resnet18@{SMALL}", "timm:resnet18")
    assert peer_names()["timm"] == () and "resnet50" in peer_names()["torchvision"]


def test_other_bad_arguments() -> None:
    with pytest.raises(OtoyolError, match="dtype: got float16; allowed: float32, float64"):
        against("resnet18", "torchvision:resnet18", dtype="float16")
    with pytest.raises(OtoyolError, match="against: got a Linear"):
        against("resnet18", torch.nn.Linear(1, 1))
    with pytest.raises(OtoyolError, match=r"image: china\.jpg has 1 or 3 channels, and the design reads 4"):
        against("resnet18@input=4x32x32", "timm:resnet18")


def test_photographs(tmp_path: Path) -> None:
    """The crop is the centre, scaled to cover; the second image is the mirror image of the first."""
    image = Image.new("RGB", (40, 20), (0, 0, 0))
    image.paste((255, 0, 0), (20, 0, 40, 20))  # the right half is red
    image.save(tmp_path / "half.png")
    x, name = photograph(Input(channels=3, height=20, width=20), tmp_path / "half.png")
    assert name == "half.png" and x.shape == (2, 3, 20, 20) and x.dtype == torch.float64
    assert torch.equal(x[0].flip(-1), x[1])
    red = (1 - 0.485) / 0.229
    assert torch.allclose(x[0, 0, :, 10:], torch.tensor(red, dtype=torch.float64))
    assert torch.allclose(x[0, 0, :, :10], torch.tensor(-0.485 / 0.229, dtype=torch.float64))
    gray, _ = photograph(Input(channels=1, height=7, width=50), tmp_path / "half.png")
    assert gray.shape == (2, 1, 7, 50)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot read"), (b"", "no image"), (b"text", "no image"), (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "image: ")],
)
def test_unreadable_images(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "photo.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OtoyolError, match=told):
        against(f"resnet18@{SMALL}", "torchvision:resnet18", image=path)


def test_truncated_photograph_and_folder(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 50).save(tmp_path / "noise.jpg")
    path = tmp_path / "cut.jpg"
    path.write_bytes((tmp_path / "noise.jpg").read_bytes()[:600])
    for bad in (path, tmp_path):
        with pytest.raises(OtoyolError, match="cannot read"):
            photograph(Input(), bad)


def test_without_scikit_learn_noise_is_said_to_be_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    x, name = photograph(Input(channels=5, height=8, width=8))
    assert x.shape == (2, 5, 8, 8) and name.startswith("seeded noise")


def test_the_same_question_has_the_same_answer() -> None:
    one, two = (against(f"resnet18@{SMALL}", "torchvision:resnet18") for _ in range(2))
    assert one == two
