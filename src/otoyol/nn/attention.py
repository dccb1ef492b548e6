"""Gates on F(x). Each has timm's arithmetic; widths and kernels come from the block's operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from otoyol.errors import SpecError
from otoyol.nn.layers import conv, layer
from otoyol.ops import Op
from otoyol.spec import Norm

Factory = Callable[[int], nn.Module]  # channels to a module that keeps its input's shape


class SqueezeExcite(nn.Module):
    """SE (Hu et al. 2018, Eqs. 2 to 4)."""

    def __init__(self, ops: Mapping[str, Op]) -> None:
        super().__init__()
        self.fc1 = conv(ops["fc1"])
        self.act = nn.ReLU(inplace=True)
        self.fc2 = conv(ops["fc2"])

    def forward(self, x: Tensor) -> Tensor:
        s = self.fc2(self.act(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * s.sigmoid()


class EfficientChannel(nn.Module):
    """ECA (Wang et al. 2020, Eq. 9)."""

    def __init__(self, ops: Mapping[str, Op], norm: Norm) -> None:
        super().__init__()
        self.conv = layer(ops["conv"], norm)

    def forward(self, x: Tensor) -> Tensor:
        s = self.conv(x.mean((2, 3)).unsqueeze(1)).sigmoid()
        return x * s.squeeze(1)[:, :, None, None]


class ChannelGate(nn.Module):
    """The channel half of CBAM (Woo et al. 2018, Eq. 2)."""

    def __init__(self, ops: Mapping[str, Op]) -> None:
        super().__init__()
        self.fc1 = conv(ops["channel.fc1"])
        self.act = nn.ReLU(inplace=True)
        self.fc2 = conv(ops["channel.fc2"])

    def forward(self, x: Tensor) -> Tensor:
        mean = self.fc2(self.act(self.fc1(x.mean((2, 3), keepdim=True))))
        peak = self.fc2(self.act(self.fc1(x.amax((2, 3), keepdim=True))))
        return x * (mean + peak).sigmoid()


class SpatialGate(nn.Module):
    """The spatial half of CBAM (Woo et al. 2018, Eq. 3), with the norm of its authors' code."""

    def __init__(self, ops: Mapping[str, Op], norm: Norm) -> None:
        super().__init__()
        self.conv = conv(ops["spatial.conv"])
        self.norm = layer(ops["spatial.norm"], norm)

    def forward(self, x: Tensor) -> Tensor:
        s = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * self.norm(self.conv(s)).sigmoid()


class CBAM(nn.Module):
    """CBAM (Woo et al. 2018): channels first, then space."""

    def __init__(self, ops: Mapping[str, Op], norm: Norm) -> None:
        super().__init__()
        self.channel = ChannelGate(ops)
        self.spatial = SpatialGate(ops, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial(self.channel(x))


def attention_layer(kind: str, ops: list[Op], norm: Norm, factory: Factory | None) -> nn.Module | None:
    """The gate of a block from its operators of the attention slot; None where there are none."""
    if not ops:
        return None
    named = {op.name.removeprefix("attention."): op for op in ops}
    if kind == "external":
        return _external(named["attention"], factory)
    if kind == "se":
        return SqueezeExcite(named)
    return EfficientChannel(named, norm) if kind == "eca" else CBAM(named, norm)


def _external(op: Op, factory: Factory | None) -> nn.Module:
    """The caller's module, held to what a gate on F(x) must be. Raises SpecError."""
    allowed = "a function from channels to an nn.Module that keeps (N, C, H, W) as it is"
    if factory is None:
        raise SpecError("attention", "external without a module", f"build(spec, attention=factory), {allowed}")
    if not callable(factory):
        raise SpecError("attention", factory, allowed)
    module = factory(op.c_in)
    if not isinstance(module, nn.Module):
        raise SpecError("attention", f"a factory that returns {type(module).__name__}", allowed)
    x = torch.zeros(1, op.c_in, op.h_in, op.w_in)
    training = module.training
    try:
        with torch.no_grad():
            y = module.eval()(x)
    except Exception as error:
        raise SpecError(
            "attention", f"{type(module).__name__}, which fails on {list(x.shape)}: {error}", allowed
        ) from error
    module.train(training)
    if not isinstance(y, Tensor) or y.shape != x.shape:
        shape = list(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise SpecError("attention", f"{type(module).__name__}: {list(x.shape)} to {shape}", allowed)
    return module
