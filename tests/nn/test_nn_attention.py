"""SE, ECA and CBAM against timm's layers; modules of the caller's; errors."""

from __future__ import annotations

import pytest
import timm.layers as tl
import torch
from _designs import image, randomise
from timm.layers.cbam import CbamModule
from torch import nn

import otoyol
from otoyol import nn as onn

CBAM_NAMES = {"spatial.conv.conv": "spatial.conv", "spatial.conv.bn": "spatial.norm"}


def ours(kind, channels, **choices):
    return onn.block("basic", c_in=channels, width=channels, attention={"kind": kind, **choices}).attention


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("channels", [8, 40, 64, 256])
@pytest.mark.parametrize(
    ("kind", "peer", "choices"),
    [
        ("se", tl.SEModule, {}),
        ("se", lambda c: tl.SEModule(c, rd_ratio=1 / 4, rd_divisor=4), {"reduction": 4, "divisor": 4}),
        ("eca", tl.EcaModule, {}),
        ("cbam", CbamModule, {}),
        ("cbam", lambda c: CbamModule(c, rd_ratio=1 / 8, rd_divisor=4), {"reduction": 8, "divisor": 4}),
    ],
)
def test_equal_to_timm(kind, peer, choices, channels, training):
    theirs = randomise(peer(channels)).double().train(training)
    mine = ours(kind, channels, **choices).double().train(training)
    weights = {}
    for name, tensor in theirs.state_dict().items():
        module, _, leaf = name.rpartition(".")
        weights[f"{CBAM_NAMES.get(module, module)}.{leaf}"] = tensor
    mine.load_state_dict(weights)
    x = image(otoyol.parse(f"resnet18@input={channels}x8x8"), dtype=torch.float64)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, z = mine(a), theirs(b)
    torch.testing.assert_close(y, z, rtol=1e-12, atol=1e-12)
    y.square().sum().backward()
    z.square().sum().backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("at", range(8))
def test_attention_stands_after_so_many_tokens(at):
    """Halving after token k, done by hand."""

    class Halve(nn.Module):
        def forward(self, x):
            return x / 2

    module = onn.block("bottleneck-v2", c_in=8, width=2, attention=lambda c: Halve()).eval()
    module.attention_at = at  # one block, every place: the spec's own numbers are tested by the names
    x = torch.randn(1, 8, 5, 5)
    f = module.preact(x)
    for position, layer in enumerate(module.branch):
        f = layer(f / 2 if position == at else f)
    expected = (f / 2 if at == len(module.branch) else f) + x
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize(("place", "at"), [("start", 0), ("spatial", 6), ("end", 8), (3, 3)])
def test_places(place, at):
    # bottleneck: conv1 norm act conv3 norm act conv1 norm
    assert onn.block(c_in=8, width=2, attention={"kind": "se", "place": place}).attention_at == at


def test_a_factory_is_called_with_the_channels_of_its_place():
    seen = []

    def factory(channels):
        seen.append(channels)
        return nn.Sequential(nn.Conv2d(channels, channels, 1), nn.Sigmoid())

    model = onn.build("resnet50@depths=1-2-1-1,attention.place=spatial,input=3x32x32", attention=factory)
    assert seen == [64, 128, 128, 256, 512]
    assert model.spec.attention.kind == "external"
    assert model.spec.attention.place == "spatial"
    assert "stages.1.1.attention.0.weight" in model.state_dict()
    torch.manual_seed(0)
    x = torch.randn(2, 3, 32, 32)
    model(x).sum().backward()  # the sigmoid's saved output must not be overwritten


def test_external_in_one_stage():
    spec = otoyol.parse("resnet18@stage3.attention=external,head=3,input=3x32x32")
    model = onn.build(spec, attention=lambda c: nn.Identity())
    assert [stage[0].attention is not None for stage in model.stages] == [False, False, True, False]


def test_the_callers_module_keeps_its_own_start():
    def factory(channels):
        conv = nn.Conv2d(channels, channels, 1)
        nn.init.constant_(conv.weight, 0.25)
        return conv

    model = onn.build("resnet18@head=3,input=3x32x32", attention=factory)
    assert (model.stages[0][0].attention.weight == 0.25).all()


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (lambda c: nn.Conv2d(c, c + 1, 1), r"Conv2d: \[1, 64, 8, 8\] to \[1, 65, 8, 8\]"),
        (lambda c: nn.AvgPool2d(2), r"\[1, 64, 8, 8\] to \[1, 64, 4, 4\]"),
        (lambda c: nn.Linear(3, 3), "Linear, which fails on"),
        (lambda c: "se", "a factory that returns str"),
        (3, "got 3"),
    ],
)
def test_modules_that_are_no_gates_are_refused(factory, words):
    with pytest.raises(otoyol.SpecError, match=words):
        onn.build("resnet18@input=3x32x32", attention=factory)


def test_external_without_a_module_is_refused():
    with pytest.raises(otoyol.SpecError, match="attention=factory"):
        onn.build("resnet18@attention=external")
