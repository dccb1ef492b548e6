"""The three blocks of the notes this project grew from, retyped here as the oracle."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from _designs import randomise
from torch import nn

from otoyol import nn as onn


def conv1x1(in_ch, out_ch, stride=1):
    return nn.Conv2d(in_ch, out_ch, kernel_size=1, stride=stride, padding=0, bias=False)


def conv3x3(in_ch, out_ch, stride=1):
    return nn.Conv2d(in_ch, out_ch, kernel_size=3, stride=stride, padding=1, bias=False)


class BasicBlockV1(nn.Module):
    expansion = 1

    def __init__(self, in_ch, out_ch, stride=1):
        super().__init__()
        self.conv1 = conv3x3(in_ch, out_ch, stride)
        self.bn1 = nn.BatchNorm2d(out_ch)
        self.conv2 = conv3x3(out_ch, out_ch, 1)
        self.bn2 = nn.BatchNorm2d(out_ch)
        self.proj = None
        if stride != 1 or in_ch != out_ch:
            self.proj = nn.Sequential(conv1x1(in_ch, out_ch, stride), nn.BatchNorm2d(out_ch))

    def forward(self, x):
        identity = x if self.proj is None else self.proj(x)
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(identity + y, inplace=True)


class BottleneckV1(nn.Module):
    expansion = 4

    def __init__(self, in_ch, mid_ch, stride=1):
        super().__init__()
        out_ch = mid_ch * self.expansion
        self.conv1 = conv1x1(in_ch, mid_ch, 1)
        self.bn1 = nn.BatchNorm2d(mid_ch)
        self.conv2 = conv3x3(mid_ch, mid_ch, stride)
        self.bn2 = nn.BatchNorm2d(mid_ch)
        self.conv3 = conv1x1(mid_ch, out_ch, 1)
        self.bn3 = nn.BatchNorm2d(out_ch)
        self.proj = None
        if stride != 1 or in_ch != out_ch:
            self.proj = nn.Sequential(conv1x1(in_ch, out_ch, stride), nn.BatchNorm2d(out_ch))

    def forward(self, x):
        identity = x if self.proj is None else self.proj(x)
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(identity + y, inplace=True)


class BottleneckV2PreAct(nn.Module):
    expansion = 4

    def __init__(self, in_ch, mid_ch, stride=1):
        super().__init__()
        out_ch = mid_ch * self.expansion
        self.bn1 = nn.BatchNorm2d(in_ch)
        self.conv1 = conv1x1(in_ch, mid_ch, 1)
        self.bn2 = nn.BatchNorm2d(mid_ch)
        self.conv2 = conv3x3(mid_ch, mid_ch, stride)
        self.bn3 = nn.BatchNorm2d(mid_ch)
        self.conv3 = conv1x1(mid_ch, out_ch, 1)
        self.proj = None
        if stride != 1 or in_ch != out_ch:
            self.proj = conv1x1(in_ch, out_ch, stride)

    def forward(self, x):
        x_p = F.relu(self.bn1(x), inplace=True)
        identity = x if self.proj is None else self.proj(x)
        y = self.conv1(x_p)
        y = self.conv2(F.relu(self.bn2(y), inplace=True))
        y = self.conv3(F.relu(self.bn3(y), inplace=True))
        return identity + y


NORMED_PROJECTION = {"proj.0": "shortcut.conv", "proj.1": "shortcut.norm"}
BASIC = {"conv1": "branch.conv1", "bn1": "branch.norm1", "conv2": "branch.conv2", "bn2": "branch.norm2"}
V1 = BASIC | {"conv3": "branch.conv3", "bn3": "branch.norm3"} | NORMED_PROJECTION
V2 = {
    "bn1": "preact.norm1", "conv1": "branch.conv1", "bn2": "branch.norm1", "conv2": "branch.conv2",
    "bn3": "branch.norm2", "conv3": "branch.conv3", "proj": "shortcut.conv",
}  # fmt: skip
RAW = {"reads": "raw"}

# Section 9 of the notes prints the first five; the last two are an identity and a strided pre-activation block.
CASES = [
    (BasicBlockV1, "basic", BASIC | NORMED_PROJECTION, {}, (64, 64, 1), (2, 64, 32, 32)),
    (BasicBlockV1, "basic", BASIC | NORMED_PROJECTION, {}, (64, 128, 2), (2, 128, 16, 16)),
    (BottleneckV1, "bottleneck", V1, {}, (64, 64, 1), (2, 256, 32, 32)),
    (BottleneckV1, "bottleneck", V1, {}, (64, 64, 2), (2, 256, 16, 16)),
    (BottleneckV2PreAct, "bottleneck-v2", V2, {"shortcut": RAW}, (64, 64, 1), (2, 256, 32, 32)),
    (BottleneckV2PreAct, "bottleneck-v2", V2, {"shortcut": RAW}, (64, 16, 1), (2, 64, 32, 32)),
    (BottleneckV2PreAct, "bottleneck-v2", V2, {"shortcut": RAW}, (64, 16, 2), (2, 64, 16, 16)),
]


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(("oracle", "block", "names", "choices", "numbers", "shape"), CASES)
def test_blocks_of_the_notes(oracle, block, names, choices, numbers, shape, training):
    c_in, width, stride = numbers
    theirs = randomise(oracle(*numbers)).double().train(training)
    ours = onn.block(block, c_in=c_in, width=width, stride=stride, dtype=torch.float64, **choices).train(training)
    weights = {}
    for name, tensor in theirs.state_dict().items():
        module, _, leaf = name.rpartition(".")
        weights[f"{names[module]}.{leaf}"] = tensor
    ours.load_state_dict(weights)
    x = torch.randn(2, 64, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, z = ours(a), theirs(b)
    assert tuple(y.shape) == shape
    torch.testing.assert_close(y, z, rtol=1e-12, atol=1e-12)
    y.square().sum().backward()
    z.square().sum().backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-10)
    assert torch.equal(a.detach(), x)  # neither works in place on the caller's tensor
    if training:
        mean = ours.branch.norm1.running_mean
        torch.testing.assert_close(mean, (theirs.bn2 if block.endswith("v2") else theirs.bn1).running_mean)
