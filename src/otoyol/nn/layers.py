"""From one operator to one torch layer."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from otoyol.nn.norms import norm_layer
from otoyol.ops import Op
from otoyol.spec import Norm

ACTS: dict[str, Callable[[bool], nn.Module]] = {
    "relu": lambda inplace: nn.ReLU(inplace=inplace),
    "relu6": lambda inplace: nn.ReLU6(inplace=inplace),
    "leaky_relu": lambda inplace: nn.LeakyReLU(inplace=inplace),
    "silu": lambda inplace: nn.SiLU(inplace=inplace),
    "gelu": lambda inplace: nn.GELU(),  # noqa: ARG005 (torch has no in-place gelu)
    "hardswish": lambda inplace: nn.Hardswish(inplace=inplace),
}


class AvgPool2dSame(nn.Module):
    """ResNet-D's 2×2 pool in a dilated stage: stride 1, zeros right and below, as timm's layer of this name."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1)


class Subsample(nn.Module):
    """Every ``stride``-th pixel: the strided half of shortcut A (He et al. 2015, section 3.3)."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride]

    def extra_repr(self) -> str:
        return f"stride={self.stride}"


class PadChannels(nn.Module):
    """Zero channels appended: the widening half of shortcut A."""

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, 0, self.extra))

    def extra_repr(self) -> str:
        return f"extra={self.extra}"


class Scale(nn.Module):
    """Multiplication by a constant (He et al. 2016, section 3.1)."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def extra_repr(self) -> str:
        return f"factor={self.factor}"


class DropPath(nn.Module):
    """Drops F(x) of whole samples with probability ``rate`` and scales the others by 1 / (1 - rate)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x
        kept = x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(1 - self.rate)
        return x * kept.div_(1 - self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate:g}"


LAYERS = frozenset({"conv", "conv1d", "linear", "norm", "act", "maxpool", "avgpool", "mean", "subsample", "pad"})


def has_layer(op: Op) -> bool:
    """Whether the operator is a layer of its own rather than an expression between layers."""
    return op.kind in LAYERS


def layer(op: Op, norm: Norm, inplace: bool = False) -> nn.Module:
    """The torch layer of an operator that has one."""
    match op.kind:
        case "conv":
            return conv(op)
        case "conv1d":
            return nn.Conv1d(1, 1, op.kernel, padding=op.kernel // 2, bias=False)
        case "linear":
            return nn.Linear(op.c_in, op.c_out, op.bias)
        case "norm":
            return norm_layer(op.detail, op.c_in, norm)
        case "act":
            return ACTS[op.detail](inplace)
        case "maxpool":
            return nn.MaxPool2d(op.kernel, op.stride, op.kernel // 2)
        case "avgpool" if op.stride == 1:
            return AvgPool2dSame()
        case "avgpool":  # ceil_mode, so that odd sizes agree with a strided 3×3's
            return nn.AvgPool2d(2, op.stride, ceil_mode=True, count_include_pad=False)
        case "mean":  # torchvision's and timm's layers, so that tools that go by classes count ours as theirs
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        case "subsample":
            return Subsample(op.stride)
        case "pad":
            return PadChannels(op.c_out - op.c_in)
    raise ValueError(f"{op.kind} is not a layer")


def conv(op: Op) -> nn.Conv2d:
    padding = op.dilation * (op.kernel // 2)
    return nn.Conv2d(op.c_in, op.c_out, op.kernel, op.stride, padding, op.dilation, op.groups, op.bias)
