"""What the shortcut kinds and gates compute, against formulas and timm's layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from _designs import randomise
from timm.layers.pool2d_same import AvgPool2dSame
from torch import nn

import otoyol
from otoyol import nn as onn
from otoyol.nn.layers import DropPath

SIZES = [(7, 7), (8, 8), (7, 8), (1, 5)]


def data(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def make(*args, **kwargs):
    return randomise(onn.block(*args, dtype=torch.float64, **kwargs)).eval()


def branch(module, x):
    f = module.preact(x) if module.preact is not None else x
    for layer in module.branch:
        f = layer(f)
    return f


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_shortcut_a_subsamples_and_appends_zeros(stride, size):
    module = make("basic-relu-before", c_in=4, width=6, stride=stride, shortcut="A")
    x = data(2, 4, *size)
    shortcut = torch.cat([x[:, :, ::stride, ::stride], x.new_zeros(2, 2, *x[:, 0, ::stride, ::stride].shape[1:])], 1)
    assert torch.equal(module(x), branch(module, x) + shortcut)
    assert not list(module.shortcut.parameters())


@pytest.mark.parametrize("size", SIZES)
def test_shortcut_d_pools_and_projects(size):
    module = make("basic", c_in=4, width=6, stride=2, shortcut="D")
    x = data(2, 4, *size)
    # timm's downsample_avg: AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False), conv, norm
    pooled = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)(x)
    shortcut = module.shortcut.norm(F.conv2d(pooled, module.shortcut.conv.weight))
    torch.testing.assert_close(module(x), (branch(module, x) + shortcut).relu())


@pytest.mark.parametrize("size", SIZES)
def test_shortcut_d_of_a_dilated_stage_pools_at_stride_1_as_timm(size):
    module = make("basic", c_in=4, width=6, dilation=2, shortcut="D")
    x = data(2, 4, *size)
    pooled = AvgPool2dSame(2, 1, ceil_mode=True, count_include_pad=False)(x)
    shortcut = module.shortcut.norm(F.conv2d(pooled, module.shortcut.conv.weight))
    torch.testing.assert_close(module(x), (branch(module, x) + shortcut).relu())


def test_shortcut_c_projects_always_and_b_only_on_change():
    assert make("basic", c_in=4, width=4, shortcut="C").shortcut is not None
    assert make("basic", c_in=4, width=4, shortcut="B").shortcut is None
    assert make("basic", c_in=4, width=4, stride=2, shortcut="B").shortcut is not None
    assert make("basic", c_in=4, width=8, shortcut="B").shortcut is not None


def test_no_shortcut_where_the_shape_changes():
    module = make("inverted", c_in=4, width=6, stride=2, shortcut="none")
    x = data(2, 4, 6, 6)
    assert torch.equal(module(x), branch(module, x))
    same = make("inverted", c_in=4, width=4, shortcut="none")
    assert torch.equal(same(x), branch(same, x) + x)


@pytest.mark.parametrize("reads", ["preact", "raw"])
def test_what_a_projection_reads(reads):
    module = make("basic-v2", c_in=4, width=6, stride=2, shortcut={"reads": reads})
    x = data(2, 4, 6, 6)
    source = module.preact(x) if reads == "preact" else x
    expected = F.conv2d(source, module.shortcut.conv.weight, stride=2) + branch(module, x)
    torch.testing.assert_close(module(x), expected)


# He et al. 2016, section 3, with the post-activation unit of Fig. 2
def test_constant_scaling():
    module = make("basic", c_in=4, width=4, shortcut={"gate": "scale", "scale": 0.3, "branch_scale": 0.7})
    x = data(2, 4, 5, 5)
    torch.testing.assert_close(module(x), (0.3 * x + 0.7 * branch(module, x)).relu())


@pytest.mark.parametrize("exclusive", [True, False])
def test_gating(exclusive):
    gate = "exclusive" if exclusive else "shortcut-only"
    module = make("basic", c_in=4, width=4, shortcut={"gate": gate})
    x = data(2, 4, 5, 5)
    g = torch.sigmoid(F.conv2d(x, module.shortcut.gate.weight, module.shortcut.gate.bias))
    f = branch(module, x)
    torch.testing.assert_close(module(x), ((1 - g) * x + (g * f if exclusive else f)).relu())


def test_gate_of_a_projected_block_reads_x():
    module = make("basic-v2", c_in=4, width=6, stride=2, shortcut={"gate": "exclusive"})
    x = data(2, 4, 6, 6)
    g = torch.sigmoid(F.conv2d(x, module.shortcut.gate.weight, module.shortcut.gate.bias, stride=2))
    shortcut = F.conv2d(module.preact(x), module.shortcut.conv.weight, stride=2)
    torch.testing.assert_close(module(x), (1 - g) * shortcut + g * branch(module, x))


def test_gates_start_at_their_bias():
    module = onn.block("basic", c_in=4, width=4, shortcut={"gate": "exclusive", "gate_bias": -5.0})
    assert (module.shortcut.gate.bias == -5.0).all()


def test_shortcut_dropout_acts_on_the_shortcut_in_training_only():
    module = make("basic", c_in=4, width=4, shortcut={"gate": "dropout", "dropout": 0.5})
    x = data(2, 4, 5, 5).abs() + 1
    assert torch.equal(module(x), (x + branch(module, x)).relu())
    module.train()
    for parameter in module.branch.parameters():
        nn.init.zeros_(parameter)
    y = module(x)
    assert {round(v, 9) for v in (y / x).unique().tolist()} == {0.0, 2.0}


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    drop = DropPath(0.25)
    y = drop(torch.ones(4000, 2, 1, 1))
    assert torch.equal(y[:, 0], y[:, 1])
    assert {round(v, 5) for v in y.unique().tolist()} == {0.0, round(1 / 0.75, 5)}
    assert abs(y.mean() - 1) < 0.05
    assert drop.eval()(y) is y


def test_stochastic_depth_grows_linearly_over_the_network():
    model = onn.build("resnet18", drop_path_rate=0.7)
    blocks = [block for stage in model.stages for block in stage]
    assert blocks[0].drop_path is None
    # Huang et al. 2016, Eq. 4, from 0 at the first of the eight blocks to 0.7 at the last
    assert [round(block.drop_path.rate, 6) for block in blocks[1:]] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


def test_the_first_block_behind_an_activated_stem_has_no_preact():
    assert onn.build("cifar_resnetv2_20").stages[0][0].preact is None
    assert onn.build("resnetv2_18").stages[0][0].preact is not None


def test_impossible_blocks_are_refused():
    with pytest.raises(otoyol.SpecError, match="zero-padding cannot take"):
        onn.block("basic", c_in=8, width=4, shortcut="A")
    with pytest.raises(otoyol.SpecError, match="colour"):
        onn.block("basic", c_in=8, width=4, colour="red")
