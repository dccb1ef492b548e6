"""A norm at inference: one scale and one shift a channel; and how weights lie across channels."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from otoyol.errors import SpecError
from otoyol.nn import FrozenBatchNorm2d

AFFINE = (nn.BatchNorm2d, nn.SyncBatchNorm, FrozenBatchNorm2d)


def affine(norm: nn.Module, name: str) -> tuple[Tensor, Tensor]:
    """What a norm does to each channel at inference: (scale, shift), float64. Raises SpecError."""
    if not isinstance(norm, AFFINE) or norm.running_var is None:
        raise SpecError("model", f"{name}, a {type(norm).__name__}", "batch norms with running statistics")
    mean, var = cast(Tensor, norm.running_mean).double(), norm.running_var.double()
    scale = (var + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight.double()
    shift = -mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias.double()


def read_by(weight: Tensor, channels: int) -> Tensor:
    """Which input channel every weight[out, i] multiplies: outputs of one group read that group's inputs."""
    outs, per_group = weight.shape[:2]
    groups = channels // per_group
    group = torch.arange(outs, device=weight.device) // (outs // groups)
    return group[:, None] * per_group + torch.arange(per_group, device=weight.device)


def bare(norm: nn.Module, name: str) -> nn.BatchNorm2d:
    """The norm as scale and shift alone."""
    scale, shift = affine(norm, name)
    like = next((t for t in (norm.weight, norm.running_var) if isinstance(t, Tensor)), shift)
    bare = nn.BatchNorm2d(len(scale), eps=0.0, device=like.device, dtype=like.dtype).eval()
    cast(Tensor, bare.weight).copy_(scale)
    cast(Tensor, bare.bias).copy_(shift)
    return bare.requires_grad_(False)


def replace(root: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(root.get_submodule(parent), leaf, module)
