"""Norms behind additions: which go, and that the outputs stay those of the plain torch module in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from otoyol.deploy import Artifact, export_onnx
from otoyol.deploy.fold import fold, remaining
from otoyol.nn import build

PLAIN = "resnetv2_50@widths=8-8-16-16,depths=2-3-1-2,head=5,input=3x64x64"
# A design, and the norms that stay although every gain is positive (counted by hand off the conditions).
DESIGNS = [
    (PLAIN, ""),
    ("resnetv2_18@widths=8-8-16-16,depths=2-2-1-2,head=5,input=3x64x64", ""),
    ("resnetv2_50d@widths=8-8-16-16,depths=1-2-1-2,head=5,input=3x64x64", ""),
    ("resnetv2_50@widths=16-16-32-32,depths=2-2-1-2,groups=4,head=5,input=3x64x64", ""),
    ("wrn_28_10@widths=16-32-32,depths=2-2-2,head=5,input=3x32x32", ""),
    ("wrn_28_10@widths=16-32-32,depths=2-2-2,head=5,act=leaky_relu,drop_path=0.2,input=3x32x32", ""),
    # Not homogeneous: no activation lets a scale through.
    ("wrn_28_10@widths=16-32-32,depths=2-1-1,head=5,act=silu,input=3x32x32", "0.0 0.1 1.0 2.0 final"),
    # Attention behind the last convolution: only the projection of a stage's first block can take a constant, so the
    # norms of second blocks go, and the stem's convolution lets the first go.
    ("resnetv2_18@widths=8-8-16-16,depths=3-2-1-2,attention=se,head=5,input=3x64x64", "0.2 1.0 2.0 final"),
    # A scaled shortcut scales the constant too: only a stage's first norm, whose projection reads what it puts out.
    ("resnetv2_18@widths=8-8-16-16,depths=2-2-1-1,shortcut.gate=scale,head=5,input=3x64x64",
     "0.1 1.0 1.1 2.0 3.0 final"),
    # A projection that reads the sum itself would read the constant.
    ("resnetv2_18@widths=8-8-16-16,depths=2-2-1-1,shortcut.reads=raw,head=5,input=3x64x64", "0.0 1.0 2.0 3.0"),
    # Every second pixel of the sum, and zeros for new channels: a constant would not stay one.
    ("wrn_28_10@widths=16-32-64,depths=2-1-1,shortcut=A,head=5,input=3x32x32", "1.0 2.0"),
    # An addition that an activation follows.
    ("resnet18@widths=8-8-16-16,depths=2-1-1-1,block=norm.act/conv3.norm.act.conv3/act,head=5,input=3x64x64",
     "0.1 1.0 2.0 3.0 final"),
]  # fmt: skip


def scattered(model: nn.Module, negative: tuple[str, ...] = ()) -> nn.Module:
    """Norms whose every number is random; all gains are positive but one of each norm that ``negative`` names."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor, low, high in (
                    (module.weight, 0.5, 1.5), (module.bias, -1.0, 1.0),
                    (module.running_mean, -1.0, 1.0), (module.running_var, 0.5, 2.0),
                ):  # fmt: skip
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
                if name in negative:
                    module.weight[3] *= -1
    return model.eval()


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def checked(model: nn.Module) -> list[str]:
    """The norms that stay; outputs twice over, for a stream that is overwritten shows when it is read again."""
    spec = model.spec
    torch.manual_seed(1)
    x = torch.randn(2, 3, spec.input.height, spec.input.width, dtype=torch.float64)
    model = model.double()
    with torch.no_grad():
        folded = fold(model)
        expected, found = model(x), folded(x)
        if isinstance(expected, torch.Tensor):
            expected, found = [expected], [found]
        for ours, theirs in zip(found, expected, strict=True):
            assert relative(ours, theirs) < 1e-9
    return remaining(folded)


@pytest.mark.parametrize(("text", "stays"), DESIGNS, ids=[text for text, _ in DESIGNS])
def test_outputs_stay(text: str, stays: str) -> None:
    torch.manual_seed(0)
    expected = [word if word == "final" else f"stages.{word}.preact" for word in stays.split()]
    assert checked(scattered(build(text))) == [f"{name}.norm1" for name in expected]


@pytest.mark.parametrize("norm", ["stages.1.1.preact.norm1", "stages.1.0.preact.norm1", "final.norm1"])
def test_a_norm_with_a_negative_gain_stays_alone(norm: str) -> None:
    torch.manual_seed(0)
    assert checked(scattered(build(PLAIN), (norm,))) == [norm]
    assert checked(scattered(build(PLAIN), (norm, "stages.1.2.preact.norm1"))) == sorted(
        [norm, "stages.1.2.preact.norm1"], key=lambda name: (name.startswith("final"), name)
    )


def test_a_gain_of_zero_and_a_centre_far_away_stay() -> None:
    torch.manual_seed(0)
    model = scattered(build(PLAIN))
    with torch.no_grad():
        model.get_submodule("stages.1.1.preact.norm1").weight[2] = 0.0
        model.get_submodule("stages.1.2.preact.norm1").weight[2] = 1e-6  # the sum would lose every digit in float32
    assert checked(model) == ["stages.1.1.preact.norm1", "stages.1.2.preact.norm1"]


@pytest.mark.parametrize("taps", ["raw", "preact", "postact"])
@pytest.mark.parametrize("negative", [(), ("stages.1.1.preact.norm1",)])
def test_taps_put_out_stay(taps: str, negative: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    text = f"resnetv2_50@widths=8-8-16-16,depths=2-3-1-2,taps={taps},input=3x64x64"
    left = checked(scattered(build(text, features_only=True), negative))
    inner = {f"stages.{at}.preact.norm1" for at in ("0.1", "1.1", "1.2", "3.1")}
    assert inner & set(left) == set(negative)  # those whose sums are no taps
    if taps == "postact":  # a tap's own norm reads the moved sum, and takes the constant back
        assert {"taps.C2.norm1", "taps.C3.norm1", "taps.C4.norm1"} <= set(left)
        assert "stages.1.0.preact.norm1" not in left


def test_the_model_itself_is_untouched() -> None:
    model = scattered(build(PLAIN))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fold(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert any(isinstance(module, nn.ReLU) and module.inplace for module in model.modules())


@pytest.mark.parametrize("negative", [(), ("stages.1.1.preact.norm1",)])
def test_a_file_agrees_and_becomes_the_module_again(tmp_path: Path, negative: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    model = scattered(build(PLAIN), negative)
    made = export_onnx(model, tmp_path / "model.onnx")
    assert made.norms == negative
    x = np.random.default_rng(2).standard_normal((2, 3, 64, 64), dtype=np.float32)
    with torch.no_grad():
        expected = model.double()(torch.from_numpy(x).double())
        again = Artifact(made.path).module()(torch.from_numpy(x))[0]
    session = onnxruntime.InferenceSession(str(made.path), providers=["CPUExecutionProvider"])
    assert relative(torch.from_numpy(session.run(None, {"image": x})[0]).double(), expected) < 1e-4
    assert relative(again.double(), expected) < 1e-4
