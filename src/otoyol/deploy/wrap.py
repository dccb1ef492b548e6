"""The module that is exported: preprocessing where asked, the network, outputs in the artifact's order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from otoyol.deploy.metadata import Layout
from otoyol.nn.trunk import Trunk
from otoyol.spec import Spec


class Prepare(nn.Module):
    """uint8 (N, H, W, C) to float32 (N, C, H, W): (value / 255 - mean) / std, as one multiplication and addition."""

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        centre, spread = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (mean, std))
        self.register_buffer("scale", (1 / (255 * spread)).float())
        self.register_buffer("shift", (-centre / spread).float())

    def forward(self, image: Tensor) -> Tensor:
        return image.permute(0, 3, 1, 2).to(self.scale.dtype) * self.scale + self.shift  # a quarter of the bytes moves


class Mean(nn.Module):
    """Global average pooling and flattening in one operator."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class Deployed(nn.Module):
    """``image`` to a tuple of outputs: the taps ``taps``, or what ``network`` puts out where there are none."""

    def __init__(
        self, network: nn.Module, taps: Sequence[str], layout: Layout, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.prepare = Prepare(mean, std) if layout == "nhwc" else None
        self.network, self.taps = network, tuple(taps)

    @property
    def design(self) -> Spec:
        return cast(Trunk, self.network).spec

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = image if self.prepare is None else self.prepare(image)
        if not self.taps:
            y = self.network(x)
            return tuple(y) if isinstance(y, tuple | list) else (y,)
        found = cast(Trunk, self.network).forward_taps(x, self.taps)
        return tuple(found[name] for name in self.taps)
