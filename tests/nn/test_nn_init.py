"""How weights start."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from otoyol import nn as onn
from otoyol.nn.block import ResidualBlock


def blocks(model):
    return [module for module in model.modules() if isinstance(module, ResidualBlock)]


def test_convolutions_follow_he_fan_out():
    torch.manual_seed(0)
    model = onn.build("resnet18")
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            std = math.sqrt(2 / (module.out_channels * module.kernel_size[0] ** 2))
            assert abs(module.weight.std() / std - 1) < 0.05, name
            assert abs(module.weight.mean()) < 0.05 * std, name


@pytest.mark.parametrize(
    ("text", "zero"),
    [
        ("resnet18", True),
        ("resnet50@depths=1-1-1-1", True),
        ("resnet18@zero_init=false", False),
        ("cifar_resnet20", False),
        ("resnet50@depths=1-1-1-1,norm=group", True),
        ("resnet18@attention=se", True),
        ("custom@block=inverted", True),
    ],
)
def test_the_last_gain_starts_at_zero_where_a_branch_ends_in_a_norm(text, zero):
    for block in blocks(onn.build(text)):
        *others, last = [
            layer for layer in block.branch if hasattr(layer, "running_var") or hasattr(layer, "num_groups")
        ]
        assert (last.weight == (0 if zero else 1)).all()
        assert all((norm.weight == 1).all() for norm in others)
        assert all((norm.bias == 0).all() for norm in (*others, last))


@pytest.mark.parametrize(
    "text", ["resnetv2_18", "wrn_28_10@widths=16-16-16", "cifar_resnet110_relu_before@depths=1-1-1,zero_init=true"]
)
def test_no_gain_starts_at_zero_elsewhere(text):
    """A pre-activation branch ends in a convolution; behind conv-norm-ReLU a zero gain would never learn."""
    for module in onn.build(text).modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()


def test_a_block_without_shortcut_is_not_silenced():
    model = onn.build("custom@block=inverted,shortcut=none,widths=8-16,depths=1-1,strides=1-2,stem.widths=8")
    first, second = blocks(model)
    assert (first.branch.norm3.weight == 0).all()
    assert (second.branch.norm3.weight == 1).all()


def test_a_fresh_network_passes_signals_and_gradients():
    torch.manual_seed(0)
    for text in ("resnet50@depths=1-1-1-1", "resnetv2_50@depths=1-1-1-1"):
        model = onn.build(text)
        model(torch.randn(4, 3, 64, 64)).square().mean().backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())
        assert model.stem.conv1.weight.grad.abs().max() > 0


def test_a_frozen_gain_starts_at_one():
    """At zero it would keep its branch there for good."""
    model = onn.build("resnet18@norm=frozen,input=3x32x32")
    model(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert all(layer.weight.grad.abs().max() > 0 for layer in model.modules() if isinstance(layer, nn.Conv2d))
