"""Norms by their names in a spec."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from otoyol.spec import Norm


def frozen_batch_norm(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    """x · scale + shift in one pass; backward holds the scale alone."""
    scale = weight * (var + eps).rsqrt()
    shift = bias - mean * scale
    return torch.addcmul(shift.to(x.dtype)[:, None, None], x, scale.to(x.dtype)[:, None, None])


fx.wrap("frozen_batch_norm")  # one node that reads the buffers; traced through, FX would bake their values in


class FrozenBatchNorm2d(nn.Module):
    """Batch norm with stored statistics and affine parameters, all of them buffers: y = x · scale + shift.

    Reads any batch-norm checkpoint (``num_batches_tracked`` is dropped) and honours ``eps``, so that it equals the
    batch norm in eval mode. It folds in the parameters' own precision and then works in the input's.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.num_features, self.eps = num_features, eps
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        return frozen_batch_norm(x, self.weight, self.bias, self.running_mean, self.running_var, self.eps)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}"


NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm, FrozenBatchNorm2d)


def norm_layer(kind: str, channels: int, norm: Norm) -> nn.Module:
    """The norm of ``kind`` with the numbers of ``norm``."""
    if kind == "group":
        return nn.GroupNorm(norm.groups, channels, norm.eps)
    if kind == "frozen":
        return FrozenBatchNorm2d(channels, norm.eps)
    if kind == "sync":
        return nn.SyncBatchNorm(channels, norm.eps, norm.momentum)
    return nn.BatchNorm2d(channels, norm.eps, norm.momentum)
