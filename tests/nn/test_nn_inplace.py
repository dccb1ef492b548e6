"""In-place work changes no number, and the rule allows what torchvision does and nothing that reaches the skip."""

from __future__ import annotations

import pytest
import torch
from _designs import SMALL, image, randomise
from hypothesis import given, settings
from strategies import specs

import otoyol
from otoyol import nn as onn
from otoyol.nn.block import ResidualBlock
from otoyol.ops import INPUT, Op
from otoyol.ops.inplace import in_place


def out_of_place(model):
    for module in model.modules():
        if isinstance(module, ResidualBlock):
            module.add_in_place = False
        elif hasattr(module, "inplace"):
            module.inplace = False
    return model


def gradients(model, x):
    x = x.clone().requires_grad_()
    torch.manual_seed(0)  # stochastic depth and dropout
    y = model(x)
    y.square().mean().backward()
    return [y.detach(), x.grad, *(p.grad for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("text", SMALL)
def test_outputs_and_gradients_equal_those_without_in_place_work(text):
    model = randomise(onn.build(text))
    other = onn.build(text)
    other.load_state_dict(model.state_dict())
    x = image(model.spec)
    for a, b in zip(gradients(model, x), gradients(out_of_place(other), x), strict=True):
        assert torch.equal(a, b)


@settings(max_examples=25)
@given(specs(max_width=16, max_depth=2, max_stages=2, max_size=8, norms=("group", "frozen")))
def test_random_designs_too(spec):
    spec = spec.model_copy(update={"drop_path": 0.0})
    model = randomise(onn.build(spec, dtype=torch.float64))
    other = onn.build(spec, dtype=torch.float64)
    other.load_state_dict(model.state_dict())
    x = image(spec, 2, (spec.input.height, spec.input.width), torch.float64)
    for a, b in zip(gradients(model, x), gradients(out_of_place(other), x), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def flags(text, slot, kind):
    ops = otoyol.lower(otoyol.parse(text)).ops
    found = [flag for op, flag in zip(ops, in_place(ops), strict=True) if (op.slot, op.kind) == (slot, kind)]
    assert found
    return set(found)


def test_resnet50_works_in_place_where_torchvision_does():
    # torchvision's Bottleneck: every ReLU(inplace=True), and out += identity
    for slot, kind in (("stem", "act"), ("branch", "act"), ("join", "add"), ("post", "act")):
        assert flags("resnet50", slot, kind) == {True}


@pytest.mark.parametrize(
    ("text", "slot", "kind"),
    [
        ("cifar_resnet110_relu_preact", "preact", "act"),  # would overwrite the skip
        ("cifar_resnet110_relu_before", "join", "add"),  # ReLU's backward reads its output
        ("resnet50@act=silu", "branch", "act"),  # SiLU's backward reads its input
        ("resnet50@attention=external", "join", "add"),  # what an unknown module saved is not known
        (
            "custom@block=norm/act.conv3.norm/,stem.activated=false",
            "branch",
            "act",
        ),  # the preact slot's output is a tap
    ],
)
def test_out_of_place_where_somebody_else_reads(text, slot, kind):
    assert flags(text, slot, kind) == {False}


def test_build_and_rule_agree():
    model = onn.build("resnetv2_50@depths=1-1-1-1")
    ops = otoyol.lower(model.spec).ops
    for op, flag in zip(ops, in_place(ops), strict=True):
        if op.kind == "act":
            assert model.get_submodule(op.name).inplace == flag, op.name
        if op.kind == "add" and op.slot == "join":
            assert model.get_submodule(op.name.removesuffix(".add")).add_in_place == flag


def test_a_tensor_with_two_readers_is_not_overwritten():
    conv = Op("conv", "conv", "branch", 0, 0, (INPUT,), 4, 8, 8, 4, 8, 8)
    act = conv._replace(name="act", kind="act", inputs=(0,), detail="relu")
    assert in_place([conv, act]) == (False, True)
    assert in_place([conv, act, conv._replace(name="other", inputs=(0,))]) == (False, False, False)
