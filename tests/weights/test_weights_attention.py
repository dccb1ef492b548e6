"""SE, ECA and CBAM against timm's layers: outputs and gradients, over widths that round and kernels that grow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from _weights_peers import filled, relative
from timm.layers import EcaModule, SEModule
from timm.layers.cbam import CbamModule

from otoyol.nn import block
from otoyol.weights import rename
from otoyol.weights.names import module_names

KINDS = {"se": SEModule, "eca": EcaModule, "cbam": CbamModule}


@pytest.mark.parametrize("channels", [8, 24, 64, 120, 128, 200, 320, 2048])
@pytest.mark.parametrize("kind", KINDS)
def test_attention_equals_timms(kind: str, channels: int) -> None:
    theirs = filled(lambda: KINDS[kind](channels)).double()
    ours = block(c_in=channels, width=channels // 4, attention=kind, dtype=torch.float64).attention
    names = {"spatial.conv.conv": "spatial.conv", "spatial.conv.bn": "spatial.norm"}
    state = {}
    for key, value in theirs.state_dict().items():
        module, _, suffix = key.rpartition(".")
        state[f"{names.get(module, module)}.{suffix}"] = value
    assert {key: value.shape for key, value in ours.state_dict().items()} == {k: v.shape for k, v in state.items()}
    ours.load_state_dict(state)
    x = torch.randn(2, channels, 5, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for mode in (True, False):
        mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        a, b = ours.train(mode)(mine), theirs.train(mode)(other)
        assert relative(a, b) <= 1e-12
        (grad_a,), (grad_b,) = (torch.autograd.grad(y.square().sum(), z) for y, z in ((a, mine), (b, other)))
        assert relative(grad_a, grad_b) <= 1e-12


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("kind", ["se", "cbam"])
def test_reductions_equal_timms(kind: str, reduction: int) -> None:
    theirs: Any = KINDS[kind](96, rd_ratio=1 / reduction)
    gate = block("basic", c_in=96, width=96, attention={"kind": kind, "reduction": reduction}).attention
    ours = gate.fc1 if kind == "se" else gate.channel.fc1
    there = theirs.fc1 if kind == "se" else theirs.channel.fc1
    assert ours.weight.shape == there.weight.shape


def test_cbam_runs_its_perceptron_twice_and_names_it_once() -> None:
    from otoyol import parse

    spec = parse("resnet18@attention=cbam")
    table = rename(spec, "timm")
    assert table["stages.0.0.attention.channel.fc1.weight"] == "layer1.0.se.channel.fc1.weight"
    assert table["stages.0.0.attention.spatial.conv.weight"] == "layer1.0.se.spatial.conv.conv.weight"
    assert table["stages.0.0.attention.spatial.norm.running_var"] == "layer1.0.se.spatial.conv.bn.running_var"
    names = module_names(spec, "timm")
    assert len(set(names.values())) == len(names)
