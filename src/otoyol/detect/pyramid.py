"""A feature pyramid over a backbone's taps (Lin et al. 2017, 1612.03144), as torchvision's detectors want it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Self

from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import (
    ExtraFPNBlock,
    FeaturePyramidNetwork,
    LastLevelMaxPool,
    LastLevelP6P7,
)

from otoyol.detect.choices import Detector
from otoyol.errors import SpecError
from otoyol.nn import FeatureBackbone
from otoyol.nn.norms import norm_layer
from otoyol.spec import Norm

NormLayer = Callable[..., nn.Module]


class Pyramid(nn.Module):
    """``body`` (our backbone) and ``fpn`` (torchvision's): images (N, C, H, W) to maps of ``out_channels`` by level,
    keys ``0``, ``1``, … and those of the extra levels. ``strides``: the levels' strides, shallow to deep.

    Frozen parts stay in evaluation mode whatever :meth:`train` is told, so that their norms' statistics stay too.
    """

    def __init__(self, body: FeatureBackbone, detector: Detector) -> None:
        super().__init__()
        channels = [body.tap_channels[name] for name in detector.taps]
        self.body = body
        read = {tap["module"] for tap in body.tap_info if tap["name"] in detector.taps}
        for path, norm in (("final", body.final), *((f"taps.{name}", norm) for name, norm in body.taps.items())):
            if norm is not None and path not in read:
                norm.requires_grad_(False)  # it gets no gradient, for which the ranks of a run would wait
        self.fpn = FeaturePyramidNetwork(
            channels, detector.channels, extra_blocks(detector, channels[-1]),
            norm_factory(detector.fpn_norm, detector.channels, "fpn_norm"),
        )  # fmt: skip
        self.out_channels = detector.channels
        self.strides = level_strides(body, detector)
        self.frozen: tuple[str, ...] = ()

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        taps = self.body(x)
        levels: OrderedDict[str, Tensor] = self.fpn(OrderedDict((str(i), tap) for i, tap in enumerate(taps)))
        return levels

    def freeze(self, parts: int) -> None:
        """Stop the first ``parts`` of stem, stage 1, stage 2, … from learning, their norms included. 0 frees all.

        Raises SpecError where the backbone has not as many.
        """
        names = ["stem", *(f"stages.{index}" for index in range(len(self.body.stages)))]
        if not 0 <= parts <= len(names):
            raise SpecError("freeze", parts, f"from 0 to {len(names)}: stem and {len(names) - 1} stages")
        self.frozen = tuple(names[:parts])
        for name in names:
            for parameter in self.body.get_submodule(name).parameters():
                parameter.requires_grad_(name not in self.frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for name in self.frozen:
            self.body.get_submodule(name).train(False)
        return self


def level_strides(body: FeatureBackbone, detector: Detector) -> tuple[int, ...]:
    """The stride of every level, extra ones included."""
    strides = [body.tap_strides[name] for name in detector.taps]
    while len(strides) < detector.levels:
        strides.append(2 * strides[-1])
    return tuple(strides)


def extra_blocks(detector: Detector, deepest: int) -> ExtraFPNBlock | None:
    """torchvision's levels on top; ``deepest``: channels of the deepest tap."""
    if detector.extra == "none":
        return None
    if detector.extra == "pool":
        return LastLevelMaxPool()
    from_c5 = detector.extra == "p6p7_c5"
    block = LastLevelP6P7(deepest if from_c5 else detector.channels, detector.channels)
    block.use_P5 = not from_c5  # it guesses from the widths, which may be equal
    return block


def norm_factory(norm: Norm | None, channels: int, field: str) -> NormLayer | None:
    """A function from channels to the norm, as torchvision's ``norm_layer``; None for none."""
    if norm is None:
        return None
    if norm.kind == "group" and channels % norm.groups:
        raise SpecError(f"detector.{field}.groups", norm.groups, f"a divisor of {channels}, the channels")
    return partial(_norm, norm)


def _norm(norm: Norm, channels: int) -> nn.Module:
    return norm_layer(norm.kind, channels, norm)
